"""A row of calls of one function, so many of which run at once.

The loop hands over more calls than may run; the thread that is done with one goes on with the next, and the loop need
not be asked in between. The rival, a gate on the loop's side, lets a thread rest from each call to the next: a function
that does nothing costs seven times as much.
"""

from _thread import allocate_lock
from collections import deque
from typing import Any

from rxchain.schedulers._placed import Call, Placed


class Lane:
    """Call a placed function, so many calls at once; the others wait in their order, and begin in it.

    >>> import asyncio
    >>> from rxchain.schedulers import Lane, placed
    >>> async def main():
    ...     lane = Lane(placed(abs, on="threads"), at_once=1)
    ...     return await asyncio.gather(*[lane(-i) for i in range(5)])
    >>> asyncio.run(main())
    [0, 1, 2, 3, 4]

    Made for one run, and used from its event loop.

    Args:
        placed: the function.
        at_once: how many of its calls run at once.
        stops: whether a failure is the end: no call begins behind it any more; those that wait do so until they are
            cancelled, which is left to whoever hears of the failure.
    """

    __slots__ = ("_at_once", "_lock", "_placed", "_running", "_stopped", "_stops", "_waiting")

    def __init__(self, placed: Placed, at_once: int, *, stops: bool = False) -> None:
        self._placed = placed
        self._at_once = at_once
        self._stops = stops
        self._lock = allocate_lock()
        self._waiting: deque[Call] = deque()  # under the lock, as are the next two
        self._running = 0
        self._stopped = False

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(not call.unwanted for call in list(self._waiting))

    async def __call__(self, *args: Any) -> Any:
        call = Call(self._placed, args, self)
        with self._lock:
            begins = self._running < self._at_once and not self._stopped
            if begins:
                self._running += 1
            else:
                self._waiting.append(call)
        if begins:
            try:
                self._placed.pool.submit(call)
            except BaseException:
                if (after := self.next()) is not None:
                    after.begin()
                raise
        return await call.outcome()

    def failed(self) -> None:
        """A call has failed; from any thread, before its outcome is delivered."""
        if self._stops:
            with self._lock:
                self._stopped = True

    def next(self) -> Call | None:
        """A call has ended: the one that takes its place; from any thread."""
        with self._lock:
            while self._waiting and not self._stopped:
                call = self._waiting.popleft()
                if not call.unwanted:
                    return call
            self._running -= 1
            return None
