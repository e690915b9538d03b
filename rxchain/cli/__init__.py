"""The command line: ``rxchain run orders.py:chain --from orders.jsonl --to paid.csv``."""

from rxchain.cli._commands import main

__all__ = ["main"]
