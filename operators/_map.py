"""map: one item in, one item out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, overload

from rxchain.engine import Operator, Step, call, operator
from rxchain.types import T, U


@overload
def map(mapper: Callable[[T], Awaitable[U] | U]) -> Operator[T, U]: ...
@overload
def map(mapper: Callable[[T], Awaitable[U]]) -> Operator[T, U]: ...
@operator
def map(mapper: Callable[[Any], Any]) -> Step[Any, Any]:
    """Put *mapper*'s result in the place of each item.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.map(str.upper)).iterate(["a", "b"]))
    ['A', 'B']

    :Emits:     what *mapper* returns for each item, awaited if it is an async function; in source order.
    :Buffers:   nothing.
    :Fails:     with the source, or with *mapper*.
    :Completes: with the source.
    :Disposes:  of the source only.
    """

    async def step(item: Any) -> AsyncIterator[Any]:
        yield await call(mapper, item)

    return step
