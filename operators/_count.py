"""count: how many items there were."""

from collections.abc import AsyncIterator, Callable, Iterator

from rxchain.engine import Stage, call, operator
from rxchain.types import T


@operator
def count(predicate: Callable[[T], object] | None = None) -> Stage[T, int]:
    """Emit how many items there were, or for how many *predicate* was true, when the source has completed.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.count(str.isdigit)).iterate("ab1c2d"))
    [2]

    :Emits:     one number, at the end.
    :Buffers:   nothing.
    :Fails:     with the source, or with *predicate*, sync or async.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    counted = 0

    async def step(item: T) -> AsyncIterator[int]:
        nonlocal counted
        if predicate is None or await call(predicate, item):  # type: ignore[arg-type]
            counted += 1
        if False:  # emits nothing yet
            yield counted

    def flush() -> Iterator[int]:
        yield counted

    return Stage(step, flush=flush)
