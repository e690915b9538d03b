"""One task of a plan: how long an attempt takes, how often it fails, what is done then; and what follows on average.

An attempt fails with probability p, each by itself. So the number of attempts is geometric, cut off at the last one.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from rxchain.engine import shorten
from rxchain.errors import CompositionError
from rxchain.policies import Retry
from rxchain.policies._waits import Wait
from rxchain.timing._times import Fixed, Seconds, Time, is_fixed, time_of

NEGLIGIBLE = 1e-15
"""Attempts that are less likely than this one are not counted any more, where there is no last one."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a `TimePlan`; made by `task`."""

    name: str
    time: Time
    """An attempt that succeeds."""
    after: tuple[str, ...] = ()
    failure: float = 0.0
    """How likely an attempt fails."""
    retry: Retry | None = None
    failed_time: Time | None = None
    """An attempt that fails; None is as one that succeeds."""
    retries: int | None = None
    """Exactly so many, not by chance."""
    concurrency: int = 1
    """How many items it works on at once."""


def task(
    name: str,
    time: Seconds,
    *,
    after: Iterable[str] | str = (),
    failure: float = 0.0,
    retry: Retry | int | None = None,
    failed_time: Seconds | None = None,
    concurrency: int = 1,
) -> Task:
    """Declare a task of a plan.

    >>> from rxchain.timing import LogNormal, task
    >>> task("fetch", LogNormal(median=0.1, p95=0.4), failure=0.05, retry=3).name
    'fetch'

    Args:
        name: its name in the plan.
        time: seconds that an attempt takes, or their distribution.
        after: the tasks that it needs the results of.
        failure: how likely an attempt fails, each by itself.
        retry: what is done then: a `Retry`, or a number of attempts. Every failure counts as one that it retries.
        failed_time: how long an attempt takes that fails, if that is not as long as another.
        concurrency: how many items it works on at once; for the throughput.

    Raises:
        CompositionError: an argument is not what it must be, or nobody can say what *retry* will do.
    """
    if not isinstance(failure, (int, float)) or isinstance(failure, bool) or not 0 <= failure <= 1:
        raise CompositionError(
            f"task {name!r}: failure is a probability, from 0 to 1, got {shorten(failure, 40)}\n"
            f"    task({name!r}, ..., failure={shorten(failure, 30)})  # incorrect\n"
            f"    task({name!r}, ..., failure=0.05)  # correct: one attempt of twenty"
        )
    if type(concurrency) is not int or concurrency < 1:
        raise CompositionError(
            f"task {name!r}: concurrency is a whole number from 1 on, got {shorten(concurrency, 40)}\n"
            f"    task({name!r}, ..., concurrency={shorten(concurrency, 30)})  # incorrect\n"
            f"    task({name!r}, ..., concurrency=8)  # correct"
        )
    policy = Retry(retry) if isinstance(retry, int) else retry
    if policy is not None and (callable(policy.attempts) or not isinstance(policy.wait, Wait)):
        raise CompositionError(
            f"task {name!r}: nobody can foresee what a function will say of attempts and waits: {shorten(policy, 60)}\n"
            f"    task({name!r}, ..., retry=Retry(wait=wait_chain(...)))  # incorrect\n"
            f"    task({name!r}, ..., retry=Retry(3, wait=exponential(0.1, max=5)))  # correct"
        )
    if policy is not None and policy.attempts is None and failure == 1:
        raise CompositionError(
            f"task {name!r}: what always fails is tried as long as there is time; how often, nobody can say\n"
            f"    task({name!r}, ..., failure=1, retry=Retry(None, total=60))  # incorrect\n"
            f"    task({name!r}, ..., failure=1, retry=Retry(3))  # correct"
        )
    return Task(
        name,
        time_of(time, f"task {name!r}"),
        (after,) if isinstance(after, str) else tuple(after),
        float(failure),
        policy,
        None if failed_time is None else time_of(failed_time, f"task {name!r}, failed_time"),
        None,
        concurrency,
    )


class Expected(NamedTuple):
    """What a task comes to on average."""

    attempts: float
    """Attempts an item, of all items that come to it."""
    success: float
    """How likely one of them succeeds."""
    mean: float
    """Seconds, waits included, of an item that it succeeds with."""
    busy: float
    """Seconds, waits included, of all items that come to it."""


class _Middle(Random):
    """Chance as it is on average."""

    def random(self) -> float:
        return 0.5


_MIDDLE = _Middle()


def wait_after(task: Task, attempt: int, random: Random = _MIDDLE) -> float:
    """Seconds between *attempt* that has failed and the next; on average if nothing is said of chance."""
    if task.retry is None:
        return 0.0
    assert isinstance(task.retry.wait, Wait)
    return task.retry.wait.seconds(attempt, random)


def _most(task: Task) -> float:
    if task.retry is None:
        return 1
    assert not callable(task.retry.attempts)
    return math.inf if task.retry.attempts is None else task.retry.attempts


def expected(task: Task) -> Expected:
    """What *task* comes to on average, by summing over the number of its attempts.

    >>> from rxchain.timing import task
    >>> from rxchain import Retry
    >>> from rxchain.timing._task import expected
    >>> found = expected(task("fetch", 1.0, failure=0.5, retry=Retry(3, wait=1)))
    >>> found.attempts, found.success    # 1 + 1/2 + 1/4, 1 - 1/8
    (1.75, 0.875)
    >>> found.busy    # the attempts, and a wait before the second and the third
    2.5

    Where `Retry.total` ends the attempts early, they are taken to be as long as they are on average.
    """
    right = task.time.mean
    wrong = right if task.failed_time is None else task.failed_time.mean
    if task.retries is not None:
        spent = sum(wrong + wait_after(task, k) for k in range(1, task.retries + 1)) + right
        return Expected(task.retries + 1, 1.0, spent, spent)
    p, most = task.failure, _most(task)
    total = math.inf if task.retry is None or task.retry.total is None else task.retry.total
    attempts = success = mean = before = 0.0
    likely = 1.0  # that there is attempt k
    k = 1
    while True:
        attempts += likely
        success += likely * (1 - p)
        mean += likely * (1 - p) * (before + right)
        wait = wait_after(task, k)
        likely *= p
        before += wrong
        if k >= most or likely < NEGLIGIBLE or before + wait > total:
            return Expected(attempts, success, mean / success if success else math.nan, mean + likely * before)
        before += wait
        k += 1


class Sampled(NamedTuple):
    """What a task may have come to."""

    seconds: float
    attempts: int
    succeeded: bool


def sample(task: Task, random: Random) -> Sampled:
    """Throw the dice for one item at *task*."""
    seconds = 0.0
    wrong = task.time if task.failed_time is None else task.failed_time
    most = _most(task)
    total = math.inf if task.retry is None or task.retry.total is None else task.retry.total
    attempt = 1
    while True:
        fails = random.random() < task.failure if task.retries is None else attempt <= task.retries
        if not fails:
            return Sampled(seconds + task.time.sample(random), attempt, True)
        seconds += wrong.sample(random)
        if task.retries is None and attempt >= most:
            return Sampled(seconds, attempt, False)
        wait = wait_after(task, attempt, random)
        if task.retries is None and seconds + wait > total:
            return Sampled(seconds, attempt, False)
        seconds += wait
        attempt += 1


def is_certain(task: Task) -> bool:
    """Whether it always takes as long."""
    fixed = is_fixed(task.time) and (task.failed_time is None or is_fixed(task.failed_time))
    if task.retries is not None:
        jitter = task.retry is not None and isinstance(task.retry.wait, Wait) and task.retry.wait.jitter
        return fixed and not (jitter and task.retries)
    return task.failure == 0 and isinstance(task.time, Fixed)
