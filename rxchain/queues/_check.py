"""What a queue is declared with is checked when it is made."""

from collections.abc import Callable
from typing import Any

from rxchain.engine import a_kind_of, shorten
from rxchain.errors import CompositionError


def check_queue(
    order: object,
    size: object,
    ageing: object,
    visibility: object,
    attempts: object,
    given_up: object,
    balance: object,
    key: Callable[..., Any] | None,
) -> None:
    """Raise a `CompositionError` for the first argument of `TaskQueue` that is not what it must be."""
    if order not in ("fifo", "lifo", "priority"):
        raise _wrong("order", order, "'fifo', 'lifo' or 'priority'", "order='priority'")
    for what, value in (("size", size), ("attempts", attempts)):
        if value is not None and (type(value) is not int or value < 1):
            raise _wrong(what, value, "a number, 1 or more", f"{what}=3")
    if not _number(ageing, 0.0):
        raise _wrong("ageing", ageing, "by how much a number falls in a second, 0 or more", "ageing=0.1")
    if ageing and order != "priority":
        raise _together(f"{order!r}, ageing={ageing!r}", "ageing= is for priorities", "'priority', ageing=0.1")
    if visibility is not None and not (_number(visibility, 0.0) and visibility):
        raise _wrong("visibility", visibility, "a number of seconds", "visibility=30.0")
    if (attempts is None) != (given_up is None):
        given = f"attempts={attempts}" if attempts is not None else f"given_up={shorten(given_up, 30)}"
        why = "attempts= and given_up= belong together: who is told of a task that was taken as often as may be?"
        raise _together(given, why, "attempts=3, given_up=DeadLetters('failed.jsonl')")
    if given_up is not None and not callable(given_up):
        raise _wrong("given_up", given_up, "a function of a Failure", "attempts=3, given_up=failures.append")
    if balance not in ("shared", "round_robin", "least_busy", "by_key"):
        raise _wrong("balance", balance, "'shared', 'round_robin', 'least_busy' or 'by_key'", "balance='round_robin'")
    if (balance == "by_key") != (key is not None):
        given = f"balance={balance!r}{', key=...' if key is not None else ''}"
        correct = "balance='by_key', key=lambda order: order.customer"
        raise _together(given, "balance='by_key' and key=function belong together", correct)
    if key is not None and not callable(key):
        raise _wrong("key", key, "a function of an item", "balance='by_key', key=lambda order: order.customer")


def check_number(what: str, value: object, least: float) -> None:
    """Raise a `ValueError` if *value* is no number of seconds, *least* or more."""
    if not _number(value, least):
        raise ValueError(
            f"{what} is a number of seconds, {least:g} or more, got {a_kind_of(value)}: {shorten(value, 40)}"
        )


def _number(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < float("inf")


def _wrong(what: str, value: object, must: str, correct: str) -> CompositionError:
    return CompositionError(
        f"TaskQueue: {what} is {must}, got {a_kind_of(value)}: {shorten(value, 40)}\n"
        f"    TaskQueue({what}={shorten(value, 30)})  # incorrect\n"
        f"    TaskQueue({correct})  # correct"
    )


def _together(given: str, why: str, correct: str) -> CompositionError:
    return CompositionError(
        f"TaskQueue: {why}\n    TaskQueue({given})  # incorrect\n    TaskQueue({correct})  # correct"
    )
