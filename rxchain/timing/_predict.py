"""How long an item will take: exact where that is simple, by throwing the dice where it is not.

The rival, to convolve distributions, wants them on a grid, and is wrong as soon as two ways through share a task.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from rxchain.engine import shorten
from rxchain.errors import CompositionError
from rxchain.timing._paths import longest, urgencies
from rxchain.timing._quantiles import quantile
from rxchain.timing._schedule import scheduled
from rxchain.timing._task import is_certain, sample

if TYPE_CHECKING:
    from rxchain.timing._plan import TimePlan


@dataclass(frozen=True, slots=True)
class TaskPrediction:
    """What is predicted of one task."""

    name: str
    mean: float
    """Seconds, attempts and waits, of an item that comes through."""
    attempts: float
    """Attempts of an item that comes to it."""
    slack: float
    """Seconds that it may begin later without making the whole longer, if all take as long as on average."""
    critical: float
    """The share of items whose time it decides."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted of the time of one item, from its coming in to its coming out; `TimePlan.predict` makes it."""

    tasks: tuple[TaskPrediction, ...]
    mean: float
    """Seconds, on average, of the items that come through, as are the next three."""
    p50: float
    p95: float
    p99: float
    exact: bool
    """Whether the mean is calculated; the others are only where nothing is left to chance."""
    success: float
    """The share of items that come through."""
    sequential: float
    """Seconds if tasks run one after the other, all as long as on average."""
    critical: float
    """Seconds of the critical path, all tasks as long as on average."""
    path: tuple[str, ...]
    throughput: float
    """Items a second, pipelined, at most."""
    bottleneck: str
    runs: int
    """How often the dice were thrown; 0 where nothing is left to chance."""
    seed: int

    def __getitem__(self, name: str) -> TaskPrediction:
        for one in self.tasks:
            if one.name == name:
                return one
        raise KeyError(f"no task called {name!r}; there are {', '.join(repr(one.name) for one in self.tasks)}")

    def __str__(self) -> str:
        from rxchain.timing._table import table_of_prediction

        return table_of_prediction(self)


def predicted(plan: "TimePlan", workers: int | None, runs: int, seed: int) -> Prediction:
    """Predict the time of one item of *plan*."""
    if type(runs) is not int or runs < 1:
        raise CompositionError(
            f"predict: runs is how often the dice are thrown, 1 or more, got {shorten(runs, 40)}\n"
            f"    plan.predict(runs={shorten(runs, 30)})  # incorrect\n"
            "    plan.predict(runs=10_000)  # correct"
        )
    expected, after, path = plan._expected, plan.after, plan.critical_path()
    certain = all(is_certain(task) for task in plan.tasks)
    urgency = urgencies(plan._times, after)
    random = Random(seed)
    lengths: list[float] = []
    decides = dict.fromkeys(after, 0)
    for _ in range(1 if certain else runs):
        times: dict[str, float] = {}
        for task in plan.tasks:
            found = sample(task, random)
            if not found.succeeded:
                break
            times[task.name] = found.seconds
        else:
            length, last = _one(times, after, urgency, workers)
            lengths.append(length)
            for name in last:
                decides[name] += 1
    lengths.sort()
    row = all(_follows(plan, k) for k in range(len(plan.tasks)))
    exact = certain or ((row or workers == 1) and not any(t.retry and t.retry.total is not None for t in plan.tasks))
    mean = fmean(lengths) if lengths else math.nan
    if exact and not certain:
        mean = plan.sequential
    return Prediction(
        tuple(
            TaskPrediction(
                name,
                expected[name].mean,
                expected[name].attempts,
                path.slack[name],
                decides[name] / len(lengths) if lengths else math.nan,
            )
            for name in after
        ),
        mean,
        quantile(lengths, 0.5),
        quantile(lengths, 0.95),
        quantile(lengths, 0.99),
        exact,
        plan.success,
        plan.sequential,
        path.length,
        path.path,
        plan.throughput,
        plan.bottleneck,
        0 if certain else runs,
        seed,
    )


def _follows(plan: "TimePlan", k: int) -> bool:
    """Whether task k comes behind the one before it and no other."""
    return set(plan.tasks[k].after) == ({plan.tasks[k - 1].name} if k else set())


def _one(
    times: dict[str, float], after: Mapping[str, tuple[str, ...]], urgency: Mapping[str, float], workers: int | None
) -> tuple[float, tuple[str, ...]]:
    """How long one item takes, and the tasks that decide it."""
    end: dict[str, float] = {}
    if workers is None:
        for name, seconds in times.items():
            end[name] = max([end[other] for other in after[name]], default=0.0) + seconds
    else:
        # What is urgent is known on average only: that decides, as it does when it is done.
        end = {slot.task: slot.end for slot in scheduled(times, after, urgency, workers)}
        if workers == 1:
            return max(end.values(), default=0.0), tuple(times)
    return max(end.values(), default=0.0), longest(times, after, end)


__all__ = ["Prediction", "TaskPrediction", "predicted"]
