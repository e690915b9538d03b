"""How long something takes: a number of seconds, or how such numbers are spread."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist, fmean
from typing import Protocol, TypeAlias

from rxchain.engine import a_kind_of, shorten
from rxchain.errors import CompositionError


class Time(Protocol):
    """What can be asked of a time that is not known in advance."""

    @property
    def mean(self) -> float:
        """Seconds, on average."""
        ...

    def sample(self, random: Random) -> float:
        """One that it might be."""
        ...


Seconds: TypeAlias = Time | float
"""A time, or a number of seconds, which is a `Fixed` one."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always as long.

    >>> from rxchain.timing import Fixed
    >>> Fixed(2).mean
    2.0

    Raises:
        CompositionError: that is no number of seconds from 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", _number("Fixed", "seconds", self.seconds, "Fixed(0.2)"))

    @property
    def mean(self) -> float:
        return self.seconds

    def sample(self, random: Random) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything from *low* to *high*, each as likely.

    >>> from rxchain.timing import Uniform
    >>> Uniform(1, 3).mean
    2.0

    Raises:
        CompositionError: one of them is no number of seconds from 0, or *high* is less than *low*.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low = _number("Uniform", "low", self.low, "Uniform(0.1, 0.3)")
        if _number("Uniform", "high", self.high, "Uniform(0.1, 0.3)") < low:
            raise CompositionError(
                f"Uniform: high is the longest time, and {self.high:g} s is less than the shortest, {low:g} s\n"
                f"    Uniform({low:g}, {self.high:g})  # incorrect\n"
                f"    Uniform({self.high:g}, {low:g})  # correct, if they were swapped"
            )

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2

    def sample(self, random: Random) -> float:
        return random.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Mostly short, now and then long: as the waits between things that happen by themselves.

    >>> from rxchain.timing import Exponential
    >>> Exponential(0.5).mean
    0.5

    Args:
        mean: seconds, on average.

    Raises:
        CompositionError: *mean* is no number of seconds from 0.
    """

    mean: float

    def __post_init__(self) -> None:
        _number("Exponential", "mean", self.mean, "Exponential(0.2)")

    def sample(self, random: Random) -> float:
        return random.expovariate(1 / self.mean) if self.mean else 0.0


@dataclass(frozen=True, slots=True)
class LogNormal:
    """As services answer: half of the time within *median*, 19 times of 20 within *p95*, now and then much later.

    >>> from rxchain.timing import LogNormal
    >>> round(LogNormal(median=0.1, p95=0.4).mean, 3)
    0.143

    Raises:
        CompositionError: *median* is no number of seconds above 0, or *p95* is less than that.
    """

    median: float
    p95: float
    _sigma: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        correct = "LogNormal(median=0.1, p95=0.4)"
        median, p95 = (_number("LogNormal", name, getattr(self, name), correct) for name in ("median", "p95"))
        if not 0 < median <= p95:
            raise CompositionError(
                f"LogNormal: 0 < median <= p95, got {median:g} and {p95:g} s\n"
                f"    LogNormal(median={median:g}, p95={p95:g})  # incorrect\n"
                f"    {correct}  # correct"
            )
        object.__setattr__(self, "_sigma", math.log(p95 / median) / NormalDist().inv_cdf(0.95))

    @property
    def mean(self) -> float:
        return self.median * math.exp(self._sigma**2 / 2)

    def sample(self, random: Random) -> float:
        return random.lognormvariate(math.log(self.median), self._sigma)


@dataclass(frozen=True, slots=True, init=False)
class Empirical:
    """As long as it was: one of the times that were measured, each as likely.

    >>> from rxchain.timing import Empirical
    >>> Empirical([1, 2, 6]).mean
    3.0

    Raises:
        CompositionError: there is none, or one is no number of seconds from 0.
    """

    seconds: tuple[float, ...] = field(repr=False)
    mean: float

    def __init__(self, seconds: Iterable[float]) -> None:
        correct = "Empirical([0.11, 0.12, 0.4])"
        found = tuple([_number("Empirical", "seconds", one, correct) for one in seconds])
        if not found:
            raise CompositionError(
                f"Empirical: no time was measured\n    Empirical([])  # incorrect\n    {correct}  # correct"
            )
        object.__setattr__(self, "seconds", found)
        object.__setattr__(self, "mean", fmean(found))

    def sample(self, random: Random) -> float:
        return random.choice(self.seconds)


def time_of(given: object, whose: str) -> Time:
    """The time that *given* stands for."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return Fixed(given)
    if callable(getattr(given, "sample", None)) and hasattr(given, "mean"):
        return given  # type: ignore[return-value]
    raise CompositionError(
        f"{whose}: a time is a number of seconds, or a distribution of such, got {a_kind_of(given)}:"
        f" {shorten(given, 40)}\n"
        f"    {shorten(given, 30)}  # incorrect\n"
        "    0.2  # correct; or Uniform(0.1, 0.3), LogNormal(median=0.1, p95=0.4), Empirical([...])"
    )


def is_fixed(time: Time) -> bool:
    """Whether it is always as long."""
    return isinstance(time, Fixed)


def _number(kind: str, parameter: str, found: object, correct: str) -> float:
    if not isinstance(found, (int, float)) or isinstance(found, bool) or not 0 <= found < math.inf:
        hint = ", from a timedelta take .total_seconds()" if hasattr(found, "total_seconds") else ""
        raise CompositionError(
            f"{kind}: {parameter} must be a finite number of seconds from 0, got {shorten(found, 40)}{hint}\n"
            f"    {kind}({parameter}={shorten(found, 30)})  # incorrect\n"
            f"    {correct}  # correct"
        )
    return float(found)
