"""A publisher as an async iterable: a buffer that is refilled before it is empty."""

from collections.abc import AsyncIterable, AsyncIterator

from rxchain.errors import CompositionError
from rxchain.streams._inbox import Inbox, Taking
from rxchain.streams._protocols import Publisher
from rxchain.types import T


def to_async_iterable(publisher: Publisher[T], *, prefetch: int = 16) -> AsyncIterable[T]:
    """Iterate over a publisher: each iteration subscribes anew, and requests as items are taken.

    >>> from rxchain import Chain
    >>> from rxchain.streams import to_async_iterable
    >>> from rxchain.testing import run
    >>> async def main():
    ...     async for word in to_async_iterable(Chain(str.upper).publisher(["a", "b"]), prefetch=4):
    ...         print(word)
    >>> run(main())
    A
    B

    The subscription begins with the first item asked for. It is cancelled when the iteration ends early: by `break`,
    an exception, cancellation, `aclose` of its iterator. The publisher's error is raised, behind its items; where it
    breaks a rule of Reactive Streams that can be told, `RuleViolated` is.

    Args:
        prefetch: how many items may be requested and not yet taken, 1 or more. All of them are requested at first,
            half of them each time that half of them were taken. 1: an item is requested when the one before was taken.

    Raises:
        CompositionError: *publisher* is none, or *prefetch* is no such number.
    """
    if not callable(getattr(publisher, "subscribe", None)) or hasattr(publisher, "pipe"):
        raise CompositionError(
            f"a publisher is what has subscribe(subscriber), got {publisher!r:.60}\n"
            f"    to_async_iterable({publisher!r:.30})  # incorrect\n"
            "    to_async_iterable(chain.publisher(items))  # correct"
        )
    if type(prefetch) is not int or prefetch < 1:
        raise CompositionError(
            f"prefetch is a number of items, 1 or more, got {prefetch!r:.60}\n"
            f"    to_async_iterable(publisher, prefetch={prefetch!r:.30})  # incorrect\n"
            "    to_async_iterable(publisher, prefetch=16)  # correct"
        )
    return _Iterable(publisher, prefetch)


class _Iterable(AsyncIterable[T]):
    def __init__(self, publisher: Publisher[T], prefetch: int) -> None:
        self._publisher = publisher
        self._prefetch = prefetch

    def __aiter__(self) -> AsyncIterator[T]:
        inbox: Inbox[T] = Inbox(self._prefetch)
        publisher = self._publisher
        return Taking(inbox, lambda: publisher.subscribe(inbox))
