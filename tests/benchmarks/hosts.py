"""Chains on the Observables of reactivex and aioreactive, beside what those libraries have for the same work."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from rxchain import Chain
from rxchain import operators as ops

from ._measure import BY_HAND, Bar, Report, Row, Run, Settings, Variant, installed, race, report_of
from ._nodes import aincrement, increment

SHARE = 0.05
"""The part of the items that reactivex's `concat_map` is given; it is favoured, as its cost grows with their number."""


async def _observed(observable: Any) -> list[int]:
    """What a reactivex Observable emits."""
    done = asyncio.get_running_loop().create_future()
    out: list[int] = []
    observable.subscribe(out.append, done.set_exception, lambda: done.set_result(None))
    await done
    return out


def _sent(operator: Callable[[Any], Any]) -> Run:
    """Sends the items to an aioreactive subject, through *operator*."""
    rx = import_module("aioreactive")

    async def run(count: int) -> list[int]:
        done = asyncio.get_running_loop().create_future()
        out: list[int] = []
        subject = rx.AsyncSubject()

        async def keep(x: int) -> None:
            out.append(x)

        async def close() -> None:
            done.set_result(None)

        subscription = await operator(subject).subscribe_async(keep, None, close)
        for x in range(count):
            await subject.asend(x)
        await subject.aclose()
        await done
        await subscription.dispose_async()
        return out

    return run


async def _by_hand(count: int) -> list[int]:
    out = []
    for x in range(count):
        out.append(await aincrement(x))
    return out


def on_reactivex(settings: Settings) -> Report:
    """What does one async function that never suspends cost on a reactivex Observable, beside a loop that awaits it?

    An Observable cannot be asked to wait: all items come at once, and the window is as large as that.
    """

    def ours() -> Run:
        """rxchain: observable.pipe(chain)."""
        reactivex = import_module("reactivex")

        async def run(count: int) -> list[int]:
            return await _observed(reactivex.from_iterable(range(count)).pipe(Chain(aincrement, window=count)))

        return run

    def concat_map() -> Run:
        """reactivex: concat_map of deferred futures."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")

        def future(x: int) -> Any:
            return reactivex.defer(lambda _: reactivex.from_future(asyncio.ensure_future(aincrement(x))))

        async def run(count: int) -> list[int]:
            return await _observed(reactivex.from_iterable(range(count)).pipe(rx.concat_map(future)))

        return run

    report = report_of(on_reactivex, "s")
    variants = [Variant(BY_HAND, _by_hand), *installed([(ours, 1), (concat_map, SHARE)], report)]
    race(report, settings, variants, items=10_000, repeat=21)
    ratio = report.ratio("rxchain: observable.pipe(chain)") / report.ratio("reactivex: concat_map of deferred futures")
    report.bars.append(Bar("pipe(chain), of concat_map", ratio, 1 / 20, "x"))
    return report


def on_aioreactive(settings: Settings) -> Report:
    """What does one function that never suspends cost on an aioreactive subject, beside a loop that awaits it?"""
    rx = import_module("aioreactive")
    chain, plain = Chain(aincrement), Chain(ops.map(increment))

    def ours() -> Run:
        """rxchain: chain(subject), an async function."""
        return _sent(chain)

    def ours_plain() -> Run:
        """rxchain: chain(subject), a plain function."""
        return _sent(plain)

    def map_async() -> Run:
        """aioreactive: map_async."""
        return _sent(rx.map_async(aincrement))

    def map_() -> Run:
        """aioreactive: map."""
        return _sent(rx.map(increment))

    report = report_of(on_aioreactive, "s")
    peers = [(ours, 1.0), (ours_plain, 1.0), (map_async, 1.0), (map_, 1.0)]
    race(report, settings, [Variant(BY_HAND, _by_hand), *installed(peers, report)], items=2_000)
    theirs = report.ratio("aioreactive: map_async")
    for kind in ("an async", "a plain"):
        ratio = report.ratio(f"rxchain: chain(subject), {kind} function") / theirs
        report.bars.append(Bar(f"chain, {kind} function, of map_async", ratio, 1.0, "x"))
    return report


# The resident set without tracemalloc, whose own records would be in it; after a warm-up of the same code.
_PROGRAM = """
import asyncio, json, os, sys
from reactivex.subject import Subject
import aioreactive as rx
from rxchain import Chain

async def slow(x):
    if x % 64 == 0:
        await asyncio.sleep(0)  # and all that wait behind it wait too
    return x

seen = 0

def take(x):
    global seen
    seen += 1
    if seen % 10_000 == 0:
        note()

async def on_aioreactive(count):
    async def keep(x):
        take(x)
    ended = asyncio.Event()
    async def close():
        ended.set()
    subject = rx.AsyncSubject()
    subscription = await Chain(slow)(subject).subscribe_async(keep, None, close)
    for x in range(count):
        await subject.asend(x)
    await subject.aclose()
    await ended.wait()
    await subscription.dispose_async()

async def on_reactivex(count):
    loop, ended, subject = asyncio.get_running_loop(), asyncio.Event(), Subject()
    def produce():
        for x in range(count):
            subject.on_next(x)
        subject.on_completed()
    subject.pipe(Chain(slow, overflow="block")).subscribe(take, print, ended.set)
    await asyncio.to_thread(produce)
    await ended.wait()

def note():
    global most
    with open("/proc/self/statm", "rb") as file:
        most = max(most, int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

run, count = {"aioreactive": on_aioreactive, "reactivex, block": on_reactivex}[sys.argv[1]], int(sys.argv[2])
most = 0
asyncio.run(run(20_000))
most = 0
note()
before, seen = most, 0
asyncio.run(run(count))
note()
print(json.dumps([most - before, seen]))
"""


def host_memory(settings: Settings) -> Report:
    """By how much does the process grow while a fast producer sends a million items through a slower chain?"""
    report = report_of(host_memory, "B")
    count = settings.items or 1_000_000
    if not sys.platform.startswith("linux"):
        report.skipped.append("the resident set (read from /proc)")
        return report
    for way in ("aioreactive", "reactivex, block"):
        command = [sys.executable, "-c", _PROGRAM, way, str(count)]
        grown, seen = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        if seen != count:
            report.wrong.append(f"{way}: {seen} of {count} items arrived")
        report.rows.append(Row(f"rxchain on {way}: resident set", grown))
        report.bars.append(Bar(f"{way}, resident", grown / 1e6, 5.0, "MB"))
    return report
