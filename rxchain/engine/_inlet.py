"""An inlet: where items are pushed in, and pulled on one event loop; between the two never more than a window of them.

asyncio's own queue takes no calls of other threads, and a thread's queue is not awaited; neither counts what has been
taken and is not done with.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import Context, Token, copy_context
from typing import Any

from rxchain.engine._arrival import Arrived, leave
from rxchain.engine._failure import raisable
from rxchain.errors import Overflow
from rxchain.types import OverflowPolicy, T


class Inlet(AsyncIterator[T]):
    """Takes items from whoever pushes them, gives them to the one who pulls.

    ``push`` and ``end`` may be called from any thread, everything else on the event loop.

    Args:
        window: how many items may be held: waiting, or pulled and not done with. An item is done with when the next is
            asked for, or when the puller says so (`follow`).
        overflow: what is done with one more that is pushed.
        full: makes the error for ``overflow="error"``; is told whether ``"block"`` was wanted, and could not be.
        number: what an item is made into as it is pushed, if it is to know its place.
        context: where items are expected to come from; those that bring other variables along are given as `Arrived`.
    """

    dropped: int
    """How many items gave way to others."""
    abandoned: int
    """How many waited when nobody pulled any more."""

    def __init__(
        self,
        window: int,
        overflow: OverflowPolicy,
        full: Callable[[bool], Overflow],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        number: Callable[[T], Any] | None = None,
        context: Context | None = None,
    ) -> None:
        self._window, self._overflow, self._full = window, overflow, full
        self._loop = loop if loop is not None else asyncio.get_running_loop()
        self._number, self._context = number, context
        self.dropped = self.abandoned = 0
        self.waiting: deque[Any] = deque()
        """Those that have come and have not been pulled; who follows may take them from here."""
        # What the loop's thread changes without the lock, and what pushing threads change under it, are told apart:
        # each side first does its part and then looks at the other's, so that one of the two sees both.
        self._lock = threading.RLock()  # a finalizer may push or end while its own thread is in here
        self._room = threading.Condition(self._lock)
        self._pushed = 0
        """How many items came in, less those that gave way; under the lock, unless `send` alone is used."""
        self._gone = 0
        """How many of them are done with; the loop's."""
        self._blocked = 0
        """Threads that wait for room; under the lock."""
        self._ended = False
        self._error: BaseException | None = None
        self._followed = False
        self._out = False
        """Whether an item has been pulled: when the next is asked for, it is done with."""
        self._tokens: list[Token[Any]] = []
        """What the context of the item that was pulled last has set here."""
        self._puller: asyncio.Future[None] | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._senders: deque[tuple[asyncio.Future[None], Any]] = deque()
        """Who waits for room on the loop, each with its item."""

    # --- pushing

    def push(self, item: T) -> bool:
        """Put *item* in, from any thread; False when no more are wanted, as after `end`."""
        arrived = item if self._number is None else self._number(item)
        if self._context is not None:
            arrived = self._arrived(arrived)
        with self._lock:
            if self._ended or (self._pushed - self._gone >= self._window and not self._give_way()):
                return not self._ended
            self._pushed += 1
            self.waiting.append(arrived)
            puller = self._puller
            if puller is None:
                return True
            self._puller = None
        self._wake(puller)
        return True

    async def send(self, item: T) -> None:
        """Put *item* in, on the loop, as soon as there is room; in the order of the calls. Behind the end, let it go.

        Cancelled while it waits, it takes the item back.
        """
        arrived = item if self._number is None else self._number(item)
        if self._context is not None:
            arrived = self._arrived(arrived)
        if self._ended:
            await asyncio.sleep(0)  # a producer that never looks must not keep the loop to itself
            return
        if self._pushed - self._gone < self._window and not self._senders:
            self._pushed += 1
            self.waiting.append(arrived)
            if self._puller is not None:
                _let_go(self._puller)
                self._puller = None
            return
        sender = self._loop.create_future(), arrived
        self._senders.append(sender)
        try:
            await sender[0]
        except asyncio.CancelledError:
            if sender in self._senders:
                self._senders.remove(sender)
            raise

    async def taken(self) -> None:
        """Wait until nothing waits to be pulled; for one at a time who pushes on the loop."""
        if self.waiting:
            self._emptied = self._loop.create_future()
            if self.waiting:
                await self._emptied

    def end(self, error: BaseException | None = None) -> None:
        """End behind the items that are in or whose senders wait, from any thread. Only the first end counts."""
        with self._lock:
            if self._ended:
                return
            self._error = raisable(error) if isinstance(error, Exception) else error
            self._ended = True
            self._room.notify_all()
            puller, self._puller = self._puller, None
        if puller is not None:
            self._wake(puller)

    @property
    def numbered(self) -> bool:
        """Whether its items come as pairs, each with where it stands."""
        return self._number is not None

    def _arrived(self, item: Any) -> Any:
        context = copy_context()
        return Arrived(item, context) if context and context != self._context else item

    def _give_way(self) -> bool:
        """Make room as the policy says; whether there is some."""
        if self._overflow == "drop_newest":
            self.dropped += 1
            return False
        if self._overflow in ("drop_oldest", "latest"):
            # Only what waits can be dropped. Where nothing does, the newest waits beyond the window: one item.
            gone = len(self.waiting) if self._overflow == "latest" else 1
            with suppress(IndexError):  # pulled meanwhile
                for _ in range(gone):
                    self.waiting.popleft()
                    self._pushed -= 1
                    self.dropped += 1
            return True
        if self._overflow == "block" and not self._here():
            self._blocked += 1
            try:
                while self._pushed - self._gone >= self._window and not self._ended:
                    self._room.wait()
            finally:
                self._blocked -= 1
            return not self._ended
        self.end(self._full(self._overflow == "block"))
        return False

    def _here(self) -> bool:
        """Whether this is the loop's own thread."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _wake(self, puller: "asyncio.Future[None]") -> None:
        if self._here():
            _let_go(puller)
            return
        try:
            self._loop.call_soon_threadsafe(_let_go, puller)
        except RuntimeError:  # the loop is closed: nobody pulls any more
            self.stop()

    # --- pulling

    async def __anext__(self) -> T:
        """The next item. Who follows gets it as `Arrived`; else its variables are set until the next is asked for."""
        if self._tokens:
            self._leave()
        if self._out:
            self._out = False
            self._gone += 1
            if self._senders or self._blocked:
                self._let_in()
        while await self.holds():
            try:
                item = self.waiting.popleft()
            except IndexError:
                continue  # it gave way to another, which is about to come
            if self._emptied is not None and not self.waiting:
                _let_go(self._emptied)
            self._out = not self._followed
            if type(item) is Arrived and not self._followed:
                self._tokens = item.enter()
                return item.item  # type: ignore[no-any-return]
            return item  # type: ignore[no-any-return]
        raise StopAsyncIteration

    async def holds(self) -> bool:
        """Wait until an item is in `waiting`; False when none will come. Raises what it was ended with."""
        while not self.waiting:
            if self._emptied is not None:
                _let_go(self._emptied)
            ended = self._ended  # before looking again: what is in came before the end
            puller = self._puller = self._loop.create_future()
            if self.waiting:
                continue
            if ended and not self._senders:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                return False
            if ended or not self._ended:
                await puller
        return True

    def follow(self) -> Callable[[], None]:
        """Say from now on when an item is done with, and may have been pulled long before."""
        self._followed = True

        def done() -> None:
            self._gone += 1
            if self._senders or self._blocked:
                self._let_in()

        return done

    def _let_in(self) -> None:
        """Let in who waits for room, where there is some now."""
        while self._senders and self._pushed - self._gone < self._window:
            sender, item = self._senders.popleft()
            if not sender.done():  # cancelled, and about to take its item back
                self._pushed += 1
                self.waiting.append(item)
                sender.set_result(None)
                if self._puller is not None:
                    _let_go(self._puller)
        if self._blocked:
            with self._lock:
                self._room.notify()

    def stop(self) -> None:
        """Let go of what waits, and of who waits for room: nobody pulls any more."""
        with self._lock:
            self._ended = True
            self._error = None
            self.abandoned += len(self.waiting) + len(self._senders)
            self.waiting.clear()
            for sender, _ in self._senders:
                _let_go(sender)
            self._senders.clear()
            if self._emptied is not None:
                _let_go(self._emptied)
            self._room.notify_all()

    async def aclose(self) -> None:
        """The same, by whoever has pulled."""
        self._leave()
        self.stop()

    def _leave(self) -> None:
        """Leave the context of the item that was pulled."""
        tokens, self._tokens = self._tokens, []
        with suppress(ValueError):  # who asks each time in another task has a copy of the context, which has gone
            leave(tokens)

    def note_abandoned(self, error: BaseException) -> None:
        """Note on what ended it all how many items have not even been pulled."""
        if self.abandoned:
            with suppress(Exception):  # a frozen exception takes no notes
                error.add_note(f"abandoned in front of the chain: {self.abandoned}")


def _let_go(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


__all__ = ["Inlet"]
