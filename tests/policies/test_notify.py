"""Notifying: of a thousand failures alike once, with their number; none uncounted, whatever the notifier does."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import CompositionError, Failure
from rxchain.policies import ErrorHandler, Notification, Throttled
from rxchain.policies._notify import OTHERS, Kind, Throttle
from rxchain.policies._outlet import LIMIT, Outlet
from rxchain.testing import no_leaks, run


def failure(node: str = "charge", error: Exception | None = None) -> Failure:
    return Failure(error or TimeoutError("no answer"), "orders", node, "tea", "tea")


# --- the decision


@dataclass
class Model:
    """Each kind on its own: when it may be told of next, and the failures that have not been told of."""

    per: float
    until: dict[str, float] = field(default_factory=dict)
    waiting: Counter[str] = field(default_factory=Counter)

    def add(self, node: str) -> None:
        self.waiting[node] += 1

    def take(self, now: float) -> dict[str, int]:
        told = {node: n for node, n in self.waiting.items() if n and self.until.get(node, now) <= now}
        for node in told:
            self.waiting[node], self.until[node] = 0, now + self.per
        return told


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 1.0, 7.0]), st.sampled_from(["fail", "take", "put back", "end"]), st.integers(0, 3)
    )
)


@given(STEPS, st.sampled_from([0.5, 2.0]))
def test_it_is_what_the_model_says_and_no_failure_is_uncounted(steps: list[tuple[float, str, int]], per: float) -> None:
    throttle, model = Throttle(per), Model(per)
    now, failed, told = 0.0, 0, 0
    last_told: dict[str, float] = {}
    for later, what, k in steps:
        now += later
        node = f"node {k}"
        if what == "fail":
            failed += 1
            model.add(node)
            due = throttle.add(failure(node), now)
            assert due == (model.until.get(node, now) <= now)
        elif what == "end":
            found = throttle.take_all(now)
            assert {n.node: n.count for n in found} == {n: c for n, c in model.waiting.items() if c}
            told += sum(n.count for n in found)
            model, last_told = Model(per), {}
        else:
            found = throttle.take(now)
            assert {n.node: n.count for n in found} == model.take(now)
            for n in found:
                assert now - last_told.get(n.node, -per) >= per, "the same kind twice in one span of time"
                if what == "put back":
                    throttle.put_back(n, now, now)
                    model.waiting[n.node] += n.count
                else:
                    told += n.count
                last_told[n.node] = now
        assert throttle.untold == failed - told
        waiting = [model.until.get(node, now) for node, n in model.waiting.items() if n]
        at = throttle.next_at()
        assert (at is None) == (not waiting)
        assert at is None or max(at, now) == max(min(waiting), now)
    assert told + sum(n.count for n in throttle.take_all(now)) == failed


def test_the_first_is_told_at_once_the_others_together() -> None:
    throttle = Throttle(60)
    assert throttle.add(failure(), 10.0)
    (first,) = throttle.take(10.0)
    assert (first.count, first.seconds) == (1, 0.0)
    for i in range(999):
        assert not throttle.add(failure(), 10.0 + i * 0.05)
    assert throttle.take(69.9) == []
    assert throttle.next_at() == 70.0
    (others,) = throttle.take(70.0)
    assert (others.count, others.seconds) == (999, 60.0)
    assert str(others) == "node 'charge' of chain 'orders' failed 999 times in 60 s; the last: TimeoutError: no answer"
    assert throttle.next_at() is None


def test_what_could_not_be_told_is_a_part_of_the_next() -> None:
    throttle = Throttle(60)
    throttle.add(failure(), 0.0)
    (first,) = throttle.take(0.0)
    throttle.add(failure(), 5.0)  # while it is being told, for 10 seconds, in vain
    throttle.put_back(first, 0.0, 10.0)
    assert throttle.next_at() == 70.0, "a notifier that fails is left alone for a while"
    (both,) = throttle.take(70.0)
    assert (both.count, both.seconds) == (2, 70.0)


def test_kinds_are_told_apart_until_there_are_too_many() -> None:
    throttle = Throttle(60, most_kinds=3)
    for node in ("a", "a", "b", "c", "d", "e"):
        throttle.add(failure(node), 0.0)
    throttle.add(failure("a", ValueError("x")), 0.0)
    found = {(n.node, n.error): n.count for n in throttle.take(0.0)}
    assert found == {("a", "TimeoutError"): 2, ("b", "TimeoutError"): 1, ("c", "TimeoutError"): 1, ("", ""): 3}
    throttle.add(failure("f"), 1.0)
    assert set(throttle._kinds) >= {OTHERS}
    (told,) = throttle.take(60.0)
    assert str(told) == "calls of many kinds failed: TimeoutError: no answer"


def test_a_kind_of_which_nothing_was_heard_makes_room() -> None:
    throttle = Throttle(60, most_kinds=1)
    throttle.add(failure("a"), 0.0)
    assert len(throttle.take(0.0)) == 1
    throttle.add(failure("b"), 100.0)
    assert set(throttle._kinds) == {Kind("orders", "b", "TimeoutError")}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Throttled(print, per=0),
        lambda: Throttled(print, per=-1),
        lambda: Throttled(print, per=float("nan")),
        lambda: Throttled(print, per=float("inf")),
        lambda: Throttled(print, per=True),
        lambda: Throttled("ops@example.org"),  # type: ignore[arg-type]
        lambda: Throttled(lambda: None),  # type: ignore[arg-type]
        lambda: Throttled(Throttled(print)),  # type: ignore[arg-type]
        lambda: ErrorHandler(notify="ops@example.org"),  # type: ignore[arg-type]
    ],
)
def test_a_mistake_is_shown_beside_what_is_right(mistake: object) -> None:
    with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
        mistake()  # type: ignore[operator]


# --- the task


@dataclass
class Told:
    """A notifier: when it was told of how many; it takes as long, and fails as often, as the test says."""

    takes: float = 0.0
    fails: Iterator[bool] = field(default_factory=lambda: iter(()))
    seen: list[tuple[float, str, int]] = field(default_factory=list)

    async def __call__(self, notification: Notification) -> None:
        await asyncio.sleep(self.takes)
        if next(self.fails, False):
            raise ConnectionError("the notifier is down")
        now = asyncio.get_running_loop().time()
        self.seen.append((now, notification.node, notification.count))

    @property
    def count(self) -> int:
        return sum(count for _, _, count in self.seen)


def test_a_thousand_failures_are_one_message_and_one_with_their_number() -> None:
    told = Told()

    async def main() -> None:
        async with no_leaks():
            outlet = Outlet(Throttled(told, per=60))
            for _ in range(1000):
                outlet.add(failure())
                await asyncio.sleep(0.05)
            await asyncio.sleep(60)
            assert told.seen == [(0.0, "charge", 1), (60.0, "charge", 999)]
            assert not [task for task in asyncio.all_tasks() if "notifies" in task.get_name()], "nothing is left to do"
            await outlet.aclose()

    run(main())


def test_the_end_of_the_run_tells_the_rest() -> None:
    told = Told()

    async def main() -> None:
        async with no_leaks():
            outlet = Outlet(told)
            for _ in range(3):
                outlet.add(failure())
                await asyncio.sleep(1)
            await outlet.aclose()
            await outlet.aclose()

    run(main())
    assert told.seen == [(0.0, "charge", 1), (3.0, "charge", 2)]


def test_a_slow_notifier_is_told_of_more_at_a_time() -> None:
    told = Told(takes=10.0)

    async def main() -> None:
        async with no_leaks():
            outlet = Outlet(Throttled(told, per=1))
            for _ in range(25):
                outlet.add(failure())
                await asyncio.sleep(1)
            await outlet.aclose()

    run(main())
    assert [count for _, _, count in told.seen] == [1, 9, 10, 5]


def test_one_that_fails_is_told_again_and_a_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(fails=iter([True, False, True]))

    async def main() -> None:
        async with no_leaks():
            outlet = Outlet(Throttled(told, per=60))
            outlet.add(failure())
            await asyncio.sleep(1)
            assert (outlet.told, outlet.untold) == (0, 1)
            await asyncio.sleep(60)
            assert told.seen == [(60.0, "charge", 1)]
            outlet.add(failure())
            await outlet.aclose()
            assert (outlet.told, outlet.untold) == (1, 1)

    run(main())
    first, last = (record.getMessage() for record in caplog.records)
    assert "failed; it is told again in 60 s: ConnectionError: the notifier is down\nTraceback" in first
    assert "has not been told of 1 failures: it failed: ConnectionError: the notifier is down" in last


def test_one_that_hangs_is_given_up_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(takes=3600)

    async def main() -> float:
        async with no_leaks():
            outlet = Outlet(told)
            outlet.add(failure())
            await asyncio.sleep(0)
            await outlet.aclose()
            return asyncio.get_running_loop().time()

    assert run(main()) == 2 * LIMIT
    assert "has not been told of 1 failures" in caplog.text


@pytest.mark.parametrize("after", [0.0, 5.0, 15.0])
def test_cancelled_while_it_closes_it_says_what_was_not_told(after: float, caplog: pytest.LogCaptureFixture) -> None:
    told = Told(takes=10)

    async def main() -> None:
        async with no_leaks():
            outlet = Outlet(told)
            outlet.add(failure("a"))
            await asyncio.sleep(0)
            outlet.add(failure("a"))
            closing = asyncio.create_task(outlet.aclose())
            await asyncio.sleep(after)
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
            assert outlet.untold + told.count == 2

    run(main())
    assert len(caplog.records) == 1


def test_a_plain_notifier_runs_in_a_thread_and_may_give_a_coroutine() -> None:
    threads: list[threading.Thread] = []

    async def finish() -> None:
        threads.append(threading.current_thread())

    def begin(_: Notification) -> object:
        threads.append(threading.current_thread())
        return finish()

    async def main() -> None:
        async with no_leaks():
            outlet = Outlet(begin)
            outlet.add(failure())
            await outlet.aclose()

    run(main())
    elsewhere, here = threads
    assert elsewhere is not here
    assert here is threading.current_thread()


def test_a_loop_that_ends_before_says_what_was_not_told(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    outlet = Outlet(told)

    async def forgets() -> None:
        outlet.add(failure())
        await asyncio.sleep(1)
        outlet.add(failure())
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()  # as asyncio.run does at its end
        await asyncio.wait([task])

    run(forgets())
    assert "has not been told of 1 failures: its event loop ended before" in caplog.text
    run(outlet.aclose())
    assert told.count == 2


def test_failures_come_from_several_loops_at_once() -> None:
    told: Counter[str] = Counter()
    outlet = Outlet(Throttled(lambda n: told.update({n.node: n.count}), per=0.001))

    async def stream(node: str) -> None:
        for i in range(200):
            outlet.add(failure(node))
            if i % 20 == 0:
                await asyncio.sleep(0.001)
        await outlet.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(stream(f"node {i}"),)) for i in range(4)]
    with no_leaks():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(outlet.aclose())
    assert told == {f"node {i}": 200 for i in range(4)}
    assert (outlet.told, outlet.untold) == (800, 0)


def test_with_a_home_the_task_is_there() -> None:
    where: list[str] = []
    told = asyncio.Event()

    async def tell(_: Notification) -> None:
        where.append(threading.current_thread().name)
        told.set()

    async def main() -> None:
        outlet = Outlet(tell)
        outlet.home = asyncio.get_running_loop()

        async def elsewhere() -> None:
            outlet.add(failure())

        await asyncio.to_thread(asyncio.run, elsewhere())
        async with asyncio.timeout(5):
            await told.wait()
        await outlet.aclose()

    with no_leaks():
        asyncio.run(main())
    assert where == [threading.main_thread().name]


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2)), max_size=25),
    st.lists(st.booleans(), max_size=12),
    st.sampled_from([0.0, 0.5, 4.0]),
    st.sampled_from([0.5, 5.0]),
)
def test_whatever_the_notifier_does_each_failure_is_told_once_or_said_to_be_untold(
    failures: list[tuple[float, int]], fails: list[bool], takes: float, per: float
) -> None:
    told = Told(takes, iter(fails))
    outlet = Outlet(Throttled(told, per=per))

    async def main() -> None:
        async with no_leaks():
            for later, k in failures:
                await asyncio.sleep(later)
                outlet.add(failure(f"node {k}"))
            await outlet.aclose()

    run(main())
    assert told.count == outlet.told
    assert outlet.told + outlet.untold == len(failures)
    for k in range(3):
        times = [now for now, node, _ in told.seen if node == f"node {k}"]
        # But for the last one, at the end of the run.
        assert all(later - now >= per - 1e-6 for now, later in pairwise(times[:-1]))
