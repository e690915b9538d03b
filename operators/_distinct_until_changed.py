"""distinct_until_changed: no item twice in a row."""

from collections.abc import AsyncIterator, Callable

from rxchain.engine import Step, call, operator
from rxchain.operators._unset import Unset
from rxchain.types import T


@operator
def distinct_until_changed(key: Callable[[T], object] | None = None) -> Step[T, T]:
    """Drop items that equal the one before.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.distinct_until_changed()).iterate([1, 1, 2, 1]))
    [1, 2, 1]

    Args:
        key: what is compared, sync or async. Without it, the item itself.

    :Emits:     the first item, and each whose key differs from that of the item before; in source order.
    :Buffers:   no items; one key.
    :Fails:     with the source, with *key*, or when comparing fails.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    previous: object = Unset.UNSET

    async def step(item: T) -> AsyncIterator[T]:
        nonlocal previous
        mark = item if key is None else await call(key, item)
        if previous is Unset.UNSET or previous != mark:
            previous = mark
            yield item

    return step
