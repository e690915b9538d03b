"""skip: without the first so many items."""

from collections.abc import Iterator

from rxchain.engine import Step, operator
from rxchain.operators._counts import is_count, wrong_count
from rxchain.types import T


@operator
def skip(count: int) -> Step[T, T]:
    """Drop the first *count* items, let the others through.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.skip(2)).iterate("abcd"))
    ['c', 'd']

    :Emits:     the items behind the first *count*, in source order.
    :Buffers:   nothing.
    :Fails:     with the source.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    if not is_count(count, at_least=0):
        raise wrong_count("skip", "count", count, at_least=0)
    left = count

    def step(item: T) -> Iterator[T]:
        nonlocal left
        if left:
            left -= 1
        else:
            yield item

    return step
