"""start_with: some values before the first item."""

from collections.abc import Iterator

from rxchain.engine import Stage, operator
from rxchain.types import T


@operator
def start_with(*values: T) -> Stage[T, T]:
    """Emit *values*, then the items.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.start_with("x", "y")).iterate("ab"))
    ['x', 'y', 'a', 'b']

    :Emits:     *values* before the source is opened, then each item; in order.
    :Buffers:   nothing.
    :Fails:     with the source.
    :Completes: with the source.
    :Disposes:  of the source only.
    """

    def start() -> Iterator[T]:
        yield from values

    def step(item: T) -> Iterator[T]:
        yield item

    return Stage(step, start=start)
