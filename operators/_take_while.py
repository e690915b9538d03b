"""take_while: the items up to the first that a predicate refuses."""

from collections.abc import AsyncIterator, Callable

from rxchain.engine import Step, StopStream, call, operator
from rxchain.types import T


@operator
def take_while(predicate: Callable[[T], object], inclusive: bool = False) -> Step[T, T]:
    """Let items through as long as *predicate* is true; end the stream at the first for which it is not.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.take_while(bool)).iterate([1, 2, 0, 3]))
    [1, 2]
    >>> list(Chain(ops.take_while(bool, inclusive=True)).iterate([1, 2, 0, 3]))
    [1, 2, 0]

    :Emits:     the items before the first that *predicate* refuses, and that one too if *inclusive*; in source order.
    :Buffers:   nothing.
    :Fails:     with the source, or with *predicate*.
    :Completes: with the source, or at the first item that *predicate* refuses.
    :Disposes:  of the source, as soon as it completes.
    """
    last = False

    async def step(item: T) -> AsyncIterator[T]:
        nonlocal last
        if inclusive:
            if last:  # the last one failed further down, and the chain goes on with the others
                raise StopStream
            last = not await call(predicate, item)
            yield item
            if last:
                raise StopStream
        else:
            if not await call(predicate, item):
                raise StopStream
            yield item

    return step
