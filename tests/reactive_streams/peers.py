"""The other side in these tests: a subscriber that writes down and judges, a publisher that does as it is told."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from rxchain import Chain
from rxchain import operators as ops
from rxchain.streams import Publisher, Subscriber, Subscription, _emission
from rxchain.testing import VirtualLoop, no_leaks, run

T = TypeVar("T")


class Recorder(Generic[T]):
    """A subscriber that writes down its signals, and notes as a violation whatever a publisher must not do.

    Args:
        request: how many items it requests in `on_subscribe`.
        then: what else it does with an item, in `on_next`.
    """

    def __init__(self, request: int = 0, then: Callable[["Recorder[T]", T], object] = lambda *_: None) -> None:
        self.items: list[T] = []
        self.error: Exception | None = None
        self.completed = 0
        self.subscribed = 0
        self.violations: list[str] = []
        self.ended = threading.Event()
        self._request, self._then = request, then
        self._requested = 0
        self._inside: str | None = None

    @property
    def over(self) -> bool:
        return self.completed > 0 or self.error is not None

    def request(self, n: int) -> None:
        self._requested += max(n, 0)
        self.subscription.request(n)

    def cancel(self) -> None:
        self.subscription.cancel()

    def on_subscribe(self, subscription: Subscription, /) -> None:
        with self._signal("on_subscribe"):
            self.subscribed += 1
            self.subscription = subscription
            if self._request:
                self.request(self._request)

    def on_next(self, item: T, /) -> None:
        with self._signal("on_next"):
            self.items.append(item)
            if len(self.items) > self._requested:
                self.violations.append(f"1.1: {len(self.items)} items, {self._requested} requested")
            self._then(self, item)

    def on_error(self, error: Exception, /) -> None:
        with self._signal("on_error"):
            self.error = error
            self.ended.set()

    def on_complete(self) -> None:
        with self._signal("on_complete"):
            self.completed += 1
            self.ended.set()

    def _signal(self, name: str) -> "_Inside":
        if self._inside is not None:
            self.violations.append(f"1.3: {name} within {self._inside}")
        if self.over:
            self.violations.append(f"1.7: {name} after the end")
        if name != "on_subscribe" and not self.subscribed:
            self.violations.append(f"1.9: {name} before on_subscribe")
        return _Inside(self, name)


class _Inside:
    def __init__(self, recorder: Recorder[Any], name: str) -> None:
        self._recorder, self._name = recorder, name

    def __enter__(self) -> None:
        self._recorder._inside = self._name

    def __exit__(self, *_: object) -> None:
        self._recorder._inside = None


class Upstream(Generic[T]):
    """A publisher, and its one subscription, that only do what the test does; notes what is asked of them.

    Args:
        emit: items that are emitted within `request`, as many as it asks for.
    """

    def __init__(self, emit: Iterable[T] = ()) -> None:
        self.requests: list[int] = []
        self.cancelled = 0
        self.violations: list[str] = []
        self.fails: Exception | None = None
        self._emit = iter(emit)
        self._inside: str | None = None
        self.subscriber: Subscriber[T]

    @property
    def requested(self) -> int:
        return sum(self.requests)

    def subscribe(self, subscriber: Subscriber[T], /) -> None:
        self.subscriber = subscriber
        subscriber.on_subscribe(self)

    def request(self, n: int, /) -> None:
        self._call("request")
        self.requests.append(n)
        if n <= 0:
            self.violations.append(f"3.9: request({n})")
        try:
            if self.fails is not None:
                raise self.fails
            for _, item in zip(range(n), self._emit, strict=False):
                self.subscriber.on_next(item)
        finally:
            self._inside = None

    def cancel(self) -> None:
        self._call("cancel")
        self.cancelled += 1
        self._inside = None
        if self.fails is not None:
            raise self.fails

    def _call(self, name: str) -> None:
        if self._inside is not None:
            self.violations.append(f"2.7: {name} within {self._inside}")
        self._inside = name


# --- what is tested


def number(n: int) -> int:
    """A node that passes on."""
    return n


def to_int(text: str) -> int:
    """A node that may fail."""
    return int(text)


async def later(n: int) -> int:
    """A node that takes a second."""
    await asyncio.sleep(1)
    return n


async def slow(item: T) -> T:
    await asyncio.sleep(1)
    return item


def through_sync(items: Iterable[T]) -> Publisher[T]:
    """A chain that never suspends."""
    chain: Chain[T, T] = Chain(ops.map(lambda item: item))
    return chain.publisher(items)


def through_async(items: Iterable[T]) -> Publisher[T]:
    """A chain that takes a second for each item."""
    chain: Chain[T, T] = Chain(ops.map(slow))
    return chain.publisher(items)


def through_processor(items: Iterable[T]) -> Publisher[T]:
    """A processor that takes from a publisher."""
    chain: Chain[T, T] = Chain(window=4)
    processor = chain.processor()
    through_sync(items).subscribe(processor)
    return processor


KINDS = [through_sync, through_async, through_processor]


# --- running


async def quiet() -> None:
    """Wait until everything waits, or is done; in virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    await loop.quiet()


def running() -> list["asyncio.Task[None]"]:
    """The tasks of subscriptions that have not ended."""
    return list(_emission._running)


def reports(main: Callable[[], Coroutine[Any, Any, object]]) -> list[dict[str, Any]]:
    """Run *main*, which must leave nothing behind; what the event loop was told that nobody else could be."""
    told: list[dict[str, Any]] = []

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with no_leaks():
            await main()
            await quiet()

    run(body())
    return told


def play(main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """The same, where there is nothing to tell."""
    assert reports(main) == []
