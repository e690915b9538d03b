"""Words that all layers share."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)

Step: TypeAlias = Callable[[T], Iterator[U]] | Callable[[T], AsyncIterator[U]]
"""What follows from one item: a generator, sync or async."""

AnyIterable: TypeAlias = Iterable[T] | AsyncIterable[T]
"""Anything a chain takes its items from."""

OverflowPolicy: TypeAlias = Literal["error", "block", "drop_oldest", "drop_newest", "latest"]
"""What is done when a source that cannot be asked to wait has delivered more than may be held."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stood: the source's name, if it has one, and the item's number there, from 0."""

    source: str | None
    position: int | None
    key: Any = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that failed: what an ``on_error`` handler is given.

    ``item`` is the source's item (``None`` when the failure came while the stream was being flushed at its end),
    ``value`` what entered the failing node, ``chain`` and ``node`` their names: ``retry/charge`` is a node in a part,
    and ``value`` what entered the part. ``place`` is known where the handler asks for it. ``undone`` names the nodes
    whose effects were undone, ``stands`` those whose undo has failed.
    """

    error: Exception
    chain: str
    node: str
    item: Any
    value: Any
    attempts: int = 1
    place: Place | None = None
    undone: tuple[str, ...] = ()
    stands: tuple[str, ...] = ()
