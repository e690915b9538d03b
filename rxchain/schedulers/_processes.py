"""Pools of processes: for functions that compute.

`concurrent.futures.ProcessPoolExecutor` does the work; around it: workers are started afresh (``spawn``, the same on
every system; a forked copy of a process with threads may hang), a pool whose worker died is replaced, one that rests is
let go, and the interpreter's exit does not wait for it.
"""

import asyncio
import os
import threading
import weakref
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rxchain.engine import shorten
from rxchain.errors import CompositionError
from rxchain.schedulers._errors import PoolClosed
from rxchain.schedulers._placed import Call
from rxchain.schedulers._pool import Pool

if TYPE_CHECKING:
    from rxchain.schedulers._team import Team

SHARED_IDLE = 10.0
"""Seconds for which the shared pool rests before its processes end; starting one takes 0.1 s and more."""


@dataclass(frozen=True)
class ProcessesStatistics:
    """How a pool of processes is doing."""

    processes: int
    """Worker processes that there are now."""
    calls: int
    """Calls that run or wait."""


class Processes(Pool):
    """A pool of processes of your own, for ``node(..., on=Processes(4))``.

    >>> import asyncio, math
    >>> from rxchain.schedulers import Processes, placed
    >>> async def main():
    ...     async with Processes(1) as workers:
    ...         factorial = placed(math.factorial, on=workers, name="factorial")
    ...         return await factorial(10)
    >>> asyncio.run(main())
    3628800

    Worker processes are started when they are needed, and import the module of the function; a script that starts some
    has to keep what it does below ``if __name__ == "__main__":``, as each of them reads it again. Leaving the ``with``
    or ``async with`` block, or `close`, ends them when what was handed over is done; left by Ctrl-C or by being
    cancelled, the block ends them at once, and what they were doing is logged. Workers end when they have had nothing
    to do for *idle* seconds, and do not hold up the interpreter's exit, which says what it broke off.

    Args:
        size: how many processes there may be; as many as there are processors if not given.
        idle: seconds for which processes without work stay.

    Raises:
        CompositionError: *size* is no number of processes, or *idle* no number of seconds.
    """

    def __init__(self, size: int | None = None, *, idle: float = 60.0) -> None:
        most = 61 if os.name == "nt" else 1 << 16  # what Windows can wait for
        if size is None:
            size = min(os.cpu_count() or 1, most)
        if type(size) is not int or not 1 <= size <= most:
            raise CompositionError(
                f"a pool's size is a number of processes, from 1 to {most}, got {shorten(size)}\n"
                f"    Processes({shorten(size, 30)})  # incorrect\n"
                "    Processes(4)  # correct"
            )
        if not isinstance(idle, (int, float)) or not idle >= 0:
            raise CompositionError(f"Processes: idle is a number of seconds, 0 or more, got {shorten(idle)}")
        self.size = size
        self.idle = min(idle, threading.TIMEOUT_MAX)
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._team: Team | None = None  # under the condition's lock
        _pools.add(self)

    def __repr__(self) -> str:
        return f"Processes({self.size})"

    def statistics(self) -> ProcessesStatistics:
        """How many processes there are now, and what they do."""
        team = self._team
        if team is None:
            return ProcessesStatistics(0, 0)
        return ProcessesStatistics(sum(process.is_alive() for process in team.processes), len(team.calls))

    def submit(self, call: Call) -> None:
        """Have *call* run in a process, behind those that wait already."""
        from rxchain.schedulers._team import Team  # multiprocessing takes time to import, and may never be needed

        for last in (False, True):
            with self._changed:
                if self._closed:
                    raise PoolClosed(f"node {call.placed.name!r}: its pool {self!r} has been closed")
                team = self._team
                if team is None or team.broken:
                    team = self._team = Team(self)
                team.out += 1
            try:
                team.submit(call)
            except BaseException as error:
                team.refused(broken=isinstance(error, BrokenExecutor))
                if last or not isinstance(error, RuntimeError):
                    raise  # otherwise it was broken, or closed, in this very moment
            else:
                return

    # --- the end

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls, and end the processes. May be called twice, and from any thread.

        Args:
            wait: until all that was handed over is done. Otherwise the processes are killed, the calls fail with
                `PoolClosed`, and what was running is logged.
        """
        team = self._leave(closing=True)
        if team is not None:
            team.end(wait)

    async def aclose(self) -> None:
        """Take no more calls, and end the processes; waits until all that was handed over is done."""
        team = self._leave(closing=True)
        if team is None:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def ended() -> None:
            team.end(True)
            try:
                loop.call_soon_threadsafe(_set, future)
            except RuntimeError:  # the loop was closed: nobody waits
                pass

        thread = threading.Thread(target=ended, name="rxchain processes, closing", daemon=True)
        thread.start()
        with getattr(loop, "hold", nullcontext)():
            await future
        thread.join()

    def _leave(self, closing: bool) -> "Team | None":
        with self._changed:
            self._closed = self._closed or closing
            team, self._team = self._team, None
            self._changed.notify_all()
        return team


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


_pools: "weakref.WeakSet[Processes]" = weakref.WeakSet()
shared_processes = Processes(idle=SHARED_IDLE)


def _after_fork() -> None:
    """A child has none of its parent's workers."""
    for pool in list(_pools):
        pool._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
