"""The worker processes of a pool, while there are any."""

import signal
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing import connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from rxchain.schedulers._abandoned import report_abandoned, report_left
from rxchain.schedulers._errors import PoolClosed
from rxchain.schedulers._parcels import settle, submit_to_process, worker_died
from rxchain.schedulers._placed import Call

if TYPE_CHECKING:
    from rxchain.schedulers._processes import Processes

LOOKS_EVERY = 5.0
"""Seconds after which a pool that was dropped without a word is noticed."""

EXIT_GRACE = 0.2
"""Seconds that calls are given to end by themselves when the interpreter exits."""


class Team:
    """An executor, what it is doing, and a thread that sends it home when it has rested long enough."""

    def __init__(self, pool: "Processes") -> None:
        context = _Recording()
        self.processes = context.processes
        self.executor = ProcessPoolExecutor(pool.size, context, _start)
        self.calls: dict[Future[bytes], Call] = {}
        self.out = 0
        """Calls that are out or about to be; under the pool's lock, as are the next two."""
        self.broken = False
        self.quiet_since = time.monotonic()
        self.killed = False
        self._idle = pool.idle
        # Never held while the executor is asked for something: it calls `_done` with a lock of its own.
        self._changed = pool._changed
        self._pool = weakref.ref(pool)
        _teams.add(self)
        _exits_first()
        self._reaper = threading.Thread(target=self._reap, name="rxchain processes, resting", daemon=True)
        self._reaper.start()

    def submit(self, call: Call) -> None:
        """Hand *call* over; it has been counted."""
        future = submit_to_process(self.executor, call)
        self.calls[future] = call
        future.add_done_callback(self._done)

    def refused(self, broken: bool) -> None:
        """The executor did not take a call."""
        with self._changed:
            self.out -= 1
            self.broken = self.broken or broken
            self._changed.notify_all()

    def _done(self, future: "Future[bytes]") -> None:
        call = self.calls.pop(future)
        with self._changed:
            self.out -= 1
            if not self.out:
                self.quiet_since = time.monotonic()
        settle(future, call, self._explain)

    def _explain(self, call: Call, error: BaseException) -> BaseException:
        """What an error of the executor itself means."""
        if self.killed:
            return PoolClosed(f"node {call.placed.name!r}: its pool was closed before it was done")
        if not isinstance(error, BrokenExecutor):
            return error
        with self._changed:
            self.broken = True
            self._changed.notify_all()
        return worker_died(call, error, self._exit_codes())

    def _exit_codes(self) -> tuple[int, ...]:
        """Those of the processes that did not end well."""
        processes = {process.sentinel: process for process in list(self.processes)}
        for sentinel in connection.wait(list(processes), timeout=0):
            processes[sentinel].join(0.5)  # type: ignore[index]  # it is about to end: its pipes are closed already
        return tuple(process.exitcode for process in processes.values() if process.exitcode)

    def _reap(self) -> None:
        """Wait for the end, and end the executor: this thread alone does, as it takes one call of `shutdown` only."""
        with self._changed:
            while not self._is_over():
                left = self._idle if self.out else self.quiet_since + self._idle - time.monotonic()
                self._changed.wait(min(max(left, 0.05), LOOKS_EVERY))
        self.executor.shutdown(wait=True)

    def _is_over(self) -> bool:
        pool = self._pool()
        if pool is None or pool._team is not self:
            return True
        if self.broken or (not self.out and time.monotonic() - self.quiet_since >= self._idle):
            pool._team = None
            return True
        return False

    def end(self, wait_for_calls: bool) -> None:
        """Wait for the end of a team that its pool has let go."""
        if not wait_for_calls:
            self.killed = True
            for call in list(self.calls.values()):
                report_abandoned(call.placed.name, call.args, "a worker process, which is killed")
            self.kill()
        self._reaper.join()

    def kill(self) -> None:
        for process in list(self.processes):
            process.kill()


def _start() -> None:
    """What a worker process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, and that decides


# --- which processes there are


class _Recording(SpawnContext):
    """Starts processes, and remembers them: the executor does not say which are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # type: ignore[override]  # noqa: N802
        process = SpawnContext.Process(*args, **kwargs)
        self.processes.append(process)
        return process


_teams: "weakref.WeakSet[Team]" = weakref.WeakSet()
_registered = False


def _exits_first() -> None:
    """See to it that `_at_exit` runs before concurrent.futures waits for the workers, which may be never.

    What is registered last runs first; the public `atexit` comes after all of it.
    """
    global _registered
    if not _registered:
        _registered = True
        threading._register_atexit(_at_exit)  # type: ignore[attr-defined]


def _at_exit() -> None:
    teams = list(_teams)
    wait([future for team in teams for future in list(team.calls)], timeout=EXIT_GRACE)
    left = []
    for team in teams:
        team.killed = True
        if team.calls:
            left += [(call.placed.name, call.args, "a worker process") for call in list(team.calls.values())]
            team.kill()
    report_left(left, 0)
