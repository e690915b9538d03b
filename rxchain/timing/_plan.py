"""A plan: tasks with dependencies and times, and what they come to.

The critical path is the longest way through (Kelley and Walker 1959): nothing that is not on it makes the whole longer,
as long as it stays within its slack.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rxchain.engine import shorten
from rxchain.errors import CompositionError
from rxchain.policies import Retry
from rxchain.timing._paths import earliest, longest, urgencies
from rxchain.timing._schedule import Schedule, scheduled
from rxchain.timing._task import Expected, Task, expected, task
from rxchain.timing._times import Seconds, time_of

if TYPE_CHECKING:
    from rxchain.timing._measured import Measured
    from rxchain.timing._predict import Prediction


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The longest way through a plan; `TimePlan.critical_path` finds it."""

    length: float
    """Seconds: nothing makes the plan shorter than this but shorter tasks on the path."""
    path: tuple[str, ...]
    start: Mapping[str, float]
    """When each task can begin at the earliest."""
    slack: Mapping[str, float]
    """How much later each may begin without making the whole longer; 0 on the path."""


class TimePlan:
    """Tasks with dependencies and times; a value.

    >>> from rxchain.timing import TimePlan, task
    >>> plan = TimePlan(
    ...     task("fetch", 2.0),
    ...     task("price", 4.0, after="fetch"),
    ...     task("stock", 1.0, after="fetch"),
    ...     task("offer", 1.0, after=["price", "stock"]),
    ... )
    >>> plan.sequential, plan.critical_path().length
    (8.0, 7.0)
    >>> plan.critical_path().path
    ('fetch', 'price', 'offer')
    >>> plan.with_time("price", 0.5).critical_path().length
    4.0

    Times are those of an item that comes through: all attempts and the waits between them.

    Args:
        tasks: in any order.
        window: how many items may be in flight at once, for the throughput.
        at_once: how many items go through the plan as a whole at once, as through a graph. Without it each task takes
            the next item when it is done with one, as the nodes of a chain do.
        workers: how many tasks of one item can run at once, if nothing else is said; None is as many as there are.

    Raises:
        CompositionError: a name is there twice or not at all, or tasks depend on one another.
    """

    def __init__(
        self, *tasks: Task, window: int | None = None, at_once: int | None = None, workers: int | None = None
    ) -> None:
        named: dict[str, Task] = {}
        for one in tasks:
            if not isinstance(one, Task):
                raise CompositionError(
                    f"a plan is made of tasks, got {shorten(one, 40)}\n"
                    f"    TimePlan({shorten(one, 30)})  # incorrect\n"
                    "    TimePlan(task('fetch', 0.2), task('price', 0.1, after='fetch'))  # correct"
                )
            if one.name in named:
                raise CompositionError(
                    f"a plan has two tasks called {one.name!r}\n"
                    f"    TimePlan(task({one.name!r}, ...), task({one.name!r}, ...))  # incorrect\n"
                    f"    TimePlan(task({one.name!r}, ...), task({one.name + '_again'!r}, ...))  # correct"
                )
            named[one.name] = one
        self.tasks = tuple(named[name] for name in _in_order(named))
        """In an order in which they can run."""
        self.window, self.at_once, self.workers = window, at_once, workers

    @classmethod
    def of(
        cls,
        what: Any,
        times: "Mapping[str, Seconds] | Measured",
        *,
        failures: Mapping[str, float] | None = None,
    ) -> "TimePlan":
        """The plan of a chain or a graph, with the retries and the concurrency that its nodes declare.

        Args:
            what: a `Chain`, a `Graph`, or a node.
            times: seconds of an attempt by the node's name, or their distributions; or what was measured.
            failures: how likely an attempt fails, by the node's name; 0 where nothing is said.

        Raises:
            CompositionError: a node has no time, or a time has no node.
        """
        from rxchain.timing._declared import plan_of

        return plan_of(what, times, failures)

    # --- as a value

    def __repr__(self) -> str:
        return f"TimePlan({', '.join(one.name for one in self.tasks)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimePlan):
            return NotImplemented
        return (self.tasks, self.window, self.at_once, self.workers) == (
            other.tasks,
            other.window,
            other.at_once,
            other.workers,
        )

    def __hash__(self) -> int:
        return hash(tuple(one.name for one in self.tasks))

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, name: str) -> Task:
        for one in self.tasks:
            if one.name == name:
                return one
        raise KeyError(f"no task called {name!r}; there are {', '.join(repr(one.name) for one in self.tasks)}")

    # --- what if

    def with_time(self, name: str, time: Seconds) -> "TimePlan":
        """The same plan, were an attempt of task *name* to take *time*."""
        return self._with(name, time=time_of(time, f"task {name!r}"), failed_time=None)

    def with_failure(self, name: str, failure: float) -> "TimePlan":
        """The same plan, were an attempt of task *name* to fail that likely."""
        return self._with(name, failure=task(name, 0, failure=failure).failure)

    def with_retry(self, name: str, retry: Retry | int | None) -> "TimePlan":
        """The same plan, were task *name* tried again like this."""
        return self._with(name, retry=task(name, 0, failure=self[name].failure, retry=retry).retry)

    def with_retries(self, name: str, retries: int) -> "TimePlan":
        """The same plan, in the case that task *name* has to be tried again exactly so often."""
        return self._with(name, retries=retries)

    def _with(self, name: str, **changed: Any) -> "TimePlan":
        one = self[name]
        tasks = (replace(one, **changed) if other is one else other for other in self.tasks)
        return TimePlan(*tasks, window=self.window, at_once=self.at_once, workers=self.workers)

    # --- what it comes to

    @cached_property
    def _expected(self) -> Mapping[str, Expected]:
        return {one.name: expected(one) for one in self.tasks}

    @cached_property
    def after(self) -> Mapping[str, tuple[str, ...]]:
        """For each task those that it depends on."""
        return {one.name: one.after for one in self.tasks}

    @cached_property
    def _times(self) -> dict[str, float]:
        return {name: one.mean for name, one in self._expected.items()}

    @property
    def times(self) -> Mapping[str, float]:
        """Seconds for each task, on average, of an item that comes through."""
        return MappingProxyType(self._times)

    @property
    def attempts(self) -> Mapping[str, float]:
        """Attempts of each task an item that comes to it, on average: (1 - p**n) / (1 - p) for n that fail with p."""
        return {name: one.attempts for name, one in self._expected.items()}

    @property
    def success(self) -> float:
        """How likely an item comes through."""
        return math.prod(one.success for one in self._expected.values())

    @property
    def sequential(self) -> float:
        """Seconds for one item, on average, if tasks run one after the other: the sum."""
        return sum(self._times.values())

    def critical_path(self) -> CriticalPath:
        """The longest way through, with each task as long as it is on average.

        Where times vary, an item takes longer than that on average, as another way may be longer this time: see
        `predict`.
        """
        times = self._times
        start, end = earliest(times, self.after)
        length = max(end.values(), default=0.0)
        rest = urgencies(times, self.after)
        # What is on the path, and so has none, does not get a little by rounding.
        slack = {name: _positive(length - start[name] - rest[name], length) for name in times}
        return CriticalPath(length, longest(times, self.after, end), start, slack)

    def makespan(self, workers: int | None = None) -> Schedule:
        """What each of *workers* does, if whoever is free takes, of what is ready, what has the longest way to the end.

        Raises:
            CompositionError: there is no worker.
        """
        workers = self._workers(workers) or max(len(self.tasks), 1)
        times = self._times
        slots = scheduled(times, self.after, urgencies(times, self.after), workers)
        critical = self.critical_path().length
        length = max((slot.end for slot in slots), default=0.0)
        return Schedule(workers, slots, length, max(critical, self.sequential / workers))

    def _workers(self, workers: int | None) -> int | None:
        if workers is None:
            return self.workers
        if type(workers) is not int or workers < 1:
            raise CompositionError(
                f"a plan is done by workers, 1 or more, got {shorten(workers, 40)}\n"
                f"    plan.makespan({shorten(workers, 30)})  # incorrect\n"
                "    plan.makespan(4)  # correct"
            )
        return workers

    @property
    def bottleneck(self) -> str:
        """The task that bounds the throughput; ``window``, if it is how many items may be in flight."""
        return self._bound[1]

    @property
    def throughput(self) -> float:
        """Items a second that can be taken in: while one task works on an item, others work on others.

        The slowest task decides, not the sum. It is a bound: where times vary and few items may wait between two tasks,
        these hold each other up now and then.
        """
        return self._bound[0]

    @cached_property
    def _bound(self) -> tuple[float, str]:
        if not self.tasks:
            return math.inf, ""
        path = self.critical_path()
        if self.at_once is not None:
            length = self.makespan().length
            longest_task = max(path.path, key=lambda name: self._times[name])
            return (self.at_once / length if length else math.inf), longest_task
        bounds: list[tuple[float, str]] = []
        comes: dict[str, float] = {}  # how likely an item comes to a task
        for one in self.tasks:
            mine = self._expected[one.name]
            comes[one.name] = math.prod(self._expected[other].success for other in self._all_before(one.name))
            load = comes[one.name] * mine.busy
            bounds.append((one.concurrency / load if load else math.inf, one.name))
        if self.window is not None:
            bounds.append((self.window / path.length if path.length else math.inf, "window"))
        return min(bounds, key=lambda bound: bound[0])

    def _all_before(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = list(self[name].after)
        while waiting:
            other = waiting.pop()
            if other not in found:
                found.add(other)
                waiting += self[other].after
        return found

    def stream(self, items: int) -> float:
        """Seconds for so many items, pipelined: the first one's way, then one more each 1 / throughput.

        >>> from rxchain.timing import TimePlan, task
        >>> TimePlan(task("fetch", 1.0), task("price", 3.0, after="fetch")).stream(100)
        301.0
        """
        if items < 1 or not self.tasks:
            return 0.0
        return self.makespan().length + (items - 1) / self.throughput

    def predict(self, *, workers: int | None = None, runs: int = 10_000, seed: int = 0) -> "Prediction":
        """How long an item will take: mean, p50, p95, p99, by throwing the dice *runs* times; the same for each *seed*.

        Args:
            workers: how many of its tasks can run at once; without it, as many as there are.
        """
        from rxchain.timing._predict import predicted

        return predicted(self, self._workers(workers), runs, seed)


def _in_order(named: Mapping[str, Task]) -> tuple[str, ...]:
    """The names, each behind those it depends on."""
    for one in named.values():
        for other in one.after:
            if other not in named:
                raise CompositionError(
                    f"task {one.name!r} comes after {other!r}, and there is no such task; there are"
                    f" {', '.join(map(repr, named))}\n"
                    f"    task({one.name!r}, ..., after={other!r})  # incorrect\n"
                    f"    TimePlan(task({other!r}, ...), task({one.name!r}, ..., after={other!r}))  # correct"
                )
    try:
        return tuple(TopologicalSorter({name: one.after for name, one in named.items()}).static_order())
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        raise CompositionError(
            f"tasks depend on one another: {' -> '.join(cycle)}: none of them could ever begin\n"
            f"    task({cycle[0]!r}, ..., after={cycle[1]!r})  # incorrect: that comes after {cycle[0]!r} itself"
        ) from None


def _positive(slack: float, length: float) -> float:
    return slack if slack > 1e-12 * length else 0.0
