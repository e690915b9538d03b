"""skip_while: the items from the first that a predicate refuses."""

from collections.abc import AsyncIterator, Callable

from rxchain.engine import Step, call, operator
from rxchain.types import T


@operator
def skip_while(predicate: Callable[[T], object]) -> Step[T, T]:
    """Drop items as long as *predicate* is true; let through the first for which it is not, and all behind it.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.skip_while(str.isspace)).iterate(" \\n a "))
    ['a', ' ']

    :Emits:     the items from the first that *predicate* refuses, in source order; later ones are not asked about.
    :Buffers:   nothing.
    :Fails:     with the source, or with *predicate*.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    skipping = True

    async def step(item: T) -> AsyncIterator[T]:
        nonlocal skipping
        if skipping and not await call(predicate, item):
            skipping = False
        if not skipping:
            yield item

    return step
