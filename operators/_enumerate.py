"""enumerate: each item with its number."""

from collections.abc import Iterator

from rxchain.engine import Step, operator
from rxchain.types import T


@operator
def enumerate(start: int = 0) -> Step[T, tuple[int, T]]:
    """Number the items.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.enumerate(start=1)).iterate("ab"))
    [(1, 'a'), (2, 'b')]

    :Emits:     ``(number, item)`` for each item, in source order; the first number is *start*.
    :Buffers:   nothing.
    :Fails:     with the source.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    number = start - 1

    def step(item: T) -> Iterator[tuple[int, T]]:
        nonlocal number
        number += 1
        yield number, item

    return step
