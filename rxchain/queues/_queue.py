"""A queue of tasks in this process, for threads and coroutines on both ends.

What is put in stays the queue's until somebody has said that it is done: who takes a task has it on loan.

Everything happens under one lock, which is taken once for each call and never kept while anything waits or any function
of a user's runs, but for the clock and what compares and hashes keys. What most tasks go through, `_offer`,
`_take_plain` and `Delivery.ack`, is written out for speed; all else goes through `_enter`, `_look`, `_take`, `_back`.
"""

import math
import threading
import time
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from rxchain.engine import a_kind_of, shorten
from rxchain.errors import CompositionError, QueueClosed, QueueFull, RxChainError
from rxchain.queues._check import check_number, check_queue
from rxchain.queues._consumer import Consumer
from rxchain.queues._delivery import Delivery
from rxchain.queues._dues import Dues
from rxchain.queues._orders import Fifo, Lifo, Priority, Store, check_rank
from rxchain.queues._shares import Balance, Shares
from rxchain.queues._waiters import TaskWaiter, ThreadWaiter, Waiter, Waiters
from rxchain.types import Failure, T

Order = Literal["fifo", "lifo", "priority"]
W = TypeVar("W", TaskWaiter, ThreadWaiter)
ORDERS: dict[str, Callable[[], Store]] = {"fifo": Fifo, "lifo": Lifo, "priority": Priority}


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """How a queue is doing."""

    ready: int
    """Tasks that can be taken."""
    delayed: int
    """Tasks that wait for their time."""
    taken: int
    """Tasks in the hands of workers."""
    put: int
    """Tasks put in, ever."""
    done: int
    """Tasks that were acknowledged, ever."""
    redelivered: int
    """How often one went back, to be taken again, ever."""
    given_up: int
    """Tasks that were taken as often as may be, ever."""
    consumers: int
    """Workers with an end of their own."""
    closed: bool


class TaskQueue(Generic[T]):
    """Tasks that wait for workers, in threads, coroutines or both.

    >>> import asyncio
    >>> from rxchain import TaskQueue
    >>> async def main():
    ...     queue = TaskQueue("priority")
    ...     await queue.put("sweep", priority=5)
    ...     await queue.put("fire!", priority=0)
    ...     queue.close()
    ...     return [task async for task in queue]
    >>> asyncio.run(main())
    ['fire!', 'sweep']

    A chain takes from it (``chain.stream(queue)``; then a task counts as done when it is taken), works on it
    (``await queue.work(chain, workers=4)``; then when its results are there), and puts into it (``Chain(parse,
    queue.put)``).

    Args:
        order: ``"fifo"``, ``"lifo"``, or ``"priority"``: the smallest number first. A task that goes back takes its old
            place; one with a delay is as good as put in when that is over.
        size: how many tasks may wait, taken ones not counted; None for any number. What goes back always has room.
        ageing: for priorities: by how much a waiting task's number falls in a second, so that none starves.
        visibility: seconds after which a task that was taken, and of which nothing was said, goes back; None for never.
        attempts: how often a task may be taken; None for any number.
        given_up: a function that is told of a task that was taken that often, with a `Failure`, in whatever thread
            finds out; ``DeadLetters(...)`` is one.
        balance: who takes what: ``"shared"``, whoever is free; or each consumer (`consumer`) its share:
            ``"round_robin"`` in turn, ``"least_busy"`` where the fewest wait and are worked on, ``"by_key"`` tasks of
            one key to one consumer as long as that has any of them.
        key: a function of an item that gives its key, for ``"by_key"``.
        name: what it is called in failures.
        clock: seconds that never go back; for tests in virtual time the event loop's.

    Raises:
        CompositionError: an argument is not what it must be.
    """

    # fmt: off
    __slots__ = (  # of more than 30 attributes the interpreter finds none at once
        "__weakref__", "_acquire", "_ageing", "_attempts", "_clock", "_closed", "_delayed", "_direct", "_getters",
        "_given", "_given_up", "_held", "_joiners", "_key", "_last", "_leases", "_limit", "_lock", "_members",
        "_news", "_plain", "_put_in", "_putters", "_ranked", "_ready", "_redelivered", "_release", "_renumbered",
        "_shares", "_special", "_take_out", "_visibility", "_waiting", "_watched", "_watcher", "balance", "name",
        "order", "size",
    )
    # fmt: on

    def __init__(
        self,
        order: Order = "fifo",
        *,
        size: int | None = None,
        ageing: float = 0.0,
        visibility: float | None = None,
        attempts: int | None = None,
        given_up: Callable[[Failure], object] | None = None,
        balance: Balance = "shared",
        key: Callable[[T], Hashable] | None = None,
        name: str = "queue",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_queue(order, size, ageing, visibility, attempts, given_up, balance, key)
        self.order, self.size, self.balance, self.name = order, size, balance, name
        self._ageing, self._visibility, self._attempts, self._given_up = ageing, visibility, attempts, given_up
        self._key, self._clock = key, clock
        # A coroutine that waits here may be collected by any statement of its own thread, and then leaves its row.
        self._lock = threading.RLock()
        self._acquire, self._release = self._lock.acquire, self._lock.release  # half of what `with` costs
        self._ready = self._store()
        """What can be taken, and is meant for nobody."""
        self._put_in, self._take_out = self._ready.put, self._ready.take
        self._ranked = order == "priority"
        self._special = balance != "shared" or ageing > 0.0
        """Whether there is more to putting a task in than adding it to the store."""
        self._shares = None if balance == "shared" else Shares(balance, self._ready)
        self._members: list[Consumer[T]] = [] if self._shares is None else self._shares.members
        self._delayed, self._leases = Dues(), Dues()
        """Tasks that wait for their time; tasks that were taken, and go back at theirs."""
        self._getters, self._putters, self._joiners = Waiters(), Waiters(), Waiters()
        self._watcher: Waiter | None = None
        self._watched = math.inf
        """Who of those that wait has a timer, and for when: one is enough for all."""
        self._waiting = 0
        """Tasks that wait, for their time as well, whoever they are meant for."""
        self._held: set[Delivery[T]] = set()
        """Tasks in the hands of workers. Who removes one is who settles it, and may do so without the lock."""
        self._last = 0
        """The last number that was given out; a delay takes a second one."""
        self._renumbered = self._redelivered = self._given = 0
        self._limit: float = math.inf if size is None else size
        """How many may wait; -1 when nothing more is taken in."""
        self._closed = False
        self._plain = self._shares is None and visibility is None
        self._direct = self._plain
        """Whether the next task is simply the store's: nothing is delayed, on loan for a time, or come back."""
        self._news: deque[Callable[[], object]] = deque()
        """What users' functions have to be told; that is done without the lock."""

    def _store(self) -> Store:
        return ORDERS[self.order]()

    def __repr__(self) -> str:
        found = self.statistics()
        return f"<TaskQueue {self.name!r}, {self.order}: {len(self)} waiting, {found.taken} taken>"

    def __len__(self) -> int:
        """How many tasks wait, those that wait for their time included."""
        return self._waiting

    def __bool__(self) -> bool:
        """Always true: an empty queue is a queue."""
        return True

    # --- putting in

    async def put(self, item: T, *, priority: float = 0.0, delay: float = 0.0) -> T:
        """Put a task in; waits as long as the queue is full. Gives the item, so that it may stand in a chain.

        Args:
            item: the task.
            priority: the smallest is taken first, where the order is by priority.
            delay: seconds before it can be taken; then it is as good as put in just now.

        Raises:
            QueueClosed: the queue takes nothing more.
        """
        again = False
        while not self._offer(item, priority, delay):
            waiter = self._full(TaskWaiter, again)
            if waiter is not None:
                await self._suspended(waiter, None)
            again = True
        return item

    def put_sync(self, item: T, *, priority: float = 0.0, delay: float = 0.0, timeout: float | None = None) -> T:
        """The same from a thread: blocks it while the queue is full.

        Raises:
            QueueFull: it is still full after *timeout* seconds.
        """
        again, end = False, _end(timeout)
        while not self._offer(item, priority, delay):
            if time.monotonic() >= end:
                raise self._no_room()
            waiter = self._full(ThreadWaiter, again)
            if waiter is not None:
                self._blocked(waiter, None, end, "put")
            again = True
        return item

    def put_nowait(self, item: T, *, priority: float = 0.0, delay: float = 0.0) -> None:
        """The same without waiting, from anywhere.

        Raises:
            QueueFull: there is no room.
        """
        if not self._offer(item, priority, delay):
            raise self._no_room()

    async def write(self, batch: Iterable[T]) -> None:
        """As a sink: put all of *batch* in."""
        for item in batch:
            await self.put(item)

    async def flush(self) -> None:
        """As a sink: nothing is held back."""

    def _offer(self, item: T, priority: float, delay: float) -> bool:
        """Put it in, if there is room."""
        task: Delivery[T] = Delivery()
        task.item = item
        task.attempt = 1
        task._rank = priority
        task._consumer = None
        if delay or self._special or (priority and not self._ranked):
            return self._offer_special(task, delay)
        self._acquire()
        try:
            if self._waiting >= self._limit:
                return False
            task._number = number = self._last + 1
            self._put_in(task)
            self._last = number
            self._waiting += 1
            if self._getters:
                self._getters.wake()
        finally:
            self._release()
        return True

    def _offer_special(self, task: Delivery[T], delay: float) -> bool:
        """The same where a delay, ageing or consumers have to be thought of."""
        check_number("delay", delay, 0.0)
        if task._rank and not self._ranked:
            raise self._unranked(task._rank)
        check_rank(task._rank)
        if self._key is not None:
            task._key = self._key_of(task.item)
        with self._lock:
            if self._waiting >= self._limit:
                return False
            if self._ageing:
                task._rank += self._ageing * (self._clock() + delay)
            self._last = task._number = self._last + 1
            self._waiting += 1
            if delay:
                self._delay(task, delay)
            else:
                self._enter(task)
        return True

    def _full(self, kind: type[W], again: bool) -> W | None:
        """Somebody who waits for room; None if there is some."""
        with self._lock:
            if self._closed:
                raise self._no_room()
            if self._waiting < self._limit:
                return None
            waiter = kind()
            self._putters.join(waiter, first=again)
            return waiter

    def _no_room(self) -> QueueFull | QueueClosed:
        if self._closed:
            return QueueClosed(f"{self.name!r} is closed: nothing more can be put in")
        return QueueFull(f"{self.name!r} is full: {self.size} tasks wait in it")

    def _key_of(self, item: T) -> Hashable:
        assert self._key is not None
        key = self._key(item)
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"{self.name!r}: a key has to be hashable, and key= gave {a_kind_of(key)}: {shorten(key, 40)}\n"
                "    return [order.shop, order.customer]  # incorrect\n"
                "    return (order.shop, order.customer)  # correct"
            ) from None
        return key

    def _unranked(self, priority: float) -> CompositionError:
        return CompositionError(
            f"{self.name!r} gives out its tasks {self.order}, and so priority={priority!r} would mean nothing\n"
            f"    TaskQueue({self.order!r})  # incorrect\n"
            "    TaskQueue('priority')  # correct"
        )

    def _delay(self, task: Delivery[T], seconds: float) -> None:
        due = self._clock() + seconds
        self._delayed.set(task, due)
        self._direct = False
        self._watch_for(due)

    def _enter(self, task: Delivery[T]) -> None:
        """It can be taken now."""
        if self._shares is None:
            self._ready.push(task)
            self._getters.wake()
        else:
            self._shares.enter(task)

    # --- taking out

    async def get(self) -> Delivery[T]:
        """Take a task; waits until there is one.

        Raises:
            QueueClosed: the queue is closed, and nothing more will come.
            CompositionError: each consumer has its share, see ``balance=``: take at an end of your own.
        """
        return self._take_plain() or await self._get(None)

    def get_sync(self, timeout: float | None = None) -> Delivery[T]:
        """The same from a thread: blocks it.

        Raises:
            TimeoutError: there is none after *timeout* seconds.
        """
        return self._take_plain() or self._get_sync(None, timeout)

    def get_nowait(self) -> Delivery[T]:
        """The same without waiting, from anywhere.

        Raises:
            LookupError: there is none.
        """
        return self._take_plain() or self._get_nowait(None)

    def consumer(self, name: str = "") -> Consumer[T]:
        """A worker's own end: how tasks are shared out is up to ``balance=``; what it holds goes back when it ends."""
        return Consumer(self, name)

    async def __aiter__(self) -> AsyncIterator[T]:
        """The items, each done as soon as it is taken: for one that is done later see `work`, `get`, `consumer`."""
        with nullcontext() if self._shares is None else self.consumer() as mine:
            while True:
                try:
                    delivery = self._take_plain() or await self._get(mine)
                except QueueClosed:
                    return
                delivery.ack()
                yield delivery.item

    def __iter__(self) -> Iterator[T]:
        """The same from a thread."""
        with nullcontext() if self._shares is None else self.consumer() as mine:
            while True:
                try:
                    delivery = self._take_plain() or self._get_sync(mine, None)
                except QueueClosed:
                    return
                delivery.ack()
                yield delivery.item

    def _take_plain(self) -> Delivery[T] | None:
        """The next task, where nothing has to be thought of."""
        self._acquire()
        try:
            if not self._direct or not self._waiting:
                return None
            task = self._take_out()
            task._queue = self
            self._held.add(task)
            self._waiting -= 1
            if self._putters:
                self._putters.wake()
            return task
        finally:
            self._release()

    async def _get(self, consumer: Consumer[T] | None) -> Delivery[T]:
        again = False
        while True:
            found = self._take_or_wait(consumer, TaskWaiter, again)
            if isinstance(found, Delivery):
                return found
            if found is not None:
                await self._suspended(*found)
                again = True

    def _get_sync(self, consumer: Consumer[T] | None, timeout: float | None) -> Delivery[T]:
        again, end = False, _end(timeout)
        while True:
            if time.monotonic() < end:
                found = self._take_or_wait(consumer, ThreadWaiter, again)
            else:
                found = self._take_now(consumer)
                if found is None:
                    with self._lock:
                        self._watch_again()
                    raise TimeoutError(f"{self.name!r}: no task could be taken in {timeout} s")
            if isinstance(found, Delivery):
                return found
            if found is not None:
                self._blocked(*found, end, "get")
                again = True

    def _get_nowait(self, consumer: Consumer[T] | None) -> Delivery[T]:
        found = self._take_now(consumer)
        if found is None:
            raise LookupError(f"{self.name!r}: no task can be taken now")
        return found

    def _take_now(self, consumer: Consumer[T] | None) -> Delivery[T] | None:
        """The next task, if there is one."""
        self._look_and_tell()
        while True:
            with self._lock:
                self._check_end(consumer, finished=False)
                task = self._take(consumer)
                if task is not None or self._shares is None or not self._ready or (consumer and consumer.paused):
                    return task

    def _take_or_wait(
        self, consumer: Consumer[T] | None, kind: type[W], again: bool
    ) -> Delivery[T] | tuple[W, float | None] | None:
        """The next task, or somebody who waits for one, and how long at most; None if there is more to look at."""
        self._look_and_tell()
        with self._lock:
            self._check_end(consumer)
            task = self._take(consumer)
            if task is not None:
                return task
            row = self._getters
            if consumer is not None and consumer.paused:
                row = consumer.held
                if self._ready and self._shares is None:
                    self._getters.wake()  # it was woken for something that is not to be its
            elif self._shares is not None:
                assert consumer is not None
                if self._ready:
                    return None
                row = consumer.waiters
            waiter = kind()
            row.join(waiter, first=again)
            return waiter, self._watch(waiter)

    def _check_end(self, consumer: Consumer[T] | None, finished: bool = True) -> None:
        if consumer is None and self._shares is not None:
            raise CompositionError(
                f"{self.name!r} shares out its tasks ({self.balance}): who takes from it needs an end of its own\n"
                "    await queue.get()  # incorrect\n"
                "    with queue.consumer('ann') as ann: await ann.get()  # correct"
            )
        if consumer is not None and consumer.ended:
            self._watch_again()  # whoever waited at it may have had the timer for all
            raise QueueClosed(f"consumer {consumer.name!r} of {self.name!r} is not open: it lives inside its with")
        if finished and self._closed and self._is_done():
            raise QueueClosed(f"{self.name!r} is closed, and all of its tasks are done")

    def _take(self, consumer: Consumer[T] | None) -> Delivery[T] | None:
        """The next task, if there is one that is known already."""
        store = self._ready
        if consumer is not None:
            if consumer.paused:
                return None
            if self._shares is not None:
                store = consumer.store
                consumer.lost = False
                if not self._shares.deal_for(consumer):
                    return None
        if not store:
            return None
        task: Delivery[T] = store.pop()
        task._queue = self
        self._held.add(task)
        self._waiting -= 1
        if consumer is not None:
            task._consumer = consumer
            consumer.taken[task] = None
        if self._visibility is not None:
            self._lend(task, self._visibility)
        if not self._direct:
            self._notice_mode()
            self._watch_again()
        if self._putters:
            self._putters.wake()
        return task

    def _lend(self, task: Delivery[T], seconds: float) -> None:
        self._leases.set(task, self._clock() + seconds)
        self._direct = False

    def _notice_mode(self) -> None:
        self._direct = self._plain and not (self._ready.mixed or self._delayed or self._leases)

    # --- what became of it

    def _claim(self, task: Delivery[T]) -> bool:
        """Settle it, unless somebody has."""
        try:
            self._held.remove(task)
        except KeyError:
            return False
        return True

    def _acked(self, task: Delivery[T]) -> None:
        """It is done, and somebody or something has to know."""
        with self._lock:
            self._let_go(task)
            self._notice_end()

    def _let_go(self, task: Delivery[T]) -> None:
        """It is in nobody's hands any more."""
        self._leases.drop(task)
        consumer = task._consumer
        if consumer is not None:
            consumer.taken.pop(task, None)
            if self._shares is not None:
                self._shares.let_go(task, consumer)
                if consumer.away:
                    self._shares.take_back(consumer)
        self._notice_mode()

    def _nack(self, task: Delivery[T], delay: float, error: Exception | None) -> bool:
        check_number("delay", delay, 0.0)
        with self._lock:
            if not self._claim(task):
                return False
            self._back(task, error or RxChainError(f"it was taken {task.attempt} times, and never done"), delay)
        self._tell()
        return True

    def _extend(self, task: Delivery[T], seconds: float) -> bool:
        check_number("seconds", seconds, 0.0)
        with self._lock:
            if task not in self._held:
                return False
            self._lend(task, seconds)
            self._watch_again()
            return True

    def _back(self, task: Delivery[T], error: Exception, delay: float = 0.0) -> None:
        """It goes back, unless it has been taken as often as may be."""
        if self._attempts is not None and task.attempt >= self._attempts:
            self._let_go(task)
            self._given += 1
            assert self._given_up is not None
            failure = Failure(error, "", self.name, task.item, task.item, task.attempt)
            self._news.append(partial(self._given_up, failure))
            self._notice_end()
            return
        self._redelivered += 1
        self._waiting += 1
        again: Delivery[T] = Delivery()
        again.item, again.attempt, again._consumer = task.item, task.attempt + 1, None
        again._number, again._rank = task._number, task._rank
        if self._key is not None:
            again._key = task._key
            if delay and self._shares is not None:
                self._shares.keep(task, again)
        self._let_go(task)
        if delay:
            self._delay(again, delay)
        else:
            self._enter(again)
            self._notice_mode()

    # --- time

    def _look_and_tell(self) -> None:
        """Make ready what is due, take back what is overdue."""
        if not self._direct:
            with self._lock:
                self._look()
        if self._news:
            try:
                self._tell()
            except BaseException:
                with self._lock:  # it may have been woken for a task, which it does not take now
                    self._watch_again()
                    for row in self._rows():
                        row.wake()
                raise

    def _look(self) -> None:
        due, now = self._due(), self._clock()
        if due is None or due > now:
            return
        for task in self._delayed.due(now):
            self._last += 1
            self._renumbered += 1
            task._number = self._last
            self._enter(task)
        for task in self._leases.due(now):
            if not self._claim(task):
                continue  # it is just being acknowledged
            consumer = task._consumer
            if consumer is not None:
                if consumer.told is not None:
                    self._news.append(partial(consumer.told, [task]))
                consumer.lost = not consumer.waiters
            self._back(task, TimeoutError(f"nothing was said of it in the time that it was lent for by {self.name!r}"))
        self._notice_mode()

    def _tell(self) -> None:
        """Tell users' functions what there is to tell; without the lock."""
        while self._news:
            try:
                tell = self._news.popleft()
            except IndexError:
                return
            tell()

    def _due(self) -> float | None:
        """When something happens by itself."""
        delayed = self._delayed.first() if self._delayed else None
        lent = self._leases.first() if self._leases else None
        return lent if delayed is None else delayed if lent is None else min(delayed, lent)

    def _watch(self, waiter: Waiter) -> float | None:
        """For how many seconds *waiter* may wait at most, so that what happens by itself is seen."""
        due = self._due()
        if due is None or (self._watcher is not None and self._watcher.alive and self._watched <= due):
            return None
        self._watcher, self._watched = waiter, due
        return max(0.0, due - self._clock())

    def _watch_for(self, due: float) -> None:
        """Have somebody look at *due*, if anybody waits."""
        if due < self._watched:
            for row in (*self._rows(), self._joiners):
                waiter = row.wake()
                if waiter is not None:
                    self._watcher, self._watched = waiter, due
                    return

    def _rows(self) -> Iterator[Waiters]:
        """Where those stand who wait for tasks."""
        yield self._getters
        for member in self._members:
            yield member.waiters
            yield member.held

    def _watch_again(self) -> None:
        if self._getters or self._joiners or self._members:
            due = self._due()
            if due is not None:
                self._watch_for(due)

    # --- its end

    async def join(self) -> None:
        """Wait until all that was put in is done."""
        while (found := self._done_or_wait(TaskWaiter)) is not None:
            await self._suspended(*found)

    def join_sync(self, timeout: float | None = None) -> bool:
        """The same from a thread; False if it is not after *timeout* seconds."""
        end = _end(timeout)
        while (found := self._done_or_wait(ThreadWaiter)) is not None:
            if time.monotonic() >= end:
                self._resumed(found[0], gone=True)
                return False
            self._blocked(*found, end, "join")
        return True

    def _done_or_wait(self, kind: type[W]) -> tuple[W, float | None] | None:
        self._look_and_tell()
        with self._lock:
            waiter = kind()
            self._joiners.join(waiter)  # first: who acknowledges the last one now, looks here
            if self._is_done():
                self._joiners.leave(waiter)
                return None
            return waiter, self._watch(waiter)

    def close(self) -> None:
        """Take nothing more in. What is there is still given out; then who asks for more is told `QueueClosed`."""
        with self._lock:
            self._closed, self._limit = True, -1
            self._putters.wake_all()
            self._notice_end()

    async def drain(self) -> None:
        """Close it, and wait until all is done."""
        self.close()
        await self.join()

    def drain_sync(self, timeout: float | None = None) -> bool:
        """The same from a thread; False if it is not after *timeout* seconds."""
        self.close()
        return self.join_sync(timeout)

    def _is_done(self) -> bool:
        return not self._waiting and not self._held

    def _notice_end(self) -> None:
        """Tell all who wait for it, if all is done."""
        if self._is_done():
            self._joiners.wake_all()
            if self._closed:
                for row in self._rows():
                    row.wake_all()

    def statistics(self) -> QueueStatistics:
        """How it is doing; from any thread."""
        with self._lock:
            return QueueStatistics(
                ready=self._waiting - len(self._delayed),
                delayed=len(self._delayed),
                taken=len(self._held),
                put=self._last - self._renumbered,
                done=self._last - self._renumbered - self._waiting - len(self._held) - self._given,
                redelivered=self._redelivered,
                given_up=self._given,
                consumers=len(self._members),
                closed=self._closed,
            )

    # --- waiting

    async def _suspended(self, waiter: TaskWaiter, seconds: float | None) -> None:
        try:
            await waiter.wait(seconds)
        except BaseException:
            self._resumed(waiter, gone=True)
            raise
        self._resumed(waiter)

    def _blocked(self, waiter: ThreadWaiter, seconds: float | None, end: float, call: str) -> None:
        try:
            if end == math.inf and _get_running_loop() is not None:
                raise RuntimeError(
                    f"{self.name!r}: {call}_sync() would block the event loop, and whoever it waits for\n"
                    f"    queue.{call}_sync()  # incorrect\n"
                    f"    await queue.{call}()  # correct"
                )
            left = min(end - time.monotonic(), math.inf if seconds is None else seconds)
            waiter.wait(None if left == math.inf else max(0.0, left))
        except BaseException:
            self._resumed(waiter, gone=True)
            raise
        self._resumed(waiter)

    def _resumed(self, waiter: Waiter, *, gone: bool = False) -> None:
        """*waiter* waits no more; *gone*: nor does it look, and so another has to."""
        with self._lock:
            row = waiter.row
            if row is not None and not waiter.woken:
                row.leave(waiter)
            if self._watcher is waiter:
                self._watcher, self._watched = None, math.inf
            if gone:
                if row is not None and waiter.woken:
                    row.wake()
                self._watch_again()

    # --- its consumers

    def _join_in(self, consumer: Consumer[T]) -> None:
        with self._lock:
            if not consumer.ended:
                raise CompositionError(f"consumer {consumer.name!r} of {self.name!r} is open already")
            consumer.ended = consumer.lost = False
            self._members.append(consumer)

    def _part(self, consumer: Consumer[T], error: Exception | None) -> None:
        with self._lock:
            if consumer.ended:
                return
            consumer.ended = True
            for row in (self._getters, consumer.waiters, consumer.held):
                row.wake_all()
            if self._shares is not None:
                self._shares.leave(consumer)
            else:
                self._members.remove(consumer)
            for task in list(consumer.taken):
                if self._claim(task):
                    self._back(task, error or RxChainError(f"consumer {consumer.name!r} ended before it was done"))
        self._tell()

    def _pause(self, consumer: Consumer[T], paused: bool) -> None:
        with self._lock:
            consumer.paused = paused
            if not paused:
                consumer.held.wake_all()
            elif self._shares is not None:
                consumer.waiters.wake_all()
                self._shares.take_back(consumer)

    # --- its workers

    async def work(
        self,
        chain: Any,
        *,
        workers: int = 1,
        delay: float | Callable[[int], float] = 0.0,
        on_error: "Literal['stop', 'retry'] | Callable[[T, Exception], object]" = "stop",
    ) -> int:
        """Work on the tasks until the queue is closed and all are done; see `rxchain.queues.work`."""
        from rxchain.queues._work import work

        return await work(self, chain, workers=workers, delay=delay, on_error=on_error)

    # --- in the founding document's words

    def add_task(self, task: T, priority: float = 0.0) -> None:
        """Put a task in without waiting: a function without arguments, say, for `execute`."""
        self.put_nowait(task, priority=priority)

    def execute(self) -> list[Any]:
        """Run all tasks that can be taken, in their order, and give their results.

        A task is a function without arguments, sync or async, or an object that has such a one called ``execute``. One
        that raises goes back, and what it raised goes on.

        >>> from rxchain import TaskQueue
        >>> queue = TaskQueue("priority")
        >>> queue.add_task(lambda: "swept", priority=5)
        >>> queue.add_task(lambda: "put out", priority=0)
        >>> queue.execute()
        ['put out', 'swept']
        """
        from rxchain.queues._execute import execute

        return execute(self)


def _end(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout
