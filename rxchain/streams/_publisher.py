"""A chain over a source, as a publisher: each subscription runs the chain afresh."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Generic, TypeAlias

from rxchain.errors import CompositionError
from rxchain.streams._emission import Emission
from rxchain.streams._errors import given
from rxchain.streams._protocols import Publisher, Subscriber
from rxchain.types import AnyIterable, In, Out

Source: TypeAlias = AnyIterable[In] | Callable[[], AnyIterable[In]]
"""Where a publisher's items come from: an iterable, an async iterable, or a function that makes one."""

SIGNALS = ("on_subscribe", "on_next", "on_error", "on_complete")


class ChainPublisher(Publisher[Out], Generic[In, Out]):
    """A `Publisher` of what a chain makes of *source*.

    Args:
        stream: runs the chain over a source: ``chain.stream``.
    """

    def __init__(self, stream: Callable[[AnyIterable[In]], AsyncGenerator[Out, None]], source: Source[In]) -> None:
        _check_source(source)
        self._stream = stream
        self._source = source
        self._takers = iter([True]) if isinstance(source, (Iterator, AsyncIterator)) else None
        """Gives True to the one subscription that an iterator is enough for; None: there may be any number."""

    def subscribe(self, subscriber: Subscriber[Out], /) -> None:
        """Begin a run of the chain for *subscriber*.

        It runs on the event loop that runs here, else on one in a thread of its own, which ends with the subscription.

        Raises:
            TypeError: *subscriber* is None, or no subscriber.
        """
        check_subscriber(subscriber)
        refusal = None
        if self._takers is not None and not next(self._takers, False):
            refusal = RuntimeError(
                "an iterator gives its items once, and the publisher's first subscription has taken it\n"
                "    chain.publisher(iter(items))  # incorrect, for a second subscription\n"
                "    chain.publisher(items)  # correct; or a function: chain.publisher(lambda: open('items.txt'))"
            )
        Emission(subscriber, self._open, refusal=refusal).begin()

    def _open(self) -> AsyncGenerator[Out, None]:
        source = self._source
        if not isinstance(source, (Iterable, AsyncIterable)) and callable(source):
            source = source()
        return self._stream(source)


def check_subscriber(subscriber: object) -> None:
    """Raise TypeError where *subscriber* is none."""
    given(subscriber, "1.9", "the subscriber")
    for name in SIGNALS:
        signal = getattr(subscriber, name, None)
        if not callable(signal):
            raise TypeError(
                f"a subscriber has {', '.join(SIGNALS)}, and {subscriber!r:.60} has no {name}\n"
                f"    publisher.subscribe({subscriber!r:.30})  # incorrect\n"
                "    async for item in to_async_iterable(publisher): ...  # correct, without any subscriber"
            )
        if inspect.iscoroutinefunction(signal):
            raise TypeError(
                f"{name} is a coroutine function, and a subscriber's signals are not awaited\n"
                f"    async def {name}(self, ...)  # incorrect\n"
                f"    def {name}(self, ...)  # correct; to await: async for item in to_async_iterable(publisher)"
            )


def _check_source(source: object) -> None:
    if isinstance(source, (Iterable, AsyncIterable)):
        return
    text = f"{source!r:.40}"
    if hasattr(source, "subscribe"):
        correct = (
            "observable.pipe(chain)" if hasattr(source, "pipe") else "chain.publisher(to_async_iterable(publisher))"
        )
    elif inspect.iscoroutinefunction(source):
        correct = "async def items(): ... yield item; chain.publisher(items)"
    elif callable(source) or hasattr(source, "__getitem__"):
        return
    else:
        correct = f"chain.publisher([{text}])"
    raise CompositionError(
        f"a publisher's items come from an iterable, an async iterable, or a function that makes one, got {text}\n"
        f"    chain.publisher({text})  # incorrect\n"
        f"    {correct}  # correct"
    )
