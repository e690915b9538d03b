"""Feeds: sources that are taken from ahead of demand, so that an operator can wait for an item or for a time.

`asyncio.wait_for` around ``anext`` will not do: it cancels, and an async generator does not survive that. So each
source has a task, one for all of its items, which opens it, takes from it while there is room, and closes it: in one
task, as a source with a TaskGroup, a timeout or a context variable inside insists on.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic

from rxchain.types import T


def always() -> bool:
    """Room that does not run out: whoever says so drops, or replaces, what it holds.

    Only for the operator's own source: that is a program, and lets the event loop run every 5 ms.
    """
    return True


class Feed(Generic[T]):
    """One source, taken from in a task of its own.

    Args:
        put: is given each item as it comes; what it returns is awaited, if that is not None.
        room: whether another item may be asked for; asked before each, and again after `resume`.
        changed: is called when the source has ended.
    """

    def __init__(
        self,
        source: AsyncIterable[T],
        put: Callable[[T], Awaitable[None] | None],
        room: Callable[[], object],
        changed: Callable[[], None],
    ) -> None:
        self.ended = False
        """Whether the source has ended or failed, and is closed: nothing more will be put."""
        self.ended_at = 0.0
        """When, by the event loop's time."""
        self.error: BaseException | None = None
        """What it failed with."""
        self.too_late: BaseException | None = None
        """What went wrong while it was being stopped."""
        self.task = asyncio.get_running_loop().create_task(self._run(source, put, room, changed))
        self._stalled: asyncio.Future[None] | None = None
        self._stopping = False

    def resume(self) -> None:
        """Ask again whether there is room."""
        if self._stalled is not None and not self._stalled.done():
            self._stalled.set_result(None)

    def stop(self) -> None:
        """Ask for no more items; close the source."""
        self._stopping = True
        self.task.cancel()

    async def _run(
        self,
        source: AsyncIterable[T],
        put: Callable[[T], Awaitable[None] | None],
        room: Callable[[], object],
        changed: Callable[[], None],
    ) -> None:
        items: Any = source
        try:
            items = aiter(source)
            while not self._stopping:
                if not room():
                    self._stalled = asyncio.get_running_loop().create_future()
                    await self._stalled
                    continue
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    break
                if self._stopping:
                    break  # it has swallowed the cancellation
                waiting = put(item)
                if waiting is not None:
                    await waiting
        except BaseException as error:
            self._failed(error)
        try:
            if hasattr(items, "aclose"):
                await items.aclose()
        except BaseException as error:
            self._failed(error)
        self.ended, self.ended_at = True, asyncio.get_running_loop().time()
        changed()

    def _failed(self, error: BaseException) -> None:
        if self._stopping:
            if not isinstance(error, asyncio.CancelledError):
                self.too_late = error
        elif self.error is None:
            self.error = error
        else:
            self.error.add_note(f"closing the source failed too: {error!r}")


async def stop(feeds: Iterable[Feed[Any]], raised: BaseException | None = None) -> None:
    """Stop *feeds* and wait for them all, whatever happens meanwhile; what goes wrong then is noted on *raised*.

    Without *raised*, or where that only says that the consumer has left, it is raised itself.
    """
    feeds = list(feeds)
    for feed in feeds:
        if not feed.task.done():
            feed.stop()
    interrupted: asyncio.CancelledError | None = None
    while left := [feed.task for feed in feeds if not feed.task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            interrupted = error
            for task in left:  # it has ignored its cancellation, or takes too long to close
                task.cancel()
    failed: BaseException | None = raised if isinstance(raised, Exception) else None
    for late in [feed.too_late for feed in feeds if feed.too_late is not None]:
        if failed is None:
            failed = late
        else:
            failed.add_note(f"while the sources were being closed, one failed too: {late!r}")
    if failed is not None and failed is not raised:
        raise failed
    if interrupted is not None:
        raise interrupted


class Feeds:
    """The feeds of one operator, and its waiting for them: ``async with Feeds() as feeds`` around its loop.

    When the block is left, however, all are stopped and awaited.
    """

    def __init__(self) -> None:
        self._feeds: list[Feed[Any]] = []
        self._waiter: asyncio.Future[None] | None = None

    def take(
        self,
        source: AsyncIterable[T],
        put: Callable[[T], Awaitable[None] | None],
        room: Callable[[], object] = always,
    ) -> Feed[T]:
        """Begin to take from *source*: see `Feed`. The operator is rung when the source has ended."""
        feed = Feed(source, put, room, self.ring)
        self._feeds.append(feed)
        return feed

    def ring(self) -> None:
        """Wake the operator: there is something for it."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float | None = None) -> None:
        """Wait to be rung, or for a time of the event loop.

        What rang before is not remembered: look whether there is something, and then wait at once.
        """
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if until is None else loop.call_at(until, _release, self._waiter)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    async def __aenter__(self) -> "Feeds":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await stop(self._feeds, raised)


async def until(time: float) -> None:
    """Wait for a time of the event loop: not for a while, which would add up the delays of many."""
    loop = asyncio.get_running_loop()
    if time > loop.time():
        waiter = loop.create_future()
        timer = loop.call_at(time, _release, waiter)
        try:
            await waiter
        finally:
            timer.cancel()


def _release(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


__all__ = ["Feed", "Feeds", "stop", "until"]
