"""filter: only the items that a predicate accepts."""

from collections.abc import AsyncIterator, Callable

from rxchain.engine import Step, call, operator
from rxchain.types import T


@operator
def filter(predicate: Callable[[T], object]) -> Step[T, T]:
    """Let through the items for which *predicate* is true.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.filter(str.isdigit)).iterate(["1", "x", "2"]))
    ['1', '2']

    :Emits:     the items that *predicate*, sync or async, is true for; in source order.
    :Buffers:   nothing.
    :Fails:     with the source, or with *predicate*.
    :Completes: with the source.
    :Disposes:  of the source only.
    """

    async def step(item: T) -> AsyncIterator[T]:
        if await call(predicate, item):
            yield item

    return step
