"""unbatch: the elements of lists, one by one."""

from collections.abc import Iterable, Iterator

from rxchain.engine import Step, operator
from rxchain.types import T


@operator
def unbatch() -> Step[Iterable[T], T]:
    """Emit each item's elements one by one; the reverse of `batch`.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.unbatch()).iterate([["a", "b"], [], ["c"]]))
    ['a', 'b', 'c']

    :Emits:     the elements of each item, an iterable, in source order.
    :Buffers:   nothing.
    :Fails:     with the source, or when an item is not iterable or fails while it is iterated over.
    :Completes: with the source.
    :Disposes:  of the source only.
    """

    def step(item: Iterable[T]) -> Iterator[T]:
        yield from item

    return step
