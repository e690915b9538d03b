"""map: one item in, one item out."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Any, overload

from rxchain.engine import Operator, Step, call, concurrent, operator
from rxchain.types import T, U


@overload
def map(
    mapper: Callable[[T], Awaitable[U] | U],
    *,
    concurrency: int = 1,
    ordered: bool | None = None,
    by: Callable[[T], Hashable] | None = None,
) -> Operator[T, U]: ...
@overload
def map(
    mapper: Callable[[T], Awaitable[U]],
    *,
    concurrency: int = 1,
    ordered: bool | None = None,
    by: Callable[[T], Hashable] | None = None,
) -> Operator[T, U]: ...
@concurrent
@operator
def map(mapper: Callable[[Any], Any]) -> Step[Any, Any]:
    """Put *mapper*'s result in the place of each item.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.map(str.upper)).iterate(["a", "b"]))
    ['A', 'B']

    Args:
        mapper: a function of one item, plain or async.
        concurrency: how many items an async *mapper* may work on at once; 1 if not given.
        ordered: whether results go on in the order of their items, so that a slow one holds back those behind it; if
            not given, yes, but for *by*.
        by: a function that gives an item's key, hashable: items of one key are worked on one at a time and in their
            order, those of different keys side by side.

    :Emits:     what *mapper* returns for each item, awaited if it is an async function; in source order, or as
                *ordered* and *by* say.
    :Buffers:   nothing but the items in flight, which the chain's window bounds.
    :Fails:     with the source, or with *mapper*.
    :Completes: with the source.
    :Disposes:  of the items in flight, cancelled and awaited, and of the source.
    """

    async def step(item: Any) -> AsyncIterator[Any]:
        yield await call(mapper, item)

    return step
