"""flat_map: many items of one, those of several items side by side.

Parts that come one by one anyway, from plain functions, are taken in turn: nothing could be gained. For async functions
it is `concat_map` with a gate that lets several in.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, overload

from rxchain.engine import Colour, Gate, Operator, Parts, Step, call, colour, gated, operator, parts
from rxchain.operators._counts import is_count, wrong_count
from rxchain.types import T, U

SIDE_BY_SIDE = 16
"""How many items' parts are taken side by side where nothing else is said."""


@overload
def flat_map(
    mapper: Callable[[T], Coroutine[Any, Any, Parts[U]]], concurrency: int | None = None
) -> Operator[T, U]: ...
@overload
def flat_map(mapper: Callable[[T], Parts[U]], concurrency: int | None = None) -> Operator[T, U]: ...
def flat_map(mapper: Callable[[Any], Any], concurrency: int | None = None) -> Operator[Any, Any]:
    """Take apart what *mapper* returns for each item; parts of different items may interleave.

    *mapper* is what it is in `concat_map`. If it is an async function or an async generator function, or if
    *concurrency* is given, items are worked on side by side, each in an asyncio task of its own; otherwise one after
    the other.

    >>> import asyncio
    >>> from rxchain import Chain, operators as ops
    >>> async def countdown(start):
    ...     for number in range(start, 0, -1):
    ...         await asyncio.sleep(0)
    ...         yield number
    >>> sorted(Chain(ops.flat_map(countdown)).iterate([3, 2]))
    [1, 1, 2, 2, 3]

    Args:
        concurrency: how many items may be worked on side by side, 1 or more; 16 if not given.

    :Emits:     the parts of each item, in their order; those of different items as they come.
    :Buffers:   one part an item, of up to *concurrency* items; and what `concat_map` says of Observables.
    :Fails:     with the source, with *mapper* or with what it returned; the other items are cancelled first.
    :Completes: when the source has and all items' parts are out.
    :Disposes:  of all tasks, cancelled and awaited, of the items' parts that are being taken, and of the source.
    """
    made = _flat_map(mapper)
    if concurrency is None:
        if colour(mapper) in (Colour.SYNC, Colour.GENERATOR):
            return made
        concurrency = SIDE_BY_SIDE
    if not is_count(concurrency, at_least=1):
        raise wrong_count("flat_map", "concurrency", concurrency, at_least=1)
    return gated(made, Gate(concurrency, ordered=False))


@operator
def _flat_map(mapper: Callable[[Any], Any]) -> Step[Any, Any]:
    async def step(item: Any) -> AsyncIterator[Any]:
        async for part in parts(await call(mapper, item)):
            yield part

    return step


# Not called yet, it is an operator all the same: a chain says so, where it would otherwise call it as a function.
flat_map.__rxchain_definition__ = _flat_map.__rxchain_definition__  # type: ignore[attr-defined]
