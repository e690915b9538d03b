"""What a call looks like to a decision that was written for tenacity: a wait, a stop, a condition.

tenacity's own state of a call can't be used: its clock is the machine's, and time here is the event loop's. Nor can
tenacity be imported to ask what something is: those that use it have, the others may not have it.
"""

import inspect
from collections.abc import Callable
from random import Random
from typing import Any

from rxchain.engine import name_of


class Outcome:
    """What an attempt came to: a result, or an error."""

    __slots__ = ("_error", "_result", "attempt_number")

    def __init__(self, attempt_number: int, result: Any, error: Exception | None) -> None:
        self.attempt_number = attempt_number
        self._result = result
        self._error = error

    @property
    def failed(self) -> bool:
        return self._error is not None

    def exception(self) -> Exception | None:
        return self._error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


class RetryState:
    """A call, as tenacity's ``wait_*``, ``stop_*`` and ``retry_*`` are told of it; times are the event loop's."""

    def __init__(self, retry_object: Any, fn: Callable[[Any], Any] | None, args: tuple[Any, ...], now: float) -> None:
        self.retry_object = retry_object
        self.fn = fn
        self.args = args
        self.kwargs: dict[str, Any] = {}
        self.start_time = now
        self.attempt_number = 1
        self.outcome: Outcome | None = None
        self.outcome_timestamp: float | None = None
        self.idle_for = 0.0
        self.upcoming_sleep = 0.0
        self.next_action = None
        self.random: Random | None = retry_object.random  # for waits of ours, among theirs

    @property
    def seconds_since_start(self) -> float | None:
        return None if self.outcome_timestamp is None else self.outcome_timestamp - self.start_time

    def get_fn_name(self) -> str:
        return "<unknown>" if self.fn is None else name_of(self.fn)

    def came_to(self, attempt: int, result: Any, error: Exception | None, now: float) -> None:
        """The attempt has ended."""
        self.attempt_number = attempt
        self.outcome = Outcome(attempt, result, error)
        self.outcome_timestamp = now


def takes_state(condition: Callable[..., object]) -> bool:
    """Whether *condition* is one of tenacity's, which are told of the call, and not one of the exception alone."""
    if any(kind.__name__ == "retry_base" for kind in inspect.getmro(type(condition))):
        return True
    try:
        parameters = list(inspect.signature(condition).parameters)
    except (TypeError, ValueError):
        return False
    return parameters[:1] == ["retry_state"]
