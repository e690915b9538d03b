"""Pools of threads: for functions that block.

A thread that is woken wakes the next, if there is more to do; whoever hands over a call wakes one only if none is being
woken. So a burst of calls to a function that is quick is done by a thread or two, and one to a function that blocks
gets as many as there are calls. Woken threads are those that rested last; the others are let go when they have rested
for a while. Rivals: `concurrent.futures.ThreadPoolExecutor` wakes a thread and the loop for every call, which costs
six times as much; its threads stay for ever, and hold up the exit until the last of them is done.
"""

import asyncio
import atexit
import os
import threading
import time
import weakref
from _thread import LockType, allocate_lock
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass

from rxchain.engine import shorten
from rxchain.errors import CompositionError
from rxchain.schedulers._abandoned import report_abandoned, report_left
from rxchain.schedulers._errors import PoolClosed
from rxchain.schedulers._placed import Call
from rxchain.schedulers._pool import Pool

SHARED_SIZE = 64
"""Threads of the shared pool at most. Nodes say themselves how many of their calls run at once."""

SHARED_IDLE = 0.1
"""Seconds for which a thread of the shared pool rests before it ends; starting another one takes 0.1 ms."""

EXIT_GRACE = 0.2
"""Seconds that calls are given to end by themselves when the interpreter exits."""


@dataclass(frozen=True)
class ThreadsStatistics:
    """How a pool of threads is doing."""

    threads: int
    """Threads that there are now."""
    busy: int
    """Threads that are inside a function."""
    waiting: int
    """Calls that have not begun."""


class Threads(Pool):
    """A pool of threads of your own, for ``node(..., on=Threads(16))``.

    >>> import asyncio, threading
    >>> from rxchain.schedulers import Threads, placed
    >>> async def main():
    ...     async with Threads(2, name="pictures") as pictures:
    ...         where = placed(lambda _: threading.current_thread().name, on=pictures, name="where")
    ...         return await where(None)
    >>> asyncio.run(main())
    'rxchain pictures 1'

    Threads are started when they are needed. Leaving the ``with`` or ``async with`` block, or `close`, ends them when
    what was handed over is done; left by Ctrl-C or by being cancelled, the block does not wait, and what still runs is
    logged. A pool that is never closed lets its threads go when they have rested for *idle* seconds, and does not hold
    up the interpreter's exit, which says what it left running.

    Args:
        size: how many threads there may be, and so how many calls run at once.
        name: how the threads are called: ``rxchain NAME 1``, and so on.
        idle: seconds for which a thread without work stays.

    Raises:
        CompositionError: *size* is no number of threads, or *idle* no number of seconds.
    """

    def __init__(self, size: int, *, name: str = "own", idle: float = 10.0) -> None:
        if type(size) is not int or size < 1:
            raise CompositionError(
                f"a pool's size is a number of threads, 1 or more, got {shorten(size)}\n"
                f"    Threads({shorten(size, 30)})  # incorrect\n"
                "    Threads(16)  # correct"
            )
        if not isinstance(idle, (int, float)) or not idle >= 0:
            raise CompositionError(f"Threads: idle is a number of seconds, 0 or more, got {shorten(idle)}")
        self.size = size
        self.name = name
        self.idle = min(idle, threading.TIMEOUT_MAX)
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._jobs: deque[Call] = deque()
        self._resting: list[LockType] = []
        """The gates of threads that wait for work: releasing one lets its thread go on."""
        self._waking = False
        """Whether a thread is on its way that has not looked at the jobs yet."""
        self._closed = False
        self._abandoned = False
        self._lock = allocate_lock()
        self._workers: list[_Worker] = []  # under the lock, as are the next two
        self._started = 0
        self._ended: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"Threads({self.size}, name={self.name!r})"

    def statistics(self) -> ThreadsStatistics:
        """How many threads there are now, and what they do."""
        workers = list(self._workers)
        busy = sum(worker.call is not None for worker in workers)
        return ThreadsStatistics(len(workers), busy, len(self._jobs))

    def submit(self, call: Call) -> None:
        """Have *call* run on a thread, behind those that wait already."""
        if self._closed:
            raise PoolClosed(f"node {call.placed.name!r}: its pool {self!r} has been closed")
        self._jobs.append(call)
        if not self._waking:
            try:
                self._wake()
            except BaseException:  # not a single thread could be started
                if call in self._jobs:
                    self._jobs.remove(call)
                raise

    # --- threads come and go

    def _wake(self) -> None:
        """Let one more thread look at the jobs: one that rests, or a new one."""
        try:
            gate = self._resting.pop()
        except IndexError:
            if len(self._workers) < self.size:
                self._start()
            return
        self._waking = True
        gate.release()

    def _start(self) -> None:
        with self._lock:
            if len(self._workers) >= self.size:
                return
            self._started += 1
            worker = _Worker(self, f"rxchain {self.name} {self._started}")
            self._workers.append(worker)
            self._waking = True
        try:
            worker.start()
        except BaseException:  # no more threads in this process: those that there are will do it
            self._waking = False
            with self._lock:
                self._workers.remove(worker)
                alone = not self._workers
            if alone:
                raise

    def work(self, worker: "_Worker") -> None:
        """What each thread does."""
        jobs, resting, gate = self._jobs, self._resting, allocate_lock()
        gate.acquire()
        while True:
            # Before the jobs are looked at: who hands one over and still sees True, knows that it will be found.
            self._waking = False
            while jobs:
                try:
                    call = jobs.popleft()
                except IndexError:
                    break
                if jobs and not self._waking:
                    self._wake()
                worker.call = call
                after = call.run()
                if after is not None:
                    if self._abandoned:
                        after.begin()  # which fails
                    else:
                        jobs.append(after)  # behind those that wait already; if no other thread does, this one finds it
                worker.call = call = after = None  # type: ignore[assignment]  # nothing of an item stays with a thread
            resting.append(gate)
            if jobs or self._closed:
                # Something came in between, and who brought it may not have seen this thread resting.
                try:
                    resting.remove(gate)
                except ValueError:
                    gate.acquire()  # but it has been seen: it is being woken
                    continue
            elif gate.acquire(timeout=self.idle):
                continue
            else:
                try:
                    resting.remove(gate)
                except ValueError:
                    gate.acquire()
                    continue
            with self._lock:
                self._workers.remove(worker)
                # Nothing to do: who hands over a call from now on sees a thread less, and starts one.
                if not jobs:
                    ended, self._ended = ([], self._ended) if self._workers else (self._ended, [])
                    break
                self._workers.append(worker)
        for future in ended:
            try:
                future.get_loop().call_soon_threadsafe(_set, future)
            except RuntimeError:  # closed: nobody waits
                pass

    # --- the end

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls, and end the threads. May be called twice, and from any thread.

        Args:
            wait: until all that was handed over is done. Otherwise calls that have not begun fail with `PoolClosed`,
                those that run are logged, and their threads end with them.
        """
        self._end(drop=not wait)
        for worker in list(self._workers):
            if wait and worker is not threading.current_thread():
                worker.join()
            elif (call := worker.call) is not None:
                report_abandoned(call.placed.name, call.args, f"thread {worker.name!r}")

    async def aclose(self) -> None:
        """Take no more calls, and end the threads; waits until all that was handed over is done."""
        self._end()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            workers = list(self._workers)
            if workers:
                self._ended.append(future)
        if workers:
            with getattr(loop, "hold", nullcontext)():
                await future
        for worker in workers:
            worker.join()  # they have nothing left to do

    def _end(self, drop: bool = False) -> None:
        self._closed = True
        self._abandoned = self._abandoned or drop
        while drop and self._jobs:
            try:
                call = self._jobs.popleft()
            except IndexError:
                break
            call.deliver(None, PoolClosed(f"node {call.placed.name!r}: its pool {self!r} was closed before it began"))
        while self._resting:
            try:
                self._resting.pop().release()
            except IndexError:
                break


class _Worker(threading.Thread):
    """A thread of a pool. A daemon: the interpreter's exit does not wait for it, but says so."""

    def __init__(self, pool: Threads, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.call: Call | None = None
        self._pool = pool

    def run(self) -> None:
        self._pool.work(self)


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


_pools: "weakref.WeakSet[Threads]" = weakref.WeakSet()
shared_threads = Threads(SHARED_SIZE, name="threads", idle=SHARED_IDLE)


@atexit.register
def _at_exit() -> None:
    """Whatever still runs has had its time: say what it is, and let the interpreter go."""
    pools = list(_pools)
    handed = [call for pool in pools for call in (*pool._jobs, *(w.call for w in list(pool._workers) if w.call))]
    waiting = sum(not call.unwanted for pool in pools for call in list(pool._jobs))
    waiting += sum(len(lane) for lane in {call.lane for call in handed if call.lane is not None})
    for pool in pools:
        pool._jobs.clear()
        pool._end()
    workers = [worker for pool in pools for worker in list(pool._workers)]
    until = time.monotonic() + EXIT_GRACE
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    busy = [(call, worker) for worker in workers if (call := worker.call) is not None]
    report_left([(call.placed.name, call.args, f"thread {worker.name!r}") for call, worker in busy], waiting)


def _after_fork() -> None:
    """A child has none of its parent's threads."""
    for pool in list(_pools):
        closed = pool._closed
        pool._reset()
        pool._closed = closed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
