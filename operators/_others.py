"""The other streams that an operator is given besides its own: what may be one, and how it is taken from."""

from collections.abc import AsyncIterable, Iterable
from typing import TypeAlias

from rxchain.engine import Operator, a_kind_of, shorten
from rxchain.engine._parts import AsyncObservableLike, ObservableLike
from rxchain.errors import CompositionError
from rxchain.types import T

Other: TypeAlias = Iterable[T] | AsyncIterable[T] | ObservableLike[T] | AsyncObservableLike[T]
"""What the operators of several streams take."""


def is_stream(value: object) -> bool:
    """Whether items can be taken from *value*: an iterable, an async iterable, an Observable."""
    if isinstance(value, (type, Operator)):
        return False
    return any(hasattr(value, name) for name in ("__aiter__", "__iter__", "subscribe", "subscribe_async"))


def wrong_stream(name: str, others: tuple[object, ...]) -> CompositionError:
    """The error of operator *name*, given one among *others* that is no stream."""
    found = next(other for other in others if not is_stream(other))
    given = shorten(found, 30)
    if isinstance(found, Operator):
        correct = f"ops.{name}(chain.stream(source))  # correct: a chain is no stream before it has a source"
    elif callable(found):
        correct = f"ops.{name}({getattr(found, '__name__', 'function')}())  # correct, if what it returns is one"
    else:
        correct = f"ops.{name}([{given}])  # correct"
    return CompositionError(
        f"{name}: it takes iterables, async iterables and Observables, got {a_kind_of(found)}: {given}\n"
        f"    ops.{name}({given})  # incorrect\n"
        f"    {correct}"
    )
