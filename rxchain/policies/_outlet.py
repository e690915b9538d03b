"""Telling a notifier, beside the stream: a task that there is as long as something is to be told.

It is made by the first failure and ends when all has been told; `aclose`, at the end of the run, waits for it and tells
what is left. Until then failures are counts (`Throttle`), so that a slow notifier makes fewer messages, never a queue.
"""

import asyncio
import inspect
import threading

from rxchain.engine import Colour, colour
from rxchain.policies._log import must_see
from rxchain.policies._notify import Notification, Notifier, Throttle, Throttled, shown
from rxchain.types import Failure

LIMIT = 30.0
"""Seconds that an async notifier may take for one notification."""


class Outlet:
    """One notifier, and what it has not been told of yet.

    Failures may come from several event loops, each in a thread of its own. The task runs on the loop on which it was
    needed first, or on the one that `home` says.
    """

    def __init__(self, notifier: Notifier | Throttled) -> None:
        throttled = notifier if isinstance(notifier, Throttled) else Throttled(notifier)
        self.notifier = throttled.notifier
        self.shown = repr(notifier) if isinstance(notifier, Throttled) else shown(notifier)
        self.per = throttled.per
        self.home: asyncio.AbstractEventLoop | None = None
        self.told = 0
        """How many failures the notifier has been told of."""
        self._throttle = Throttle(self.per)
        self._lock = threading.Lock()  # around the throttle, and around whose the task is
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the task runs, or is about to."""
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._ending = False

    @property
    def untold(self) -> int:
        """How many failures the notifier has not been told of."""
        with self._lock:
            return self._throttle.untold

    def add(self, failure: Failure) -> None:
        """Count *failure*; the notifier is told of it now or later. Called on a running event loop; never waits."""
        here = asyncio.get_running_loop()
        with self._lock:
            due = self._throttle.add(failure, here.time())
            running = self._loop is not None and not self._loop.is_closed()
            if running and not due:
                return
            if not running:
                home = self.home
                self._loop, self._task = here if home is None or home.is_closed() else home, None
            loop = self._loop
            assert loop is not None
        if loop is here:
            self._begin()
        else:
            try:
                loop.call_soon_threadsafe(self._begin)
            except RuntimeError:  # closed just now; what it has not told, the next failure or `aclose` will
                pass

    def _begin(self) -> None:
        """Make the task, or wake it up; on its loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._loop is None and self._throttle.untold:  # the task that was to be woken up has ended meanwhile
                self._loop = loop
            if self._loop is not loop:
                return
            if self._task is None:
                self._ending = False
                self._wake = asyncio.Event()
                self._task = loop.create_task(self._work(), name=f"rxchain notifies {self.shown}")
                self._task.add_done_callback(self._cancelled)
            self._wake.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            with self._lock:
                found = self._throttle.take(loop.time())
                at = self._throttle.next_at()
                if not found and (at is None or self._ending):
                    self._loop = self._task = None  # with the lock: whoever comes now makes another task
                    return
            if found:
                failed = await self._tell_each(found)
                if failed is not None:
                    must_see(f"notifier {self.shown} failed; it is told again in {self.per:g} s", error=failed)
                continue
            try:
                async with asyncio.timeout_at(at):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _cancelled(self, task: asyncio.Task[None]) -> None:
        """See to what a task leaves that was cancelled, be it before it began."""
        with self._lock:
            if self._task is task:
                self._loop = self._task = None
            untold = self._throttle.untold
        if task.cancelled() and untold and not self._ending:
            must_see(
                f"notifier {self.shown} has not been told of {untold} failures: its event loop ended before"
                " ErrorHandler.aclose() was awaited; use `async with ErrorHandler(...)`"
            )

    async def _tell_each(self, found: list[Notification]) -> Exception | None:
        """Tell of each of *found*; what cannot be told is counted again. The last error."""
        loop = asyncio.get_running_loop()
        taken = loop.time()
        failed: Exception | None = None
        while found:
            try:
                await self._tell(found[0])
            except Exception as error:
                failed = error
            except BaseException:
                with self._lock:
                    for notification in found:
                        self._throttle.put_back(notification, taken, loop.time())
                raise
            else:
                self.told += found.pop(0).count
                continue
            with self._lock:
                self._throttle.put_back(found.pop(0), taken, loop.time())
        return failed

    async def _tell(self, notification: Notification) -> None:
        # A plain function may wait for a server: in a thread the stream need not wait with it.
        async with asyncio.timeout(LIMIT):
            if colour(self.notifier) is Colour.ASYNC:
                result = self.notifier(notification)
            else:
                result = await asyncio.to_thread(self.notifier, notification)
            if inspect.isawaitable(result):
                await result

    async def aclose(self) -> None:
        """Tell what has not been told, be it time or not. The outlet can be used again."""
        here = asyncio.get_running_loop()
        task = self._task
        if task is not None and self._loop is here:
            self._ending = True
            self._wake.set()
            try:
                await asyncio.wait([task])  # unlike `await task` it does not cancel what it waits for
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait([task])
                self._give_up(None)
                raise
        with self._lock:
            found = self._throttle.take_all(here.time())
        try:
            failed = await self._tell_each(found)
        except asyncio.CancelledError:
            self._give_up(None)
            raise
        if failed is not None:
            self._give_up(failed)

    def _give_up(self, error: Exception | None) -> None:
        """Say, at the end of a run, of how many failures the notifier could not be told."""
        untold = self.untold
        if untold:
            why = "it failed" if error is not None else "it was broken off"
            must_see(f"notifier {self.shown} has not been told of {untold} failures: {why}", error=error)
