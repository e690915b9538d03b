"""Chains over one item: what a call costs, and what making the chain for it."""

import itertools
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import cast

from rxchain import Chain

from ._measure import BY_HAND, Bar, Report, Run, Settings, Variant, installed, race, report_of
from ._nodes import ASYNC, PLAIN, aall_by_hand, all_by_hand


def sync_item(settings: Settings) -> Report:
    """What does one item through a chain of eight plain functions cost, beside a function that calls them?"""
    chain = Chain(*PLAIN)
    report = report_of(sync_item, "s")

    def in_toolz() -> Run:
        """toolz: compose x8."""
        composed = import_module("toolz").compose(*reversed(PLAIN))
        return lambda count: [composed(x) for x in range(count)]

    def in_reactivex() -> Run:
        """reactivex: of(item), map x8, subscribe."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")
        maps = reactivex.compose(*[rx.map(fn) for fn in PLAIN])

        def run(count: int) -> list[int]:
            out: list[int] = []
            for x in range(count):
                reactivex.of(x).pipe(maps).subscribe(out.append)
            return out

        return run

    variants = [
        Variant(BY_HAND, lambda count: [all_by_hand(x) for x in range(count)]),
        Variant("rxchain: run_sync", lambda count: [chain.run_sync(x) for x in range(count)]),
        *installed([(in_toolz, 1), (in_reactivex, 0.02)], report),
    ]
    race(report, settings, variants, items=5_000)
    report.bars.append(Bar("run_sync", report.ratio("rxchain: run_sync"), 2.0, "x"))
    return report


def async_item(settings: Settings) -> Report:
    """What does one item through a chain of eight async functions cost, beside a function that awaits them?"""
    chain = Chain(*ASYNC)
    report = report_of(async_item, "s")

    async def by_hand(count: int) -> list[int]:
        return [await aall_by_hand(x) for x in range(count)]

    async def ours(count: int) -> list[int]:
        return [await chain.run(x) for x in range(count)]

    def in_aioreactive() -> Run:
        """aioreactive: single(item), map_async x8, run."""
        rx = import_module("aioreactive")

        async def run(count: int) -> list[int]:
            out = []
            for x in range(count):
                observable = rx.single(x)
                for fn in ASYNC:
                    observable = rx.map_async(fn)(observable)
                out.append(await rx.run(observable))
            return out

        return run

    variants = [
        Variant(BY_HAND, by_hand),
        Variant("rxchain: run", ours),
        *installed([(in_aioreactive, 0.01)], report),
    ]
    race(report, settings, variants, items=2_000)
    report.bars.append(Bar("run", report.ratio("rxchain: run"), 1.5, "x"))
    return report


def build_and_run(settings: Settings) -> Report:
    """What does it cost to make a chain of eight functions for one item only, when such a chain was made before?

    Beside it what it costs when none of its shape was: that one is compiled, once in a process.
    """
    report = report_of(build_and_run, "s")
    numbers = itertools.count()

    def of_a_new_shape(count: int) -> list[int]:
        """The names of its functions are part of a chain's shape."""
        out = []
        for x in range(count):
            suffix = next(numbers)
            a, b, c, d, e, f, g, h = (_renamed(fn, f"{fn.__name__}_{suffix}") for fn in PLAIN)
            out.append(Chain(a, b, c, d, e, f, g, h).run_sync(x))
        return out

    def in_toolz() -> Run:
        """toolz: compose x8 and call."""
        compose = import_module("toolz").compose
        return lambda count: [compose(*reversed(PLAIN))(x) for x in range(count)]

    def in_reactivex() -> Run:
        """reactivex: of(item), map x8, subscribe."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")

        def run(count: int) -> list[int]:
            out: list[int] = []
            for x in range(count):
                reactivex.of(x).pipe(*[rx.map(fn) for fn in PLAIN]).subscribe(out.append)
            return out

        return run

    variants = [
        Variant(BY_HAND, lambda count: [all_by_hand(x) for x in range(count)]),
        Variant("rxchain: Chain(…).run_sync", lambda count: [Chain(*PLAIN).run_sync(x) for x in range(count)]),
        Variant("rxchain: the first of its shape", of_a_new_shape, 0.005),
        *installed([(in_toolz, 1), (in_reactivex, 0.1)], report),
    ]
    race(report, settings, variants, items=200)
    report.bars.append(Bar("Chain(…).run_sync", report.value("rxchain: Chain(…).run_sync") * 1e6, 20.0, "us"))
    return report


def _renamed(fn: Callable[[int], int], name: str) -> Callable[[int], int]:
    plain = cast("FunctionType", fn)
    return FunctionType(plain.__code__, plain.__globals__, name)
