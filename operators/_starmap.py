"""starmap: map, for items that are tuples of arguments."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVarTuple, overload

from rxchain.engine import Operator, Step, call, operator
from rxchain.types import U

Ts = TypeVarTuple("Ts")


@overload
def starmap(mapper: Callable[[*Ts], Awaitable[U] | U]) -> Operator[tuple[*Ts], U]: ...
@overload
def starmap(mapper: Callable[[*Ts], Awaitable[U]]) -> Operator[tuple[*Ts], U]: ...
@operator
def starmap(mapper: Callable[..., Any]) -> Step[Any, Any]:
    """Call *mapper* with each item's elements as its arguments.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.starmap(pow)).iterate([(2, 3), (3, 2)]))
    [8, 9]

    :Emits:     what *mapper* returns for each item, awaited if it is an async function; in source order.
    :Buffers:   nothing.
    :Fails:     with the source, with *mapper*, or when an item has not as many elements as *mapper* takes.
    :Completes: with the source.
    :Disposes:  of the source only.
    """

    async def step(item: Any) -> AsyncIterator[Any]:
        yield await call(mapper, *item)

    return step
