"""What went wrong, item by item, and what it came to: the lines on stderr."""

import time
import traceback
from collections import Counter
from collections.abc import Callable

from rxchain import Failure
from rxchain.cli._errors import describe, one_line
from rxchain.cli._letters import Letters

SHOWN = 20
"""Failed items that are told in full; the others are counted."""


class FailFastError(Exception):
    """Raised by a `Report` that is to stop the run at its first failure."""


class Report:
    """Counts what became of the items, and tells of those that failed.

    Args:
        say: prints a line on stderr.
        place_of: finds where an item came from.
        taken: how many items were taken so far.
        letters: has to have each failure before it is told.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        place_of: Callable[[object], str | None],
        taken: Callable[[], int],
        letters: Letters | None = None,
        *,
        fail_fast: bool = False,
        debug: bool = False,
    ) -> None:
        self.results = 0
        self.failed = 0
        self.taken = taken
        self._say, self._place_of, self._letters = say, place_of, letters
        self._fail_fast, self._debug = fail_fast, debug
        self._untold: Counter[str] = Counter()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    # --- one failure

    def failure(self, failure: Failure) -> None:
        """A node failed for an item: what a chain's ``on_error`` is given."""
        chain = f" of chain {failure.chain!r}" if failure.chain else ""
        node = f"node {failure.node!r}{chain}"
        kind = f"{type(failure.error).__name__} in {node}"
        # To look for a place takes a while, among the many of which only the kind is told.
        place = self._place_of(failure.item) if self._letters is not None or self.failed < SHOWN else None
        if self._letters is not None:
            self._letters.of_item(failure, place)
        if self._counted(kind):
            self._tell(
                f"{place}: " if place else "", f"{node}: {describe(failure.error)}", failure.value, failure.error
            )
        self._maybe_stop()

    def bad_line(self, place: str, why: str, text: str) -> None:
        """A line of the input could not be read."""
        if self._letters is not None:
            self._letters.of_line(place, why, text)
        if self._counted("lines that could not be read"):
            self._say(f"{place}: {why}" + (f", in {_shown(text)}" if text else ""))
        self._maybe_stop()

    def unfit(self, where: str, error: Exception, result: object) -> None:
        """A result could not be written."""
        if self._letters is not None:
            self._letters.of_result(where, error, result)
        if self._counted(f"results that {where} cannot hold"):
            self._tell(f"{where}: ", one_line(error), result, error, "result")
        self._maybe_stop()

    def _counted(self, kind: str) -> bool:
        """Count it; whether it is still to be told in full."""
        self.failed += 1
        if self.failed <= SHOWN:
            return True
        self._untold[kind] += 1
        return False

    def _tell(self, place: str, text: str, value: object, error: Exception, what: str = "item") -> None:
        self._say(f"{place}{text}, with {what} {_shown(value)}")
        if self._debug:
            self._say("".join(traceback.format_exception(error)).rstrip())

    def _maybe_stop(self) -> None:
        if self._fail_fast:
            raise FailFastError

    # --- the whole

    def line(self) -> str:
        """Where it stands, on one line."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{_count(self.taken(), 'item')} in, {_count(self.results, 'result')} out{failed}"

    def rate(self) -> str:
        """Items a second."""
        return f"{self.taken() / max(self.seconds, 1e-6):,.0f} items/s"

    def summary(self) -> list[str]:
        """The lines at the end."""
        lines = []
        if self._untold:
            lines.append(f"... and {_count(sum(self._untold.values()), 'more failed item')}: ")
            lines[0] += "; ".join(f"{count:,} × {kind}" for kind, count in self._untold.most_common(5))
        return [*lines, f"rxchain: {self.line()}, {self.seconds:.2f} s, {self.rate()}"]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _shown(value: object) -> str:
    try:
        return one_line(repr(value), 80)
    except Exception as error:  # an object whose repr fails must not hide what else failed
        return f"<{type(value).__name__}; its repr raised {type(error).__name__}>"
