"""first: one item, and an end."""

from collections.abc import AsyncIterator, Callable, Iterator

from rxchain.engine import Stage, StopStream, call, operator
from rxchain.operators._empty import nothing_to_emit
from rxchain.types import T


@operator
def first(predicate: Callable[[T], object] | None = None) -> Stage[T, T]:
    """Emit the first item, or the first for which *predicate* is true; then end the stream.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.first(str.isdigit)).iterate("ab1c2"))
    ['1']

    :Emits:     one item.
    :Buffers:   nothing.
    :Fails:     with the source, with *predicate*, sync or async, or with `EmptyStream` if there is no such item.
    :Completes: behind that item, without asking for another.
    :Disposes:  of the source, as soon as it completes.
    """
    found = False

    async def step(item: T) -> AsyncIterator[T]:
        nonlocal found
        if found:  # it failed further down, and the chain goes on with the others
            raise StopStream
        if predicate is None or await call(predicate, item):  # type: ignore[arg-type]
            found = True
            yield item
            raise StopStream

    def flush() -> Iterator[T]:
        if not found:
            raise nothing_to_emit("first", predicate, "ops.take(1), ops.default_if_empty(value)")
        yield from ()

    return Stage(step, flush=flush)
