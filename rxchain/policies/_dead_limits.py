"""When so many items fail that it is no longer the items: limits on the share of failures, and on failures in a row."""

from bisect import bisect_left, bisect_right

from rxchain.engine import a_kind_of, shorten
from rxchain.errors import CompositionError


class FailureLimits:
    """Told which items failed, by their number in the source, says when a limit is broken.

    Pure: no clock, no I/O. One for each run; holds the numbers of those that failed among the last *window* or *streak*
    items. An item that comes out of turn, as with ``ordered=False``, is counted where it belongs.

    >>> from rxchain.policies._dead_limits import FailureLimits
    >>> limits = FailureLimits(share=None, window=100, streak=3)
    >>> [limits.failed(position) for position in (0, 5, 6, 7)]
    [None, None, None, '3 items in a row failed, and streak=3']
    """

    def __init__(self, share: float | None, window: int, streak: int | None) -> None:
        if share is not None and not (type(share) in (int, float) and 0 <= share < 1):
            raise _refused("share", share, "a part of the items, from 0 up to but not 1", "0.1")
        if type(window) is not int or window < 1:
            raise _refused("window", window, "a number of items, 1 or more", "100")
        if streak is not None and (type(streak) is not int or streak < 1):
            raise _refused("streak", streak, "a number of items, 1 or more", "10")
        self.share, self.window, self.streak = share, window, streak
        self._kept = max(window if share is not None else 0, streak or 0)
        self._failed: list[int] = []
        """The numbers of items that failed, in order, the last *_kept* items' only."""

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self._kept > 0

    def afresh(self) -> "FailureLimits":
        """The same limits for another run."""
        return FailureLimits(self.share, self.window, self.streak)

    def failed(self, position: int) -> str | None:
        """Count the item number *position*; an item that fails twice, in two of its parts, is one.

        Returns:
            Which limit that breaks, in words; None if none.
        """
        failed = self._failed
        at = bisect_left(failed, position)
        if at == len(failed) or failed[at] != position:
            failed.insert(at, position)
        if self.streak is not None and (row := self._row_around(at)) >= self.streak:
            return f"{row} items in a row failed, and streak={self.streak}"
        newest = failed[-1]
        del failed[: bisect_right(failed, newest - self._kept)]
        if self.share is not None:
            count = len(failed) - bisect_right(failed, newest - self.window)
            if count / self.window > self.share:
                return f"{count} of the last {self.window} items failed, and share={self.share}"
        return None

    def _row_around(self, at: int) -> int:
        failed = self._failed
        first = last = at
        while first and failed[first - 1] == failed[first] - 1:
            first -= 1
        while last + 1 < len(failed) and failed[last + 1] == failed[last] + 1:
            last += 1
        return last - first + 1


def _refused(name: str, given: object, wanted: str, correct: str) -> CompositionError:
    shown = shorten(given, 30)
    return CompositionError(
        f"DeadLetters: {name} is {wanted}, got {a_kind_of(given)}: {shown}\n"
        f"    DeadLetters(to, {name}={shown})  # incorrect\n"
        f"    DeadLetters(to, {name}={correct})  # correct"
    )
