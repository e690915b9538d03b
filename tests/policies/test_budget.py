"""RetryBudget: a share of the calls, never more, whatever comes when and from whom."""

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain.errors import CompositionError
from rxchain.policies import RetryBudget


class Model:
    """All that happened, written down; what counts is looked up each time."""

    def __init__(self, share: float, per: float, at_least: int) -> None:
        self.share, self.per, self.at_least = share, per, at_least
        self.calls: list[int] = []
        self.retries: list[int] = []
        self.newest = -1
        self.refused = 0

    def bucket(self, now: float) -> int:
        self.newest = max(self.newest, int(now * (10 / self.per)))
        return self.newest

    def counted(self, what: list[int]) -> int:
        return sum(bucket > self.newest - 10 for bucket in what)

    def call(self, now: float) -> None:
        self.calls.append(self.bucket(now))

    def take(self, now: float) -> bool:
        at = self.bucket(now)
        allowed = max(self.at_least, math.floor(self.share * self.counted(self.calls) + 1e-9))
        if self.counted(self.retries) >= allowed:
            self.refused += 1
            return False
        self.retries.append(at)
        return True


steps = st.lists(st.tuples(st.sampled_from(["call", "call", "call", "take"]), st.integers(-3, 30)), max_size=200)


@given(st.sampled_from([0.1, 0.29, 0.5, 1]), st.sampled_from([0.5, 4, 10]), st.integers(0, 3), steps)
def test_it_decides_as_one_who_keeps_everything(
    share: float, per: float, at_least: int, happened: list[tuple[str, int]]
) -> None:
    budget, model = RetryBudget(share, per=per, at_least=at_least), Model(share, per, at_least)
    now = 100.0
    for what, eighths in happened:
        now += eighths / 8  # sometimes back: another clock
        if what == "call":
            budget.call(now)
            model.call(now)
        else:
            assert budget.take(now) == model.take(now)
        seen = budget.statistics(now)
        model.bucket(now)
        counted = model.counted(model.calls), model.counted(model.retries), model.refused
        assert (seen.calls, seen.retries, seen.refused) == counted


@given(steps)
def test_never_more_than_its_share(happened: list[tuple[str, int]]) -> None:
    budget = RetryBudget(0.2, per=5, at_least=1)
    now = 0.0
    for what, eighths in happened:
        now += abs(eighths) / 8
        if what == "call":
            budget.call(now)
        elif budget.take(now):
            seen = budget.statistics(now)
            assert seen.retries <= max(1, 0.2 * seen.calls + 1e-9)


def test_a_tenth_of_thirty_is_three() -> None:
    budget = RetryBudget(0.1, at_least=0)
    for _ in range(30):
        budget.call(1.0)
    assert [budget.take(1.0) for _ in range(5)] == [True, True, True, False, False]


def test_a_share_is_not_cut_by_a_rounding() -> None:
    budget = RetryBudget(0.29, at_least=0)  # times 100 that is 28.999999999999996
    for _ in range(100):
        budget.call(1.0)
    assert sum(budget.take(1.0) for _ in range(100)) == 29


def test_what_was_long_ago_counts_no_more() -> None:
    budget = RetryBudget(0.5, per=10, at_least=0)
    for _ in range(4):
        budget.call(0.0)
    assert budget.take(9.5)
    assert not budget.take(10.5)  # the calls have passed, the retry has not
    budget.call(1e9)
    budget.call(1e9)
    assert budget.take(1e9)


@pytest.mark.parametrize(("back_at", "again"), [(3.0, True), (12.9, True), (13.0, False), (30.0, False)])
def test_a_retry_that_was_not_made_is_given_back(back_at: float, again: bool) -> None:
    budget = RetryBudget(0.1, at_least=1)
    assert budget.take(3.0)
    assert not budget.take(3.0)
    budget.take(back_at)
    before = budget.statistics(back_at).retries
    budget.give_back(3.0)
    after = budget.statistics(back_at).retries
    assert (before - after == 1) == again
    assert after >= 0


def test_giving_back_what_was_not_taken_changes_nothing() -> None:
    budget = RetryBudget()
    budget.call(1.0)
    budget.give_back(1.0)
    assert budget.statistics(1.0).retries == 0


def test_threads_count_together() -> None:
    budget = RetryBudget(0.1, per=1000, at_least=0)

    def work(_: int) -> int:
        taken = 0
        for n in range(2000):
            budget.call(float(n % 7))
            taken += budget.take(1.0)
        return taken

    often, interval = 1e-6, sys.getswitchinterval()
    sys.setswitchinterval(often)  # in the middle of everything
    try:
        with ThreadPoolExecutor(4) as threads:
            taken = sum(threads.map(work, range(4)))
    finally:
        sys.setswitchinterval(interval)
    seen = budget.statistics(1.0)
    assert (seen.calls, seen.retries) == (8000, taken)
    assert taken <= 800


def test_it_shows_how_it_was_made_and_is_itself_alone() -> None:
    budget = RetryBudget(0.2, per=30)
    assert repr(budget) == "RetryBudget(0.2, per=30, at_least=10)"
    assert budget != RetryBudget(0.2, per=30)  # shared is one and the same


@pytest.mark.parametrize("wrong", [0, 1.5, -0.1, True, "0.1", math.nan])
def test_a_share_is_one(wrong: float) -> None:
    with pytest.raises(CompositionError, match=r"share is .*\n.*# incorrect\n.*# correct"):
        RetryBudget(wrong)


def test_its_other_arguments_are_checked() -> None:
    with pytest.raises(CompositionError, match="per must be a finite number of seconds above 0, got 0"):
        RetryBudget(per=0)
    with pytest.raises(CompositionError, match=r"at_least is a number of retries from 0, got -1"):
        RetryBudget(at_least=-1)
    with pytest.raises(CompositionError, match="at_least"):
        RetryBudget(at_least=0.5)  # type: ignore[arg-type]
