"""concat: one stream behind the other."""

from collections.abc import AsyncIterator, Iterator

from rxchain.engine import Stage, operator, parts
from rxchain.operators._others import Other, is_stream, wrong_stream
from rxchain.types import T


@operator
def concat(*others: Other[T]) -> Stage[T, T]:
    """Emit the items; at the end those of *others*, one after the other.

    Each of *others* is an iterable, an async iterable or an Observable of reactivex or aioreactive; taken from anew in
    each run.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.concat("xy", "z")).iterate("ab"))
    ['a', 'b', 'x', 'y', 'z']

    :Emits:     each item, then all of each of *others*; each is opened when its turn has come.
    :Buffers:   nothing; of a reactivex Observable, which cannot be asked to wait, up to 65536 items, then `Overflow`.
    :Fails:     with the source, or with one of *others*, behind the items before.
    :Completes: when the last of *others* has.
    :Disposes:  of the source or of that one of *others* which is being taken.
    """
    if not all(map(is_stream, others)):
        raise wrong_stream("concat", others)

    def step(item: T) -> Iterator[T]:
        yield item

    async def flush() -> AsyncIterator[T]:
        for other in others:
            async for item in parts(other):
                yield item

    return Stage(step, flush=flush)
