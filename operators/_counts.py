"""Counts that operators are given: what is one, and the error that says so."""

from typing import SupportsIndex

from rxchain.engine import shorten


def is_count(value: object, at_least: int) -> bool:
    """Whether *value* is a whole number, and not too small."""
    return isinstance(value, SupportsIndex) and not isinstance(value, type) and value.__index__() >= at_least


def wrong_count(name: str, parameter: str, found: object, at_least: int) -> ValueError:
    """The error of operator *name*, given *found* for its *parameter*."""
    given = shorten(found, 30)
    keyword = "" if parameter in ("count", "size") else f"..., {parameter}="
    return ValueError(
        f"{name}: {parameter} must be a whole number, {at_least} or more, got {given}\n"
        f"    ops.{name}({keyword}{given})  # incorrect\n"
        f"    ops.{name}({keyword}{max(3, at_least)})  # correct"
    )
