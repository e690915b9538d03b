"""Locks of one process: keys, each with a queue; for all event loops and threads.

Who asks for several keys joins all their queues in one moment, and is let in when first in each. So whoever came
first of all is never kept waiting by another who waits: no deadlock among those who ask once, and first come, first
served for each key. The rival, taking the keys one by one in their order, needs an order of what cannot be
ordered, and holds what it doesn't use yet. Who asks while holding something can close a circle; that is looked for.
"""

import asyncio
import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass

from rxchain.errors import LockDeadlock
from rxchain.policies._lease import inside


@dataclass(frozen=True, slots=True)
class LockSnapshot:
    """How a lock is doing."""

    keys: int
    """Keys that somebody has or waits for; others are not kept."""
    waiting: int
    """Calls that wait."""
    timeouts: int
    """Calls that have given up after their timeout, ever."""


class _Space:
    """The keys of one lock's name."""

    __slots__ = ("name", "queues", "timeouts", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queues: dict[Hashable, OrderedDict[Claim, None]] = {}
        """For each key those who have it or wait for it, in the order of their coming; never empty."""
        self.waiting = 0
        self.timeouts = 0


class Claim:
    """A call's place in the queues of its keys: it waits there, then it holds them. Then it is a `Lease`."""

    __slots__ = (
        *("_locks", "again", "asking", "fence", "granted", "let_in", "loop", "queues", "space", "too_late", "under"),
        *("users", "waits"),
    )

    space: _Space

    def __init__(self, locks: "LocalLocks", under: "tuple[Claim, ...]") -> None:
        self._locks = locks
        self.under = under
        """What the one who asks holds already."""
        self.loop = asyncio.get_running_loop()
        self.fence = 0
        self.queues: list[tuple[Hashable, OrderedDict[Claim, None]]] = []
        """Under the lock, as are the next six."""
        self.again: tuple[Claim, ...] = ()
        """Those who have keys that it asks for and is inside of: they keep them until it has gone, too."""
        self.asking: dict[Claim, None] = {}
        """Those who wait, and hold this meanwhile."""
        self.users = 1
        """Itself, and those it has let in again; 0 when it is over."""
        self.granted = False
        self.waits = False
        self.too_late = False
        self.let_in: asyncio.Future[None] | None = None
        """What it waits for, if it has to."""

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """What it has asked for that the one who asks did not hold yet."""
        return tuple([key for key, _ in self.queues])

    async def renew(self) -> None:
        """Nothing is to be done: within a process a lease does not end by itself."""

    async def release(self) -> None:
        """Let go of the keys."""
        self.leave()

    def leave(self) -> None:
        """The same from where nothing can be awaited; also from a coroutine that is being collected."""
        self._locks.leave(self)

    def is_first(self) -> bool:
        return all(next(iter(queue)) is self for _, queue in self.queues)

    def tell(self) -> bool:
        """Wake the call; False if its event loop is gone, and the call with it."""
        assert self.let_in is not None
        try:
            if self.loop is _running_loop():
                _wake(self.let_in)
            else:
                self.loop.call_soon_threadsafe(_wake, self.let_in)
        except RuntimeError:
            return False
        return True


class LocalLocks:
    """All locks of a process; a `LockBackend`. One of them, so that a circle through several locks is seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spaces: dict[str, _Space] = {}
        self._fences = itertools.count(1)
        self._leaving: deque[Claim] = deque()
        """Those who have gone, and whose keys have not been handed on yet.

        A coroutine may be collected at any moment, also while its own thread is inside here: it joins this queue, and
        whoever has the lock looks at it when done.
        """

    async def acquire(self, name: str, keys: tuple[Hashable, ...], within: float | None = None) -> Claim | None:
        """Wait for *keys* of lock *name*, and hold them; None after *within* seconds.

        Keys that this code is inside of already are held at once, and count once more.

        Raises:
            LockDeadlock: the wait would never end.
        """
        claim = self._enter(name, keys)
        if claim.let_in is None:
            return claim
        timer = claim.loop.call_later(within, _wake, claim.let_in) if within is not None else None
        try:
            await claim.let_in
        except BaseException:
            claim.leave()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if claim.granted:
            return claim
        claim.too_late = True
        claim.leave()
        return None

    def snapshot(self, name: str) -> LockSnapshot:
        """How lock *name* is doing."""
        self._settle()
        space = self._spaces.get(name)
        return (
            LockSnapshot(0, 0, 0) if space is None else LockSnapshot(len(space.queues), space.waiting, space.timeouts)
        )

    def forget(self, name: str | None) -> None:
        """Begin afresh with lock *name*, or all; who is inside an old one goes on there."""
        with self._lock:
            if name is None:
                self._spaces.clear()
            else:
                self._spaces.pop(name, None)
        self._settle()

    def leave(self, claim: Claim) -> None:
        """Take *claim* out of its queues, be it first there or not."""
        self._leaving.append(claim)
        self._settle()

    def _enter(self, name: str, keys: tuple[Hashable, ...]) -> Claim:
        held = inside.get()
        claim = Claim(self, tuple([outer.claim for outer in held]) if held else ())
        try:
            with self._lock:
                space = self._spaces.get(name)
                if space is None:
                    space = self._spaces[name] = _Space(name)
                claim.space = space
                if held:
                    keys = self._enter_again(claim, keys)
                free = True
                for key in keys:
                    queue = space.queues.get(key)
                    if queue is None:
                        queue = space.queues[key] = OrderedDict()
                    else:
                        free = False
                    claim.queues.append((key, queue))
                    queue[claim] = None
                if free:
                    self._grant(claim)
                else:
                    self._keep_waiting(claim)
                return claim
        except BaseException:  # also a key's own, when it is compared
            self._leaving.append(claim)
            raise
        finally:
            if self._leaving:
                self._settle()

    def _enter_again(self, claim: Claim, keys: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
        """Those of *keys* that the one who asks is not inside of; for the others its claim on them lasts longer."""
        mine = {key: outer for outer in claim.under if outer.users and outer.space is claim.space for key in outer.keys}
        claim.again = tuple(dict.fromkeys([mine[key] for key in keys if key in mine]))
        for outer in claim.again:
            outer.users += 1
        return tuple([key for key in keys if key not in mine])

    def _keep_waiting(self, claim: Claim) -> None:
        claim.let_in = claim.loop.create_future()
        claim.waits = True
        claim.space.waiting += 1
        for outer in claim.under:
            outer.asking[claim] = None
        if claim.under and _closes_a_circle(claim):
            holding = tuple([(outer.space.name, key) for outer in claim.under if outer.users for key in outer.keys])
            raise LockDeadlock(claim.space.name, claim.keys, holding)

    def _grant(self, claim: Claim) -> None:
        claim.granted = True
        # With no key of its own it is inside of others', who have their numbers.
        claim.fence = next(self._fences) if claim.queues else max(outer.fence for outer in claim.again)

    def _settle(self) -> None:
        """Hand on the keys of those who have gone, unless somebody is inside: then they do when they come out."""
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._take_out(self._leaving.popleft())
            finally:
                self._lock.release()

    def _take_out(self, claim: Claim) -> None:
        if not claim.users:
            return  # its event loop was gone, and it was taken out for that
        claim.users -= 1
        if claim.users:
            return
        self._leaving.extend(claim.again)
        claim.space.timeouts += claim.too_late
        _stop_waiting(claim)
        behind: list[Claim] = []
        for key, queue in claim.queues:
            was_first = next(iter(queue)) is claim
            del queue[claim]
            if not queue:
                del claim.space.queues[key]
            elif was_first:
                behind.append(next(iter(queue)))
        for first in behind:
            if not first.granted and first.is_first():
                self._grant(first)
                _stop_waiting(first)
                if not first.tell():
                    self._leaving.append(first)


def _stop_waiting(claim: Claim) -> None:
    if claim.waits:
        claim.waits = False
        claim.space.waiting -= 1
        for outer in claim.under:
            outer.asking.pop(claim, None)


def _closes_a_circle(claim: Claim) -> bool:
    """Whether somebody whom *claim* waits for waits for what the one who asks holds."""
    mine = set(claim.under)
    seen: set[Claim] = set()
    waiting = [claim]
    while waiting:
        one = waiting.pop()
        for _, queue in one.queues:
            for ahead in queue:
                if ahead is one:
                    break
                if ahead in mine:
                    return True
                if ahead not in seen:
                    seen.add(ahead)
                    # Who holds it may have to wait for something else before it can let go.
                    waiting += ahead.asking if ahead.granted else (ahead,)
    return False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # a coroutine is collected where none runs
        return None


def _wake(let_in: "asyncio.Future[None]") -> None:
    if not let_in.done():
        let_in.set_result(None)


local_locks = LocalLocks()
