"""A queue of tasks in this process, for threads and coroutines on both ends: put in, take out, wait for either.

What a queue knows and does is its `Core`, which nobody waits in. Who finds nothing there joins a row of waiters under
the core's lock, and waits without it; who is woken looks again.
"""

import math
import time
from asyncio.events import _get_running_loop
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from rxchain.errors import CompositionError, QueueClosed, QueueFull
from rxchain.queues._check import check_queue
from rxchain.queues._consumer import Consumer
from rxchain.queues._core import Core, Order
from rxchain.queues._delivery import Delivery
from rxchain.queues._shares import Balance
from rxchain.queues._waiters import TaskWaiter, ThreadWaiter
from rxchain.types import Failure, T

W = TypeVar("W", TaskWaiter, ThreadWaiter)


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


class TaskQueue(Core[T]):
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

    __slots__ = ()

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
        super().__init__(order, size, ageing, visibility, attempts, given_up, balance, key, name, clock)

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
