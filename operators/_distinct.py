"""distinct: each item once.

reactivex compares an item with all before it, so that the price grows with the stream; here a key is looked up, and so
must be hashable.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from rxchain.engine import Step, call, operator
from rxchain.operators._counts import is_count, wrong_count
from rxchain.types import T


@operator
def distinct(key: Callable[[T], object] | None = None, memory: int | None = None) -> Step[T, T]:
    """Drop items that have been seen before.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.distinct()).iterate([1, 2, 1, 3]))
    [1, 2, 3]
    >>> list(Chain(ops.distinct(key=str.lower, memory=1)).iterate("aAba"))
    ['a', 'b', 'a']

    Args:
        key: what tells items apart, sync or async; hashable. Without it, the item itself.
        memory: how many different keys are remembered, those seen last; without it, all of them: for streams that end.

    :Emits:     each item whose key is not among those remembered, in source order.
    :Buffers:   no items; *memory* keys, without it every key there was.
    :Fails:     with the source, with *key*, or when a key is not hashable.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    if memory is not None and not is_count(memory, at_least=1):
        raise wrong_count("distinct", "memory", memory, at_least=1)
    seen: OrderedDict[object, None] = OrderedDict()

    async def step(item: T) -> AsyncIterator[T]:
        mark = item if key is None else await call(key, item)
        if mark not in seen:
            seen[mark] = None
            if memory is not None and len(seen) > memory:
                seen.popitem(last=False)
            yield item
        elif memory is not None:
            seen.move_to_end(mark)

    return step
