"""default_if_empty: a value for a stream that has none."""

from collections.abc import Iterator
from typing import Any, overload

from rxchain.engine import Operator, Stage, operator
from rxchain.types import T, U


@overload
def default_if_empty() -> Operator[T, T | None]: ...
@overload
def default_if_empty(default_value: U) -> Operator[T, T | U]: ...
@operator
def default_if_empty(default_value: Any = None) -> Stage[Any, Any]:
    """Let the items through; emit *default_value* if there are none.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.default_if_empty("nothing")).iterate([]))
    ['nothing']

    :Emits:     each item, in source order; *default_value* at the end of a stream without items.
    :Buffers:   nothing.
    :Fails:     with the source.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    empty = True

    def step(item: Any) -> Iterator[Any]:
        nonlocal empty
        empty = False
        yield item

    def flush() -> Iterator[Any]:
        if empty:
            yield default_value

    return Stage(step, flush=flush)
