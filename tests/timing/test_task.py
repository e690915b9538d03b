"""Attempts: the truncated geometric against the tree of all outcomes, and against dice."""

import math
from random import Random
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import CompositionError, Retry
from rxchain.policies import exponential, fixed, linear
from rxchain.timing import Empirical, Exponential, Fixed, LogNormal, Task, Uniform, task
from rxchain.timing._task import expected, sample

RETRIES = st.builds(
    Retry,
    st.integers(1, 6),
    wait=st.one_of(
        st.integers(0, 3).map(fixed),
        st.just(linear(1, max=2)),
        st.booleans().map(lambda jitter: exponential(0.5, max=2, jitter=jitter)),
    ),
    total=st.one_of(st.none(), st.integers(1, 8)),
)
TASKS = st.builds(
    lambda time, failed, failure, retry: task("t", time, failed_time=failed, failure=failure, retry=retry),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(0, 3)),
    st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
    st.one_of(st.none(), RETRIES),
)


def outcomes(one: Task) -> list[tuple[float, float, int, bool]]:
    """All that may happen, told one by one: probability, seconds, attempts, whether it succeeds."""
    right = one.time.mean
    wrong = right if one.failed_time is None else one.failed_time.mean
    found = []

    def attempt(number: int, likely: float, seconds: float) -> None:
        found.append((likely * (1 - one.failure), seconds + right, number, True))
        failed = seconds + wrong
        retry = one.retry
        if retry is not None and number < retry.attempts:  # type: ignore[operator]
            wait: Any = retry.wait
            pause = wait.seconds(number) if not wait.jitter else min(wait.first * wait.factor ** (number - 1), 2) / 2
            if retry.total is None or failed + pause <= retry.total:
                attempt(number + 1, likely * one.failure, failed + pause)
                return
        found.append((likely * one.failure, failed, number, False))

    attempt(1, 1.0, 0.0)
    return found


@given(TASKS)
def test_what_is_expected_is_the_mean_of_all_that_may_happen(one: Task) -> None:
    all_of_them = outcomes(one)
    found = expected(one)
    success = sum(likely for likely, _, _, succeeded in all_of_them if succeeded)
    assert sum(likely for likely, *_ in all_of_them) == pytest.approx(1)
    assert found.success == pytest.approx(success)
    assert found.attempts == pytest.approx(sum(likely * attempts for likely, _, attempts, _ in all_of_them))
    assert found.busy == pytest.approx(sum(likely * seconds for likely, seconds, *_ in all_of_them))
    if success:
        through = sum(likely * seconds for likely, seconds, _, succeeded in all_of_them if succeeded) / success
        assert found.mean == pytest.approx(through)
    else:
        assert math.isnan(found.mean)


@given(st.floats(0, 0.99), st.integers(1, 20))
def test_attempts_are_a_geometric_cut_off_at_the_last(p: float, n: int) -> None:
    found = expected(task("t", 1.0, failure=p, retry=Retry(n, wait=0)))
    assert found.attempts == pytest.approx((1 - p**n) / (1 - p))
    assert found.success == pytest.approx(1 - p**n)
    assert found.busy == pytest.approx(found.attempts)
    assert found.mean == pytest.approx(1 / (1 - p) - n * p**n / (1 - p**n) if p else 1)


def test_without_a_last_attempt_it_is_the_geometric_itself() -> None:
    found = expected(task("t", 1.0, failure=0.75, retry=Retry(None, total=1e9, wait=0)))
    assert found.attempts == pytest.approx(4)
    assert found.success == pytest.approx(1)


@pytest.mark.parametrize(
    "one",
    [
        task("t", 1.0, failure=0.3, retry=Retry(4, wait=exponential(0.5, max=2))),
        task("t", Uniform(1, 3), failure=0.6, retry=Retry(3, wait=1), failed_time=Exponential(0.5)),
        task("t", LogNormal(0.5, 2), failure=0.5, retry=Retry(None, total=1e9, wait=linear(0.1, max=1))),
        task("t", Empirical([1, 2, 9])),
    ],
)
def test_the_dice_fall_as_is_expected(one: Task) -> None:
    random = Random(7)
    thrown = [sample(one, random) for _ in range(40_000)]
    found = expected(one)
    assert fmean(one.attempts for one in thrown) == pytest.approx(found.attempts, rel=0.02)
    assert fmean(one.succeeded for one in thrown) == pytest.approx(found.success, rel=0.02)
    assert fmean(one.seconds for one in thrown) == pytest.approx(found.busy, rel=0.03)
    assert fmean(one.seconds for one in thrown if one.succeeded) == pytest.approx(found.mean, rel=0.03)


@given(TASKS, st.integers(0, 9))
def test_one_throw_is_one_of_the_outcomes(one: Task, seed: int) -> None:
    if one.retry is not None and one.retry.wait.jitter:  # type: ignore[union-attr]
        return
    thrown = sample(one, Random(seed))
    assert any(
        (attempts, succeeded) == (thrown.attempts, thrown.succeeded) and seconds == pytest.approx(thrown.seconds)
        for likely, seconds, attempts, succeeded in outcomes(one)
        if likely
    )


@pytest.mark.parametrize(
    ("time", "mean"),
    [(Fixed(2), 2), (Uniform(1, 3), 2), (Exponential(0.5), 0.5), (LogNormal(1, 3), 1.25), (Empirical([1, 3]), 2)],
)
def test_a_distribution_has_the_mean_that_it_says(time: Any, mean: float) -> None:
    random = Random(3)
    assert fmean(time.sample(random) for _ in range(40_000)) == pytest.approx(time.mean, rel=0.03)
    assert time.mean == pytest.approx(mean, rel=0.01)
    assert all(time.sample(random) >= 0 for _ in range(100))


def test_a_log_normal_time_has_the_quantiles_that_it_says() -> None:
    random = Random(3)
    found = sorted(LogNormal(median=0.1, p95=0.4).sample(random) for _ in range(40_000))
    assert found[20_000] == pytest.approx(0.1, rel=0.03)
    assert found[38_000] == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(-1),
        lambda: Fixed(math.inf),
        lambda: Uniform(3, 1),
        lambda: Uniform(True, 1),
        lambda: Exponential("1"),  # type: ignore[arg-type]
        lambda: LogNormal(0, 1),
        lambda: LogNormal(2, 1),
        lambda: Empirical([]),
        lambda: Empirical([1, -1]),
        lambda: task("t", "1"),  # type: ignore[arg-type]
        lambda: task("t", 1, failure=2),
        lambda: task("t", 1, concurrency=0),
        lambda: task("t", 1, retry=Retry(3, wait=lambda state: 1.0)),
        lambda: task("t", 1, failure=1, retry=Retry(None, total=60)),
    ],
)
def test_what_is_no_time_or_no_task_is_refused_with_the_way_out(make: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        make()
