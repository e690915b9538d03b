"""What a subscriber asks of its subscription: one call after the other, from whichever thread (2.7)."""

import threading
from collections import deque
from collections.abc import Callable

from rxchain.streams._protocols import Subscription


class Upstream:
    """A subscription on which calls do not overlap.

    A call that arrives while another runs is made by whoever makes that one: nobody waits, and a publisher that emits
    from within `request` does not recurse.

    Args:
        failed: is told the rule and the error when a call raises, which it must not.
    """

    def __init__(self, subscription: Subscription, failed: Callable[[str, Exception], None]) -> None:
        self._subscription: Subscription | None = subscription
        self._failed = failed
        self._waiting: deque[int] = deque()  # how many to request; 0 is to cancel
        # Only ever tried, never waited for: a finaliser may cancel while its own thread holds it.
        self._busy = threading.Lock()

    def request(self, n: int) -> None:
        """Ask for *n* items more."""
        self._make(n)

    def cancel(self) -> None:
        """Ask for nothing more; calls after that are not made."""
        self._make(0)

    def _make(self, call: int) -> None:
        self._waiting.append(call)
        while self._waiting and self._busy.acquire(blocking=False):
            try:
                while self._waiting:
                    self._call(self._waiting.popleft())
            finally:
                self._busy.release()

    def _call(self, n: int) -> None:
        subscription = self._subscription
        if subscription is None:
            return
        try:
            if n:
                subscription.request(n)
            else:
                self._subscription = None
                subscription.cancel()
        except Exception as error:
            self._failed("3.16" if n else "3.15", error)
