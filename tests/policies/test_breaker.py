"""Circuit breakers: a model of their states beside the real one, under failures, cancellations and late answers."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxchain import CircuitOpen, CompositionError, RxChainError, StopStream
from rxchain.policies import BreakerChange, CircuitBreaker
from rxchain.testing import VirtualLoop, run


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    yield
    CircuitBreaker.forget()


class Broken(Exception):
    """What counts as a failure."""


async def does(item: Any) -> Any:
    """Sleep for a number; raise an exception."""
    if isinstance(item, BaseException):
        raise item
    await asyncio.sleep(item)
    return item


async def outcome(call: Any, item: Any) -> str:
    try:
        await call(item)
    except CircuitOpen:
        return "refused"
    except Exception:
        return "failed"
    return "done"


def outcomes(breaker: CircuitBreaker, items: list[Any]) -> list[str]:
    async def main() -> list[str]:
        call = breaker.around(does, "charge")
        return [await outcome(call, item) for item in items]

    return run(main())


# --- the model


class Model:
    """A breaker with flags and lists, slowly: each call that is out knows since which change of state."""

    def __init__(self, limit: int, open_for: float, probes: int) -> None:
        self.limit, self.open_for, self.probes = limit, open_for, probes
        self.state = "closed"
        self.since = 0.0
        self.streak = 0
        self.epoch = 0
        self.out: list[int] = []
        self.succeeded = 0

    def change(self, state: str, now: float) -> None:
        self.state, self.since, self.streak, self.succeeded = state, now, 0, 0
        self.forget_those_out()

    def forget_those_out(self) -> None:
        self.epoch += 1
        self.out = []

    def admit(self, now: float) -> int | None:
        if self.state == "open" and now >= self.since + self.open_for:
            self.change("half-open", now)
        if self.state == "open":
            return None
        if self.state == "half-open":
            if len(self.out) + self.succeeded >= self.probes:
                if now < self.since + self.open_for:
                    return None
                self.forget_those_out()
            self.since = now
            self.out.append(self.epoch)
        return self.epoch

    def end(self, epoch: int, how: str, now: float) -> None:
        if epoch != self.epoch:
            return
        if self.state == "closed":
            if how == "failed":
                self.streak += 1
                if self.streak == self.limit:
                    self.change("open", now)
            elif how == "done":
                self.streak = 0
            return
        self.out.remove(epoch)
        if how == "failed":
            self.change("open", now)
        elif how == "done":
            self.succeeded += 1
            if self.succeeded == self.probes:
                self.change("closed", now)


class Breakers(RuleBasedStateMachine):
    """Calls begin, wait, end, fail and are cancelled in any order, on a real breaker in virtual time."""

    calls: list[tuple["asyncio.Task[str]", "asyncio.Future[None]", int]]

    @initialize(limit=st.integers(1, 3), open_for=st.integers(1, 5), probes=st.integers(1, 3))
    def begin(self, limit: int, open_for: int, probes: int) -> None:
        CircuitBreaker.forget()
        self.loop = VirtualLoop()
        self.changes: list[BreakerChange] = []
        self.breaker = CircuitBreaker("model", failures=limit, open_for=open_for, probes=probes, on=Broken)
        self.breaker.on_change(self.changes.append)
        self.call = self.breaker.around(self.wait_for, "charge")
        self.model = Model(limit, open_for, probes)
        self.calls = []

    async def wait_for(self, answer: "asyncio.Future[None]") -> None:
        await answer

    async def settled(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    @rule()
    def one_begins(self) -> None:
        async def begin() -> None:
            answer: asyncio.Future[None] = self.loop.create_future()
            task = asyncio.create_task(outcome(self.call, answer))
            await self.settled()
            epoch = self.model.admit(self.loop.time())
            if epoch is None:
                assert await task == "refused"
            else:
                assert not task.done()
                self.calls.append((task, answer, epoch))

        self.loop.run_until_complete(begin())

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), how=st.sampled_from(["done", "failed", "failed", "uncounted", "cancelled"]))
    def one_ends(self, data: st.DataObject, how: str) -> None:
        task, answer, epoch = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))

        async def end() -> None:
            if how == "cancelled":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                if how == "done":
                    answer.set_result(None)
                else:
                    answer.set_exception(Broken() if how == "failed" else KeyError())
                assert await task == ("done" if how == "done" else "failed")
            self.model.end(epoch, "done" if how == "uncounted" else how, self.loop.time())

        self.loop.run_until_complete(end())

    @rule(seconds=st.sampled_from([0.5, 1, 2, 5]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return

        async def look() -> None:
            model, seen = self.model, self.breaker.snapshot()
            assert self.breaker.state == seen.state == model.state
            assert seen.failures == model.streak
            left = max(model.since + model.open_for - self.loop.time(), 0)
            full = model.state == "open" or len(model.out) + model.succeeded >= model.probes
            assert seen.retry_after == (0 if model.state == "closed" or not full else left)

        self.loop.run_until_complete(look())

    @invariant()
    def what_listeners_were_told_is_one_story(self) -> None:
        state: str = "closed"
        for change in getattr(self, "changes", ()):
            assert change.before == state != change.after
            state = change.after
        assert state == (self.breaker.state if hasattr(self, "breaker") else "closed")

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def end() -> None:
            for task, _, _ in self.calls:
                task.cancel()
            await asyncio.gather(*[task for task, _, _ in self.calls], return_exceptions=True)

        self.loop.run_until_complete(end())
        self.loop.close()


TestBreakers = Breakers.TestCase
TestBreakers.settings = settings(max_examples=60, stateful_step_count=40)


# --- what opens it


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.05, 1), st.lists(st.booleans(), max_size=60))
def test_a_rate_of_the_last_calls_opens_it_when_it_is_reached(
    at_least: int, more: int, rate: float, fails: list[bool]
) -> None:
    last = at_least + more - 1
    CircuitBreaker.forget()
    breaker = CircuitBreaker("rate", rate=rate, last=last, at_least=at_least)
    seen: list[bool] = []
    for fail in fails:
        assert outcomes(breaker, [Broken() if fail else 0]) == ["failed" if fail else "done"]
        seen = [*seen, fail][-last:]
        if fail and len(seen) >= at_least and sum(seen) >= rate * len(seen):
            assert breaker.state == "open"
            return
        assert breaker.state == "closed"
        assert (breaker.snapshot().calls, breaker.snapshot().failures) == (len(seen), sum(seen))


@given(st.integers(1, 6), st.floats(0.05, 1), st.lists(st.tuples(st.sampled_from([0, 0.3, 1, 4]), st.booleans())))
def test_a_rate_of_the_last_seconds_opens_it_when_it_is_reached(
    at_least: int, rate: float, calls: list[tuple[float, bool]]
) -> None:
    CircuitBreaker.forget()
    breaker = CircuitBreaker("rate", rate=rate, window=5, at_least=at_least)

    async def main() -> None:
        call = breaker.around(does, "charge")
        seen: list[tuple[int, bool]] = []
        for pause, fail in calls:
            await asyncio.sleep(pause)
            await outcome(call, Broken() if fail else 0)
            tenth = int(asyncio.get_running_loop().time() // 0.5)
            seen = [(then, failed) for then, failed in [*seen, (tenth, fail)] if then > tenth - 10]
            failures = sum(failed for _, failed in seen)
            if fail and len(seen) >= at_least and failures >= rate * len(seen):
                assert breaker.state == "open"
                return
            assert breaker.state == "closed"
            assert (breaker.snapshot().calls, breaker.snapshot().failures) == (len(seen), failures)

    run(main())


def test_a_window_of_seconds_holds_no_more_for_more_calls() -> None:
    breaker = CircuitBreaker("rate", rate=1, window=1, at_least=10**9)

    async def main() -> None:
        call = breaker.around(does, "charge")
        for _ in range(500):
            await call(0.01)

    run(main())
    counter: Any = breaker._shared.circuit.phase.counter  # type: ignore[union-attr]
    assert len(counter._tenths) <= 10


def test_nothing_said_is_five_in_a_row() -> None:
    breaker = CircuitBreaker("five")
    assert outcomes(breaker, [Broken()] * 4 + [0] + [Broken()] * 6) == [
        *["failed"] * 4,
        "done",
        *["failed"] * 5,
        "refused",
    ]


def test_only_errors_of_the_types_it_is_for_count_and_others_are_answers() -> None:
    breaker = CircuitBreaker("types", failures=2, on=(Broken, OSError))
    assert outcomes(breaker, [Broken(), KeyError(), Broken(), ConnectionError()]) == ["failed"] * 4
    assert breaker.state == "open"


def test_a_predicate_says_which_errors_count() -> None:
    breaker = CircuitBreaker("predicate", failures=1, on=lambda error: error.args == (503,))
    assert outcomes(breaker, [Broken(404), Broken(503), 0]) == ["failed", "failed", "refused"]


def test_a_predicate_that_fails_is_told_and_counts_for_nothing() -> None:
    breaker = CircuitBreaker("predicate", failures=1, on=lambda error: error.args[1] == 503)
    with pytest.raises(IndexError) as caught:
        run(breaker.around(does, "charge")(Broken(404)))
    assert isinstance(caught.value.__context__, Broken)
    assert breaker.state == "closed"


def test_an_early_end_is_no_failure() -> None:
    breaker = CircuitBreaker("early", failures=1)
    with pytest.raises(StopStream):
        run(breaker.around(does, "charge")(StopStream()))
    assert breaker.state == "closed"


# --- refusals and probes


def test_a_refusal_says_who_why_and_when_to_try_again() -> None:
    breaker = CircuitBreaker("payments", failures=2, open_for=10)

    async def main() -> None:
        call = breaker.around(does, "charge")
        await outcome(call, Broken())
        await outcome(call, Broken())
        await asyncio.sleep(4)
        with pytest.raises(CircuitOpen) as caught:
            await call(0)
        assert isinstance(caught.value, RxChainError)
        assert (caught.value.breaker, caught.value.retry_after) == ("payments", 6)
        assert str(caught.value) == (
            "node 'charge': circuit breaker 'payments' is open after 2 failures in a row; the next try is in 6 s"
        )
        snapshot = breaker.snapshot()
        assert (snapshot.opened_at, snapshot.retry_after, snapshot.refused) == (0, 6, 1)
        await asyncio.sleep(caught.value.retry_after)
        assert await call(0) == 0
        assert breaker.snapshot().opened_at is None

    run(main())


def test_the_function_is_not_called_while_it_is_open() -> None:
    calls = []

    async def fails(item: Any) -> None:
        calls.append(item)
        raise Broken

    async def main() -> None:
        call = CircuitBreaker("once", failures=1).around(fails, "charge")
        assert [await outcome(call, item) for item in range(3)] == ["failed", "refused", "refused"]

    run(main())
    assert calls == [0]


def test_a_cancelled_probe_gives_its_place_back() -> None:
    breaker = CircuitBreaker("probe", failures=1, open_for=10)

    async def main() -> None:
        call = breaker.around(does, "charge")
        await outcome(call, Broken())
        await asyncio.sleep(10)
        probe = asyncio.create_task(call(60))
        await asyncio.sleep(1)
        assert await outcome(call, 0) == "refused"
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert breaker.state == "half-open"
        assert await outcome(call, 0) == "done"

    run(main())
    assert breaker.state == "closed"


def test_a_probe_that_never_answers_gives_its_place_to_another() -> None:
    breaker = CircuitBreaker("probe", failures=1, open_for=10)

    async def main() -> None:
        call = breaker.around(does, "charge")
        await outcome(call, Broken())
        await asyncio.sleep(10)
        lost = asyncio.create_task(call(3600))
        await asyncio.sleep(4)
        with pytest.raises(CircuitOpen) as caught:
            await call(0)
        assert caught.value.retry_after == 6
        await asyncio.sleep(6)
        assert await outcome(call, 0) == "done"
        await lost
        assert breaker.state == "closed"

    run(main())


def test_rare_probes_add_up() -> None:
    breaker = CircuitBreaker("rare", failures=1, open_for=10, probes=3)

    async def main() -> None:
        call = breaker.around(does, "charge")
        await outcome(call, Broken())
        for _ in range(3):
            await asyncio.sleep(60)
            assert await outcome(call, 0) == "done"
        assert breaker.state == "closed"

    run(main())


def test_an_answer_from_before_it_opened_changes_nothing() -> None:
    breaker = CircuitBreaker("late", failures=1, open_for=10)

    async def main() -> None:
        call = breaker.around(does, "charge")
        late = asyncio.create_task(call(5))
        await asyncio.sleep(1)
        await outcome(call, Broken())
        await late
        assert breaker.state == "open"

    run(main())


# --- shared by name


def test_the_same_name_with_the_same_settings_is_the_same_breaker() -> None:
    one, two = CircuitBreaker("payments", failures=1), CircuitBreaker("payments", failures=1, open_for=30.0)
    assert one == two
    assert hash(one) == hash(two)
    assert outcomes(one, [Broken()]) == ["failed"]
    assert two.state == "open"
    assert outcomes(two, [0]) == ["refused"]
    assert CircuitBreaker("others", failures=1).state == "closed"
    assert CircuitBreaker("said") == CircuitBreaker("said", failures=5)
    assert CircuitBreaker("rate", rate=0.5) == CircuitBreaker("rate", rate=0.5, window=60, at_least=10)


def test_the_same_name_with_other_settings_is_a_mistake_that_shows_both() -> None:
    first = CircuitBreaker("payments", failures=3, on=OSError)
    with pytest.raises(CompositionError) as caught:
        CircuitBreaker("payments", failures=4, on=OSError)
    assert str(caught.value) == (
        "CircuitBreaker 'payments' is there already, with other settings, and a name stands for one\n"
        "    CircuitBreaker('payments', failures=3, open_for=30.0, probes=1, on=OSError)  # the first\n"
        "    CircuitBreaker('payments', failures=4, open_for=30.0, probes=1, on=OSError)  # incorrect: the same name;"
        " hand the first around, or choose another name"
    )
    assert first.state == "closed"


def test_forgotten_a_breaker_begins_afresh_and_so_do_those_who_have_it() -> None:
    old = CircuitBreaker("payments", failures=1)
    told: list[BreakerChange] = []
    old.on_change(told.append)
    outcomes(old, [Broken()])
    CircuitBreaker.forget("payments")
    assert old.state == "closed"
    new = CircuitBreaker("payments", failures=2)
    assert new.state == "closed"
    assert new != old
    assert [change.after for change in told] == ["open"]
    CircuitBreaker.forget("never heard of")


def test_a_reset_closes_it() -> None:
    breaker = CircuitBreaker("payments", failures=2)
    told: list[BreakerChange] = []
    breaker.on_change(told.append)
    outcomes(breaker, [Broken()])
    breaker.reset()
    outcomes(breaker, [Broken()])
    assert (breaker.state, told) == ("closed", [])
    outcomes(breaker, [Broken()])
    breaker.reset()
    assert (breaker.state, told[-1]) == ("closed", BreakerChange("payments", "open", "closed", "a reset"))


# --- listeners


def test_listeners_are_told_why_until_they_want_no_more() -> None:
    breaker = CircuitBreaker("told", failures=1, open_for=1)
    told: list[BreakerChange] = []
    end = breaker.on_change(told.append)

    async def main() -> None:
        call = breaker.around(does, "charge")
        await outcome(call, Broken())
        await asyncio.sleep(1)
        await outcome(call, 0)
        end()
        end()
        await outcome(call, Broken())

    run(main())
    assert [(change.before, change.after, change.why) for change in told] == [
        ("closed", "open", "a failure"),
        ("open", "half-open", "the time it is open for is over"),
        ("half-open", "closed", "a probe that succeeded"),
    ]


def test_a_listener_that_fails_is_told_to_the_event_loop_and_not_to_the_call() -> None:
    breaker = CircuitBreaker("told", failures=1)
    told: list[Any] = []

    def fails(change: BreakerChange) -> None:
        raise ZeroDivisionError

    breaker.on_change(fails)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        with pytest.raises(Broken):
            await breaker.around(does, "charge")(Broken())

    run(main())
    assert told[0]["message"] == "a listener of circuit breaker 'told' failed"
    assert isinstance(told[0]["exception"], ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        breaker.reset()


# --- threads


def test_many_threads_count_each_failure_once() -> None:
    breaker = CircuitBreaker("threads", failures=4001)
    barrier = threading.Barrier(4)

    async def fail_often() -> None:
        call = breaker.around(does, "charge")
        for _ in range(1000):
            await outcome(call, Broken())

    def work() -> None:
        barrier.wait()
        asyncio.run(fail_often())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (breaker.state, breaker.snapshot().failures) == ("closed", 4000)


def test_it_can_be_read_where_no_event_loop_runs() -> None:
    breaker = CircuitBreaker("read", failures=1, open_for=3600)
    assert breaker.snapshot().retry_after == 0
    with pytest.raises(Broken):
        asyncio.run(breaker.around(does, "charge")(Broken()))
    assert 0 < breaker.snapshot().retry_after <= 3600


# --- settings


@pytest.mark.parametrize(
    "make",
    [
        lambda: CircuitBreaker(""),
        lambda: CircuitBreaker(5),  # type: ignore[arg-type]
        lambda: CircuitBreaker("x", failures=0),
        lambda: CircuitBreaker("x", failures=2.5),  # type: ignore[arg-type]
        lambda: CircuitBreaker("x", rate=0),
        lambda: CircuitBreaker("x", rate=50),
        lambda: CircuitBreaker("x", rate=0.5, failures=3),
        lambda: CircuitBreaker("x", rate=0.5, window=10, last=10),
        lambda: CircuitBreaker("x", rate=0.5, window=0),
        lambda: CircuitBreaker("x", rate=0.5, last=9),
        lambda: CircuitBreaker("x", rate=0.5, last=9.5),  # type: ignore[arg-type]
        lambda: CircuitBreaker("x", rate=0.5, at_least=0),
        lambda: CircuitBreaker("x", window=10),
        lambda: CircuitBreaker("x", last=10),
        lambda: CircuitBreaker("x", open_for=0),
        lambda: CircuitBreaker("x", probes=0),
        lambda: CircuitBreaker("x", on=()),
        lambda: CircuitBreaker("x", on=asyncio.CancelledError),
        lambda: CircuitBreaker("x", on=503),  # type: ignore[arg-type]
        lambda: CircuitBreaker("x", on=does),
        lambda: CircuitBreaker("x", on=lambda: True),  # type: ignore[arg-type,misc]
    ],
)
def test_what_makes_no_breaker_is_refused_and_leaves_no_name(make: Callable[[], CircuitBreaker]) -> None:
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        make()
    CircuitBreaker("x", failures=9)
