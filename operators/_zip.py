"""zip: the first items of several streams together, then the second ones, and so on."""

import builtins
from collections.abc import AsyncIterator
from typing import Any, TypeVar, overload

from rxchain.engine import Operator, Step, operator, parts
from rxchain.operators._feed import Feed, Feeds
from rxchain.operators._others import Other, is_stream, wrong_stream
from rxchain.operators._unset import Unset
from rxchain.types import T

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


@overload
def zip(*, strict: bool = False) -> Operator[T, tuple[T]]: ...
@overload
def zip(first: Other[A], /, *, strict: bool = False) -> Operator[T, tuple[T, A]]: ...
@overload
def zip(first: Other[A], second: Other[B], /, *, strict: bool = False) -> Operator[T, tuple[T, A, B]]: ...
@overload
def zip(
    first: Other[A], second: Other[B], third: Other[C], /, *, strict: bool = False
) -> Operator[T, tuple[T, A, B, C]]: ...
@overload
def zip(*others: Other[Any], strict: bool = False) -> Operator[Any, tuple[Any, ...]]: ...
@operator
def zip(*others: Any, strict: bool = False) -> Step[Any, Any]:
    """Emit tuples: an item of the source, and one of each of *others*.

    Each of *others* is an iterable, an async iterable or an Observable of reactivex or aioreactive; taken from anew in
    each run.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.zip([1, 2, 3])).iterate("ab"))
    [('a', 1), ('b', 2)]

    Args:
        strict: whether it is an error when one ends before the others, as in Python's own `zip`.

    :Emits:     a tuple when each has given its item; all are asked at the same time, when a tuple is asked for.
    :Buffers:   one item of each; of a reactivex Observable, which cannot be asked to wait, up to 65536 items, then
                `Overflow`.
    :Fails:     with the source, with one of *others*, or with `ValueError` if *strict*; behind the tuples before.
    :Completes: as soon as one of them has, the others being closed; if *strict*, when all have. An item that one gave
                and another did not is dropped.
    :Disposes:  of all, and of a task for each, which is cancelled and awaited.
    """
    if not all(map(is_stream, others)):
        raise wrong_stream("zip", others)

    async def over(source: Any) -> AsyncIterator[Any]:
        held: list[Any] = [None] * (1 + len(others))  # Unset where an item is asked for and has not come
        emitted = 0

        async with Feeds() as feeds:

            def begin(number: int, stream: Any) -> Feed[Any]:
                def put(item: Any) -> None:
                    held[number] = item
                    if not missing():
                        feeds.ring()

                return feeds.take(stream, put, lambda: held[number] is Unset.UNSET)

            def missing() -> bool:
                return any(item is Unset.UNSET for item in held)

            zipped = [begin(number, stream) for number, stream in enumerate([source, *map(parts, others)])]
            while True:
                held[:] = [Unset.UNSET] * len(zipped)
                for feed in zipped:
                    feed.resume()
                while missing():
                    over = [feed.ended and item is Unset.UNSET for feed, item in builtins.zip(zipped, held)]
                    for feed in zipped:
                        if feed.error is not None:
                            raise feed.error
                    if any(over) and not strict:
                        return
                    if all(over):
                        return
                    if any(over) and all(o or item is not Unset.UNSET for o, item in builtins.zip(over, held)):
                        raise uneven(over, emitted)
                    await feeds.wait()
                yield tuple(held)
                emitted += 1

    return over


def uneven(over: list[bool], emitted: int) -> ValueError:
    """The error that says who has ended, and who has not."""

    def name(number: int) -> str:
        return "the source" if number == 0 else f"stream {number} of the others"

    ended = " and ".join(name(number) for number, is_over in enumerate(over) if is_over)
    longer = " and ".join(name(number) for number, is_over in enumerate(over) if not is_over)
    return ValueError(f"zip: {ended} ended after {emitted} items, and {longer} went on")
