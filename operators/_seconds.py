"""Durations that operators are given: what is one, and the error that says so."""

import math

from rxchain.engine import shorten


def is_seconds(value: object) -> bool:
    """Whether *value* is a duration: a finite number above 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def passed(seconds: float, since: float) -> int:
    """How many times *seconds* have passed *since*; a rounding short of one more is one more."""
    return int(since / seconds + 1e-6)


def wrong_seconds(name: str, parameter: str, found: object, others: str = "") -> ValueError:
    """The error of operator *name*, given *found* for its *parameter*; *others* stand before it."""
    given = shorten(found, 30)
    keyword = "" if parameter == "seconds" and not others else f"{parameter}="
    hint = ", from a timedelta take .total_seconds()" if hasattr(found, "total_seconds") else ""
    return ValueError(
        f"{name}: {parameter} must be a number of seconds above 0, got {given}{hint}\n"
        f"    ops.{name}({others}{keyword}{given})  # incorrect\n"
        f"    ops.{name}({others}{keyword}0.5)  # correct"
    )
