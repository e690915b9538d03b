"""batch: items in lists of so many."""

from collections.abc import Iterator

from rxchain.engine import Stage, operator
from rxchain.operators._counts import is_count, wrong_count
from rxchain.types import T


@operator
def batch(count: int) -> Stage[T, list[T]]:
    """Collect the items in lists of *count*. reactivex calls it ``buffer_with_count``.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.batch(2)).iterate("abc"))
    [['a', 'b'], ['c']]

    :Emits:     lists of *count* items, each a new one, in source order; at the end those that are left, if any.
    :Buffers:   up to *count* items; a list leaves as soon as it is full.
    :Fails:     with the source; the items of the list that is not full yet are dropped then.
    :Completes: with the source, behind the last list.
    :Disposes:  of the source only.
    """
    if not is_count(count, at_least=1):
        raise wrong_count("batch", "count", count, at_least=1)
    collected: list[T] = []

    def step(item: T) -> Iterator[list[T]]:
        nonlocal collected
        collected.append(item)
        if len(collected) >= count:
            full, collected = collected, []
            yield full

    def flush() -> Iterator[list[T]]:
        if collected:
            yield collected

    return Stage(step, flush=flush)
