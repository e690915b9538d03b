"""Chains over a stream: what an item costs on its way."""

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

from rxchain import Chain
from rxchain import operators as ops

from ._measure import BY_HAND, Bar, Report, Run, Settings, Variant, installed, race, report_of
from ._nodes import (
    ASYNC,
    PLAIN,
    aadd_seven,
    add,
    add_seven,
    adecrement,
    adouble,
    aflip,
    aincrement,
    anegate,
    atriple,
    awrap,
    decrement,
    double,
    flip,
    increment,
    is_even,
    negate,
    triple,
    twice,
    wrap,
)


def sync_stream(settings: Settings) -> Report:
    """What do eight plain functions over a stream cost, beside the loop that calls them?"""
    chain = Chain(*PLAIN)

    def by_hand(count: int) -> list[int]:
        out = []
        for x in range(count):
            x = increment(x)
            x = double(x)
            x = negate(x)
            x = add_seven(x)
            x = triple(x)
            x = wrap(x)
            x = decrement(x)
            x = flip(x)
            out.append(x)
        return out

    def nested_map(count: int) -> list[int]:
        items: Any = range(count)
        for fn in PLAIN:
            items = map(fn, items)
        return list(items)

    def in_reactivex() -> Run:
        """reactivex: map x8."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")

        def run(count: int) -> list[int]:
            out: list[int] = []
            reactivex.from_iterable(range(count)).pipe(*[rx.map(fn) for fn in PLAIN]).subscribe(out.append)
            return out

        return run

    def in_toolz() -> Run:
        """toolz: pipe through curried map x8."""
        toolz, curried = import_module("toolz"), import_module("toolz.curried")
        return lambda count: list(toolz.pipe(range(count), *[curried.map(fn) for fn in PLAIN]))

    def in_streamable() -> Run:
        """streamable: map x8."""
        stream = import_module("streamable").stream

        def run(count: int) -> list[int]:
            items = stream(range(count))
            for fn in PLAIN:
                items = items.map(fn)
            return list(items)

        return run

    report = report_of(sync_stream, "s")
    variants = [
        Variant(BY_HAND, by_hand),
        Variant("rxchain: iterate", lambda count: list(chain.iterate(range(count)))),
        Variant("Python: map(f8, map(f7, …))", nested_map),
        *installed([(in_streamable, 1), (in_toolz, 1), (in_reactivex, 0.25)], report),
    ]
    race(report, settings, variants, items=5_000)
    report.bars.append(Bar("iterate", report.ratio("rxchain: iterate"), 1.15, "x", never=1.4))
    return report


def mixed_stream(settings: Settings) -> Report:
    """What does `map filter map flat_map scan` cost, beside the loops and the `if` that say the same?"""
    chain: Chain[int, int] = Chain(
        ops.map(increment), ops.filter(is_even), ops.map(increment), ops.flat_map(twice), ops.scan(add, 0)
    )

    def by_hand(count: int) -> list[int]:
        out, total = [], 0
        for x in range(count):
            x = increment(x)
            if is_even(x):
                for part in twice(increment(x)):
                    total = add(total, part)
                    out.append(total)
        return out

    def in_reactivex() -> Run:
        """reactivex: the same with concat_map."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")

        def run(count: int) -> list[int]:
            out: list[int] = []
            reactivex.from_iterable(range(count)).pipe(
                rx.map(increment),
                rx.filter(is_even),
                rx.map(increment),
                rx.concat_map(lambda x: reactivex.from_iterable(twice(x))),
                rx.scan(add, 0),
            ).subscribe(out.append)
            return out

        return run

    def in_toolz() -> Run:
        """toolz: curried, with mapcat and accumulate."""
        toolz, curried = import_module("toolz"), import_module("toolz.curried")

        def run(count: int) -> list[int]:
            return list(
                toolz.pipe(
                    range(count),
                    curried.map(increment),
                    curried.filter(is_even),
                    curried.map(increment),
                    curried.mapcat(twice),
                    curried.accumulate(add, initial=0),
                    curried.drop(1),  # accumulate gives the seed, too
                )
            )

        return run

    def in_streamable() -> Run:
        """streamable: the same with flatten, a closure for scan."""
        stream = import_module("streamable").stream

        def run(count: int) -> list[int]:
            total = 0

            def running(x: int) -> int:
                nonlocal total
                total = add(total, x)
                return total

            items = stream(range(count)).map(increment).filter(is_even).map(increment).map(twice).flatten()
            return list(items.map(running))

        return run

    report = report_of(mixed_stream, "s")
    variants = [
        Variant(BY_HAND, by_hand),
        Variant("rxchain: iterate", lambda count: list(chain.iterate(range(count)))),
        *installed([(in_streamable, 1), (in_toolz, 1), (in_reactivex, 0.025)], report),
    ]
    race(report, settings, variants, items=5_000)
    report.bars.append(Bar("iterate", report.ratio("rxchain: iterate"), 1.5, "x"))
    return report


def _in_streamable() -> Run:
    """streamable: map x8 of async functions."""
    stream = import_module("streamable").stream

    async def run(count: int) -> list[int]:
        items = stream(range(count))
        for fn in ASYNC:
            items = items.map(fn)
        return [x async for x in items]

    return run


def _in_aiostream() -> Run:
    """aiostream: map x8, one task each."""
    stream = import_module("aiostream.stream")

    async def run(count: int) -> list[int]:
        items = stream.iterate(range(count))
        for fn in ASYNC:
            items = stream.map(items, fn, task_limit=1)
        async with items.stream() as streamer:
            return [x async for x in streamer]

    return run


def _in_aioreactive() -> Run:
    """aioreactive: map_async x8."""
    rx = import_module("aioreactive")

    async def run(count: int) -> list[int]:
        out: list[int] = []

        async def keep(x: int) -> None:
            out.append(x)

        observable = rx.from_iterable(range(count))
        for fn in ASYNC:
            observable = rx.map_async(fn)(observable)
        await rx.run(observable, rx.AsyncAwaitableObserver(keep), timeout=60)
        return out

    return run


def async_collect(settings: Settings) -> Report:
    """What do eight async functions that never suspend cost, beside a loop that awaits them and keeps the results?"""
    chain = Chain(*ASYNC)

    async def by_hand(count: int) -> list[int]:
        out = []
        for x in range(count):
            x = await aincrement(x)
            x = await adouble(x)
            x = await anegate(x)
            x = await aadd_seven(x)
            x = await atriple(x)
            x = await awrap(x)
            x = await adecrement(x)
            x = await aflip(x)
            out.append(x)
        return out

    report = report_of(async_collect, "s")
    variants = [
        Variant(BY_HAND, by_hand),
        Variant("rxchain: collect", lambda count: chain.collect(range(count))),
        *installed([(_in_streamable, 0.5), (_in_aioreactive, 0.05), (_in_aiostream, 0.025)], report),
    ]
    race(report, settings, variants, items=2_500)
    report.bars.append(Bar("collect", report.ratio("rxchain: collect"), 1.3, "x", never=2.0))
    return report


def async_stream(settings: Settings) -> Report:
    """What do eight async functions that never suspend cost under `async for`, beside an async generator of them?

    The hand-written form of a stream that somebody else takes from is an async generator; its price is in the floor.
    """
    chain = Chain(*ASYNC)

    async def generator(items: range) -> AsyncIterator[int]:
        for x in items:
            x = await aincrement(x)
            x = await adouble(x)
            x = await anegate(x)
            x = await aadd_seven(x)
            x = await atriple(x)
            x = await awrap(x)
            x = await adecrement(x)
            x = await aflip(x)
            yield x

    async def by_hand(count: int) -> list[int]:
        return [x async for x in generator(range(count))]

    async def ours(count: int) -> list[int]:
        return [x async for x in chain.stream(range(count))]

    report = report_of(async_stream, "s")
    variants = [
        Variant(BY_HAND, by_hand),
        Variant("rxchain: stream", ours),
        *installed([(_in_streamable, 0.5), (_in_aioreactive, 0.05), (_in_aiostream, 0.025)], report),
    ]
    race(report, settings, variants, items=2_500)
    report.bars.append(Bar("stream", report.ratio("rxchain: stream"), 1.3, "x", never=2.0))
    return report
