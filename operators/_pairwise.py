"""pairwise: each item with the one before it."""

from collections.abc import Iterator
from typing import Any

from rxchain.engine import Step, operator
from rxchain.operators._unset import Unset
from rxchain.types import T


@operator
def pairwise() -> Step[T, tuple[T, T]]:
    """Emit each item together with the one before it.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.pairwise()).iterate("abc"))
    [('a', 'b'), ('b', 'c')]

    :Emits:     ``(before, item)`` for each item but the first, in source order.
    :Buffers:   one item.
    :Fails:     with the source.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    previous: Any = Unset.UNSET

    def step(item: T) -> Iterator[tuple[T, T]]:
        nonlocal previous
        before, previous = previous, item
        if before is not Unset.UNSET:
            yield before, item

    return step
