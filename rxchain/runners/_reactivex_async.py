"""An asynchronous chain on a reactivex Observable: a task on an event loop, fed through an inlet.

The loop is the one that runs where it is subscribed; where none does, one in a thread of its own, which ends with the
subscription. reactivex's own way, `concat_map` over futures, queues without bound, and disposal forgets what it began.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from rxchain.engine._inlet import Inlet
from rxchain.engine._loop_thread import LoopThread
from rxchain.errors import Overflow
from rxchain.runners._ending import is_ending, owned_task
from rxchain.runners._execution import Execution

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

LOOP_STOPPED = 0.1
"""Seconds after which a disposal on another thread looks whether the loop that it waits for still runs."""

_inside: ContextVar[tuple[_Run, ...]] = ContextVar("rxchain subscriptions", default=())
"""The runs that this code is a part of: it cannot wait for them to end."""


def with_tasks(source: Observable[Any], execution: Execution) -> Observable[Any]:
    """The output of an asynchronous chain over *source*; each subscription to it runs the chain afresh."""
    from reactivex import Observable

    def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
        return _Run(observer, execution).to(source, scheduler)

    return Observable(subscribe)


class _Disposed(Exception):
    """Ends a run from inside its own output."""


class _Run:
    """One run of an asynchronous chain, in a task."""

    def __init__(self, observer: ObserverBase[Any], execution: Execution) -> None:
        from reactivex.disposable import SingleAssignmentDisposable

        self._observer, self._execution = observer, execution
        self._on_next = observer.on_next
        self._name = f"chain {execution.label.chain!r}" if execution.label.chain else "the chain"
        self._thread: LoopThread | None = None
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._thread = LoopThread()
            self._loop = self._thread.loop
        self._context = copy_context()
        self._inlet: Inlet[Any] = Inlet(
            execution.window,
            execution.overflow,
            self._full,
            loop=self._loop,
            number=execution.numbering(),
            context=self._context.copy(),
        )
        self._context.run(lambda: _inside.set((*_inside.get(), self)))
        self._upstream = SingleAssignmentDisposable()
        self._task: asyncio.Task[None] | None = None
        self._telling = False
        """Whether the observer is being called."""
        self._dropping = False
        self._lock = threading.Lock()
        self._disposed = False
        """Whether the observer is told nothing any more."""
        self._ended = threading.Event()

    def to(self, source: Observable[Any], scheduler: SchedulerBase | None) -> DisposableBase:
        """Begin, and subscribe to *source*."""
        from reactivex.disposable import Disposable

        if self._thread is None:
            self._begin()
        else:
            self._loop.call_soon_threadsafe(self._begin)
        try:
            self._upstream.disposable = source.subscribe(
                self._take, self._inlet.end, self._inlet.end, scheduler=scheduler
            )
        except BaseException:
            self.dispose()
            raise
        return Disposable(self.dispose)

    def _begin(self) -> None:
        self._task = owned_task(self._work(), self._loop, self._context, f"{self._name}: subscription")
        self._task.add_done_callback(self._end)  # not in the task: cancelled at once, that never begins

    # --- from whoever emits

    def _take(self, item: Any) -> None:
        if not self._inlet.push(item):
            self._upstream.dispose()
        elif self._inlet.dropped and not self._dropping:
            self._dropping = True
            self._warn("items are being dropped; how many is told at the end")

    def _full(self, blocking: bool) -> Overflow:
        window = self._execution.window
        if blocking:
            return Overflow(
                f"{self._name}: overflow='block' makes the thread that emits wait, and here that is the event loop's"
                f" own thread, on which the chain runs: it would wait for ever\n"
                "    subject.on_next(item)  # incorrect, on the loop with a full window\n"
                "    await asyncio.to_thread(subject.on_next, item)  # correct; or Chain(..., overflow='drop_oldest')"
            )
        return Overflow(
            f"{self._name}: an Observable cannot be asked to wait, and {window} items are in flight or waiting\n"
            f"    Chain(..., window={window})  # incorrect for a source that is so far ahead\n"
            f"    Chain(..., window={max(64, window * 4)})  # correct if that is as far as it ever gets\n"
            "    Chain(..., overflow='block')  # correct if it emits on a thread of its own, which may wait\n"
            "    Chain(..., overflow='drop_oldest')  # correct if items may be lost; or 'drop_newest', 'latest'\n"
            "    chain.stream(items)  # correct for what can be iterated over: it is asked, and waits"
        )

    def _warn(self, text: str) -> None:
        from rxchain.policies._log import must_see  # not when rxchain is imported: policies take as long as all of it

        execution = self._execution
        must_see(
            f"{self._name} (overflow={execution.overflow!r}, window={execution.window}): {text}",
            chain=execution.label.chain or "",
        )

    # --- on the loop

    async def _work(self) -> None:
        told: tuple[Any, ...] = (self._observer.on_completed,)
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._hand_on()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                cancelled = error
            if self._disposed and hasattr(error, "__notes__"):  # of what failed meanwhile
                self._report("failed while it was being disposed of", error)
            told = (self._observer.on_error, error)
        except Exception as error:
            if self._disposed:
                self._report("failed while it was being disposed of", error)
            self._inlet.note_abandoned(error)
            told = (self._observer.on_error, error)
        self._let_go()
        self._tell(*told)
        if cancelled is not None:
            raise cancelled

    async def _hand_on(self) -> None:
        with suppress(_Disposed):
            await self._execution.emit(self._inlet, self._give_on)

    def _give_on(self, output: Any) -> None:
        self._give(output)
        if self._disposed:
            raise _Disposed

    def _give(self, output: Any) -> None:
        """Call the observer with an output, unless it is told nothing any more."""
        self._telling = True  # before looking: who disposes looks at it behind
        try:
            if not self._disposed:
                self._on_next(output)
        except Exception as error:
            self._observer_failed(error)
            self._cancel()
        finally:
            self._telling = False

    def _tell(self, signal: Callable[..., None], *args: Any) -> None:
        """Call the observer about the end, unless it is told nothing any more."""
        self._telling = True
        try:
            if not self._disposed:
                signal(*args)
        except Exception as error:
            self._observer_failed(error)
        finally:
            self._telling = False

    def _observer_failed(self, error: Exception) -> None:
        self._disposed = True
        self._report("ends: its observer raised", error)

    def _report(self, what: str, error: BaseException) -> None:
        """Tell of an error that has nobody else to go to."""
        # Without the task: the handler would be run in its context, which this may be running in.
        self._loop.call_exception_handler({"message": f"{self._name} on an Observable {what}", "exception": error})

    def _let_go(self) -> None:
        self._inlet.stop()
        try:
            self._upstream.dispose()
        except Exception as error:
            self._report("could not dispose of its source", error)

    def _end(self, _: object) -> None:
        self._let_go()
        if self._inlet.dropped:
            self._warn(f"{self._inlet.dropped} items were dropped")
        self._ended.set()
        if self._thread is not None:
            self._thread.stop()

    # --- disposal

    def dispose(self) -> None:
        """End the run; may come twice, and from any thread. Elsewhere than on the loop it waits until all has ended."""
        with self._lock:
            first, self._disposed = not self._disposed, True
        self._inlet.end()
        self._upstream.dispose()
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._cancel()
            return
        with suppress(RuntimeError):  # the loop is closed, and with it has ended what ran on it
            if first:
                self._loop.call_soon_threadsafe(self._cancel)
            # The observer that is being called may be waiting for this thread (reactivex's operators hold locks then),
            # and this may be one of the chain's own nodes. The run ends all the same.
            if not self._telling and self not in _inside.get():
                self._wait()

    def _cancel(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        is_ending(task)
        if task is not asyncio.current_task() and not task.cancelling():
            task.cancel()

    def _wait(self) -> None:
        while not self._ended.wait(LOOP_STOPPED):
            if not self._loop.is_running():
                return
        if self._thread is not None:
            self._thread.join()


__all__ = ["with_tasks"]
