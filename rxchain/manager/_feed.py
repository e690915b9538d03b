"""A source that several plans take from, one after the other: opened once, asked by one task, closed once.

Chains own their source: they close it when they end. A managed chain runs on after that, under another plan; so it
gives each plan a part of the source, and keeps the source itself.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterable, Callable
from typing import Any, Protocol

from rxchain.engine import aclose, close
from rxchain.engine._arrival import Arrived
from rxchain.engine._crew import cancelled

MISSING: Any = type("MISSING", (), {"__repr__": lambda self: "<no item>"})()


class Feed(Protocol):
    """What a run takes its items from."""

    over: bool
    """Whether no more come."""
    error: BaseException | None
    """What the source failed with."""

    def held(self) -> bool:
        """Whether an item has come that nobody has been given."""
        ...

    def look(self) -> bool:
        """Whether there is an item, or an end; a source that is waited for is asked, and calls back."""
        ...

    def pop(self) -> Any:
        """The item that has come."""

    def at_hand(self) -> Any:
        """An item that is there without waiting, or MISSING."""

    def keep(self, item: Any) -> None:
        """Take back what `at_hand` gave."""

    async def aclose(self) -> None:
        """Close the source, whatever it is doing."""


def feed_of(source: Any, name: str, wake: Callable[[], None]) -> Feed:
    """Begin on *source*; *wake* is called when something has come that `Feed.look` asked for."""
    return _Waited(source, name, wake) if isinstance(source, AsyncIterable) else _Plain(source)


class _Plain:
    """An iterable: whoever looks takes."""

    def __init__(self, source: Any) -> None:
        self._items: Any = source
        self._opened = False
        self._item: Any = MISSING
        self.over = False
        self.error: BaseException | None = None

    def held(self) -> bool:
        return self._item is not MISSING

    def look(self) -> bool:
        if not self._opened:
            self._opened = True
            try:
                self._items = iter(self._items)
            except Exception as error:
                self.over, self.error = True, error
        if self._item is MISSING:
            self._item = self.at_hand()
        return True

    def pop(self) -> Any:
        item, self._item = self._item, MISSING
        return item

    def at_hand(self) -> Any:
        if self._opened and self._item is MISSING and not self.over:
            try:
                return next(self._items)
            except StopIteration:
                self.over = True
            except Exception as error:
                self.over, self.error = True, error
        return MISSING

    def keep(self, item: Any) -> None:
        self._item = item

    async def aclose(self) -> None:
        close(self._items)


class _Waited:
    """An async iterable, asked when somebody wants an item, no earlier; what it is asked for outlasts who asked."""

    def __init__(self, source: Any, name: str, wake: Callable[[], None]) -> None:
        self._source, self._wake = source, wake
        self._loop = asyncio.get_running_loop()
        self._item: Any = MISSING
        self._want: asyncio.Future[None] | None = None
        self._closing = False
        self.over = False
        self.error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._name = name

    def held(self) -> bool:
        return self._item is not MISSING

    def look(self) -> bool:
        if self._item is not MISSING or self.over:
            return True
        if self._task is None:
            self._task = self._loop.create_task(self._ask(), name=f"{self._name}: source")
        elif self._want is not None and not self._want.done():
            self._want.set_result(None)
        return False

    def pop(self) -> Any:
        item, self._item = self._item, MISSING
        return item

    def at_hand(self) -> Any:
        return self.pop()

    def keep(self, item: Any) -> None:
        self._item = item

    async def _ask(self) -> None:
        items = self._source
        here = contextvars.copy_context()
        try:
            try:
                items = aiter(self._source)
                async for item in items:
                    if type(item) is not Arrived and (context := contextvars.copy_context()) != here:
                        item = Arrived(item, context)  # what the source has set goes with the item
                    self._item = item
                    self._want = self._loop.create_future()
                    self._wake()
                    await self._want
                    self._want = None
            finally:
                await aclose(items)
        except BaseException as error:
            if self._closing:
                raise
            self.error = error
        self.over = True
        self._wake()

    async def aclose(self) -> None:
        self._closing = True
        if self._task is None:
            await aclose(self._source)
            return
        await cancelled([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error


__all__ = ["MISSING", "Feed", "feed_of"]
