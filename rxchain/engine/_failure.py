"""Saying where an error came from: the note that a user's exception gains."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from rxchain.engine._operator import shorten

UNDONE = "undone: "
NOT_UNDONE = "the undo of "
"""How the notes begin that say what became of an item's effects: they come behind those that say where it failed."""


class SharedHop(NamedTuple):
    """Nodes that share one step."""

    names: tuple[str, ...]
    failed_at: Callable[[BaseException], tuple[int, Any] | None]
    """Which of them an error comes from, and what had entered it."""
    hops: bool = True
    """Whether items hop elsewhere for them; otherwise they are a graph, and what entered that is all that is told."""

    def failed_in(self, label: "Label", step: int, error: BaseException, value: Any) -> tuple[str, Any]:
        """The name of the one that failed, and what had entered it."""
        found = self.failed_at(error)
        if found is None:
            return label.nodes[step], value
        name = self.names[found[0]]
        return (name, found[1]) if self.hops else (f"{label.nodes[step]}/{name}", value)

    def has(self, name: str) -> bool:
        """Whether one of them is called so."""
        return name in self.names


class InnerChains(NamedTuple):
    """Chains that one step runs for each item: what they are called, and their steps."""

    labels: "tuple[Label, ...]"

    def failed_in(self, label: "Label", step: int, error: BaseException, value: Any) -> tuple[str, Any]:
        """The name of the node that failed in one of them; *value* is what had entered the step."""
        name = label.nodes[step]
        where = getattr(error, "__rxchain_failed_in__", None)
        if type(where) is tuple:
            if where[:2] == (id(label), step):
                return where[2], value  # it has been noted already
            if where[0] in map(id, self.labels):
                return f"{name}/{where[2]}", value
        return name, value

    def runs(self, label: "Label") -> bool:
        """Whether it is one of them that *label* is of."""
        return any(label is mine for mine in self.labels)

    def has(self, name: str) -> bool:
        """Whether a node in one of them is called so."""
        return any(label.has(name) for label in self.labels)


class Label(NamedTuple):
    """What the errors of a chain's parts are called: the chain's name, each step's name."""

    chain: str | None
    nodes: tuple[str, ...]
    shared: Mapping[int, SharedHop | InnerChains] = {}
    """Steps that are several nodes: they run elsewhere, one right after the other; or in a graph, or in a part."""

    def whose(self, step: int, error: BaseException, value: Any) -> tuple[str, Any]:
        """The name of the node that failed in a step, and what had entered it, if that is *value* as far as is seen."""
        inside = self.shared.get(step)
        return (self.nodes[step], value) if inside is None else inside.failed_in(self, step, error, value)

    def has(self, name: str) -> bool:
        """Whether a node, of a part too, is called so."""
        return name in self.nodes or any(
            name.startswith(f"{self.nodes[step]}/") and inside.has(name[len(self.nodes[step]) + 1 :])
            for step, inside in self.shared.items()
        )

    def node(self, step: int, name: str) -> str:
        """Where a step stands, in words."""
        where = f"node {name!r}"
        if self.nodes.count(self.nodes[step]) > 1:
            where += f" (step {step + 1} of {len(self.nodes)})"
        return f"{where} of chain {self.chain!r}" if self.chain else where


class Fallen(Exception):
    """An item that failed in one program of a chain, on its way through the next, where it will be told of."""

    def __init__(self, error: Exception, step: int, item: object, value: object) -> None:
        super().__init__(error)
        self.error, self.step, self.value = error, step, value


class ItemFailed(NamedTuple):
    """What an operator over the whole stream yields instead of raising an item's error: the others may go on."""

    error: Exception
    item: object


def note(error: BaseException, label: Label, step: int, value: object, has_value: bool = True) -> None:
    """Add to *error* which step failed, and with what."""
    if step < 0:
        text = f"in the source of chain {label.chain!r}" if label.chain else "in the source of the chain"
    else:
        name, value = label.whose(step, error, value)
        with suppress(Exception):  # a frozen exception takes nothing
            error.__rxchain_failed_in__ = (id(label), step, name)  # type: ignore[attr-defined]
        text = f"in {label.node(step, name)}"
        if has_value:
            text += f", with item {shorten(value)}"
            if inspect.iscoroutine(value):
                text += (
                    f"\nthe item is a coroutine that nobody awaited: declare the function that returned it"
                    f" `async def` instead of calling {value.__qualname__!r} in a plain function"
                )
    notes = getattr(error, "__notes__", ())
    if text in notes:
        return
    at = len(notes)
    while at and notes[at - 1].startswith((UNDONE, NOT_UNDONE)):
        at -= 1
    with suppress(Exception):  # a frozen exception takes no notes; it must arrive all the same
        error.add_note(text)
        error.__notes__.insert(at, error.__notes__.pop())


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
    vars(made).update(vars(error))  # its notes, and what became of its item's effects
    return made


def value_at(error: BaseException, variable: str) -> tuple[Any, bool]:
    """The variable's value in the program's frame, where *error* was caught; and whether there is one."""
    traceback = error.__traceback__
    if traceback is None or not variable:
        return None, False
    found = traceback.tb_frame.f_locals
    return found.get(variable), variable in found
