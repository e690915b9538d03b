"""What a `Retry` is made of, and the errors that say so."""

import math
from typing import TYPE_CHECKING, Any

from rxchain.engine import Colour, a_kind_of, colour, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.policies._budget import RetryBudget
from rxchain.policies._waits import Wait, exponential, fixed, linear

if TYPE_CHECKING:
    from rxchain.policies._retry import Retry

_NOT_CALLED: tuple[object, ...] = (exponential, fixed, linear)


def checked(retry: "Retry") -> None:
    """Raise what teaches, where an argument is not what it must be."""
    most, total = retry.attempts, retry.total
    if isinstance(most, bool) or not (most is None or isinstance(most, int) or callable(most)):
        raise _wrong("attempts", "a number of attempts, the first included", most, "Retry(3)", keyword=False)
    if isinstance(most, int) and most < 1:
        raise CompositionError(
            f"Retry: attempts counts the first one, too, so it is at least 1, got {most}\n"
            f"    Retry({most})  # incorrect\n"
            f"    Retry({max(most, 0) + 1})  # correct: one call{', and no retry' if most <= 0 else ''}"
        )
    if total is not None and (
        not isinstance(total, (int, float)) or isinstance(total, bool) or not 0 < total < math.inf
    ):
        raise _wrong("total", "a finite number of seconds above 0", total, "Retry(3, total=30)")
    if most is None and total is None:
        raise CompositionError(
            "Retry: without a number of attempts there has to be a total, or an item that always fails is never done\n"
            "    Retry(None)  # incorrect\n"
            "    Retry(None, total=60)  # correct: as many as there is time for in a minute"
        )
    if isinstance(retry.wait, bool) or not callable(retry.wait):
        raise _wrong("wait", "seconds, or what gives them", retry.wait, "Retry(3, wait=exponential(0.1, max=5))")
    for parameter, given in (("attempts", most), ("wait", retry.wait)):
        if isinstance(given, type) or given in _NOT_CALLED:
            raise CompositionError(
                f"Retry: {parameter} must be made first: {name_of(given)} has not been called\n"
                f"    {parameter}={name_of(given)}  # incorrect\n"
                f"    {parameter}={name_of(given)}(...)  # correct"
            )
    _check_on(retry.on)
    if callable(most):
        _check_function("attempts", most)
    if not isinstance(retry.wait, Wait):
        _check_function("wait", retry.wait)
    if not isinstance(retry.on, (type, tuple)):
        _check_function("on", retry.on)
    if retry.on_result is not None:
        _check_function("on_result", retry.on_result)
    if retry.hint is not None:
        _check_function("hint", retry.hint)
    if retry.budget is not None and not isinstance(retry.budget, RetryBudget):
        raise _wrong("budget", "a RetryBudget", retry.budget, "Retry(3, budget=RetryBudget(0.1))")
    if retry.random is not None and not callable(getattr(retry.random, "random", None)):
        raise _wrong("random", "a random.Random", retry.random, "Retry(3, random=random.Random(7))")


def _check_on(on: object) -> None:
    kinds = on if isinstance(on, tuple) else (on,)
    if isinstance(on, tuple) and not on:
        raise _wrong("on", "at least one type of Exception", on, "Retry(3, on=ConnectionError)")
    if not isinstance(on, tuple) and not isinstance(on, type):
        if not callable(on):
            raise _wrong(
                "on", "a type of Exception, a tuple of them, or a predicate", on, "Retry(3, on=ConnectionError)"
            )
        return
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise _wrong("on", "a type of Exception, or a tuple of them", kind, "Retry(3, on=ConnectionError)")
        if not issubclass(kind, Exception):
            raise CompositionError(
                f"Retry: {kind.__name__} is no Exception: a cancellation is never retried, nor an exit, nor an end\n"
                f"    Retry(3, on={kind.__name__})  # incorrect\n"
                f"    Retry(3, on=Exception)  # correct"
            )


def _check_function(parameter: str, fn: Any) -> None:
    """A function among the arguments takes one value and answers at once."""
    if not callable(fn) or not takes(fn, 1):
        raise _wrong(parameter, "a function of one value", fn, f"Retry(3, {parameter}=lambda value: ...)")
    if colour(fn) is not Colour.SYNC:
        raise CompositionError(
            f"Retry: {parameter} is asked while an item waits, and answers at once;"
            f" {name_of(fn)!r} is {colour(fn).value}\n"
            f"    async def {name_of(fn)}(...)  # incorrect\n"
            f"    def {name_of(fn)}(...)  # correct"
        )


def _wrong(parameter: str, what: str, found: object, correct: str, keyword: bool = True) -> CompositionError:
    given = shorten(found, 40)
    hint = ", from a timedelta take .total_seconds()" if hasattr(found, "total_seconds") else ""
    return CompositionError(
        f"Retry: {parameter} must be {what}, got {a_kind_of(found)}: {given}{hint}\n"
        f"    Retry({f'3, {parameter}=' if keyword else ''}{given})  # incorrect\n"
        f"    {correct}  # correct"
    )
