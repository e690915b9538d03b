"""Nodes with dependencies, run for each item: a chain is the graph whose nodes stand in a row."""

from rxchain.graph._graph import Graph

__all__ = ["Graph"]
