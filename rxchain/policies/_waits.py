"""How long to wait before the next attempt: numbers from the attempt's, no clock, no sleep."""

import math
from dataclasses import KW_ONLY, dataclass
from random import Random
from typing import Any

from rxchain.engine import shorten
from rxchain.errors import CompositionError


@dataclass(frozen=True, slots=True, repr=False)
class Wait:
    """A wait that may grow with the attempts; made by `fixed`, `linear` and `exponential`.

    It is also what tenacity takes as ``wait=``, and can be added to and chained with tenacity's own.
    """

    first: float
    """Seconds before the second attempt."""
    _: KW_ONLY
    factor: float = 1.0
    step: float = 0.0
    max: float = math.inf
    jitter: bool = False
    """Whether any time between none and the whole wait will do: then callers that failed together come apart."""

    def seconds(self, attempt: int, random: Random | None = None) -> float:
        """How long to wait when *attempt*, counted from 1, has failed."""
        try:
            most = self.first * self.factor ** (attempt - 1) + self.step * (attempt - 1)
        except OverflowError:
            most = self.max
        most = min(most, self.max)
        if not self.jitter:
            return most
        return most * (random or _CHANCE).random()

    def __call__(self, retry_state: Any) -> float:
        return self.seconds(retry_state.attempt_number, getattr(retry_state, "random", None))

    def __repr__(self) -> str:
        first, max, factor = (f"{number:.12g}" for number in (self.first, self.max, self.factor))
        if self.factor != 1.0:
            said = f"exponential({first}, max={max}{'' if self.factor == 2.0 else f', factor={factor}'}"
            return f"{said}{'' if self.jitter else ', jitter=False'})"
        said = f"linear({first}, max={max}" if self.step else f"fixed({first}"
        return f"{said}{', jitter=True' if self.jitter else ''})"


_CHANCE = Random()


def exponential(first: float, *, max: float = 30.0, factor: float = 2.0, jitter: bool = True) -> Wait:
    """Wait up to *first* seconds, then up to *factor* times as long, and so on, but never more than *max*.

    >>> from rxchain.policies import exponential
    >>> wait = exponential(0.1, max=1, jitter=False)
    >>> [wait.seconds(attempt) for attempt in (1, 2, 3, 4, 5, 6)]
    [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]

    With *jitter*, as it is unless you say otherwise, the wait is any time between none and that: who failed together
    does not come back together.

    Raises:
        CompositionError: *first* or *max* is no number of seconds above 0, *max* is less than *first*, or *factor* is
            not more than 1.
    """
    _above_0("exponential", "first", first, "exponential(0.1, max=5)")
    _max("exponential", first, max, "exponential(0.1, max=5)")
    if not _is_number(factor) or not 1 < factor < math.inf:
        raise _wrong("exponential", "factor", "a number above 1", factor, "exponential(0.1, factor=2)")
    return Wait(float(first), factor=float(factor), max=float(max), jitter=_flag("exponential", jitter))


def linear(step: float, *, max: float = 30.0, jitter: bool = False) -> Wait:
    """Wait *step* seconds, then twice that, three times, and so on, but never more than *max*.

    >>> from rxchain.policies import linear
    >>> wait = linear(2, max=5)
    >>> [wait.seconds(attempt) for attempt in (1, 2, 3, 4)]
    [2.0, 4.0, 5.0, 5.0]

    Raises:
        CompositionError: *step* or *max* is no number of seconds above 0, or *max* is less than *step*.
    """
    _above_0("linear", "step", step, "linear(0.5, max=5)")
    _max("linear", step, max, "linear(0.5, max=5)")
    return Wait(float(step), step=float(step), max=float(max), jitter=_flag("linear", jitter))


def fixed(seconds: float, *, jitter: bool = False) -> Wait:
    """Wait the same each time; 0 is not to wait at all. ``wait=2`` says ``wait=fixed(2)``.

    >>> from rxchain.policies import fixed
    >>> fixed(2).seconds(7)
    2.0

    Raises:
        CompositionError: *seconds* is no finite number from 0.
    """
    if not _is_number(seconds) or not 0 <= seconds < math.inf:
        raise _wrong("fixed", "seconds", "a finite number of seconds from 0", seconds, "fixed(2)")
    return Wait(float(seconds), jitter=_flag("fixed", jitter))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _above_0(name: str, parameter: str, found: object, correct: str) -> None:
    if not isinstance(found, (int, float)) or isinstance(found, bool) or not 0 < found < math.inf:
        raise _wrong(name, parameter, "a finite number of seconds above 0", found, correct)


def _max(name: str, first: float, found: float, correct: str) -> None:
    _above_0(name, "max", found, correct)
    if found < first:
        raise CompositionError(
            f"{name}: max is the longest wait, and {found:g} s is less than the first one, {first:g} s\n"
            f"    {name}({first:g}, max={found:g})  # incorrect\n"
            f"    {name}({found:g}, max={first:g})  # correct, if they were swapped"
        )


def _flag(name: str, jitter: object) -> bool:
    if not isinstance(jitter, bool):
        raise _wrong(name, "jitter", "True or False", jitter, f"{name}(0.5, jitter=True)")
    return jitter


def _wrong(name: str, parameter: str, what: str, found: object, correct: str) -> CompositionError:
    given = shorten(found, 40)
    hint = ", from a timedelta take .total_seconds()" if hasattr(found, "total_seconds") else ""
    shown = given if parameter in ("first", "step", "seconds") else f"..., {parameter}={given}"
    return CompositionError(
        f"{name}: {parameter} must be {what}, got {given}{hint}\n"
        f"    {name}({shown})  # incorrect\n"
        f"    {correct}  # correct"
    )
