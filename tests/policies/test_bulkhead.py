"""Bulkheads: never more inside than may be, first come first served, and nothing left of those who gave up."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxchain import BulkheadFull, CompositionError, RxChainError
from rxchain.policies import Bulkhead
from rxchain.policies._gate import Gate
from rxchain.testing import VirtualLoop, no_leaks, run


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    yield
    Bulkhead.forget()


class Bulkheads(RuleBasedStateMachine):
    """Calls come, end, fail and are cancelled, inside and in the queue, through two nodes of one bulkhead."""

    @initialize(at_once=st.integers(1, 3), queue=st.integers(0, 4))
    def begin(self, at_once: int, queue: int) -> None:
        Bulkhead.forget()
        self.loop = VirtualLoop()
        self.at_once, self.queue = at_once, queue
        self.bulkhead = Bulkhead("model", at_once, queue=queue)
        nodes = [Bulkhead("model", at_once, queue=queue), self.bulkhead]
        self.calls = [node.around(self.work, name) for node, name in zip(nodes, "ab", strict=True)]
        self.answers: dict[int, asyncio.Future[None]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.let_in: list[int] = []  # really, in order
        self.inside: list[int] = []  # as the model says, and the queue
        self.waiting: list[int] = []
        self.refused = 0
        self.number = 0

    async def work(self, number: int) -> None:
        self.let_in.append(number)
        await self.answers[number]

    def admit(self) -> None:
        while self.waiting and len(self.inside) < self.at_once:
            self.inside.append(self.waiting.pop(0))

    def settle(self) -> None:
        async def settled() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(settled())

    @rule(node=st.integers(0, 1), how_many=st.integers(1, 3))
    def some_come(self, node: int, how_many: int) -> None:
        for _ in range(how_many):
            self.number += 1
            number = self.number
            self.answers[number] = self.loop.create_future()
            task = self.tasks[number] = self.loop.create_task(self.calls[node](number))
            if len(self.inside) == self.at_once and len(self.waiting) == self.queue:
                self.refused += 1
                with pytest.raises(BulkheadFull):
                    self.loop.run_until_complete(task)
                del self.tasks[number]
            else:
                self.waiting.append(number)
                self.admit()
                self.settle()

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), fails=st.booleans())
    def one_ends(self, data: st.DataObject, fails: bool) -> None:
        number = data.draw(st.sampled_from(self.inside))
        if fails:
            self.answers[number].set_exception(KeyError())
        else:
            self.answers[number].set_result(None)
        self.loop.run_until_complete(asyncio.wait([self.tasks.pop(number)]))
        self.inside.remove(number)
        self.admit()
        self.settle()

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def some_are_cancelled(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.tasks)), unique=True, min_size=1))
        for number in numbers:  # in one breath: some are let in by the others' going, and cancelled already
            self.tasks[number].cancel()
        self.loop.run_until_complete(asyncio.wait([self.tasks.pop(number) for number in numbers]))
        for number in numbers:
            (self.inside if number in self.inside else self.waiting).remove(number)
        self.admit()
        self.settle()

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "bulkhead"):
            return
        snapshot = self.bulkhead.snapshot()
        assert (snapshot.inside, snapshot.waiting, snapshot.refused) == (
            len(self.inside),
            len(self.waiting),
            self.refused,
        )
        assert snapshot.inside <= self.at_once
        assert snapshot.waiting <= self.queue
        assert self.let_in == sorted(self.let_in)
        assert set(self.inside) <= set(self.let_in)
        assert not set(self.waiting) & set(self.let_in)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.tasks.values():
            task.cancel()
        if self.tasks:
            self.loop.run_until_complete(asyncio.wait(self.tasks.values()))
        self.settle()
        assert (self.bulkhead.snapshot().inside, self.bulkhead.snapshot().waiting) == (0, 0)
        self.loop.close()


TestBulkheads = Bulkheads.TestCase
TestBulkheads.settings = settings(max_examples=60, stateful_step_count=40)


async def sleeps(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@example(2, [(0, 3, None), (0, 4, None), (0, 3, None), (0, 2, None), (3, 0, None), (3, 0, None)])
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from([0, 0, 1, 3]), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 9)))),
)
def test_over_time_it_is_never_overfull_and_never_idle_while_somebody_waits(
    at_once: int, calls: list[tuple[int, int, int | None]]
) -> None:
    Bulkhead.forget()
    bulkhead = Bulkhead("time", at_once, queue=1000)
    inside = 0
    begun: dict[int, float] = {}

    async def work(call: tuple[int, int]) -> None:
        nonlocal inside
        inside += 1
        begun[call[0]] = asyncio.get_running_loop().time()
        assert inside <= at_once
        assert bulkhead.snapshot().waiting == 0 or bulkhead.snapshot().inside == at_once
        try:
            await asyncio.sleep(call[1])
        finally:
            inside -= 1

    async def main() -> None:
        guarded = bulkhead.around(work, "work")
        tasks = []
        loop = asyncio.get_running_loop()
        for number, (pause, takes, cancelled_after) in enumerate(calls):
            await asyncio.sleep(pause)
            task = asyncio.create_task(guarded((number, takes)))
            tasks.append(task)
            if cancelled_after is not None:
                loop.call_later(cancelled_after, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (inside, bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (0, 0, 0)
        # Who is let in begins in the loop's next turn; who finds a place that is left over then begins in this one.
        times = [begun[number] for number in sorted(begun)]
        assert times == sorted(times), "first come, first served"

    run(main())


def test_beyond_its_queue_it_refuses_at_once_and_says_who_and_how_many() -> None:
    async def main() -> None:
        async with no_leaks():
            call = Bulkhead("database", 2, queue=1).around(sleeps, "query")
            tasks = [asyncio.create_task(call(5)) for _ in range(3)]
            await asyncio.sleep(1)
            with pytest.raises(BulkheadFull) as caught:
                await call(5)
            assert asyncio.get_running_loop().time() == 1
            assert isinstance(caught.value, RxChainError)
            assert (caught.value.bulkhead, caught.value.at_once, caught.value.queue) == ("database", 2, 1)
            assert (
                str(caught.value)
                == "node 'query': bulkhead 'database' is full: 2 inside, 1 waiting, and no more may wait"
            )
            await asyncio.gather(*tasks)

    run(main())


def test_without_a_queue_nobody_waits() -> None:
    async def main() -> None:
        call = Bulkhead("database", 1, queue=0).around(sleeps, "query")
        task = asyncio.create_task(call(5))
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull):
            await call(0)
        await task
        assert await call(0) == 0

    run(main())


def test_who_is_cancelled_when_let_in_hands_the_place_on() -> None:
    bulkhead = Bulkhead("database", 1, queue=2)

    async def main() -> None:
        call = bulkhead.around(sleeps, "query")
        first, second, third = (asyncio.create_task(call(seconds)) for seconds in (1, 60, 2))
        first.add_done_callback(lambda _: second.cancel())  # it has been let in, and has not run since
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert second.cancelled()
        assert asyncio.get_running_loop().time() == 3
        assert bulkhead.snapshot().inside == 0

    run(main())


def test_the_same_name_is_the_same_bulkhead_and_other_settings_are_a_mistake() -> None:
    one = Bulkhead("database", 2)
    assert one == Bulkhead("database", 2, queue=100)
    assert hash(one) == hash(Bulkhead("database", 2))
    with pytest.raises(CompositionError) as caught:
        Bulkhead("database", 3)
    assert str(caught.value) == (
        "Bulkhead 'database' is there already, with other settings, and a name stands for one\n"
        "    Bulkhead('database', 2, queue=100)  # the first\n"
        "    Bulkhead('database', 3, queue=100)  # incorrect: the same name;"
        " hand the first around, or choose another name"
    )
    Bulkhead.forget("database")
    assert Bulkhead("database", 3) != one


@pytest.mark.parametrize(
    "arguments", [("", 1), (1, 1), ("x", 0), ("x", 1.5), ("x", True), ("x", 1, -1), ("x", 1, None)]
)
def test_what_makes_no_bulkhead_is_refused(arguments: tuple[Any, ...]) -> None:
    name, at_once, *queue = arguments
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        Bulkhead(name, at_once, **({"queue": queue[0]} if queue else {}))


# --- several event loops, in threads


def test_it_holds_for_all_event_loops_together() -> None:
    bulkhead = Bulkhead("threads", 3, queue=1000)
    lock = threading.Lock()
    inside = most = done = 0
    start = threading.Barrier(4)

    async def work(_: int) -> None:
        nonlocal inside, most, done
        with lock:
            inside += 1
            most = max(most, inside)
        await asyncio.sleep(0)
        with lock:
            inside -= 1
            done += 1

    async def many() -> None:
        call = bulkhead.around(work, "work")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(number)) for number in range(100)]
            await asyncio.sleep(0)
            for task in tasks[50::3]:
                task.cancel()

    def thread() -> None:
        start.wait()
        asyncio.run(many())

    threads = [threading.Thread(target=thread) for _ in range(4)]
    with no_leaks():
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert 1 <= most <= 3
    assert done >= 4 * 83
    assert inside == 0
    assert (bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (0, 0)


def test_who_waits_on_another_event_loop_is_woken_there() -> None:
    bulkhead = Bulkhead("threads", 1, queue=1)
    order: list[str] = []
    waits = threading.Event()

    async def waiting() -> None:
        task = asyncio.create_task(bulkhead.around(sleeps, "second")(0))
        await asyncio.sleep(0)
        waits.set()
        await task
        order.append("second")

    async def main() -> None:
        async def first(_: int) -> None:
            thread.start()
            await asyncio.to_thread(waits.wait, 5)
            order.append("first")

        await bulkhead.around(first, "first")(0)

    thread = threading.Thread(target=lambda: asyncio.run(waiting()))
    asyncio.run(main())
    thread.join(5)
    assert order == ["first", "second"]


def test_a_place_is_not_handed_to_an_event_loop_that_is_gone() -> None:
    """A loop that is closed with calls still waiting: careless, and no reason to lose a place for good."""
    gate = Gate(1, 5)
    loops = [VirtualLoop() for _ in range(2)]

    async def enter() -> Any:
        return gate.enter()

    assert loops[0].run_until_complete(enter()) is None
    gone = loops[0].run_until_complete(enter())
    waits = loops[1].run_until_complete(enter())
    loops[0].close()
    gate.leave()
    assert (waits.has_place, gone.has_place, gate.inside) == (True, False, 1)
    gate.give_up(gone)
    assert gate.inside == 1
    gate.give_up(waits)
    assert gate.inside == 0
    loops[1].close()


def test_a_call_that_is_collected_leaves() -> None:
    bulkhead = Bulkhead("collected", 1, queue=1)

    async def main() -> None:
        inside = bulkhead.around(sleeps, "query")(60)
        waits = bulkhead.around(sleeps, "query")(60)
        inside.send(None)
        waits.send(None)
        assert (bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (1, 1)
        with bulkhead._gate.lock:  # as when the collector runs in the midst of somebody's change
            del inside
            gc.collect()
        assert (bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (1, 0)
        del waits
        gc.collect()
        assert (bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (0, 0)

    run(main())
