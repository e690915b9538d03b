"""What an item has done outside the chain, and how that is taken back when it does not come through.

An effect is registered before it is begun: who is cancelled in the middle may have done it. It is taken back in a task
of its own, which no cancellation of the item reaches, and which is awaited.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from rxchain.engine._failure import NOT_UNDONE, UNDONE, Fallen
from rxchain.engine._operator import StopStream, shorten
from rxchain.errors import CompositionError, Refused

Undo = Callable[[Any, Any], Awaitable[object]]
"""What takes an effect back, given the item that entered the node and the result, None where there was none yet."""


class Effect:
    """What one node has done, or is about to do, for one item."""

    __slots__ = ("item", "node", "result", "undo")

    def __init__(self, undo: Undo, node: str, item: Any) -> None:
        self.undo, self.node, self.item = undo, node, item
        self.result: Any = None


class Effects:
    """What one item has done, in that order."""

    __slots__ = ("standing",)

    def __init__(self) -> None:
        self.standing: list[Effect] = []

    def begin(self, undo: Undo, node: str, item: Any) -> Effect:
        """Register an effect, before it is begun."""
        effect = Effect(undo, node, item)
        self.standing.append(effect)
        return effect

    def settle(self) -> None:
        """The item has come through: what it has done stands."""
        self.standing.clear()


class Scoped(NamedTuple):
    """An item on its way into a part of a chain, whose effects are registered with what stands around the part."""

    item: Any
    effects: Effects
    since: int
    """How many there were before the part."""


class TakenBack(NamedTuple):
    """What became of the effects of an item that did not come through, by node, the last first."""

    undone: tuple[str, ...] = ()
    stands: tuple[str, ...] = ()
    """Those whose undo has failed."""


KEPT = 100
"""How many nodes are named on one error: the same object may be raised for any number of items."""

_current: ContextVar[Effects] = ContextVar("rxchain effects")


def effects() -> Effects:
    """Where an operator's step registers what it does for the item. In a program it is a variable.

    Raises:
        CompositionError: nobody has seen that it is called: not in a step, or in one whose source cannot be read.
    """
    try:
        return _current.get()
    except LookupError:
        raise CompositionError("effects() is for the step of an operator whose source can be read") from None


def enter_scope(scope: Effects) -> None:
    """Make *scope* what `effects` gives, for the interpreter."""
    _current.set(scope)


async def take_back(scope: Effects, error: BaseException, since: int = 0) -> None:
    """Undo what *scope* holds from number *since* on, the last first, and say on *error* what became of it."""
    done = scope.standing[since:]
    del scope.standing[since:]
    if done and isinstance(error, Refused) and error.node == done[-1].node and done[-1].result is None:
        done.pop()  # its function has not run; one that has come to a result is another of the same name
    if not done or isinstance(error, StopStream):  # the end of the stream is no failure
        return
    done.reverse()
    cancelled: asyncio.CancelledError | None = None
    undone: list[Effect] = []
    failures: list[tuple[str, BaseException]] = []
    task = asyncio.get_running_loop().create_task(_undo(done, undone, failures), name="undo")
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as again:
            cancelled = again
    stands = tuple(effect.node for effect in done if effect not in undone)
    _tell(error, TakenBack(tuple(effect.node for effect in undone), stands), failures)
    if stands and (cancelled is not None or not isinstance(error, Exception)):
        _tell_the_loop(stands, failures[0][1] if failures else None)  # who is cancelled has nobody else to tell it to
    if not task.cancelled():
        task.exception()  # an interrupt, which has gone its own way
    if cancelled is not None:
        raise cancelled


async def _undo(done: list[Effect], undone: list[Effect], failures: list[tuple[str, BaseException]]) -> None:
    for effect in done:
        try:
            await effect.undo(effect.item, effect.result)
        except (Exception, asyncio.CancelledError, StopStream) as failure:  # the others are undone all the same
            failures.append((effect.node, failure))
        else:
            undone.append(effect)


def _tell(error: BaseException, became: TakenBack, failures: list[tuple[str, BaseException]]) -> None:
    with suppress(Exception):  # a frozen exception takes nothing
        notes = [f"{UNDONE}{', '.join(map(repr, became.undone))}"] if became.undone else []
        notes += [
            f"{NOT_UNDONE}{node!r} failed, so what it did stands: {shorten(failure)}" for node, failure in failures
        ]
        for note in notes:
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        before = taken_back(error)
        together = TakenBack((before.undone + became.undone)[-KEPT:], (before.stands + became.stands)[-KEPT:])
        error.__rxchain_taken_back__ = together  # type: ignore[attr-defined]


def abandoned(error: BaseException) -> None:
    """Nobody will be told of an item that failed with *error*, but that what it did stands, if that is so."""
    if type(error) is Fallen:
        error = error.error
    stands = taken_back(error).stands
    if stands and isinstance(error, Exception):  # of others the loop has been told
        forget(error)
        _tell_the_loop(stands, error)


def _tell_the_loop(stands: tuple[str, ...], error: BaseException | None) -> None:
    shown = ", ".join(map(repr, stands))
    context: dict[str, Any] = {
        "message": f"an item was abandoned, and what it did in {shown} stands: its undo failed",
    }
    if error is not None:
        context["exception"] = error
    asyncio.get_running_loop().call_exception_handler(context)


def taken_back(error: BaseException) -> TakenBack:
    """What became of the effects of the item that failed with *error*."""
    found = getattr(error, "__rxchain_taken_back__", None)
    return found if isinstance(found, TakenBack) else TakenBack()


def forget(error: BaseException) -> None:
    """Somebody has been told: the same object may be raised for another item."""
    with suppress(Exception):
        del error.__rxchain_taken_back__  # type: ignore[attr-defined]
