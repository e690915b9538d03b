"""tap: look at the items without changing them."""

from collections.abc import AsyncIterator, Callable

from rxchain.engine import Step, call, operator
from rxchain.types import T


@operator
def tap(action: Callable[[T], object]) -> Step[T, T]:
    """Call *action* with each item, then pass the item on. reactivex calls it ``do_action``.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.tap(print)).iterate("ab"))
    a
    b
    ['a', 'b']

    :Emits:     each item as it is, in source order, when *action*, sync or async, is done with it.
    :Buffers:   nothing.
    :Fails:     with the source, or with *action*.
    :Completes: with the source.
    :Disposes:  of the source only.
    """

    async def step(item: T) -> AsyncIterator[T]:
        await call(action, item)
        yield item

    return step
