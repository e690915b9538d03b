"""Who is told of a failing item in ``rxchain run``: the chain's own ``on_error`` first, then the report."""

from typing import Any

from rxchain import Chain, Failure
from rxchain.cli._report import Report
from rxchain.engine import Colour, colour


def telling(chain: Chain[Any, Any], report: Report) -> Any:
    """The ``on_error`` of a run of *chain*: without one of its own, items that fail are reported and skipped."""
    own: Any = chain.on_error
    if own is None or own == "skip":
        return report.failure
    if own == "stop":
        return "stop"
    return (_ToldLater if colour(own) is Colour.ASYNC else _Told)(own, report)


class _Told:
    """What the chain does, reported: a letter is safe before ``--fail-fast`` ends the run."""

    def __init__(self, own: Any, report: Report) -> None:
        self._own, self._report = own, report
        self.resumes = bool(getattr(own, "resumes", False))
        """What goes on in its place is no failed item."""
        self.places = bool(getattr(own, "places", False))
        if hasattr(own, "aclose"):
            self.aclose = own.aclose

    def __call__(self, failure: Failure) -> Any:
        result = self._own(failure)
        self._then_report(failure)
        return result

    def _then_report(self, failure: Failure) -> None:
        if not self.resumes:
            self._report.failure(failure)


class _ToldLater(_Told):
    async def __call__(self, failure: Failure) -> Any:
        result = await self._own(failure)
        self._then_report(failure)
        return result
