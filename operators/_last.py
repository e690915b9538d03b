"""last: the item behind which none came."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from rxchain.engine import Stage, call, operator
from rxchain.operators._empty import nothing_to_emit
from rxchain.operators._unset import Unset
from rxchain.types import T


@operator
def last(predicate: Callable[[T], object] | None = None) -> Stage[T, T]:
    """Emit the last item, or the last for which *predicate* is true, when the source has completed.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.last(str.isdigit)).iterate("ab1c2d"))
    ['2']

    :Emits:     one item, at the end.
    :Buffers:   one item.
    :Fails:     with the source, with *predicate*, sync or async, or with `EmptyStream` if there is no such item.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    latest: Any = Unset.UNSET

    async def step(item: T) -> AsyncIterator[T]:
        nonlocal latest
        if predicate is None or await call(predicate, item):  # type: ignore[arg-type]
            latest = item
        if False:  # emits nothing yet
            yield item

    def flush() -> Iterator[T]:
        if latest is Unset.UNSET:
            raise nothing_to_emit("last", predicate, "ops.default_if_empty(value), ops.last()")
        yield latest

    return Stage(step, flush=flush)
