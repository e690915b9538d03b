"""The queue against a model of it: whatever is done to it, by whatever hands, in virtual time."""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxchain import Failure, QueueClosed, QueueFull, TaskQueue
from rxchain.queues import Consumer, Delivery

AGEING = 0.5
VISIBILITY = 10.0


@dataclass(eq=False)
class Known:
    """What the model knows of a task."""

    item: int
    priority: float
    place: tuple[float, int] = (0.0, 0)
    """Its number, for those that wait."""
    attempt: int = 1
    due: float | None = None
    """For those that wait for their time."""
    rank: float = 0.0


@dataclass(eq=False)
class Held:
    """What the model knows of a delivery."""

    task: Known
    delivery: Delivery[int]
    until: float | None
    worker: int | None


def due(at: float | None, now: float) -> bool:
    return at is not None and at <= now


class Machine(RuleBasedStateMachine):
    """Everything but waiting; one thread, and time that is set by hand."""

    orders = ("fifo", "lifo", "priority")

    @initialize(
        order=st.sampled_from(orders),
        size=st.none() | st.integers(1, 5),
        ageing=st.sampled_from([0.0, AGEING]),
        visibility=st.sampled_from([None, VISIBILITY]),
        attempts=st.none() | st.integers(1, 3),
    )
    def begin(
        self, order: Any, size: int | None, ageing: float, visibility: float | None, attempts: int | None
    ) -> None:
        self.now = 1000.0
        self.given_up: list[Failure] = []
        self.order, self.size, self.visibility, self.attempts = order, size, visibility, attempts
        self.ageing = ageing if order == "priority" else 0.0
        self.queue: TaskQueue[int] = TaskQueue(
            order,
            size=size,
            ageing=self.ageing,
            visibility=visibility,
            attempts=attempts,
            given_up=self.given_up.append if attempts else None,
            clock=lambda: self.now,
        )
        self.waiting: list[Known] = []
        self.held: list[Held] = []
        self.dead: list[Held] = []
        self.workers: dict[int, Consumer[int]] = {}
        self.numbers = self.items = self.done = self.lost = self.back = 0
        self.closed = False

    # --- the model

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def key(self, task: Known) -> tuple[float, int]:
        number = task.place[1]
        return {"fifo": (0.0, number), "lifo": (0.0, -number), "priority": (task.rank, number)}[self.order]

    def settle_time(self) -> None:
        """What the queue sees as soon as it looks."""
        for task in sorted(
            (t for t in self.waiting if t.due is not None and t.due <= self.now), key=lambda t: t.due or 0
        ):
            task.due, task.place = None, (0.0, self.number())
        for held in sorted(
            (h for h in self.held if h.until is not None and h.until <= self.now), key=lambda h: h.until or 0
        ):
            self.goes_back(held)

    def goes_back(self, held: Held, delay: float = 0.0) -> None:
        self.held.remove(held)
        self.dead.append(held)
        task = held.task
        if self.attempts is not None and task.attempt >= self.attempts:
            self.lost += 1
            return
        self.back += 1
        task.attempt += 1
        task.due = self.now + delay if delay else None
        self.waiting.append(task)

    # --- what is done to it

    @rule(priority=st.integers(0, 4), delay=st.sampled_from([0.0, 0.0, 0.0, 3.0, 7.0]))
    def put(self, priority: int, delay: float) -> None:
        self.items += 1
        given = {"priority": float(priority)} if self.order == "priority" else {}
        try:
            self.queue.put_nowait(self.items, delay=delay, **given)
        except QueueFull:
            assert self.size is not None
            assert len(self.waiting) >= self.size
            assert not self.closed
        except QueueClosed:
            assert self.closed
        else:
            assert not self.closed
            assert self.size is None or len(self.waiting) < self.size
            task = Known(self.items, float(priority), (0.0, self.number()))
            task.due = self.now + delay if delay else None
            task.rank = priority + self.ageing * (self.now + delay)
            self.waiting.append(task)

    @rule(worker=st.none() | st.integers(0, 2))
    def take(self, worker: int | None) -> None:
        if worker is not None and worker not in self.workers:
            worker = None
        taker: Any = self.queue if worker is None else self.workers[worker]
        self.settle_time()
        ready = [task for task in self.waiting if task.due is None]
        try:
            delivery = taker.get_nowait()
        except LookupError:
            assert not ready
            return
        expected = min(ready, key=self.key)
        assert (delivery.item, delivery.attempt) == (expected.item, expected.attempt)
        self.waiting.remove(expected)
        until = None if self.visibility is None else self.now + self.visibility
        self.held.append(Held(expected, delivery, until, worker))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def ack(self, data: Any) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert held.delivery.ack()
        self.held.remove(held)
        self.dead.append(held)
        self.done += 1

    @precondition(lambda self: self.held)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.0, 4.0]))
    def nack(self, data: Any, delay: float) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert held.delivery.nack(delay=delay)
        self.goes_back(held, delay)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), seconds=st.sampled_from([1.0, 5.0, 30.0]))
    def extend(self, data: Any, seconds: float) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert held.delivery.extend(seconds)
        held.until = self.now + seconds

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def settle_too_late(self, data: Any) -> None:
        delivery = data.draw(st.sampled_from(self.dead)).delivery
        assert not delivery.ack()
        assert not delivery.nack()
        assert not delivery.extend(1.0)

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.settle_time()
        self.queue.join_sync(timeout=0)  # somebody looks

    @rule(worker=st.integers(0, 2))
    def a_worker_comes(self, worker: int) -> None:
        if worker not in self.workers:
            self.workers[worker] = self.queue.consumer(str(worker)).__enter__()

    @rule(worker=st.integers(0, 2))
    def a_worker_goes(self, worker: int) -> None:
        if worker in self.workers:
            self.workers.pop(worker).__exit__(None, None, None)
            for held in [held for held in self.held if held.worker == worker]:
                self.goes_back(held)

    @precondition(lambda self: not self.closed)
    @rule(really=st.sampled_from([False, False, False, True]))
    def close(self, really: bool) -> None:
        if really:
            self.queue.close()
            self.closed = True

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        found = self.queue.statistics()
        assert len(self.queue) == len(self.waiting)
        assert found.ready + found.delayed == len(self.waiting)
        assert found.taken == len(self.held)
        assert (found.done, found.given_up, found.redelivered) == (self.done, self.lost, self.back)
        assert len(self.given_up) == self.lost
        assert found.put == self.done + self.lost + len(self.held) + len(self.waiting)
        assert found.consumers == len(self.workers)
        assert self.queue.join_sync(timeout=0) == (not self.waiting and not self.held)

    def teardown(self) -> None:
        """In the end all is taken, in its order, and then nothing is left."""
        if not hasattr(self, "queue"):
            return
        for worker in list(self.workers):
            self.a_worker_goes(worker)
        for held in list(self.held):
            self.nack_all(held)
        self.now += 100.0
        self.settle_time()
        self.queue.close()
        left = sorted((task for task in self.waiting), key=self.key)
        assert [item for item in self.queue] == [task.item for task in left]  # noqa: C416
        assert self.queue.join_sync(timeout=0)

    def nack_all(self, held: Held) -> None:
        assert held.delivery.nack()
        self.goes_back(held)


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


# --- consumers with shares


class Shares(RuleBasedStateMachine):
    """Balance: laws rather than a copy of how it is done."""

    @initialize(
        order=st.sampled_from(["fifo", "lifo", "priority"]),
        balance=st.sampled_from(["round_robin", "least_busy", "by_key"]),
        visibility=st.sampled_from([None, VISIBILITY]),
    )
    def begin(self, order: Any, balance: Any, visibility: float | None) -> None:
        self.now = 0.0
        key = (lambda item: item % 3) if balance == "by_key" else None
        self.balance, self.order = balance, order
        self.queue: TaskQueue[int] = TaskQueue(
            order, balance=balance, key=key, visibility=visibility, clock=lambda: self.now
        )
        self.ends: dict[int, Consumer[int]] = {}
        """One for each worker, whether it is there or not: it comes back to it."""
        self.workers: dict[int, Consumer[int]] = {}
        self.held: dict[int, tuple[int, Delivery[int]]] = {}
        """By item: who has it."""
        self.until: dict[int, float | None] = {}
        self.visibility = visibility
        self.items = 0
        self.open: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.paused: set[int] = set()

    def expire(self) -> None:
        for item, until in list(self.until.items()):
            if until is not None and until <= self.now:
                self.until.pop(item)
                self.held.pop(item)

    @rule(delay=st.sampled_from([0.0, 0.0, 2.0]))
    def put(self, delay: float) -> None:
        self.items += 1
        self.queue.put_nowait(self.items, delay=delay)
        self.open.add(self.items)

    @rule(worker=st.integers(0, 3))
    def come(self, worker: int) -> None:
        if worker not in self.workers:
            self.workers[worker] = self.ends.setdefault(worker, self.queue.consumer(str(worker))).__enter__()
            self.workers[worker].resume()

    @rule(worker=st.integers(0, 3))
    def go(self, worker: int) -> None:
        if worker in self.workers:
            self.workers.pop(worker).__exit__(None, None, None)
            self.paused.discard(worker)
            for item in [item for item, (who, _) in self.held.items() if who == worker]:
                del self.held[item], self.until[item]

    @rule(worker=st.integers(0, 3))
    def pause(self, worker: int) -> None:
        if worker in self.workers:
            self.workers[worker].pause()
            self.paused.add(worker)

    @rule(worker=st.integers(0, 3))
    def resume(self, worker: int) -> None:
        if worker in self.workers:
            self.workers[worker].resume()
            self.paused.discard(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def take(self, data: Any) -> None:
        worker = data.draw(st.sampled_from(sorted(self.workers)))
        self.expire()
        try:
            delivery = self.workers[worker].get_nowait()
        except LookupError:
            return
        item = delivery.item
        assert worker not in self.paused
        assert item in self.open
        assert item not in self.held, "two have it"
        assert delivery.attempt == self.attempts.get(item, 0) + 1
        if self.balance == "by_key":
            others = {who for other, (who, _) in self.held.items() if other % 3 == item % 3}
            assert others <= {worker}, "two have something of one key"
        self.attempts[item] = delivery.attempt
        self.held[item] = worker, delivery
        self.until[item] = None if self.visibility is None else self.now + self.visibility

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["ack", "nack", "later"]))
    def settle(self, data: Any, how: str) -> None:
        item = data.draw(st.sampled_from(sorted(self.held)))
        _, delivery = self.held.pop(item)
        del self.until[item]
        if how == "ack":
            assert delivery.ack()
            self.open.remove(item)
        else:
            assert delivery.nack(delay=2.0 if how == "later" else 0.0)

    @rule(seconds=st.sampled_from([1.0, 3.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.queue.join_sync(timeout=0)
        self.expire()

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "queue"):
            found = self.queue.statistics()
            assert found.taken == len(self.held)
            assert found.ready + found.delayed + found.taken == len(self.open)
            assert found.put == self.items

    def teardown(self) -> None:
        """Those who are there find all of it, whatever it was meant for before."""
        if not hasattr(self, "queue"):
            return
        self.come(0)
        for worker in list(self.workers):
            self.resume(worker)
        for _, delivery in list(self.held.values()):
            delivery.nack()
        self.now += 100.0
        took = True
        while took:
            took = False
            for consumer in self.workers.values():
                try:
                    delivery = consumer.get_nowait()
                except LookupError:
                    continue
                self.open.remove(delivery.item)
                assert delivery.ack()
                took = True
        assert not self.open
        assert self.queue.join_sync(timeout=0)
        for consumer in self.workers.values():
            consumer.__exit__(None, None, None)


TestShares = Shares.TestCase
TestShares.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
