"""What a queue knows, and what it does about it: tasks that wait, tasks on loan, time, consumers. Nothing here waits.

What is put in stays the queue's until somebody has said that it is done: who takes a task has it on loan.

Everything happens under one lock, which is taken once for each call and never kept while anything waits or any function
of a user's runs, but for the clock and what compares and hashes keys. What most tasks go through, `_offer`,
`_take_plain` and `Delivery.ack`, is written out for speed; all else goes through `_enter`, `_look`, `_take`, `_back`.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Generic, Literal

from rxchain.engine import a_kind_of, shorten
from rxchain.errors import CompositionError, RxChainError
from rxchain.queues._check import check_number
from rxchain.queues._consumer import Consumer
from rxchain.queues._delivery import Delivery
from rxchain.queues._dues import Dues
from rxchain.queues._orders import Fifo, Lifo, Priority, Store, check_rank
from rxchain.queues._shares import Balance, Shares
from rxchain.queues._waiters import Waiter, Waiters
from rxchain.types import Failure, T

Order = Literal["fifo", "lifo", "priority"]
ORDERS: dict[str, Callable[[], Store]] = {"fifo": Fifo, "lifo": Lifo, "priority": Priority}


class Core(Generic[T]):
    """A queue, but for those who wait at it: `TaskQueue` adds them."""

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
        order: Order,
        size: int | None,
        ageing: float,
        visibility: float | None,
        attempts: int | None,
        given_up: Callable[[Failure], object] | None,
        balance: Balance,
        key: Callable[[T], Hashable] | None,
        name: str,
        clock: Callable[[], float],
    ) -> None:
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

    # --- putting in

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

    # --- its end

    def _is_done(self) -> bool:
        return not self._waiting and not self._held

    def _notice_end(self) -> None:
        """Tell all who wait for it, if all is done."""
        if self._is_done():
            self._joiners.wake_all()
            if self._closed:
                for row in self._rows():
                    row.wake_all()

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
