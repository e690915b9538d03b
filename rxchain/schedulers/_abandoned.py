"""Saying what nobody waits for any more: a thread cannot be stopped, so it must at least not be forgotten."""

import sys
from typing import Any

from rxchain.engine import shorten
from rxchain.policies._log import must_see


def report_failure(name: str, args: tuple[Any, ...], error: BaseException) -> None:
    """Say that a call failed after it had been given up: its error has no other way out."""
    must_see(f"node {name!r}: a call that had been cancelled ran on and failed", items=args, error=error, node=name)


def report_left(left: list[tuple[str, tuple[Any, ...], str]], waiting: int) -> None:
    """Say, as the interpreter exits, which calls still run: their nodes, arguments and threads.

    To stderr itself: at that moment loggers may have gone already.
    """
    for name, args, where in left:
        _say(f"rxchain: exit does not wait for node {name!r}, still busy in {where} with item {shown(args)}")
    if waiting:
        _say(f"rxchain: exit drops {waiting} more {'call that' if waiting == 1 else 'calls that'} had not begun")


def report_abandoned(name: str, args: tuple[Any, ...], where: str) -> None:
    """Say that the owner of a pool left it while a call was running."""
    must_see(f"node {name!r}: left running in {where} when its pool was abandoned", items=args, node=name)


def shown(args: tuple[Any, ...]) -> str:
    """A call's arguments in a few words: a node has one, the item."""
    return ", ".join(shorten(arg) for arg in args)


def _say(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # closed, or none at all, as under pythonw
        pass
