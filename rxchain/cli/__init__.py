"""The command line: ``rxchain run orders.py:chain --from orders.jsonl --to paid.csv``."""

from rxchain.cli._commands import main
from rxchain.cli._dead import dead

main.add_command(dead)

__all__ = ["main"]
