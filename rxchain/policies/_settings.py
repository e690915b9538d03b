"""What policies are set to: numbers, checked when they are given, and the error that says what they must be."""

import math

from rxchain.engine import shorten
from rxchain.errors import CompositionError


def check_seconds(policy: str, parameter: str, found: object, correct: str) -> None:
    """Raise if *found* is no duration: a finite number of seconds above 0."""
    if not _is_number(found) or not 0 < found < math.inf:  # type: ignore[operator]
        hint = ", from a timedelta take .total_seconds()" if hasattr(found, "total_seconds") else ""
        raise wrong(policy, parameter, "a number of seconds above 0", found, correct, hint)


def check_count(policy: str, parameter: str, found: object, correct: str, least: int = 1) -> None:
    """Raise if *found* is no whole number from *least* on."""
    if type(found) is not int or found < least:
        raise wrong(policy, parameter, f"a whole number from {least} on", found, correct)


def check_share(policy: str, parameter: str, found: object, correct: str) -> None:
    """Raise if *found* is no part of a whole: above 0, up to 1."""
    if not _is_number(found) or not 0 < found <= 1:  # type: ignore[operator]
        raise wrong(policy, parameter, "a share above 0, up to 1", found, correct)


def check_rate(policy: str, parameter: str, found: object, correct: str) -> None:
    """Raise if *found* is no number of times: 1 or more, maybe with a fraction."""
    if not _is_number(found) or not 1 <= found < math.inf:  # type: ignore[operator]
        raise wrong(policy, parameter, "a number from 1 on", found, correct)


def check_name(policy: str, found: object, correct: str) -> None:
    """Raise if *found* names nothing."""
    if not isinstance(found, str) or not found:
        raise CompositionError(
            f"{policy}: its first argument is its name, by which it is shared; got {shorten(found, 40)}\n"
            f"    {policy}({shorten(found, 30)})  # incorrect\n"
            f"    {correct}  # correct"
        )


def wrong(policy: str, parameter: str, what: str, found: object, correct: str, hint: str = "") -> CompositionError:
    """The error of *policy*, given *found* for its *parameter*, which is to be *what*."""
    given = shorten(found, 40)
    return CompositionError(
        f"{policy}: {parameter} must be {what}, got {given}{hint}\n"
        f"    {policy}({parameter}={given})  # incorrect\n"
        f"    {correct}  # correct"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
