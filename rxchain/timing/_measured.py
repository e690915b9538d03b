"""What a run has measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from rxchain.timing._quantiles import quantile
from rxchain.timing._times import Empirical, Time

if TYPE_CHECKING:
    from rxchain.timing._compare import Comparison
    from rxchain.timing._predict import Prediction

KEPT = 10_000
"""Times of one kind that are kept; of more than that a sample, each as likely to be in it. Means are of all."""


class Samples:
    """Times as they come: how many, their sum, and a sample of them."""

    __slots__ = ("_random", "count", "kept", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.kept: list[float] = []
        self._random = Random(0)

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        if len(self.kept) < KEPT:
            self.kept.append(seconds)
        elif (place := self._random.randrange(self.count)) < KEPT:
            self.kept[place] = seconds

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took."""

    count: int
    mean: float
    """Seconds, as are the next three; not a number where nothing was measured."""
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, samples: Samples) -> "Times":
        ordered = sorted(samples.kept)
        p50, p95, p99 = (quantile(ordered, share) for share in (0.5, 0.95, 0.99))
        return cls(samples.count, samples.mean, p50, p95, p99)


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """What was measured of one node."""

    name: str
    item: Times
    """The items that it succeeded with, from its call to its result: all attempts, and what they waited for."""
    attempt: Times
    """The attempts that succeeded."""
    failed_attempt: Times
    """The attempts that did not, also those that were cut short."""
    waited: float
    """Seconds an item, on average, in which none of its attempts ran: waits between them, limits, locks."""
    failures: int
    """Items that it failed with for good."""

    @property
    def count(self) -> int:
        """Items that it succeeded with."""
        return self.item.count

    @property
    def mean(self) -> float:
        """Seconds an item."""
        return self.item.mean

    @property
    def p50(self) -> float:
        return self.item.p50

    @property
    def p95(self) -> float:
        return self.item.p95

    @property
    def p99(self) -> float:
        return self.item.p99


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a run, so far; `Measurement.measured` makes it."""

    nodes: tuple[NodeTimes, ...]
    """In the order of the chain."""
    worked: Times
    """How long nodes worked on an item, attempts and waits in them; beside one another they count once. This is what a
    prediction is of."""
    total: Times
    """From an item's coming in to its coming out, waits for the items ahead of it included."""
    throughput: float
    """Items a second, from the first that came out to the last: as fast as the source, nodes and reader together."""
    times: Mapping[str, Time]
    """For each node how long attempts took that succeeded, as a plan wants it."""
    failed_times: Mapping[str, Time]
    """The same of attempts that failed, where there were any."""
    failures: Mapping[str, float]
    """For each node the share of attempts that failed."""

    @property
    def between(self) -> float:
        """Seconds an item, on average, between its nodes: waiting for those ahead, or in steps that are no nodes."""
        return max(0.0, self.total.mean - self.worked.mean)

    def __getitem__(self, name: str) -> NodeTimes:
        for one in self.nodes:
            if one.name == name:
                return one
        raise KeyError(f"no node called {name!r}; there are {', '.join(repr(one.name) for one in self.nodes)}")

    def compare(self, prediction: "Prediction") -> "Comparison":
        """Both side by side, with the error of the prediction."""
        from rxchain.timing._compare import compared

        return compared(prediction, self)

    def __str__(self) -> str:
        from rxchain.timing._table import table_of_measured

        return table_of_measured(self)


class NodeLog:
    """What is measured of one node, while it is."""

    __slots__ = ("attempts", "failed_attempts", "failures", "items", "name", "waited")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items, self.attempts, self.failed_attempts = Samples(), Samples(), Samples()
        self.waited = 0.0
        self.failures = 0

    def times(self) -> NodeTimes:
        tried = self.items.count + self.failures
        return NodeTimes(
            self.name,
            Times.of(self.items),
            Times.of(self.attempts),
            Times.of(self.failed_attempts),
            self.waited / tried if tried else math.nan,
            self.failures,
        )


class Ends:
    """What is measured of items as they come out."""

    __slots__ = ("_first", "_last", "entered", "total", "worked")

    def __init__(self) -> None:
        self.entered = 0
        self.total, self.worked = Samples(), Samples()
        self._first: tuple[int, float] | None = None
        self._last = (0, 0.0)
        """Numbers of items, and when they came out."""

    def add(self, number: int, now: float, total: float, worked: float) -> None:
        self.total.add(total)
        self.worked.add(worked)
        if self._first is None:
            self._first = self._last = (number, now)
        self._last = (max(number, self._last[0]), now)

    @property
    def throughput(self) -> float:
        # By their numbers, so that those count which were dropped or failed on the way: nodes worked on them as well.
        if self._first is None or self._last[0] == self._first[0]:
            return math.nan
        seconds = self._last[1] - self._first[1]
        return (self._last[0] - self._first[0]) / seconds if seconds else math.inf


def measured(logs: list[NodeLog], ends: Ends) -> Measured:
    """What *logs* say by now."""
    times: dict[str, Time] = {}
    failed: dict[str, Time] = {}
    shares: dict[str, float] = {}
    for log in logs:
        count = log.attempts.count + log.failed_attempts.count
        if log.attempts.count:
            times[log.name] = Empirical(log.attempts.kept)
        if log.failed_attempts.count:
            failed[log.name] = Empirical(log.failed_attempts.kept)
            times.setdefault(log.name, failed[log.name])
        if count:
            shares[log.name] = log.failed_attempts.count / count
    nodes = tuple([log.times() for log in logs])
    return Measured(nodes, Times.of(ends.worked), Times.of(ends.total), ends.throughput, times, failed, shares)
