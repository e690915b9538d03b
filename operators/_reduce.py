"""reduce: one result of all items."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, overload

from rxchain.engine import Operator, Stage, call, operator
from rxchain.errors import EmptyStream
from rxchain.operators._unset import Unset
from rxchain.types import T, U

_NOTHING_TO_EMIT = (
    "reduce: the stream ended without an item, and there is no seed to emit instead\n"
    "    ops.reduce(accumulator)  # incorrect, if the stream may be empty\n"
    "    ops.reduce(accumulator, seed)  # correct"
)


@overload
def reduce(accumulator: Callable[[U, T], Awaitable[U] | U], seed: U) -> Operator[T, U]: ...
@overload
def reduce(accumulator: Callable[[U, T], Awaitable[U]], seed: U) -> Operator[T, U]: ...
@overload
def reduce(accumulator: Callable[[T, T], Awaitable[T] | T]) -> Operator[T, T]: ...
@overload
def reduce(accumulator: Callable[[T, T], Awaitable[T]]) -> Operator[T, T]: ...
@operator
def reduce(accumulator: Callable[[Any, Any], Any], seed: Any = Unset.UNSET) -> Stage[Any, Any]:
    """Accumulate the items, and emit the result when the source has completed.

    *seed* is the same object in every run: *accumulator* returns a new one instead of changing it.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.reduce(max)).iterate([1, 3, 2]))
    [3]

    :Emits:     one item: *accumulator*'s result over all items, *seed* (without one, the first item) before the first;
                *seed* itself if there are no items.
    :Buffers:   the last result.
    :Fails:     with the source, with *accumulator*, or, without a seed, with `EmptyStream` if there are no items.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    result = seed

    async def step(item: Any) -> AsyncIterator[Any]:
        nonlocal result
        if seed is Unset.UNSET and result is Unset.UNSET:
            result = item
        else:
            result = await call(accumulator, result, item)
        if False:  # emits nothing yet
            yield

    def flush() -> Iterator[Any]:
        if seed is Unset.UNSET and result is Unset.UNSET:
            raise EmptyStream(_NOTHING_TO_EMIT)
        yield result

    return Stage(step, flush=flush)
