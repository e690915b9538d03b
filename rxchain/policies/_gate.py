"""So many places, and a queue for them, across event loops and threads.

A place that is free is handed to whoever has waited longest, never put down for anybody to take: so no newcomer
overtakes. Rivals: `asyncio.Semaphore` belongs to one event loop and lets any number wait; `threading.Semaphore` blocks
the loop.
"""

import asyncio
import threading
from collections import OrderedDict


class NoRoom(Exception):
    """Raised by `Gate.enter` when no more may wait."""


class Waiter:
    """A call that waits, on its own event loop."""

    __slots__ = ("has_place", "let_in", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.let_in: asyncio.Future[None] = self.loop.create_future()
        self.has_place = False

    def tell(self) -> bool:
        """Tell the call that it is let in; False if its event loop is gone, and the call with it."""
        try:
            if self.loop is _running_loop():
                _open(self.let_in)
            else:
                self.loop.call_soon_threadsafe(_open, self.let_in)
        except RuntimeError:
            return False
        self.has_place = True
        return True


class Gate:
    """How many are inside, and who waits.

    The lock is one that its holder may take again: a coroutine that is collected while it is held leaves right then.
    Therefore what is handed over is seen to at the end of each change, and not decided at its beginning.
    """

    __slots__ = ("at_once", "inside", "lock", "queue", "refused", "waiting")

    def __init__(self, at_once: int, queue: int) -> None:
        self.at_once = at_once
        self.queue = queue
        self.inside = 0
        """Under the lock, as are the next two; counts those that are let in and do not know it yet."""
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        """In the order of their coming; empty when there is a free place."""
        self.refused = 0
        self.lock = threading.RLock()

    def enter(self) -> Waiter | None:
        """Go in; or join the queue, and wait with `let_in` for what this returns.

        Raises:
            NoRoom: there is no place in the queue.
        """
        with self.lock:
            if self.inside < self.at_once:
                self.inside += 1
                return None
            if len(self.waiting) < self.queue:
                waiter = Waiter()
                self.waiting[waiter] = None
                self._fill()
                return waiter
            self.refused += 1
        raise NoRoom

    async def let_in(self, waiter: Waiter) -> None:
        """Wait for a place; who is cancelled meanwhile waits no longer, or leaves again if just let in."""
        try:
            await waiter.let_in
        except BaseException:
            self.give_up(waiter)
            raise

    def leave(self) -> None:
        """Go out; whoever has waited longest has the place."""
        with self.lock:
            self.inside -= 1
            self._fill()

    def give_up(self, waiter: Waiter) -> None:
        """Wait no longer, and have no place."""
        with self.lock:
            self.waiting.pop(waiter, None)
            if waiter.has_place:
                self.leave()

    def _fill(self) -> None:
        while self.waiting and self.inside < self.at_once:
            first, _ = self.waiting.popitem(last=False)
            if first.tell():
                self.inside += 1


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # a coroutine is collected where none runs
        return None


def _open(let_in: "asyncio.Future[None]") -> None:
    if not let_in.done():
        let_in.set_result(None)
