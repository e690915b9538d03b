"""What a chain does about the failure of an item, made ready: who is told, and how."""

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from rxchain.engine import Colour, a_kind_of, aclose, close, colour, shorten, takes, upstream
from rxchain.errors import CompositionError
from rxchain.types import Failure

OnError: TypeAlias = Literal["stop", "skip"] | Callable[[Failure], object] | Callable[[Failure], Awaitable[object]]
"""What is done about an item that fails: the stream is stopped, the item skipped, or whoever is called is told of it.

An object that is called may have, besides: ``resumes = True``, what it returns goes on in the item's place; ``places =
True``, it is told where in its source an item stood; ``aclose()``, an async function that is called when a run ends;
``fresh()``, which gives the object that one run is to call.
"""


@dataclass(frozen=True, slots=True)
class Handler:
    """What is done about an item that fails."""

    tell: Callable[[Failure], Any] | None = None
    how: Literal["stop", "call", "await"] = "stop"
    resumes: bool = False
    """Whether what `tell` returns goes on in the item's place."""
    places: bool = False
    """Whether it is told where in its source an item stood."""
    aclose: Callable[[], Awaitable[object]] | None = None
    """Called when a run ends."""
    fresh: Callable[[], Any] | None = None
    """Makes the same for one run."""

    def afresh(self) -> "Handler":
        """What one run has: what it has counted is no other run's, and it may ask for more than it did before."""
        return self if self.fresh is None else handler_for(self.fresh())

    @property
    def suspends(self) -> bool:
        """Whether it needs an event loop."""
        return self.how == "await" or self.aclose is not None


STOP = Handler()


def handler_for(on_error: Any) -> Handler:
    """Make ready what ``on_error=`` was given.

    Raises:
        CompositionError: it is nothing that can be told of a failure.
    """
    if on_error is None or on_error == "stop":
        return STOP
    if on_error == "skip":
        return Handler(_skip, "call")
    if isinstance(on_error, (str, type)) or not (callable(on_error) and takes(on_error, 1)):
        given, meant = shorten(on_error, 30), "lambda failure: ..."
        if isinstance(on_error, type):
            given, meant = on_error.__name__, f"{on_error.__name__}(...)"
        elif isinstance(on_error, str) and "dead" in on_error:
            meant = 'DeadLetters("dead.jsonl")'
        raise CompositionError(
            f"on_error is 'stop', 'skip', or a function that is given a Failure,"
            f" got {a_kind_of(on_error)}: {shorten(on_error)}\n"
            f"    on_error={given}  # incorrect\n"
            f"    on_error={meant}  # correct"
        )
    return Handler(
        on_error,
        "await" if colour(on_error) is Colour.ASYNC else "call",
        bool(getattr(on_error, "resumes", False)),
        bool(getattr(on_error, "places", False)),
        getattr(on_error, "aclose", None),
        getattr(on_error, "fresh", None),
    )


def _skip(failure: Failure) -> None:
    """Say nothing of it."""


class Origin(NamedTuple):
    """An item of the source, its number there, and the source's name, if it has one."""

    item: Any
    position: int
    source: str | None


def numbered(source: Any) -> Any:
    """A source whose items come with their `Origin`; closing it closes *source*."""
    name = getattr(source, "name", None)  # of a file, say
    named = name if isinstance(name, str) else None
    pairs = _anumbered(source, named) if isinstance(source, AsyncIterable) else _numbered(source, named)
    return upstream(pairs, source)


def numbering() -> Callable[[Any], tuple[Origin, Any]]:
    """Makes an item that is pushed the pair that `numbered` would give. For one run, on any thread."""
    positions = itertools.count()
    return lambda item: (Origin(item, next(positions), None), item)


def _numbered(source: Iterable[Any], name: str | None) -> Iterator[tuple[Origin, Any]]:
    items = iter(source)
    try:
        for position, item in enumerate(items):
            yield Origin(item, position, name), item
    finally:
        close(items)


async def _anumbered(source: AsyncIterable[Any], name: str | None) -> AsyncIterator[tuple[Origin, Any]]:
    items = aiter(source)
    position = 0
    try:
        async for item in items:
            yield Origin(item, position, name), item
            position += 1
    finally:
        await aclose(items)
