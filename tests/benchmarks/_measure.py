"""Timing several ways to one answer, interleaved, each checked against the hand-written one.

A machine's speed drifts by more than our bars are wide, within a second. So each repetition runs all ways, each of them
right beside the hand-written loop, for a few milliseconds; a way's figure is the median of these ratios. The rivals it
beat: the best of n (two ways are not lucky at the same time), the mean (one interruption decides), and one hand-written
run for a whole repetition (the same chain came out at 1.08 and at 1.21).
"""

import asyncio
import gc
import inspect
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Run: TypeAlias = Callable[[int], object] | Callable[[int], Awaitable[object]]
"""Process so many items; the answer."""

Peer: TypeAlias = Callable[[], Run]
"""Imports another library and makes its run; its docstring's first word is the library's name."""

BY_HAND = "by hand"


@dataclass(frozen=True)
class Settings:
    """What the command's options say."""

    repeat: int | None = None
    """Repetitions; None leaves it to the benchmark."""
    items: int | None = None
    """Items of one repetition; None leaves it to the benchmark."""


@dataclass(frozen=True)
class Row:
    """One way to the answer and what it cost."""

    variant: str
    value: float
    ratio: float | None = None
    """Times the hand-written form."""


@dataclass(frozen=True)
class Bar:
    """What we promised ourselves."""

    of: str
    got: float
    limit: float
    unit: str
    never: float | None = None
    """What no change may reach, whatever it brings."""

    @property
    def verdict(self) -> str:
        if self.got <= self.limit:
            return "met"
        if math.isnan(self.got):
            return "no figure"
        return f"ABOVE {self.never:g}" if self.never is not None and self.got > self.never else "not met"


@dataclass
class Report:
    """One benchmark's answer."""

    name: str
    question: str
    unit: str
    beside: str = BY_HAND
    """What the ratios are to: the first of the ways."""
    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Peers that are not installed."""
    wrong: list[str] = field(default_factory=list)
    """Variants whose answer was not the expected one."""

    def value(self, variant: str) -> float:
        """Its figure; not a number if its answer was wrong."""
        return next((row.value for row in self.rows if row.variant == variant), math.nan)

    def ratio(self, variant: str) -> float:
        return next((row.ratio for row in self.rows if row.variant == variant and row.ratio is not None), math.nan)

    def of_best(self, variant: str) -> float:
        """Its ratio to the best of the hand-written forms, which are called "by hand: …"."""
        by_hand = [row.ratio for row in self.rows if row.ratio and row.variant.startswith(BY_HAND)]
        return self.ratio(variant) / min(by_hand, default=math.nan)


def report_of(benchmark: Callable[..., object], unit: str, beside: str = BY_HAND) -> Report:
    """An empty report, named after *benchmark* and asking what its docstring asks."""
    return Report(benchmark.__name__, inspect.cleandoc(benchmark.__doc__ or "").split("\n\n")[0], unit, beside)


@dataclass(frozen=True)
class Variant:
    """One way to the answer."""

    name: str
    run: Run
    share: float = 1.0
    """The part of the items that it is given: less for what is slow, as times are per item."""


def installed(peers: Sequence[tuple[Peer, float]], report: Report) -> list[Variant]:
    """The peers that are here, each with its share of the items; the others are noted as skipped."""
    variants: list[Variant] = []
    for peer, share in peers:
        name = inspect.cleandoc(peer.__doc__ or peer.__name__).split("\n")[0].rstrip(".")
        try:
            variants.append(Variant(name, peer(), share))
        except ModuleNotFoundError as error:
            report.skipped.append(f"{name} ({error.name} is not installed)")
    return variants


def race(report: Report, settings: Settings, variants: Sequence[Variant], *, items: int, repeat: int = 41) -> None:
    """Time *variants* beside the first of them, the hand-written one; seconds per item go to ``report.rows``.

    Every answer of every repetition is compared with that one's for as many items.
    """
    asyncio.run(_race(report, variants, settings.items or items, settings.repeat or repeat))


async def _race(report: Report, variants: Sequence[Variant], items: int, repeat: int) -> None:
    by_hand = variants[0]
    assert (by_hand.name, by_hand.share) == (report.beside, 1.0)
    expected: dict[int, object] = {}
    running: list[tuple[Variant, int]] = []
    for variant in variants[1:]:
        count = max(1, min(items, round(items * variant.share)))
        if count not in expected:
            _, expected[count] = await _timed(by_hand.run, count)
        try:
            _, answer = await _timed(variant.run, count)  # a warm-up, too
        except Exception as error:
            report.wrong.append(f"{variant.name} raised {type(error).__name__}: {error}")
            continue
        if _right(report, variant, answer, expected[count]):
            running.append((variant, count))
    seconds: dict[str, list[float]] = {variant.name: [] for variant in (by_hand, *(v for v, _ in running))}
    ratios: dict[str, list[float]] = {variant.name: [] for variant, _ in running}
    for repetition in range(repeat):
        gc.collect()
        for variant, count in running:
            pair = [by_hand, variant] if repetition % 2 == 0 else [variant, by_hand]
            spent: dict[str, float] = {}
            for which in pair:
                spent[which.name], answer = await _timed(which.run, count)
                _right(report, which, answer, expected[count])
                seconds[which.name].append(spent[which.name] / count)
            ratios[variant.name].append(spent[variant.name] / spent[by_hand.name])
    for name, spents in seconds.items():
        if not spents:
            continue
        ratio = statistics.median(ratios[name]) if name in ratios else 1.0
        report.rows.append(Row(name, statistics.median(spents), ratio))


async def _timed(run: Run, count: int) -> tuple[float, object]:
    """Seconds and the answer; without the collector of cycles, as `timeit` has it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        answer = run(count)
        if inspect.iscoroutine(answer):
            answer = await answer
        return time.perf_counter() - start, answer
    finally:
        if was_enabled:
            gc.enable()


def _right(report: Report, variant: Variant, answer: object, expected: object) -> bool:
    if answer == expected:
        return True
    complaint = f"{variant.name} answered {str(answer)[:60]}…, {report.beside} {str(expected)[:60]}…"
    if complaint not in report.wrong:
        report.wrong.append(complaint)
    return False
