"""Saying where an error came from: the note that a user's exception gains."""

import inspect
from contextlib import suppress
from typing import Any, NamedTuple

from rxchain.engine._operator import shorten


class Label(NamedTuple):
    """What the errors of a chain's parts are called: the chain's name, each step's name."""

    chain: str | None
    nodes: tuple[str, ...]

    def node(self, step: int) -> str:
        """Where a step stands, in words."""
        where = f"node {self.nodes[step]!r}"
        if self.nodes.count(self.nodes[step]) > 1:
            where += f" (step {step + 1} of {len(self.nodes)})"
        return f"{where} of chain {self.chain!r}" if self.chain else where


class ItemFailed(NamedTuple):
    """What an operator over the whole stream yields instead of raising an item's error: the others may go on."""

    error: Exception
    item: object


def note(error: BaseException, label: Label, step: int, value: object, has_value: bool = True) -> None:
    """Add to *error* which step failed, and with what."""
    if step < 0:
        text = f"in the source of chain {label.chain!r}" if label.chain else "in the source of the chain"
    else:
        text = f"in {label.node(step)}"
        if has_value:
            text += f", with item {shorten(value)}"
            if inspect.iscoroutine(value):
                text += (
                    f"\nthe item is a coroutine that nobody awaited: declare the function that returned it"
                    f" `async def` instead of calling {value.__qualname__!r} in a plain function"
                )
    if text not in getattr(error, "__notes__", ()):
        with suppress(Exception):  # a frozen exception takes no notes; it must arrive all the same
            error.add_note(text)


def noted(error: BaseException) -> bool:
    """Whether a part of a chain has said already where *error* came from."""
    return any(text.startswith(("in node ", "in the source of ")) for text in getattr(error, "__notes__", ()))


def raisable(error: Exception) -> Exception:
    """*error* itself; or, where it would end a loop further out in silence, an error that says so."""
    stop = error.__cause__ if isinstance(error, RuntimeError) else error  # a generator has made that of it already
    if not isinstance(stop, (StopIteration, StopAsyncIteration)):
        return error
    made = RuntimeError(f"{type(stop).__name__} was raised and not caught, as by next() on something that is empty")
    made.__cause__ = stop
    return made


def value_at(error: BaseException, variable: str) -> tuple[Any, bool]:
    """The variable's value in the program's frame, where *error* was caught; and whether there is one."""
    traceback = error.__traceback__
    if traceback is None or not variable:
        return None, False
    found = traceback.tb_frame.f_locals
    return found.get(variable), variable in found
