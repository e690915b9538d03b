"""An event loop with its own time: when nothing is ready, it is the time of the next timer.

The loop is asyncio's own but for its clock and its selector, so that tasks, timeouts, TaskGroup and whatever else is
built on it are the real ones. The rival, a real loop whose `time` is patched, sleeps; one that is advanced by hand
needs the test to know how many rounds the code under test takes.
"""

import asyncio
import heapq
import selectors
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple

from rxchain import RxChainError
from rxchain.testing._waiting import describe_all

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

GRACE = 0.5
"""Real seconds for which threads of which nobody said that they are waited for may still report."""

MOST_CANCELLATIONS = 10
"""How often a task that ignores its cancellation is cancelled again when a run has failed."""


class Deadlock(RxChainError):
    """Raised by `run` and `VirtualLoop` when everything waits: nothing is ready, and no timer is set.

    ``waiting`` says of each task where it waits. All of them have been cancelled and awaited by then.
    """

    def __init__(self, why: str, waiting: list[str]) -> None:
        super().__init__("\n    ".join([f"everything waits: {why}", *waiting]))
        self.waiting = waiting


class LimitReached(RxChainError):
    """Raised by `run` and `VirtualLoop` when a run passes its limit of virtual time or of rounds of the loop.

    ``tasks`` says of each task where it stood.
    """

    def __init__(self, why: str, tasks: list[str]) -> None:
        super().__init__("\n    ".join([why, *tasks]))
        self.tasks = tasks


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on which waiting takes no time, and `time()` begins at 0.

    >>> import asyncio
    >>> from rxchain.testing import VirtualLoop
    >>> with asyncio.Runner(loop_factory=VirtualLoop) as runner:
    ...     runner.run(asyncio.sleep(3600, "an hour later, at once"))
    ...     runner.get_loop().time()
    'an hour later, at once'
    3600.0

    Timers that are due at the same moment (to a microsecond) run in the order of their time, then of their setting.
    While a job of `run_in_executor` or `asyncio.to_thread` is out, time stands still and the job is really waited for;
    `hold` says the same of other threads. Sockets are polled, never waited for as long as a timer is set: use fakes.

    Args:
        max_seconds: the virtual time that may pass: beyond it `LimitReached` is raised.
        max_iterations: how many rounds the loop may make, so that ``while True: await sleep(0)`` ends as well.
        patience: real seconds for which a thread is waited for, or a socket where no timer is set.
    """

    def __init__(
        self, *, max_seconds: float = 86_400.0, max_iterations: int = 1_000_000, patience: float = 30.0
    ) -> None:
        self.max_seconds = max_seconds
        self.max_iterations = max_iterations
        self.patience = patience
        self._virtual_now = 0.0
        self._virtual_iterations = 0
        self._virtual_breaths = 0.0
        self._virtual_holds = 0
        self._virtual_timers = 0
        self._virtual_quiet: list[asyncio.Future[None]] = []
        self._virtual_threads = set(threading.enumerate())  # not their idents, which are used again
        super().__init__(_Selector(self._virtual_select))
        # asyncio's own is a nanosecond; added to the time of a few months that is lost in rounding, and no timer due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The virtual time: seconds since the loop was made, none of them real."""
        return self._virtual_now

    def breathing_clock(self) -> float:
        """What a busy chain asks when to let others run: here after so many items, not after so much real time."""
        self._virtual_breaths += 1e-6
        return self._virtual_breaths

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let time stand still: inside, the loop waits in real time for a thread of yours to call back.

        >>> import asyncio, threading
        >>> from rxchain.testing import run
        >>> async def main():
        ...     loop = asyncio.get_running_loop()
        ...     answer = loop.create_future()
        ...     thread = threading.Thread(target=loop.call_soon_threadsafe, args=(answer.set_result, 42))
        ...     thread.start()
        ...     with loop.hold():
        ...         return await answer
        >>> run(main())
        42
        """
        self._virtual_holds += 1
        try:
            yield
        finally:
            self._virtual_holds -= 1

    async def quiet(self) -> None:
        """Wait until everything else waits: nothing is ready, no timer is set, no thread is held for."""
        waiter = self.create_future()
        self._virtual_quiet.append(waiter)
        try:
            await waiter
        finally:
            self._virtual_quiet.remove(waiter)

    def everything_waits(self, why: str = "nothing is ready, and no timer is set") -> Deadlock:
        """The error that says so, with where each task waits now."""
        return Deadlock(why, self._virtual_tasks())

    # --- what asyncio asks for

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call *callback* at a virtual time, behind those that were set for the same time before."""
        self._check_closed()  # type: ignore[attr-defined]
        self._virtual_timers += 1
        timer = _Timer(when, callback, args, self, context)
        timer.order = self._virtual_timers
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], R], *args: *Ts) -> "asyncio.Future[R]":
        """Run *func* in a thread (or process), and let time stand still until it is done."""
        job = super().run_in_executor(executor, func, *args)
        self._virtual_holds += 1
        job.add_done_callback(self._virtual_job_is_done)
        return job

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait, in real time, for the threads of the default executor."""
        with self.hold():
            await super().shutdown_default_executor()

    # --- the time

    def _virtual_job_is_done(self, _: object) -> None:
        self._virtual_holds -= 1

    def _virtual_select(self, poll: "Callable[[float], _Events]", timeout: float | None) -> "_Events":
        """What is ready; where nothing is, time moves on to the next timer."""
        self._virtual_iterations += 1
        if self._virtual_iterations > self.max_iterations:
            raise LimitReached(
                f"the loop made {self.max_iterations} rounds in {self._virtual_now:g} s of virtual time: something"
                " polls without end, or max_iterations= is to be raised; unfinished:",
                self._virtual_tasks(),
            )
        events = poll(0)
        if events or timeout == 0:
            return events
        if self._virtual_holds:
            events = poll(self.patience)
            if not events:
                raise self.everything_waits(f"a thread has not reported for {self.patience:g} s of real time")
            return events
        if timeout is not None:
            when: float = self._scheduled[0]._when  # type: ignore[attr-defined]
            if when > self.max_seconds:
                raise LimitReached(
                    f"the next timer is set for {when:.15g} s of virtual time,"
                    f" and the limit is {self.max_seconds:.15g}: something never ends,"
                    " or max_seconds= is to be raised; unfinished:",
                    self._virtual_tasks(),
                )
            self._virtual_now = max(self._virtual_now, when)
            return events
        return self._virtual_no_timer(poll)

    def _virtual_no_timer(self, poll: "Callable[[float], _Events]") -> "_Events":
        """Nothing will happen by itself: only a thread, or a socket, could still bring something."""
        sockets = len(self._selector.get_map()) > 1  # type: ignore[attr-defined]  # one is the loop's own, to be woken by
        threads = set(threading.enumerate()) - self._virtual_threads - {threading.current_thread()}
        if sockets or threads:
            events = poll(self.patience if sockets else GRACE)
            if events:
                return events
        waiting = [waiter for waiter in self._virtual_quiet if not waiter.done()]
        if not waiting:
            raise self.everything_waits()
        for waiter in waiting:
            waiter.set_result(None)
        return []

    def _virtual_tasks(self) -> list[str]:
        return describe_all(asyncio.all_tasks(self))

    def _virtual_give_up(self, error: RxChainError) -> None:
        """Cancel all tasks and await them; what goes wrong then is noted on *error*."""
        for _ in range(MOST_CANCELLATIONS):
            tasks = asyncio.all_tasks(self)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            self._virtual_iterations = 0
            self.max_seconds += max(self._virtual_now, self.max_seconds)
            try:
                self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            except (Deadlock, LimitReached):
                continue
            for task in tasks:
                if not task.cancelled() and (late := task.exception()) is not None:
                    error.add_note(f"when it was cancelled then, the task {task.get_name()!r} failed: {late!r}")
        for text in self._virtual_tasks():
            error.add_note(f"cancelled {MOST_CANCELLATIONS} times, it still waits: {text}")


_Events = list[tuple[selectors.SelectorKey, int]]


class _Selector(selectors.DefaultSelector):
    """A selector that asks the loop how long to wait."""

    def __init__(self, ask: Callable[[Callable[[float], _Events], float | None], _Events]) -> None:
        super().__init__()
        self._ask = ask

    def select(self, timeout: float | None = None) -> _Events:
        return self._ask(super().select, timeout)


class _Timer(asyncio.TimerHandle):
    """A timer that keeps its place among those of the same time: a heap alone does not."""

    __slots__ = ("order",)

    order: int

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _Timer):
            return (self.when(), self.order) < (other.when(), other.order)
        return NotImplemented


def run(
    main: Coroutine[Any, Any, R],
    *,
    max_seconds: float = 86_400.0,
    max_iterations: int = 1_000_000,
    patience: float = 30.0,
) -> R:
    """Run *main* as `asyncio.run` does, in virtual time: see `VirtualLoop` for what that means and for the arguments.

    Where an event loop runs already, in a notebook or an async test, it does so in a thread of its own and blocks.

    >>> import asyncio
    >>> from rxchain.testing import run
    >>> async def main():
    ...     async with asyncio.timeout(5):
    ...         await asyncio.sleep(10)
    >>> run(main())
    Traceback (most recent call last):
    ...
    TimeoutError
    >>> async def forgotten():
    ...     await asyncio.Event().wait()
    >>> run(forgotten())
    Traceback (most recent call last):
    ...
    rxchain.testing._loop.Deadlock: everything waits: nothing is ready, and no timer is set
        the task 'Task-...' of forgotten, at <doctest ...>:2 in forgotten: await asyncio.Event().wait()

    Raises:
        Deadlock: everything waits, *main* too.
        LimitReached: more virtual time has passed, or the loop has made more rounds, than it may.
    """
    if not loop_is_running():
        return _run(main, max_seconds, max_iterations, patience)
    with ThreadPoolExecutor(1, "rxchain-testing") as thread:
        return thread.submit(copy_context().run, _run, main, max_seconds, max_iterations, patience).result()


def loop_is_running() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(main: Coroutine[Any, Any, R], max_seconds: float, max_iterations: int, patience: float) -> R:
    def make() -> VirtualLoop:
        return VirtualLoop(max_seconds=max_seconds, max_iterations=max_iterations, patience=patience)

    runner = asyncio.Runner(loop_factory=make)
    failed: RxChainError | None = None
    try:
        return runner.run(main)
    except (Deadlock, LimitReached) as error:
        failed = error
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        loop._virtual_give_up(error)  # before the runner does: it would wait for ever for a task that ignores it
        raise
    finally:
        try:
            runner.close()
        except (Deadlock, LimitReached):
            if failed is None:
                raise


__all__ = ["Deadlock", "LimitReached", "VirtualLoop", "run"]
