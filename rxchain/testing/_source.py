"""A diagram as a source: it keeps to its times, waits when it is not asked, and counts what is done to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic

from rxchain import RxChainError
from rxchain.testing._diagram import Kind, Script
from rxchain.types import T


class SourceFailed(RxChainError):
    """What a source of `rxchain.testing` raises where it is to fail, and no other error was given."""


class MarbleSource(Generic[T]):
    """An async iterable that plays a diagram: made by `Marbles.source`. Each iteration plays it from the start.

    Its time begins when the first item is asked for. An item that is asked for before its tick is waited for; one that
    is asked for late is there at once: it has waited, and so have those behind it.
    """

    asked: int
    """How many times an item was asked for; the end is one of them."""
    given: int
    """How many items were taken."""
    opened: int
    """How many iterations there were."""
    closed: int
    """How often an iteration was closed. A chain closes what it has opened once, however it ends."""
    idle: bool
    """Whether it is being asked for more than its diagram has: it does not end, and waits for ever."""

    def __init__(self, script: Script, item: Callable[[str], T], tick: float, error: Exception | None) -> None:
        self._script, self._item, self._tick, self._error = script, item, tick, error
        self.asked = self.given = self.opened = self.closed = 0
        self.idle = False

    def __aiter__(self) -> AsyncIterator[T]:
        self.opened += 1
        return _Playing(self, self._script, self._item, self._tick, self._error)


class _Playing(AsyncIterator[T]):
    """One iteration."""

    def __init__(
        self, source: MarbleSource[T], script: Script, item: Callable[[str], T], tick: float, error: Exception | None
    ) -> None:
        self._source, self._item, self._tick, self._error = source, item, tick, error
        self._events = script.events
        self._next = 0
        self._start: float | None = None
        self._asked = False
        self._closed = False

    async def __anext__(self) -> T:
        if self._asked:
            raise RuntimeError("a MarbleSource is asked for an item while it is being asked for one")
        self._source.asked += 1
        if self._closed:
            raise StopAsyncIteration
        self._asked = True
        try:
            return await self._play()
        finally:
            self._asked = False

    async def _play(self) -> T:
        loop = asyncio.get_running_loop()
        if self._start is None:
            self._start = loop.time()
        if self._next == len(self._events):
            self._source.idle = True
            try:
                await loop.create_future()
            finally:
                self._source.idle = False
        event = self._events[self._next]
        await _until(self._start + event.tick * self._tick)
        if event.kind is Kind.END:
            self._closed = True
            raise StopAsyncIteration
        self._next += 1
        if event.kind is Kind.ERROR:
            self._closed = True
            raise self._error if self._error is not None else SourceFailed("the source fails here, as its '#' says")
        self._source.given += 1
        return self._item(event.symbol)

    async def aclose(self) -> None:
        """End this iteration."""
        self._closed = True
        self._source.closed += 1


async def _until(time: float) -> None:
    """Sleep until *time* of the loop: not for a while, which would add up the rounding of many."""
    loop = asyncio.get_running_loop()
    if time <= loop.time():
        return
    waiter: asyncio.Future[None] = loop.create_future()
    timer = loop.call_at(time, _wake, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


__all__ = ["MarbleSource", "SourceFailed"]
