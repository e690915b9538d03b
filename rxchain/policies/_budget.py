"""How many retries there may be among all calls: so that many who try again do not bring down who is called."""

import math
from dataclasses import dataclass
from threading import Lock

from rxchain.engine import shorten
from rxchain.errors import CompositionError

BUCKETS = 10
"""Into so many parts is the time looked back on divided; what is older goes a part at a time."""


@dataclass(frozen=True)
class RetryBudgetStatistics:
    """What a `RetryBudget` has counted.

    ``calls`` and ``retries`` are those of the last ``per`` seconds; ``refused`` is how many retries have been refused
    since the budget was made.
    """

    calls: int
    retries: int
    refused: int


class RetryBudget:
    """A bound on retries that nodes share: at most *share* of the calls of the last *per* seconds.

    >>> from rxchain.policies import Retry, RetryBudget
    >>> budget = RetryBudget(0.1, at_least=0)
    >>> patient = Retry(5, budget=budget)    # for as many nodes as call the same service
    >>> for _ in range(20):
    ...     budget.call(now=0.0)
    >>> [budget.take(now=0.0) for _ in range(4)]    # a tenth of twenty calls
    [True, True, False, False]

    When everything fails, retries multiply the load of a service that cannot bear it: three attempts make three times
    the calls. With a budget of a tenth they make 1.1 times, and the other errors arrive at once, with a note.

    It is told the time and looks at no clock; any thread may call it. Time counts in tenths of *per*, and does not go
    back: what is told an earlier time counts as now.

    Args:
        share: the share of the calls, without the retries, above 0 and up to 1.
        per: how many seconds are looked back on.
        at_least: so many retries are allowed in that time, however few calls there were.
    """

    def __init__(self, share: float = 0.1, *, per: float = 10.0, at_least: int = 10) -> None:
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= 1:
            raise CompositionError(
                f"RetryBudget: share is a share of the calls, above 0 and up to 1, got {shorten(share, 40)}\n"
                f"    RetryBudget({shorten(share, 40)})  # incorrect\n"
                f"    RetryBudget(0.1)  # correct: a tenth"
            )
        if not isinstance(per, (int, float)) or isinstance(per, bool) or not 0 < per < math.inf:
            raise CompositionError(
                f"RetryBudget: per must be a finite number of seconds above 0, got {shorten(per, 40)}\n"
                f"    RetryBudget({share:g}, per={shorten(per, 40)})  # incorrect\n"
                f"    RetryBudget({share:g}, per=10)  # correct"
            )
        if not isinstance(at_least, int) or isinstance(at_least, bool) or at_least < 0:
            raise CompositionError(
                f"RetryBudget: at_least is a number of retries from 0, got {shorten(at_least, 40)}\n"
                f"    RetryBudget({share:g}, at_least={shorten(at_least, 40)})  # incorrect\n"
                f"    RetryBudget({share:g}, at_least=10)  # correct"
            )
        self.share = share
        self.per = per
        self.at_least = at_least
        self._lock = Lock()
        # The sums are those of the buckets, at any time when the lock is free. A bucket's number is the time divided
        # by its width; those from newest - BUCKETS + 1 to newest are there, each at its number modulo BUCKETS.
        self._a_second = BUCKETS / per
        self._newest = -1
        self._calls_in = [0] * BUCKETS
        self._retries_in = [0] * BUCKETS
        self._calls = 0
        self._retries = 0
        self._refused = 0

    def call(self, now: float) -> None:
        """Count a call: its first attempt, whatever becomes of it."""
        number = int(now * self._a_second)
        with self._lock:
            if number > self._newest:
                self._move_to(number)
            self._calls_in[self._newest % BUCKETS] += 1
            self._calls += 1

    def take(self, now: float) -> bool:
        """Whether one retry more may be made; if so, it is counted."""
        number = int(now * self._a_second)
        with self._lock:
            self._move_to(number)
            # not a rounding less than what a person would say: 0.29 * 100 is 28.999999999999996
            if self._retries + 1 > max(self.at_least, self.share * self._calls + 1e-9):
                self._refused += 1
                return False
            self._retries_in[self._newest % BUCKETS] += 1
            self._retries += 1
            return True

    def give_back(self, taken: float) -> None:
        """Count a retry no more that was taken at *taken*, and then not made."""
        with self._lock:
            number = min(int(taken * self._a_second), self._newest)
            if number > self._newest - BUCKETS and self._retries_in[number % BUCKETS]:
                self._retries_in[number % BUCKETS] -= 1
                self._retries -= 1

    def statistics(self, now: float) -> RetryBudgetStatistics:
        """What it has counted: of calls and retries, those of the last *per* seconds."""
        with self._lock:
            self._move_to(int(now * self._a_second))
            return RetryBudgetStatistics(self._calls, self._retries, self._refused)

    def _move_to(self, number: int) -> None:
        """Make bucket *number* the newest, if it is not already behind, and forget what is too long ago."""
        for passed in range(max(self._newest + 1, number - BUCKETS + 1), number + 1):
            at = passed % BUCKETS
            self._calls -= self._calls_in[at]
            self._retries -= self._retries_in[at]
            self._calls_in[at] = self._retries_in[at] = 0
            self._newest = passed

    def __repr__(self) -> str:
        return f"RetryBudget({self.share:g}, per={self.per:g}, at_least={self.at_least})"
