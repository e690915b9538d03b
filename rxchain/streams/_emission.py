"""One subscription: a task hands a stream's items to its subscriber, as they are requested.

All signals but `on_subscribe` come from that task, so they are serial (1.3), and a request made in `on_next` cannot
recurse (3.3): it adds to the demand, and the task goes on. `request` and `cancel` come from anywhere; what they change
is changed on the task's event loop, so nothing here is locked.
"""

import asyncio
import operator
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Generic

from rxchain.engine._loop_thread import LoopThread
from rxchain.streams._errors import Interrupted, report
from rxchain.streams._protocols import Subscriber
from rxchain.types import T

_running: set["asyncio.Task[None]"] = set()
"""The tasks of all subscriptions that have not ended: an event loop alone would not keep them."""

FORBIDDEN = "a subscriber's signals raise nothing (rule 2.13 of Reactive Streams)"

NO_NONE = (
    "a publisher cannot signal None, and the chain gave it as a result (rule 2.13 of Reactive Streams)\n"
    "    Chain(print).publisher(items)  # incorrect\n"
    "    Chain(ops.tap(print)).publisher(items)  # correct; or drop it: ops.filter(lambda x: x is not None)"
)


class Emission(Generic[T]):
    """A subscription, seen from the publisher; to the subscriber it is a `Subscription`.

    Args:
        open_stream: makes the stream, when the first item is requested.
        ending: says that the stream is about to end, so that it may be asked for one item ahead of the demand: its end
            is signalled then without a request (2.9, 2.10). `look` says that this may have changed.
        done: is called once, when nothing is left of the subscription.
        refusal: fails the subscription instead of running it.
    """

    def __init__(
        self,
        subscriber: Subscriber[T],
        open_stream: Callable[[], AsyncGenerator[T, None]],
        *,
        ending: Callable[[], bool] = lambda: False,
        done: Callable[[], None] = lambda: None,
        refusal: Exception | None = None,
    ) -> None:
        self._subscriber: Subscriber[T] | None = subscriber  # None once it was signalled its end, or has cancelled
        self._open = open_stream
        self._ending = ending
        self._done = done
        self._refusal = refusal
        self._demand = 0
        self._thread: LoopThread | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._interruptible = False  # the task waits for demand or for the stream, and for nothing else
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._thread = LoopThread()
            self._loop = self._thread.loop

    # --- the subscription's face

    def request(self, n: int, /) -> None:
        """Ask for *n* more items."""
        n = operator.index(n)
        if n > 0:
            self._hand_over(self._add, n)
        else:
            self._hand_over(self._refuse, _not_positive(n))

    def cancel(self) -> None:
        """End the subscription; nothing is signalled from here on but what is being signalled right now."""
        if self._subscriber is not None:
            self._subscriber = None
            self._hand_over(self._interrupt_soon)

    def look(self) -> None:
        """Ask again whether the stream is about to end."""
        self._hand_over(self._wake)

    # --- what the publisher does

    def begin(self) -> None:
        """Give the subscriber its subscription, and run it. Nothing else is signalled before that has returned."""
        self._signal("on_subscribe", self)
        self._hand_over(self._start)  # and with it the context variables of here

    def _start(self) -> None:
        if self._subscriber is None:
            self._end()
            return
        task = self._loop.create_task(self._run())
        self._task = task
        _running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None] | None" = None) -> None:
        if task is not None:
            _running.discard(task)
            if not task.cancelled():
                task.exception()  # what is no Exception, as KeyboardInterrupt, has stopped the event loop already
        self._demand = 0
        try:
            self._done()
        finally:
            if self._thread is not None:
                self._thread.close()

    # --- on the loop

    def _hand_over(self, call: Callable[..., None], *args: Any) -> None:
        """*call* on the event loop: now where that runs, soon from elsewhere, never once it is closed."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            call(*args)
            return
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _add(self, n: int) -> None:
        self._demand += n
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _refuse(self, error: Exception) -> None:
        if self._refusal is None:
            self._refusal = error
            self._interrupt_soon()

    def _interrupt_soon(self) -> None:
        # Not now: this may be the task itself, in on_next or in one of the chain's functions. To cancel it there would
        # hit what it awaits next, which may be the closing of the source.
        self._loop.call_soon(self._interrupt)

    def _interrupt(self) -> None:
        if self._interruptible and self._task is not None:
            self._interruptible = False
            self._task.cancel()

    @property
    def _stopped(self) -> bool:
        return self._subscriber is None or self._refusal is not None

    # --- the task

    async def _run(self) -> None:
        """Pass the stream on, close it, then signal how it ended."""
        error: Exception | None = None
        try:
            await self._pass_on()
        except asyncio.CancelledError as cancelled:
            if not self._stopped:
                self._refusal = Interrupted("the task that ran the subscription was cancelled before its end")
                self._refusal.__cause__ = cancelled
            if self._refusal is not None:
                self._signal_end("on_error", self._refusal)
            raise
        except Exception as failure:
            error = failure
        if error is not None and self._stopped:
            report("a chain failed when its subscription had ended already", error)
        if self._refusal is not None or error is not None:
            self._signal_end("on_error", self._refusal or error)
        else:
            self._signal_end("on_complete")

    async def _pass_on(self) -> None:
        self._interruptible = True
        await self._permission()
        if self._stopped:
            return
        async with aclosing(self._open()) as stream:
            try:
                await self._pass_on_from(stream)
            finally:
                self._interruptible = False  # closing the stream is not cut short

    async def _pass_on_from(self, stream: AsyncGenerator[T, None]) -> None:
        async for item in stream:
            if item is None:
                raise TypeError(NO_NONE)
            while not self._demand and not self._stopped:  # it was asked for ahead of the demand
                await self._woken()
            if self._stopped:
                return
            self._demand -= 1
            self._signal("on_next", item)
            await self._permission()
            if self._stopped:
                return

    async def _permission(self) -> None:
        """Wait until the stream may be asked for an item."""
        while not self._demand and not self._stopped and not self._ending():
            await self._woken()

    async def _woken(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- signals

    def _signal(self, name: str, *args: object) -> None:
        subscriber = self._subscriber
        if subscriber is None:
            return
        try:
            getattr(subscriber, name)(*args)
        except Exception as error:
            self._subscriber = None
            report(f"{name} of {subscriber!r} raised, and its subscription is cancelled: {FORBIDDEN}", error)

    def _signal_end(self, name: str, *args: object) -> None:
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is None:
            return
        try:
            getattr(subscriber, name)(*args)
        except Exception as error:
            report(f"{name} of {subscriber!r} raised: {FORBIDDEN}", error)


def _not_positive(n: int) -> ValueError:
    return ValueError(
        f"request(n) asks for n items more, 1 or more, got {n} (rule 3.9 of Reactive Streams)\n"
        f"    subscription.request({n})  # incorrect\n"
        "    subscription.request(1)  # correct; to end the subscription: subscription.cancel()"
    )
