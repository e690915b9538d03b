"""The subscriber's side: a bounded buffer between a publisher, on any thread, and one consumer on an event loop.

What was requested and has not been taken is never more than *prefetch* items: all of them at first, and half of them
anew as soon as that many were taken, so that a request is made for many items and the publisher need not wait.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic

from rxchain.streams._errors import RuleViolated, given, report
from rxchain.streams._protocols import Subscription
from rxchain.streams._upstream import Upstream
from rxchain.types import T


class Inbox(Generic[T]):
    """A `Subscriber` that keeps what it is given until it is taken.

    Nothing is locked: signals only append, and are serial; the consumer only takes.

    Args:
        prefetch: how many items may be requested and not yet taken, 1 or more.
        ended: is called when the end is known, from any thread; the last items may not have been taken then.
    """

    def __init__(self, prefetch: int, ended: Callable[[], None] = lambda: None) -> None:
        self._prefetch = prefetch
        self._batch = (prefetch + 1) // 2
        self._tell_ended = ended
        self._upstream: Upstream | None = None
        self._items: deque[T] = deque()
        self._requested = 0
        self._received = 0
        self._taken = 0  # since the last request
        self._error: Exception | None = None
        self._ended = False  # nothing more is put into it
        self._closed = False  # nothing more is taken out of it
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the end is known; items may be left."""
        return self._ended

    # --- signals, from any thread

    def on_subscribe(self, subscription: Subscription, /) -> None:
        """Take the subscription and request the first items; a second one is cancelled (2.5)."""
        given(subscription, "2.13", "the subscription")
        upstream = Upstream(subscription, self._call_failed)
        if self._upstream is not None or self._ended:
            upstream.cancel()
            return
        self._upstream = upstream  # before it is asked whether anybody is left: `close` does it the other way round
        if self._closed:
            upstream.cancel()
            return
        self._requested = self._prefetch
        upstream.request(self._prefetch)

    def on_next(self, item: T, /) -> None:
        """Keep an item. Nothing is kept after the end, or once nobody takes it (2.8)."""
        given(item, "2.13", "an item")
        if self._ended or self._closed:
            return
        if self._upstream is None:
            self._fail(RuleViolated("1.9", "the publisher signalled an item before it called on_subscribe"))
        elif self._received == self._requested:
            more = f"the publisher signalled more items than the {self._requested} that were requested"
            self._fail(RuleViolated("1.1", more))
        else:
            self._received += 1
            self._items.append(item)
            self._wake()

    def on_error(self, error: Exception, /) -> None:
        """Keep the error: it is raised behind the items."""
        given(error, "2.13", "the error")
        if not isinstance(error, BaseException):
            raise TypeError(f"an error is an exception, got {error!r:.60}")
        self._finish(error)

    def on_complete(self) -> None:
        """There are no more items."""
        self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        # Calls nothing of the subscription: it is cancelled by now (2.3, 2.4).
        if not self._ended and not self._closed:
            self._error = error
            self._ended = True
            self._tell_ended()
            self._wake()

    def _fail(self, error: RuleViolated) -> None:
        upstream = self._upstream
        self._finish(error)
        if upstream is not None:
            upstream.cancel()

    def _call_failed(self, rule: str, error: Exception) -> None:
        called = "request" if rule == "3.16" else "cancel"
        violated = RuleViolated(rule, f"{called} of the publisher's subscription raised {error!r}")
        violated.__cause__ = error
        if self._ended or self._closed:
            report("a subscription that has ended failed", violated)
        else:
            self._finish(violated)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None:
            return
        loop = waiter.get_loop()
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            _set(waiter)
            return
        try:
            loop.call_soon_threadsafe(_set, waiter)
        except RuntimeError:
            if not loop.is_closed():
                raise

    # --- the consumer

    async def take(self) -> T:
        """The next item, once it is there.

        Raises:
            StopAsyncIteration: there is none: the stream has ended, or the inbox is closed.
        """
        while not self._items and not self._ended and not self._closed:
            await self._arrival()
        if self._closed:
            raise StopAsyncIteration
        if not self._items:
            self._closed = True
            error, self._error = self._error, None
            try:
                raise StopAsyncIteration if error is None else error
            finally:
                del error  # its traceback has this frame
        item = self._items.popleft()
        self._taken += 1
        if self._taken == self._batch and self._upstream is not None and not self._ended:
            self._taken = 0
            self._requested += self._batch
            self._upstream.request(self._batch)
        return item

    async def _arrival(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            if not (self._items or self._ended or self._closed):  # else it came before there was a waiter to wake
                await waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Take nothing more: the subscription is cancelled, and what it delivered is dropped. From any thread."""
        if not self._closed:
            self._closed = True
            self._items.clear()
            if self._upstream is not None and not self._ended:
                self._upstream.cancel()
            self._wake()


class Taking(AsyncIterator[T]):
    """Iterates over an inbox, and closes it when that ends, however it ends: also by being dropped.

    The inbox does not know it: what holds the inbox, a publisher, does not keep its consumer.

    Args:
        begin: is called before the first item is taken.
    """

    def __init__(self, inbox: Inbox[T], begin: Callable[[], None] = lambda: None) -> None:
        self._inbox = inbox
        self._begin: Callable[[], None] | None = begin
        self._taking = False

    async def __anext__(self) -> T:
        if self._taking:
            raise RuntimeError("an item is being waited for already: one consumer takes from an inbox")
        self._taking = True
        try:
            if self._begin is not None:
                begin, self._begin = self._begin, None
                begin()
            return await self._inbox.take()
        except BaseException:
            self._inbox.close()
            raise
        finally:
            self._taking = False

    async def aclose(self) -> None:
        """Cancel the subscription."""
        self._begin = None
        self._inbox.close()

    def __del__(self) -> None:
        self._inbox.close()


def _set(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
