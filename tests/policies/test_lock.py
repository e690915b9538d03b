"""Locks: one item at a time for each key, first come first served, and nothing held once an item has come out."""

import asyncio
import contextvars
import gc
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxchain import Chain, CompositionError, RxChainError, node
from rxchain import operators as ops
from rxchain.errors import LockDeadlock, LockTimeout
from rxchain.policies import Bulkhead, CircuitBreaker, Keys, Lock, LockBackend, LockSnapshot, fence, lease
from rxchain.policies._local_locks import LocalLocks, local_locks
from rxchain.testing import VirtualLoop, no_leaks, run


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    yield
    for space in local_locks._spaces.values():
        assert (space.queues, space.waiting) == ({}, 0), f"lock {space.name!r} has not been let go of"
    Lock.forget()


def itself(item: Any) -> Any:
    return item


class Call:
    """What the model knows of a call: what it asks for, and that it is there."""

    def __init__(self, number: int, lock: str, keys: frozenset[str]) -> None:
        self.number, self.lock, self.keys = number, lock, keys

    def excludes(self, other: "Call") -> bool:
        return self.lock == other.lock and bool(self.keys & other.keys)


class Locks(RuleBasedStateMachine):
    """Calls come, end, fail and are cancelled, at nodes of two locks.

    The model: those who are there, in the order of their coming; inside is whoever shares no key with one before it.
    """

    @initialize()
    def begin(self) -> None:
        Lock.forget()
        self.loop = VirtualLoop()
        self.calls = {
            name: [Lock(name, lambda call: Keys(*call.keys)).around(self.work, node) for node in "ab"]
            for name in ("accounts", "files")
        }
        self.there: list[Call] = []
        self.answers: dict[int, asyncio.Future[None]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.inside: dict[int, int] = {}  # really: the number of a call, and its fence
        self.fences: dict[tuple[str, str], int] = {}
        self.number = 0

    async def work(self, call: Call) -> None:
        for key in call.keys:
            assert fence() > self.fences.get((call.lock, key), 0)
            self.fences[call.lock, key] = fence()
        self.inside[call.number] = fence() if call.keys else 0
        try:
            await self.answers[call.number]
        finally:
            del self.inside[call.number]

    def settle(self) -> None:
        async def settled() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(settled())

    @rule(
        node=st.integers(0, 1),
        wanted=st.lists(
            st.tuples(st.sampled_from(["accounts", "files"]), st.frozensets(st.sampled_from("xyz"))), max_size=3
        ),
    )
    def some_come(self, node: int, wanted: list[tuple[str, frozenset[str]]]) -> None:
        for lock, keys in wanted:
            self.number += 1
            call = Call(self.number, lock, keys)
            self.answers[call.number] = self.loop.create_future()
            self.tasks[call.number] = self.loop.create_task(self.calls[lock][node](call))
            self.there.append(call)
        self.settle()

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), fails=st.booleans())
    def one_ends(self, data: st.DataObject, fails: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.inside)))
        if fails:
            self.answers[number].set_exception(KeyError())
        else:
            self.answers[number].set_result(None)
        self.gone([number])

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def some_are_cancelled(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.tasks)), unique=True, min_size=1))
        for number in numbers:  # in one breath: some are let in by the others' going, and cancelled already
            self.tasks[number].cancel()
        self.gone(numbers)

    @precondition(lambda self: self.inside and len(self.there) > len(self.inside))
    @rule(data=st.data())
    def one_ends_and_who_comes_next_is_cancelled(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.inside)))
        next_one = data.draw(st.sampled_from(sorted(self.tasks.keys() - self.inside.keys())))
        self.tasks[number].add_done_callback(lambda _: self.tasks[next_one].cancel())
        self.answers[number].set_result(None)
        self.loop.run_until_complete(asyncio.wait([self.tasks[number]]))
        self.settle()
        self.gone([number, next_one])

    def gone(self, numbers: list[int]) -> None:
        self.loop.run_until_complete(asyncio.wait([self.tasks.pop(number) for number in numbers]))
        self.there = [call for call in self.there if call.number not in numbers]
        self.settle()

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "there"):
            return
        inside = {
            call.number
            for place, call in enumerate(self.there)
            if not any(call.excludes(before) for before in self.there[:place])
        }
        assert self.inside.keys() == inside
        for name in ("accounts", "files"):
            there = [call for call in self.there if call.lock == name]
            expected = LockSnapshot(
                keys=len({key for call in there for key in call.keys}),
                waiting=sum(call.number not in inside for call in there),
                timeouts=0,
            )
            assert local_locks.snapshot(name) == expected

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.tasks.values():
            task.cancel()
        if self.tasks:
            self.loop.run_until_complete(asyncio.wait(self.tasks.values()))
        self.settle()
        assert all(space.queues == {} for space in local_locks._spaces.values())
        self.loop.close()


TestLocks = Locks.TestCase
TestLocks.settings = settings(max_examples=40, stateful_step_count=40)


# --- nested, over time

STEPS: st.SearchStrategy[list[Any]] = st.deferred(
    lambda: st.lists(
        st.tuples(
            st.sampled_from(["accounts", "files"]),
            st.frozensets(st.sampled_from("xyz"), max_size=2),
            st.integers(0, 3),
            STEPS,
        ),
        max_size=2,
    )
)
"""What an item does inside of what it has: locks, keys, how long, and what it does in there."""


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), STEPS, st.one_of(st.none(), st.integers(0, 9))), max_size=6))
def test_whatever_items_lock_inside_of_locks_they_exclude_each_other_and_all_come_to_an_end(
    items: list[tuple[int, Any, int | None]],
) -> None:
    """Nobody waits for ever: virtual time would say so. Who would have to is told."""
    Lock.forget()
    holders: dict[tuple[str, str], list[int]] = defaultdict(list)

    async def steps(item: tuple[int, Any]) -> None:
        number, inner = item
        for name, keys, seconds, further in inner:

            async def inside(
                item: tuple[int, Any], name: str = name, keys: frozenset[str] = keys, seconds: int = seconds
            ) -> None:
                for key in keys:
                    holders[name, key].append(number)
                    assert set(holders[name, key]) == {number}
                try:
                    await asyncio.sleep(seconds)
                    await steps(item)
                finally:
                    for key in keys:
                        holders[name, key].remove(number)

            lock = Lock(name, lambda _, keys=keys: Keys(*keys))  # type: ignore[misc]
            await lock.around(inside, "inside")((number, further))

    async def main() -> None:
        tasks = []
        for number, (pause, inner, cancelled_after) in enumerate(items):
            await asyncio.sleep(pause)
            tasks.append(asyncio.create_task(steps((number, inner))))
            if cancelled_after is not None:
                asyncio.get_running_loop().call_later(cancelled_after, tasks[-1].cancel)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, LockDeadlock | asyncio.CancelledError)
        assert not any(holders.values())
        assert all(space.queues == {} for space in local_locks._spaces.values())

    run(main())


def test_two_items_that_would_wait_for_each_other_for_ever_are_told() -> None:
    async def main() -> None:
        async def inner(pair: str) -> str:
            return pair

        payee = Lock("accounts", lambda pair: pair[1]).around(inner, "credit")

        async def outer(pair: str) -> Any:
            await asyncio.sleep(1)
            return await payee(pair)

        payer = Lock("accounts", lambda pair: pair[0]).around(outer, "debit")
        tasks = [asyncio.create_task(payer(pair)) for pair in ("ab", "ba")]
        first, second = await asyncio.gather(*tasks, return_exceptions=True)
        assert first == "ab"
        assert isinstance(second, LockDeadlock)
        assert isinstance(second, RxChainError)
        assert (second.lock, second.keys, second.holding) == ("accounts", ("a",), (("accounts", "b"),))
        assert str(second).splitlines()[0] == (
            "node 'credit': waiting for key 'a' of lock 'accounts' would never end: who has it waits for"
            " 'b' of lock 'accounts', which this item holds"
        )

    run(main())


def test_a_circle_through_two_locks_and_somebody_in_between_who_waits_is_seen() -> None:
    async def main() -> None:
        async def nothing(_: object) -> None: ...

        def locked(name: str, *keys: str, then: Any = nothing) -> Any:
            async def inside(_: object) -> None:
                await asyncio.sleep(1)
                await then(None)

            return Lock(name, lambda _: Keys(*keys)).around(inside, name)

        one = locked("files", "x", then=locked("accounts", "a", "b"))  # has x; waits for a, and stands before b
        two = locked("accounts", "a", then=locked("files", "x"))  # has a, which one waits for
        tasks = [asyncio.create_task(call(None)) for call in (one, two)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), LockDeadlock]
        assert asyncio.get_running_loop().time() == 2

    run(main())


# --- in chains


def test_items_with_one_key_exclude_each_other_in_nodes_and_chains_that_share_the_name() -> None:
    log: list[str] = []

    def step(name: str, key: Any) -> Any:
        @node(name=name, lock=Lock("accounts", key), concurrency=4, ordered=False)
        async def work(item: Any) -> Any:
            log.append(f"{name}+{item}")
            await asyncio.sleep(1)
            log.append(f"{name}-{item}")
            return item

        return work

    async def main() -> None:
        debit, credit = Chain(step("debit", itself)), Chain(step("credit", lambda item: item))
        await asyncio.gather(debit.collect("aab"), credit.collect("ab"))
        assert asyncio.get_running_loop().time() == 3
        assert len(log) == 10
        for item in "ab":
            mine = [entry for entry in log if entry.endswith(item)]
            assert [entry.replace("-", "+") for entry in mine[1::2]] == mine[::2]

    run(main())


def test_a_function_alone_is_a_lock_called_after_the_node() -> None:
    inside = most = 0

    async def work(item: str) -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(1)
        inside -= 1
        return item

    async def main() -> None:
        one = Chain(node(lock=itself)(work))
        other = Chain(node(lock=itself)(work)).retry(2)  # another chain, of a node that is made anew
        await asyncio.gather(one.run("a"), other.run("a"))
        assert most == 1
        assert Lock("work", itself).snapshot() == LockSnapshot(0, 0, 0)

    run(main())


def test_a_node_that_runs_a_chain_with_the_same_lock_does_not_wait_for_itself() -> None:
    lock = Lock("accounts", itself)
    fences: list[int] = []

    @node(lock=lock)
    async def inner(item: str) -> str:
        fences.append(fence())
        await asyncio.sleep(1)
        return item

    nested = Chain(inner)

    @node(lock=lock)
    async def outer(item: str) -> str:
        fences.append(fence())
        await nested.run(item)
        async with asyncio.TaskGroup() as group:  # what it starts is inside, too
            group.create_task(nested.run(item))
            group.create_task(nested.collect([item, item]))
        fences.append(fence())
        return item

    async def main() -> None:
        async with no_leaks():
            await asyncio.gather(Chain(outer).run("a"), Chain(outer).run("a"))
        assert fences == [fences[0]] * 6 + [fences[6]] * 6
        assert fences[6] > fences[0]
        assert lock.snapshot() == LockSnapshot(0, 0, 0)

    run(main())


def test_what_a_node_has_started_keeps_the_lock_until_it_has_ended_itself() -> None:
    lock = Lock("accounts", itself)
    log: list[str] = []
    behind: list[asyncio.Task[Any]] = []

    async def note(what: str) -> None:
        log.append(f"{what} at {asyncio.get_running_loop().time():g}")

    async def main() -> None:
        async def goes_on(item: str) -> None:
            await asyncio.sleep(5)
            await note("gone on")

        async def outer(item: str) -> None:
            behind.append(asyncio.create_task(lock.around(goes_on, "inner")(item)))
            await asyncio.sleep(1)
            await note("outer ends")

        async def second(item: str) -> None:
            await note("second")

        await asyncio.gather(lock.around(outer, "outer")("a"), lock.around(second, "second")("a"))
        await asyncio.gather(*behind)
        assert log == ["outer ends at 1", "gone on at 5", "second at 5"]

    run(main())


def test_a_task_that_outlives_the_node_is_inside_no_longer() -> None:
    lock = Lock("accounts", itself)
    behind: list[asyncio.Task[Any]] = []
    order: list[str] = []

    async def main() -> None:
        async def later(_: str) -> None:
            order.append("later")

        async def afterwards() -> None:
            await asyncio.sleep(2)
            await lock.around(later, "later")("a")

        async def outer(_: str) -> None:
            behind.append(asyncio.create_task(afterwards()))

        async def second(_: str) -> None:
            await asyncio.sleep(5)
            order.append("second")

        await lock.around(outer, "outer")("a")
        await lock.around(second, "second")("a")
        await asyncio.gather(*behind)
        assert order == ["second", "later"]

    run(main())


def test_tasks_that_start_one_another_do_not_pile_up_what_they_held() -> None:
    lock = Lock("accounts", itself)
    depths: list[int] = []

    async def main() -> None:
        from rxchain.policies._lease import inside

        ended = asyncio.Event()
        tasks: list[asyncio.Task[Any]] = []

        async def again(number: int) -> None:
            depths.append(len(inside.get()))
            if number:
                tasks.append(asyncio.create_task(later(number - 1)))
            else:
                ended.set()

        async def later(number: int) -> None:
            await asyncio.sleep(1)
            await lock.around(again, "again")(number)

        await later(50)
        await ended.wait()
        await asyncio.gather(*tasks)
        assert max(depths) == 1

    run(main())


def test_the_lock_is_held_for_all_attempts_and_not_for_the_fallback() -> None:
    log: list[str] = []
    lock = Lock("accounts", itself)

    @node(lock=lock, retry=2, fallback=lambda item: f"instead, {lock.snapshot().waiting} wait")
    async def fails(item: str) -> str:
        log.append("attempt")
        await asyncio.sleep(1)
        raise ConnectionError

    async def main() -> None:
        async def second(_: str) -> None:
            log.append("second")

        first = asyncio.create_task(Chain(fails).run("a"))
        await asyncio.sleep(0.5)
        await lock.around(second, "second")("a")
        assert log == ["attempt", "attempt", "second"]
        assert await first == "instead, 0 wait"

    run(main())


def test_who_waits_for_a_key_takes_up_no_place_in_the_bulkhead_and_fails_no_breaker() -> None:
    breaker = CircuitBreaker("database", failures=1)
    bulkhead = Bulkhead("database", 2)
    try:

        @node(lock=Lock("accounts", itself, timeout=2), bulkhead=bulkhead, breaker=breaker, concurrency=9)
        async def query(item: str) -> str:
            await asyncio.sleep(5)
            return item

        async def main() -> None:
            chain = Chain(query)
            tasks = [asyncio.create_task(chain.run(item)) for item in "aaab"]
            await asyncio.sleep(1)
            assert (bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (2, 0)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [results[0], results[3]] == ["a", "b"]
            assert all(isinstance(result, LockTimeout) for result in results[1:3])
            assert await chain.run("c") == "c"  # the breaker is closed

        run(main())
    finally:
        Bulkhead.forget()
        CircuitBreaker.forget()


def test_a_wait_that_takes_too_long_names_the_lock_the_key_and_the_node() -> None:
    lock = Lock("accounts", lambda item: Keys(*item), timeout=2)

    async def work(item: str) -> str:
        await asyncio.sleep(5)
        return item

    async def main() -> None:
        first = asyncio.create_task(Chain(node(lock=lock)(work)).run("ab"))
        await asyncio.sleep(1)
        with pytest.raises(LockTimeout) as caught:
            await Chain(node(lock=lock)(work)).run("bc")
        assert asyncio.get_running_loop().time() == 3
        assert str(caught.value) == "node 'work': lock 'accounts' was not free for keys 'b', 'c' within 2 s"
        assert (caught.value.lock, caught.value.keys, caught.value.timeout) == ("accounts", ("b", "c"), 2)
        assert lock.snapshot() == LockSnapshot(2, 0, 1)
        assert await first == "ab"

    run(main())


def test_who_gives_up_makes_way_for_those_behind() -> None:
    async def main() -> None:
        async def work(_: str) -> float:
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(10)
            return began

        def asks(keys: str, timeout: float | None = None) -> "asyncio.Task[float]":
            lock = Lock("accounts", lambda _: Keys(*keys), timeout=timeout)
            return asyncio.create_task(lock.around(work, "work")(""))

        first, both, behind = asks("a"), asks("ab", timeout=3), asks("b")
        results = await asyncio.gather(first, both, behind, return_exceptions=True)
        assert (results[0], results[2]) == (0, 3)  # b was free, but for the one before who waited for a
        assert isinstance(results[1], LockTimeout)

    run(main())


@pytest.mark.parametrize("how", ["fails", "cancelled", "closed", "broken off"])
def test_it_is_never_held_across_an_items_end(how: str) -> None:
    lock = Lock("accounts", itself)

    @node(lock=lock, concurrency=3)
    async def work(item: str) -> str:
        await asyncio.sleep(1)
        if item == "b":
            if how == "fails":
                raise ValueError("no")
            await asyncio.sleep(99)
        return item

    async def main() -> None:
        async with no_leaks():
            stream = Chain(work, ops.map(str.upper)).stream("abc")
            assert await anext(stream) == "A"
            if how == "fails":
                with pytest.raises(ValueError, match="no"):
                    await anext(stream)
            elif how == "cancelled":
                task = asyncio.create_task(anext(stream))
                await asyncio.sleep(1)
                task.cancel()
                await asyncio.wait([task])
            elif how == "closed":
                await stream.aclose()
            else:
                async for _ in Chain(work).stream("cb"):
                    break
            await stream.aclose()
            await asyncio.sleep(0)
        gc.collect()
        assert lock.snapshot() == LockSnapshot(0, 0, 0)

    run(main())


def test_the_fence_is_seen_in_threads_and_by_the_node_alone() -> None:
    @node(lock=Lock("accounts", itself), on="threads")
    def in_a_thread(item: int) -> int:
        return fence("accounts") + item

    def behind(item: int) -> bool:
        with pytest.raises(LookupError, match="under no lock called 'accounts'"):
            fence("accounts")
        with pytest.raises(LookupError, match="under no lock\n"):
            lease()
        return item > 0

    results = asyncio.run(Chain(in_a_thread, behind).collect([0, 1, 2]))
    assert results == [True] * 3


def test_a_key_that_is_let_go_of_is_forgotten() -> None:
    lock = Lock("accounts", itself)
    chain = Chain(node(name="work", lock=lock)(itself))
    asyncio.run(chain.collect(range(1000)))
    assert local_locks._spaces["accounts"].queues == {}


@pytest.mark.parametrize("given", ["accounts", 3, Keys("a"), lambda: 0])
def test_what_makes_no_lock_is_refused(given: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        node(lock=given)(itself)


async def coloured(item: Any) -> Any:
    return item


@pytest.mark.parametrize(
    ("name", "key", "timeout"), [("", itself, None), ("x", coloured, None), ("x", "key", None), ("x", itself, 0)]
)
def test_a_lock_is_checked_when_it_is_made(name: Any, key: Any, timeout: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        Lock(name, key, timeout=timeout)


def test_a_generator_takes_no_lock() -> None:
    with pytest.raises(CompositionError, match="a generator takes none"):

        @node(lock=itself)
        def parts(item: str) -> Iterator[str]:
            yield item


def test_a_key_that_cannot_be_one_is_told_with_the_way_to_give_several() -> None:
    unhashable: Any = list
    with pytest.raises(TypeError, match=r"(?s)lock 'work' has to be hashable.*a list.*Keys\(payer, payee\)"):
        run(Chain(node(name="work", lock=unhashable)(coloured)).run("a"))


def test_no_key_at_all_is_no_lock() -> None:
    async def main() -> None:
        lock = Lock("accounts", lambda item: Keys())
        await asyncio.gather(*[lock.around(asyncio.sleep, "sleep")(1) for _ in range(3)])
        assert asyncio.get_running_loop().time() == 1

    run(main())


def test_keys_are_a_value() -> None:
    assert Keys("a", "b") == Keys("b", "a", "b") != Keys("a")
    assert hash(Keys("a", "b")) == hash(Keys("b", "a"))
    assert Lock("a", itself) == Lock("a", itself) != Lock("a", itself, timeout=1)
    assert hash(Lock("a", itself)) == hash(Lock("a", itself, timeout=1))
    assert repr(Lock("a", itself, timeout=1)) == "Lock('a', key=itself, timeout=1)"


# --- several event loops, in threads


def test_it_holds_for_all_event_loops_together() -> None:
    lock = Lock("threads", lambda number: Keys(number % 3, number % 5))
    inside: dict[int, int] = {}
    start = threading.Barrier(4)

    async def work(number: int) -> None:
        for key in {number % 3, number % 5}:
            assert key not in inside
            inside[key] = number
        try:
            await asyncio.sleep(0)
            time.sleep(0)  # noqa: ASYNC251 (another thread's turn)
        finally:
            for key in {number % 3, number % 5}:
                assert inside.pop(key) == number

    async def many() -> None:
        call = lock.around(work, "work")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(number)) for number in range(100)]
            await asyncio.sleep(0)
            for task in tasks[50::3]:
                task.cancel()

    def thread() -> None:
        start.wait()
        asyncio.run(many())

    failures: list[Any] = []
    before, threading.excepthook = threading.excepthook, failures.append
    threads = [threading.Thread(target=thread) for _ in range(4)]
    try:
        with no_leaks():
            for one in threads:
                one.start()
            for one in threads:
                one.join()
    finally:
        threading.excepthook = before
    assert failures == []
    assert lock.snapshot() == LockSnapshot(0, 0, 0)


def test_a_key_is_not_handed_to_an_event_loop_that_is_gone() -> None:
    locks = LocalLocks()
    loops = [VirtualLoop() for _ in range(2)]

    async def enter() -> Any:
        return locks._enter("gone", ("a",))

    first = loops[0].run_until_complete(enter())
    gone = loops[0].run_until_complete(enter())
    waits = loops[1].run_until_complete(enter())
    loops[0].close()
    first.leave()
    assert (waits.granted, gone.users) == (True, 0)
    gone.leave()
    assert waits.granted
    waits.leave()
    assert locks.snapshot("gone") == LockSnapshot(0, 0, 0)
    loops[1].close()


def test_a_call_that_is_collected_lets_go() -> None:
    lock = Lock("collected", itself)

    async def sleeps(_: object) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        inside = lock.around(sleeps, "query")(1)
        waits = lock.around(sleeps, "query")(1)
        contextvars.copy_context().run(inside.send, None)
        contextvars.copy_context().run(waits.send, None)
        assert lock.snapshot() == LockSnapshot(1, 1, 0)
        with local_locks._lock:  # as when the collector runs in the midst of somebody's change
            del inside
            gc.collect()
        assert lock.snapshot() == LockSnapshot(1, 0, 0)
        del waits
        gc.collect()
        assert lock.snapshot() == LockSnapshot(0, 0, 0)

    run(main())


# --- a backend of somebody else's


class Store:
    """What a fence is for: a register that refuses the late write of who has lost the lock."""

    def __init__(self) -> None:
        self.fence = 0
        self.written: list[str] = []

    def write(self, fence: int, value: str) -> None:
        if fence < self.fence:
            raise PermissionError(f"{fence} is older than {self.fence}")
        self.fence = fence
        self.written.append(value)


class Leases:
    """Leases that end by themselves, as those of a server do, for several processes, each with its own name for it."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, Hashable], tuple[int, float]] = {}
        self.last: dict[tuple[str, Hashable], int] = {}
        self.fences = itertools.count(1)
        self.asked: list[tuple[Hashable, ...]] = []
        self.fails = False

    async def acquire(self, name: str, keys: tuple[Hashable, ...], within: float | None) -> "Leased | None":
        clock = asyncio.get_running_loop().time
        until = None if within is None else clock() + within
        self.asked.append(keys)
        while any(self.held.get((name, key), (0, 0))[1] > clock() for key in keys):
            if until is not None and clock() >= until:
                return None
            await asyncio.sleep(0.25)
        leased = Leased(self, [(name, key) for key in keys], next(self.fences))
        await leased.renew()
        return leased


class Leased:
    def __init__(self, leases: Leases, held: list[tuple[str, Hashable]], fence: int) -> None:
        self.leases, self.keys, self.fence = leases, held, fence

    async def renew(self) -> None:
        for key in self.keys:
            if self.leases.last.setdefault(key, self.fence) > self.fence:
                raise PermissionError("lost")
            self.leases.last[key] = self.fence
            self.leases.held[key] = self.fence, asyncio.get_running_loop().time() + 3

    async def release(self) -> None:
        await asyncio.sleep(0.5)
        if self.leases.fails:
            raise ConnectionError("gone")
        for key in self.keys:
            if self.leases.held.get(key, (0, 0))[0] == self.fence:
                del self.leases.held[key]


def test_a_backend_gives_the_leases_and_the_fence_stops_who_has_lost_one() -> None:
    backend: LockBackend = Leases()
    store = Store()

    async def main() -> None:
        lock = Lock("accounts", itself, backend=backend, timeout=9)

        async def slow(item: str) -> str:
            await asyncio.sleep(5)  # longer than the lease
            try:
                store.write(fence(), "slow")
            except PermissionError as error:
                with pytest.raises(PermissionError, match="lost"):
                    await lease("accounts").renew()
                return str(error)
            return "written"

        async def process(number: int) -> None:
            """Another process: it knows nothing of the first but by the backend."""
            await asyncio.sleep(number)
            leased = await backend.acquire("accounts", ("a",), 9)
            assert isinstance(leased, Leased)
            store.write(leased.fence, "quick")
            await leased.release()

        result, _ = await asyncio.gather(lock.around(slow, "slow")("a"), process(1))
        assert result == "1 is older than 2"
        assert store.written == ["quick"]

    run(main())


def test_one_item_of_a_process_asks_the_backend_at_a_time_and_one_inside_another_does_not() -> None:
    backend = Leases()

    async def main() -> None:
        lock = Lock("accounts", lambda item: Keys(*item), backend=backend)
        fences: list[int] = []

        async def inner(item: str) -> None:
            fences.append(fence())

        async def outer(item: str) -> None:
            fences.append(fence())
            await lock.around(inner, "inner")(item[:1])
            await lock.around(inner, "inner")(item + "z")

        await asyncio.gather(*[lock.around(outer, "outer")("ab") for _ in range(2)])
        assert backend.asked == [("a", "b"), ("z",)] * 2
        assert fences == [1, 1, 2, 3, 3, 4]
        assert backend.held == {}

    run(main())


@pytest.mark.parametrize("end", ["cancelled", "cancelled twice", "fails", "timeout", "release fails"])
def test_a_backends_lease_is_let_go_of_however_the_item_ends(end: str) -> None:
    backend = Leases()

    async def main() -> None:
        lock = Lock("accounts", itself, backend=backend, timeout=1)

        async def work(item: str) -> str:
            await asyncio.sleep(2)
            if end == "fails":
                backend.fails = True
                raise ValueError("no")
            return item

        async with no_leaks():
            task = asyncio.create_task(lock.around(work, "work")("a"))
            await asyncio.sleep(1)
            if end.startswith("cancelled"):
                task.cancel()
                if end == "cancelled twice":
                    await asyncio.sleep(0.1)
                    task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert backend.held == {}
            elif end == "fails":
                with pytest.raises(ValueError, match="no") as caught:
                    await task
                assert caught.value.__notes__ == ["and the lock was not released: ConnectionError('gone')"]
            elif end == "release fails":
                backend.fails = True
                with pytest.raises(ConnectionError):
                    await task
            else:
                assert await task == "a"
                held = await backend.acquire("accounts", ("a",), 1)
                assert held is not None
                with pytest.raises(LockTimeout, match="within 1 s"):
                    await lock.around(work, "work")("a")
                await held.release()
                assert backend.held == {}
        assert lock.snapshot().keys == 0

    run(main())


def test_a_name_has_one_backend() -> None:
    Lock("accounts", itself)
    with pytest.raises(CompositionError, match="with other settings"):
        Lock("accounts", itself, backend=Leases())
