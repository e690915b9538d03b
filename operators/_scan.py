"""scan: a running result."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, overload

from rxchain.engine import Operator, Step, call, operator
from rxchain.operators._unset import Unset
from rxchain.types import T, U


@overload
def scan(accumulator: Callable[[U, T], Awaitable[U] | U], seed: U) -> Operator[T, U]: ...
@overload
def scan(accumulator: Callable[[U, T], Awaitable[U]], seed: U) -> Operator[T, U]: ...
@overload
def scan(accumulator: Callable[[T, T], Awaitable[T] | T]) -> Operator[T, T]: ...
@overload
def scan(accumulator: Callable[[T, T], Awaitable[T]]) -> Operator[T, T]: ...
@operator
def scan(accumulator: Callable[[Any, Any], Any], seed: Any = Unset.UNSET) -> Step[Any, Any]:
    """Accumulate the items, and emit each result on the way.

    *seed* is the same object in every run: *accumulator* returns a new one instead of changing it.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.scan(max)).iterate([1, 3, 2]))
    [1, 3, 3]

    :Emits:     *accumulator*'s result of the last result (at first *seed*) and the item, for each item in source order;
                without a seed the first item as it is.
    :Buffers:   the last result.
    :Fails:     with the source, or with *accumulator*; the last result then stands.
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
        yield result

    return step
