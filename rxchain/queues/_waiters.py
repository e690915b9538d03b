"""Those who wait for a queue, in threads and in coroutines alike: woken one by one, in the order in which they came."""

import asyncio
import threading
from asyncio.events import _get_running_loop
from collections import deque
from typing import Protocol


class Waiter(Protocol):
    """Somebody who waits. All but `wait` is under the queue's lock."""

    row: "Waiters | None"
    """Where it stands, or stood until it was woken."""
    woken: bool

    @property
    def alive(self) -> bool:
        """Whether waking it is of any use."""
        ...

    def wake(self) -> bool:
        """Have it look again; from any thread. False if there is nobody to wake."""
        ...


class TaskWaiter:
    """A coroutine."""

    __slots__ = ("_future", "_loop", "row", "woken")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()
        self.row: Waiters | None = None
        self.woken = False

    @property
    def alive(self) -> bool:
        return not self._loop.is_closed()

    def wake(self) -> bool:
        if _get_running_loop() is self._loop:
            self._go()
            return True
        try:
            self._loop.call_soon_threadsafe(self._go)
        except RuntimeError:  # it is closed
            return False
        return True

    def _go(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        """Until it is woken, or so many seconds have passed."""
        if seconds is None:
            await self._future
            return
        timer = self._loop.call_later(seconds, self._go)
        try:
            await self._future
        finally:
            timer.cancel()


class ThreadWaiter:
    """A thread."""

    __slots__ = ("_lock", "row", "woken")

    alive = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.row: Waiters | None = None
        self.woken = False

    def wake(self) -> bool:
        self._lock.release()
        return True

    def wait(self, seconds: float | None) -> None:
        """Until it is woken, or so many seconds have passed."""
        self._lock.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))


class Waiters(deque[Waiter]):
    """A row of them. Its methods are called under the queue's lock.

    A coroutine that waits may be collected at any moment, also while its own thread is in here, and leaves then: the
    lock lets its thread in again, and nothing here relies on what it saw before. A deque, as whether anybody is there
    is asked for each task.
    """

    __slots__ = ()

    def join(self, waiter: Waiter, *, first: bool = False) -> None:
        """Stand at the end of the row; *first* at its head, who was woken and found nothing."""
        waiter.row, waiter.woken = self, False
        if first:
            self.appendleft(waiter)
        else:
            self.append(waiter)

    def wake(self) -> Waiter | None:
        """Wake the first that can be woken."""
        while self:
            try:
                waiter = self.popleft()
            except IndexError:
                break
            waiter.woken = True
            if waiter.wake():
                return waiter
        return None

    def wake_all(self) -> None:
        for _ in range(len(self)):
            self.wake()

    def leave(self, waiter: Waiter) -> None:
        """Stand there no more, without having been woken."""
        try:
            self.remove(waiter)
        except ValueError:
            pass
