"""Computes the packages: `operators/` at the top level is installed as `rxchain.operators`, never as `operators`."""

from setuptools import find_packages, setup

own = [p for p in find_packages(include=["rxchain", "rxchain.*"]) if p.split(".")[1:2] != ["operators"]]
operators = [f"rxchain.{p}" for p in find_packages(include=["operators", "operators.*"])]

setup(packages=own + operators)
