"""Retry: a model of it, written as one would say it, against it; in virtual time, under failures and cancellations."""

import asyncio
import contextlib
import dataclasses
import email
import gc
import io
import random
import urllib.error
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, StopStream, node
from rxchain.errors import CircuitOpen, CompositionError
from rxchain.policies import (
    ResultRefused,
    Retry,
    RetryBudget,
    Wait,
    _log,
    attempt_count,
    attempts_of,
    exponential,
    fixed,
    linear,
    retry_after,
)
from rxchain.testing import run
from tests.policies.test_budget import Model as BudgetModel


class Passing(Exception):
    """What is worth another attempt."""


class Lasting(Exception):
    """What is not."""


# --- a service: what each attempt takes, and what it comes to

Answer = tuple[float, type[Exception] | None]


@dataclass
class Service:
    """Answers attempt after attempt as it was told to, and then well."""

    answers: list[Answer]
    asked: list[float] = field(default_factory=list)
    """When each attempt began."""

    async def ask(self, item: object) -> object:
        self.asked.append(asyncio.get_running_loop().time())
        takes, error = self.answers[len(self.asked) - 1] if len(self.asked) <= len(self.answers) else (0, None)
        if takes:
            await asyncio.sleep(takes)
        if error is not None:
            raise error(len(self.asked))
        return item


eighths = st.integers(0, 24).map(lambda n: n / 8)  # sums of these are exact
answers = st.lists(st.tuples(eighths, st.sampled_from([None, Passing, Passing, Passing, Lasting])), max_size=8)


@st.composite
def waits(draw: st.DrawFn) -> Wait:
    first, more = draw(st.integers(1, 8)) / 8, draw(eighths)
    jitter = draw(st.booleans())
    growing = exponential(first, max=first + more, jitter=jitter)
    return draw(st.sampled_from([fixed(0), fixed(first), linear(first, max=first + more), growing]))


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    total = draw(st.none() | st.integers(1, 64).map(lambda n: n / 8))
    attempts = draw(st.integers(1, 6) if total is None else st.none() | st.integers(1, 6))
    wait = draw(waits())
    if attempts is None and wait == fixed(0):
        wait = fixed(0.125)
    on: Any = draw(st.sampled_from([Passing, (Passing, KeyError), lambda error: isinstance(error, Passing)]))
    return {"attempts": attempts, "wait": wait, "total": total, "on": on}


@dataclass
class Expected:
    """What is to come of one item."""

    asked: list[float]
    error: type[Exception] | None
    ends: float


def model(
    answers: list[Answer],
    *,
    attempts: int | None,
    wait: Wait,
    total: float | None,
    on: object,
    chance: random.Random,
    began: float = 0.0,
    budget: BudgetModel | None = None,
) -> Expected:
    """Retry, as one would say it."""
    now, asked = began, [began]
    if budget is not None:
        budget.call(now)
    while True:
        takes, error = answers[len(asked) - 1] if len(asked) <= len(answers) else (0, None)
        now += takes
        if error is None or error is Lasting or len(asked) == attempts:
            return Expected(asked, error, now)
        seconds = wait.seconds(len(asked), chance)
        if total is not None and now - began + seconds > total:
            return Expected(asked, error, now)
        if budget is not None and not budget.take(now):
            return Expected(asked, error, now)
        now += seconds
        asked.append(now)


Driver = Callable[[Retry, Callable[[Any], Any]], Callable[[Any], Coroutine[Any, Any, Any]]]


def around(retry: Retry, fn: Callable[[Any], Any]) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    return retry.around(fn, "ask")


def recovering(retry: Retry, fn: Callable[[Any], Any]) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """As the program does it: a try around the call itself."""
    recover = retry.recover(fn, "ask")

    async def tried(item: Any) -> Any:
        try:
            return await fn(item)
        except Exception as error:
            return await recover(item, error)

    return tried


async def outcome(call: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a call: its result, or its error."""
    try:
        return await call
    except Exception as error:
        return error


# --- laws


@given(answers, policies(), st.integers(), st.sampled_from([around, recovering]))
def test_it_does_what_the_model_says(answers: list[Answer], policy: dict[str, Any], seed: int, driver: Driver) -> None:
    retry = Retry(random=random.Random(seed), **policy)
    if not retry.inlined:
        driver = around
    expected = model(answers, chance=random.Random(seed), **policy)
    service = Service(answers)

    async def main() -> float:
        found = await outcome(driver(retry, service.ask)("tea"))
        if expected.error is None:
            assert found == "tea"
        else:
            assert type(found) is expected.error
            assert attempts_of(found)[-1] is found
            assert [error.args[0] for error in attempts_of(found)] == list(range(1, len(expected.asked) + 1))
            assert attempt_count(found) == len(expected.asked)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(expected.ends)
    assert service.asked == pytest.approx(expected.asked)


@given(answers, policies(), st.integers(), st.integers(0, 80))
def test_a_cancellation_ends_it_wherever_it_is(
    answers: list[Answer], policy: dict[str, Any], seed: int, sixteenths: int
) -> None:
    at = sixteenths / 8 + 1 / 16  # never at the same time as anything else
    if policy["wait"].jitter:
        policy["wait"] = fixed(0.5)
    expected = model(answers, chance=random.Random(seed), **policy)
    budget = RetryBudget(1, per=1000)
    retry = Retry(budget=budget, **policy)
    service = Service(answers)

    async def main() -> None:
        task = asyncio.create_task(retry.around(service.ask, "ask")("tea"))
        await asyncio.sleep(at)
        was_cancelled = task.cancel()
        done, _ = await asyncio.wait([task])
        assert done
        assert was_cancelled == (expected.ends > at)
        assert task.cancelled() == was_cancelled
        assert was_cancelled or type(task.exception()) is (expected.error or type(None))
        assert asyncio.get_running_loop().time() == at
        assert service.asked == [began for began in expected.asked if began < at]
        assert budget.statistics(at).retries == len(service.asked) - 1  # what was not made is given back

    run(main())


def test_a_retry_that_is_cancelled_while_it_waits_is_given_back() -> None:
    service = Service([(1, Passing)] * 9)
    budget = RetryBudget(1, per=1000)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):  # 1, wait 3, 1 more: in the middle of the second wait
                await Retry(9, wait=3, budget=budget).around(service.ask, "ask")("tea")
        assert budget.statistics(5).retries == 1

    run(main())
    assert service.asked == [0, 4]


@given(
    st.lists(answers, min_size=1, max_size=8),
    waits(),
    st.sampled_from([0.2, 0.5, 1]),
    st.sampled_from([1, 5, 1000]),
    st.sampled_from([0, 1]),
    st.integers(),
)
def test_with_a_budget_it_does_what_the_model_says(
    items: list[list[Answer]], wait: Wait, share: float, per: float, at_least: int, seed: int
) -> None:
    policy: dict[str, Any] = {"attempts": 4, "wait": wait, "total": None, "on": Passing}
    budget, spent = RetryBudget(share, per=per, at_least=at_least), BudgetModel(share, per, at_least)
    retry = Retry(random=random.Random(seed), budget=budget, **policy)
    assert not retry.inlined
    chance = random.Random(seed)

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        for answers in items:
            service = Service(answers)
            expected = model(answers, chance=chance, began=clock(), budget=spent, **policy)
            found = await outcome(retry.around(service.ask, "ask")("tea"))
            assert found == "tea" if expected.error is None else type(found) is expected.error
            assert service.asked == expected.asked

    run(main())


@given(st.lists(st.sampled_from([None, Passing, Passing, Lasting]), max_size=6), st.integers(1, 5))
def test_a_plain_function_is_retried_at_once_and_needs_no_event_loop(
    outcomes: list[type[Exception] | None], attempts: int
) -> None:
    policy: dict[str, Any] = {"attempts": attempts, "wait": fixed(0), "total": None, "on": Passing}
    expected = model([(0, error) for error in outcomes], chance=random.Random(), **policy)
    asked = 0

    def ask(item: str) -> str:
        nonlocal asked
        asked += 1
        error = outcomes[asked - 1] if asked <= len(outcomes) else None
        if error is not None:
            raise error(asked)
        return item

    retry = Retry(attempts, wait=0, on=Passing)
    recover = retry.recover(ask, "ask")
    assert retry.inlined
    assert not asyncio.iscoroutinefunction(recover)

    def tried() -> object:
        try:
            return ask("tea")
        except Exception as error:
            return recover("tea", error)

    if expected.error is None:
        assert tried() == "tea"
    else:
        with pytest.raises(expected.error) as caught:
            tried()
        assert [error.args[0] for error in attempts_of(caught.value)] == list(range(1, asked + 1))
    assert asked == len(expected.asked)


# --- what is never retried


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, StopStream, GeneratorExit])
@pytest.mark.parametrize("on", [Exception, lambda error: True])
def test_what_is_no_exception_passes_at_once(error: type[BaseException], on: Any) -> None:
    asked = 0

    async def ask(item: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise error
        raise Passing

    coroutine = Retry(5, wait=0, on=on).around(ask, "ask")("tea")

    async def main() -> None:
        with pytest.raises(error):
            await coroutine

    run(main())
    assert asked == 2


def test_an_error_that_is_not_retried_arrives_untouched() -> None:
    async def ask(item: object) -> object:
        raise Lasting("no")

    for driver in (around, recovering):
        with pytest.raises(Lasting) as caught:
            run(driver(Retry(3, on=Passing), ask)("tea"))
        assert not hasattr(caught.value, "__notes__")
        assert attempts_of(caught.value) == (caught.value,)
        assert attempt_count(caught.value) == 1


def test_one_attempt_is_no_retry() -> None:
    async def ask(item: object) -> object:
        raise Passing

    with pytest.raises(Passing) as caught:
        run(Retry(1).around(ask, "ask")("tea"))
    assert not hasattr(caught.value, "__notes__")


def test_a_wait_that_would_be_too_long_is_not_begun() -> None:
    service = Service([(1, Passing)] * 9)

    async def main() -> None:
        with pytest.raises(Passing) as caught:
            await Retry(9, wait=10, total=12).around(service.ask, "ask")("tea")
        assert asyncio.get_running_loop().time() == 12  # 1 + 10 + 1; the next would begin at 22
        assert caught.value.__notes__[-1].endswith("another one, 10 s later, would be past the total of 12 s")

    run(main())
    assert service.asked == [0, 11]


# --- what the last error tells


def test_the_last_error_is_itself_and_tells_of_all_attempts() -> None:
    service = Service([(0.5, Passing), (0.5, TimeoutError), (0, Passing)])
    for driver in (around, recovering):
        service.asked.clear()
        with pytest.raises(Passing) as caught:
            run(driver(Retry(3, wait=2), service.ask)("tea"))
        assert caught.value.__notes__ == [
            "attempt 1 of 3: Passing(1)",
            "attempt 2 of 3, 2.5 s later: TimeoutError(2)",
            "attempt 3 of 3, 4.5 s later: this error",
        ]
        assert [type(error) for error in attempts_of(caught.value)] == [Passing, TimeoutError, Passing]


def test_what_is_not_retried_in_the_end_says_so() -> None:
    service = Service([(0, Passing), (0, Lasting)])
    with pytest.raises(Lasting) as caught:
        run(Retry(3, wait=0, on=Passing).around(service.ask, "ask")("tea"))
    assert caught.value.__notes__[-1] == "attempt 2 of 3, 0 s later: this error; which is not retried"


def test_a_spent_budget_says_so() -> None:
    service = Service([(0, Passing)])
    with pytest.raises(Passing) as caught:
        run(Retry(3, budget=RetryBudget(0.1, at_least=0)).around(service.ask, "ask")("tea"))
    assert caught.value.__notes__ == [
        "attempt 1 of 3: this error; and the budget for retries is spent: RetryBudget(0.1, per=10, at_least=0)"
    ]


def test_of_many_attempts_the_last_are_kept_and_all_are_counted() -> None:
    service = Service([(0, Passing)] * 50)
    with pytest.raises(Passing) as caught:
        run(Retry(50, wait=0).around(service.ask, "ask")("tea"))
    assert attempt_count(caught.value) == 50
    assert [error.args[0] for error in attempts_of(caught.value)] == list(range(31, 51))
    assert caught.value.__notes__[0] == "30 earlier attempts have failed, too"
    assert caught.value.__notes__[1].startswith("attempt 31 of 50, ")


def test_a_plain_function_s_attempts_are_counted_too() -> None:
    def ask(item: int) -> int:
        raise Passing

    with pytest.raises(Passing) as caught:
        Retry(50, wait=0).recover(ask, "ask")(1, Passing())
    assert attempt_count(caught.value) == 50
    assert len(attempts_of(caught.value)) == 20


class Frozen(Exception):
    """Takes no notes and no attributes."""

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(name)

    def add_note(self, note: str) -> None:
        raise dataclasses.FrozenInstanceError("__notes__")


def test_an_exception_that_takes_no_notes_arrives_all_the_same() -> None:
    service = Service([(0, Frozen)] * 2)
    with pytest.raises(Frozen) as caught:
        run(Retry(2, wait=0).around(service.ask, "ask")("tea"))
    assert attempts_of(caught.value) == (caught.value,)


def test_one_exception_raised_by_all_attempts_does_not_refer_to_itself() -> None:
    same = Passing("always the same")

    async def ask(item: object) -> object:
        raise same

    for _ in range(2):
        with pytest.raises(Passing):
            run(Retry(3, wait=0).around(ask, "ask")("tea"))
    assert attempts_of(same) == (same, same, same)
    assert len(same.__notes__) == len(set(same.__notes__))


def test_attempts_leave_no_cycles_behind() -> None:
    def ask(item: list[int]) -> int:
        item.append(1)
        if len(item) < 3:
            raise Passing
        return len(item)

    async def ask_later(item: list[int]) -> int:
        return ask(item)

    retry = Retry(3, wait=0)
    at_once, later = retry.recover(ask, "ask"), retry.recover(ask_later, "ask")

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                tries: list[int] = []
                try:
                    ask(tries)
                except Passing as error:
                    at_once(tries, error)
                try:
                    await ask_later(tries := [])
                except Passing as error:
                    await later(tries, error)
            assert sum(isinstance(found, Passing) for found in gc.get_objects()) == 0
        finally:
            gc.enable()

    run(main())


# --- who decides


def test_a_predicate_may_say_the_wait() -> None:
    def how_long(error: Exception) -> float | timedelta | bool:
        answers: list[float | timedelta | bool] = [3.5, timedelta(seconds=2), True, 0, False]
        return answers[len(service.asked) - 1]

    service = Service([(0, Passing)] * 9)
    with pytest.raises(Passing) as caught:
        run(Retry(9, wait=1, on=how_long).around(service.ask, "ask")("tea"))
    assert service.asked == [0, 3.5, 5.5, 6.5, 6.5]
    assert attempt_count(caught.value) == 5


def test_a_result_may_be_worth_another_attempt() -> None:
    results = iter([0, 0, 7])

    async def ask(item: object) -> int:
        return next(results)

    assert run(Retry(3, wait=1, on_result=lambda result: result == 0).around(ask, "ask")("tea")) == 7


def test_what_tenacity_wrote_is_told_of_results_too() -> None:
    service = Service([])
    retry = Retry(tenacity.stop_after_attempt(3), wait=tenacity.wait_incrementing(1, 1), on_result=lambda result: True)
    with pytest.raises(ResultRefused):
        run(retry.around(service.ask, "ask")("tea"))
    assert service.asked == [0, 1, 3]


def test_whatever_gives_an_awaitable_goes_through_around() -> None:
    service = Service([(1, Passing)])
    assert run(Retry(2, wait=0).around(lambda item: service.ask(item), "ask")("tea")) == "tea"


def test_a_result_that_stays_unwanted_is_an_error() -> None:
    async def ask(item: object) -> str:
        return f"no {item}"

    retry = Retry(2, wait=1, on=Lasting, on_result=lambda result: True)
    assert not retry.inlined
    with pytest.raises(ResultRefused, match="node 'ask': a result that is to be retried: 'no tea'") as caught:
        run(retry.around(ask, "ask")("tea"))
    assert caught.value.result == "no tea"
    assert caught.value.node == "ask"
    assert len(attempts_of(caught.value)) == 2


def test_another_node_s_refused_result_is_an_error_like_others() -> None:
    asked = 0

    async def ask(item: object) -> str:
        nonlocal asked
        asked += 1
        raise ResultRefused("inner", None)

    retry = Retry(3, wait=0, on=Passing, on_result=lambda result: False)
    with pytest.raises(ResultRefused):
        run(retry.around(ask, "ask")("tea"))
    assert asked == 1


def test_a_hint_is_waited_for_and_never_makes_a_wait_shorter() -> None:
    service = Service([(0, Passing)] * 4)
    hints = {1: 5.0, 2: None, 3: 1.0}
    retry = Retry(4, wait=2, hint=lambda error: hints[error.args[0]])
    with pytest.raises(Passing):
        run(retry.around(service.ask, "ask")("tea"))
    assert service.asked == [0, 5, 7, 9]


def test_a_hint_and_a_foreign_wait_may_be_a_timedelta() -> None:
    service = Service([(0, Passing)])
    for retry in (Retry(2, hint=lambda error: timedelta(hours=1)), Retry(2, wait=lambda state: timedelta(hours=1))):
        service.asked.clear()
        run(retry.around(service.ask, "ask")("tea"))
        assert service.asked == [0, 3600]


def test_a_hint_beyond_the_total_ends_it_at_once() -> None:
    service = Service([(1, Passing)])

    async def main() -> float:
        with pytest.raises(Passing):
            await Retry(4, total=60, hint=lambda error: 86_400).around(service.ask, "ask")("tea")
        return asyncio.get_running_loop().time()

    assert run(main()) == 1


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), "soon"])
def test_a_wait_that_is_none_is_the_program_s_error(answer: Any) -> None:
    service = Service([(0, Passing)])
    for retry in (Retry(2, hint=lambda error: answer), Retry(2, wait=lambda state: answer)):
        service.asked.clear()
        with pytest.raises(ValueError, match="a finite number of seconds, got") as caught:
            run(retry.around(service.ask, "ask")("tea"))
        assert isinstance(caught.value.__context__, Passing)


def test_a_predicate_that_fails_is_the_error_and_the_item_s_its_context() -> None:
    service = Service([(0, Passing)])

    def wrong(error: Exception) -> bool:
        raise KeyError("status")

    with pytest.raises(KeyError) as caught:
        run(Retry(2, on=wrong).around(service.ask, "ask")("tea"))
    assert isinstance(caught.value.__context__, Passing)


def test_a_decision_can_be_asked_for_by_itself() -> None:
    retry = Retry(3, wait=linear(2), total=10, on=Passing)
    assert retry.decide(1, 0.5, Passing(), 100.0) == 2
    assert retry.decide(2, 6.0, Passing(), 100.0) == 4
    assert retry.decide(2, 6.1, Passing(), 100.0) is None
    assert retry.decide(3, 1.0, Passing(), 100.0) is None
    assert retry.decide(1, 1.0, Lasting(), 100.0) is None
    assert Retry(2, wait=tenacity.wait_fixed(3)).decide(1, 0.0, Passing(), 0.0) == 3


# --- the event loop


def test_many_attempts_without_a_wait_let_others_run() -> None:
    ran_at: list[int] = []
    service = Service([(0, Passing)] * 200)

    async def other() -> None:
        for _ in range(5):
            ran_at.append(len(service.asked))
            await asyncio.sleep(0)

    async def main() -> None:
        beside = asyncio.create_task(other())
        await Retry(500, wait=0).around(service.ask, "ask")("tea")
        await beside

    run(main())
    assert ran_at == [17, 33, 49, 65, 81]


def test_a_few_attempts_without_a_wait_do_not_go_through_the_event_loop() -> None:
    service = Service([(0, Passing)] * 4)
    coroutine = Retry(5, wait=0).around(service.ask, "ask")("tea")

    async def main() -> object:
        with pytest.raises(StopIteration) as done:
            coroutine.send(None)
        return done.value.value

    assert run(main()) == "tea"


def test_a_plain_function_waits_in_an_async_recovery() -> None:
    asked: list[float] = []

    def ask(item: str) -> str:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) < 3:
            raise Passing
        return item

    async def main() -> object:
        try:
            return ask("tea")
        except Passing as error:
            return await Retry(3, wait=4).recover(ask, "ask")("tea", error)

    assert run(main()) == "tea"
    assert asked == [0, 4, 8]


def test_every_retry_is_told_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(_log, "retried", lambda *facts: told.append(facts))
    service = Service([(0, Passing)] * 2)
    run(Retry(5, wait=linear(1)).around(service.ask, "ask")("tea"))
    assert [(*facts[:3], type(facts[3]), facts[4]) for facts in told] == [
        ("ask", 1, 5, Passing, 1),
        ("ask", 2, 5, Passing, 2),
    ]

    told.clear()
    Retry(2, wait=0).recover(str.upper, "upper")("tea", Passing())
    assert [facts[:3] for facts in told] == [("upper", 1, 2)]


# --- a value


def test_equal_declarations_are_equal_and_have_one_hash() -> None:
    assert Retry(3, wait=0) == Retry(3, wait=fixed(0)) == Retry(attempts=3, wait=0.0)
    assert hash(Retry(3, wait=0, on=(ValueError, KeyError))) == hash(Retry(3, wait=0, on=(ValueError, KeyError)))
    assert Retry(3) != Retry(4)
    assert Retry() == Retry(3, wait=exponential(0.1, max=5))
    budget = RetryBudget()
    assert Retry(budget=budget) == Retry(budget=budget) != Retry(budget=RetryBudget())


def test_it_is_immutable_and_can_be_changed_into_another() -> None:
    retry = Retry(3, wait=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        retry.attempts = 4  # type: ignore[misc]
    assert dataclasses.replace(retry, attempts=4) == Retry(4, wait=1)


def test_it_shows_what_is_not_a_matter_of_course() -> None:
    assert repr(Retry()) == "Retry(3)"
    assert repr(Retry(None, total=60)) == "Retry(None, total=60)"
    assert repr(Retry(5, wait=0, on=(OSError,), total=30)) == "Retry(5, wait=fixed(0), total=30, on=(OSError,))"
    assert repr(Retry(hint=retry_after, budget=RetryBudget())) == (
        "Retry(3, hint=retry_after, budget=RetryBudget(0.1, per=10, at_least=10))"
    )


def test_what_needs_to_see_a_call_begin_is_not_inlined() -> None:
    assert Retry().inlined
    assert Retry(5, wait=linear(1), on=lambda error: True, hint=retry_after).inlined
    for retry in (
        Retry(total=5),
        Retry(budget=RetryBudget()),
        Retry(on_result=bool),
        Retry(wait=tenacity.wait_none()),
        Retry(tenacity.stop_never),
        Retry(on=tenacity.retry_if_exception_type(OSError)),
    ):
        assert not retry.inlined


async def later(value: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Retry(0), "at least 1, got 0"),
        (lambda: Retry(True), "a number of attempts"),
        (lambda: Retry("3"), "a number of attempts"),  # type: ignore[arg-type]
        (lambda: Retry(None), "there has to be a total"),
        (lambda: Retry(wait="1"), "wait must be seconds"),  # type: ignore[arg-type]
        (lambda: Retry(wait=True), "wait must be seconds"),
        (lambda: Retry(wait=-1), "a finite number of seconds from 0"),
        (lambda: Retry(wait=timedelta(1)), r"from a timedelta take \.total_seconds\(\)"),  # type: ignore[arg-type]
        (lambda: Retry(wait=exponential), "exponential has not been called"),  # type: ignore[arg-type]
        (lambda: Retry(wait=tenacity.wait_none), "wait_none has not been called"),  # type: ignore[arg-type]
        (lambda: Retry(tenacity.stop_after_attempt), "stop_after_attempt has not been called"),  # type: ignore[arg-type]
        (lambda: Retry(total=0), "total must be a finite number of seconds above 0"),
        (lambda: Retry(total=float("inf")), "total must be a finite number"),
        (lambda: Retry(on=()), "at least one type"),
        (lambda: Retry(on=asyncio.CancelledError), "a cancellation is never retried"),  # type: ignore[arg-type]
        (lambda: Retry(on=(OSError, BaseException)), "BaseException is no Exception"),  # type: ignore[arg-type]
        (lambda: Retry(on=(OSError, "x")), "a tuple of them"),  # type: ignore[arg-type]
        (lambda: Retry(on=int), "a type of Exception"),
        (lambda: Retry(on="OSError"), "or a predicate"),  # type: ignore[arg-type]
        (lambda: Retry(on=later), "'later' is an async function"),  # type: ignore[arg-type]
        (lambda: Retry(on=lambda: True), "a function of one value"),  # type: ignore[arg-type, misc]
        (lambda: Retry(on_result=7), "a function of one value"),  # type: ignore[arg-type]
        (lambda: Retry(hint=5), "a function of one value"),  # type: ignore[arg-type]
        (lambda: Retry(budget=0.1), "budget must be a RetryBudget"),  # type: ignore[arg-type]
        (lambda: Retry(random=4), r"random must be a random\.Random"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_declaration_is_an_error_that_shows_a_right_one(make: Callable[[], Retry], says: str) -> None:
    with pytest.raises(CompositionError, match=says) as caught:
        make()
    assert "# incorrect\n" in str(caught.value)
    assert "# correct" in str(caught.value)


# --- Retry-After


class Headers(dict[str, str]):
    """Headers that know no case, as httpx and requests have them."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class HTTPError(Exception):
    def __init__(self, **found: Any) -> None:
        super().__init__()
        self.__dict__.update(found)


class Response:
    def __init__(self, headers: Any) -> None:
        self.headers = headers


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:27:30 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000", "date": "Wed, 21 Oct 2015 07:27:30 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "yesterday"}, 0),
    ],
)
def test_retry_after_reads_seconds_and_dates(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(HTTPError(response=Response(Headers(headers)))) == seconds  # httpx, requests
    assert retry_after(HTTPError(response=None, headers=Headers(headers))) == seconds  # aiohttp, urllib
    assert retry_after(ResultRefused("get", Response(Headers(headers)))) == seconds
    assert retry_after(HTTPError(headers=headers)) == seconds  # a plain dict


def test_retry_after_reads_urllib_s_errors() -> None:
    headers = email.message_from_string("Retry-After: 7\n\n")
    with contextlib.closing(urllib.error.HTTPError("http://localhost/", 503, "busy", headers, io.BytesIO())) as error:
        assert retry_after(error) == 7


def test_retry_after_says_nothing_of_an_error_without_headers() -> None:
    assert retry_after(OSError()) is None
    assert retry_after(HTTPError(headers={b"retry-after": b"3"})) is None
    assert retry_after(HTTPError(headers={"retry-after": b"3"})) == 3
    assert retry_after(HTTPError(response=object())) is None


def test_a_service_that_asks_for_time_gets_it() -> None:
    asked: list[float] = []

    async def get(page: str) -> str:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            raise HTTPError(response=Response({"Retry-After": "30"}))
        return page

    assert run(Retry(3, hint=retry_after, total=60).around(get, "get")("a.html")) == "a.html"
    assert asked == [0, 30]


@pytest.mark.parametrize("wait", [0, 1, 50])
def test_what_a_breaker_refused_is_tried_again_when_it_lets_calls_through(wait: float) -> None:
    tried: list[float] = []

    async def pay(order: str) -> str:
        tried.append(asyncio.get_running_loop().time())
        raise CircuitOpen("bank", 30)

    with pytest.raises(CircuitOpen):
        run(Retry(3, wait=wait).around(pay, "pay")("tea"))
    assert tried == [0, max(wait, 30), 2 * max(wait, 30)]


def test_what_a_breaker_asks_for_is_not_waited_for_past_the_total() -> None:
    async def main() -> float:
        async def pay(order: str) -> str:
            raise CircuitOpen("bank", 30)

        with pytest.raises(CircuitOpen) as caught:
            await Retry(3, wait=0, total=20).around(pay, "pay")("tea")
        assert "another one, 30 s later, would be past the total of 20 s" in caught.value.__notes__[0]
        return asyncio.get_running_loop().time()

    assert run(main()) == 0


def test_a_plain_function_that_a_breaker_refused_is_not_tried_again_as_it_cannot_wait() -> None:
    tried: list[str] = []

    def pay(order: str) -> str:
        tried.append(order)
        raise CircuitOpen("bank", 30)

    with pytest.raises(CircuitOpen) as caught:
        Chain(node(retry=Retry(3, wait=0))(pay)).run_sync("tea")
    assert tried == ["tea"]
    assert "another one is refused for 30 s, and a plain function does not wait" in caught.value.__notes__[0]


# --- tenacity's own objects: the same calls, the same waits, as with tenacity itself

tenacity_waits = st.sampled_from(
    [
        tenacity.wait_none(),
        tenacity.wait_fixed(2),
        tenacity.wait_incrementing(1, 2, max=4),
        tenacity.wait_exponential(max=5),
        tenacity.wait_fixed(1) + tenacity.wait_incrementing(0, 1),
        tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(5)),
        tenacity.wait_exception(lambda error: float(error.args[0])),
        tenacity.wait_chain(linear(1), exponential(3, jitter=False)),  # type: ignore[arg-type]
        tenacity.wait_combine(linear(1), tenacity.wait_fixed(1)),
    ]
)
tenacity_stops = st.sampled_from(
    [
        tenacity.stop_after_attempt(3),
        tenacity.stop_after_attempt(1),
        tenacity.stop_any(tenacity.stop_after_attempt(5), tenacity.stop_never),
        tenacity.stop_all(tenacity.stop_after_attempt(2), tenacity.stop_after_attempt(4)),
        tenacity.stop_after_attempt(2) | tenacity.stop_after_attempt(4),
    ]
)
tenacity_conditions = st.sampled_from(
    [
        tenacity.retry_if_exception_type(Passing),
        tenacity.retry_if_not_exception_type(Lasting),
        tenacity.retry_unless_exception_type(Lasting),
        tenacity.retry_if_exception(lambda error: isinstance(error, Passing)),
        tenacity.retry_if_result(lambda result: result is None),
        tenacity.retry_if_exception_type(Passing) | tenacity.retry_if_result(lambda result: result is None),
        tenacity.retry_if_exception_type(Passing) & tenacity.retry_if_exception_message(match="[12]"),
        tenacity.retry_never,
        tenacity.retry_always,
    ]
)


@given(
    st.lists(st.sampled_from(["tea", None, Passing, Passing, Lasting]), max_size=8),
    tenacity_waits,
    tenacity_stops,
    tenacity_conditions,
)
def test_tenacity_s_objects_do_what_they_do_there(outcomes: list[Any], wait: Any, stop: Any, condition: Any) -> None:
    def service(asked: list[float]) -> Callable[[object], Coroutine[Any, Any, object]]:
        async def ask(item: object) -> object:
            asked.append(asyncio.get_running_loop().time())
            outcome = outcomes[len(asked) - 1] if len(asked) <= len(outcomes) else "tea"
            if isinstance(outcome, type):
                raise outcome(len(asked))
            return outcome

        return ask

    theirs: list[float] = []
    ours: list[float] = []

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        their_end: Any
        try:
            their_end = await tenacity.AsyncRetrying(wait=wait, stop=stop, retry=condition)(service(theirs), "tea")
        except tenacity.RetryError as error:
            last = error.last_attempt
            their_end = type(last.exception()) if last.failed else ("refused", last.result())
        except Exception as error:
            their_end = type(error)
        moved = asyncio.get_running_loop().time() - began
        our_end: Any
        try:
            our_end = await Retry(stop, wait=wait, on=condition).around(service(ours), "ask")("tea")
        except ResultRefused as error:
            our_end = ("refused", error.result)
        except Exception as error:
            our_end = type(error)
        assert our_end == their_end
        assert [at - moved for at in ours] == pytest.approx(theirs)

    run(main())


def test_tenacity_s_objects_of_time_see_the_loop_s() -> None:
    service = Service([(1, Passing)] * 9)
    with pytest.raises(Passing) as caught:
        run(Retry(tenacity.stop_after_delay(6), wait=tenacity.wait_fixed(1)).around(service.ask, "ask")("tea"))
    assert service.asked == [0, 2, 4, 6]
    assert caught.value.__notes__[-1] == "attempt 4, 6 s later: this error; stop_after_delay says so"

    service.asked.clear()
    with pytest.raises(Passing):
        run(Retry(tenacity.stop_before_delay(6), wait=tenacity.wait_fixed(1)).around(service.ask, "ask")("tea"))
    assert service.asked == [0, 2, 4]


def test_tenacity_s_chance_keeps_to_its_bounds() -> None:
    service = Service([(0, Passing)] * 4)
    wait = tenacity.wait_random_exponential(multiplier=1, max=3) + tenacity.wait_random(1, 2)
    run(Retry(5, wait=wait).around(service.ask, "ask")("tea"))
    passed = [after - before for before, after in zip(service.asked, service.asked[1:])]
    assert all(1 <= wait <= 5 for wait in passed)


def test_a_wait_of_ours_among_tenacity_s_takes_its_chance_from_the_policy() -> None:
    def asked(seed: int) -> list[float]:
        service = Service([(0, Passing)] * 3)
        wait = tenacity.wait_combine(exponential(8), tenacity.wait_fixed(0))
        run(Retry(4, wait=wait, random=random.Random(seed)).around(service.ask, "ask")("tea"))
        return service.asked

    assert asked(1) == asked(1) != asked(2)


def test_ours_are_waits_for_tenacity() -> None:
    service = Service([(0, Passing)] * 3)
    retrying = tenacity.AsyncRetrying(wait=linear(1), stop=tenacity.stop_after_attempt(4))
    assert run(retrying(service.ask, "tea")) == "tea"
    assert service.asked == [0, 1, 3, 6]


def test_a_state_tells_what_tenacity_s_does() -> None:
    theirs = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    seen: list[Any] = []

    def look(retry_state: Any) -> bool:
        seen.append(retry_state)
        return False

    async def ask(item: object) -> object:
        return item

    assert run(Retry(on=look).around(ask, "ask")("tea")) == "tea"
    there = {name for name in [*vars(theirs), *dir(theirs)] if not name.startswith("_")}
    assert there - set(dir(seen[0])) == {"prepare_for_next_attempt", "set_exception", "set_result"}
    state = seen[0]
    assert (state.attempt_number, state.args, state.kwargs, state.idle_for) == (1, ("tea",), {}, 0)
    assert (state.outcome.failed, state.outcome.result(), state.outcome.exception()) == (False, "tea", None)
    assert (state.get_fn_name(), state.seconds_since_start) == ("ask", 0)


def test_a_state_raises_what_its_attempt_did() -> None:
    def wait(state: Any) -> float:
        with pytest.raises(Passing):
            state.outcome.result()
        return 1.0

    service = Service([(0, Passing)])
    assert run(Retry(2, wait=wait).around(service.ask, "ask")("tea")) == "tea"


def test_a_predicate_that_cannot_be_looked_at_is_one_of_the_exception() -> None:
    assert Retry(on=max).inlined  # max has no signature
