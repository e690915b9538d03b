"""take: the first so many items, and an end."""

from collections.abc import Iterator

from rxchain.engine import Stage, StopStream, operator
from rxchain.operators._counts import is_count, wrong_count
from rxchain.types import T


@operator
def take(count: int) -> Stage[T, T]:
    """Let through the first *count* items, then end the stream.

    >>> from itertools import count
    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.take(3)).iterate(count()))
    [0, 1, 2]

    :Emits:     the first *count* items, in source order.
    :Buffers:   nothing.
    :Fails:     with the source.
    :Completes: with the source, or behind the last of *count* items, without asking for another; ``take(0)`` before
                the source is opened.
    :Disposes:  of the source, as soon as it completes.
    """
    if not is_count(count, at_least=0):
        raise wrong_count("take", "count", count, at_least=0)
    left = count

    def start() -> Iterator[T]:
        if left <= 0:
            raise StopStream
        yield from ()

    def step(item: T) -> Iterator[T]:
        nonlocal left
        left -= 1
        if left >= 0:  # not so when the last one failed further down, and the chain goes on with the others
            yield item
        if left <= 0:
            raise StopStream

    return Stage(step, start=start)
