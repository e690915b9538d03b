"""A fast producer before a slower chain: what waits in memory, and how long the event loop has to."""

import functools
import importlib.util
import json
import subprocess
import sys

from ._measure import Bar, Report, Row, Settings, report_of

WAYS = (
    "stream, sync source",
    "stream, async source",
    "stream, 64 in flight",
    "stream, never suspends",
    "stream, async source, never suspends",
    "publisher",
    "aioreactive",
    "aioreactive, never suspends",
    "reactivex, block",
)
RUNS = 3
"""A shared machine stops a program for longer than our bar now and then: the least of so many longest waits counts."""

# First the wait, over a tenth of the items and without tracemalloc, which makes all of it slower; then what is traced,
# over all of them. The resident set of the hosts is in host_memory.
_PROGRAM = """
import asyncio, json, sys, time, tracemalloc
from contextlib import aclosing
from rxchain import Chain
from rxchain import operators as ops

async def slow(x):
    if x % 64 == 0:
        await asyncio.sleep(0)  # and all that wait behind it wait too
    return x

async def quick(x):
    return x

async def items(count):
    for x in range(count):
        yield x

class Taken:
    def __init__(self):
        self.count = self.sum = 0

    def take(self, x):
        self.count += 1
        self.sum += x

    async def atake(self, x):
        self.take(x)

async def stream(taken, chain, source):
    async with aclosing(chain.stream(source)) as results:
        async for x in results:
            taken.take(x)

async def publisher(taken, count):
    from rxchain.streams import to_async_iterable
    async for x in to_async_iterable(Chain(slow).publisher(range(count))):
        taken.take(x)

async def aioreactive(taken, chain, count):
    import aioreactive as rx
    ended, subject = asyncio.Event(), rx.AsyncSubject()
    async def close():
        ended.set()
    subscription = await chain(subject).subscribe_async(taken.atake, None, close)
    for x in range(count):
        await subject.asend(x)
    await subject.aclose()
    await ended.wait()
    await subscription.dispose_async()

async def reactivex(taken, count):
    from reactivex.subject import Subject
    ended, subject = asyncio.Event(), Subject()
    def produce():
        for x in range(count):
            subject.on_next(x)
        subject.on_completed()
    subject.pipe(Chain(slow, overflow="block")).subscribe(taken.take, print, ended.set)
    await asyncio.to_thread(produce)
    await ended.wait()

async def ticks(longest):
    before = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest[0] = max(longest[0], now - before - 0.001)
        before = now

async def watched(way, count):
    taken, longest = Taken(), [0.0]
    ticking = asyncio.create_task(ticks(longest))
    await asyncio.sleep(0)
    await WAYS[way](taken, count)
    await asyncio.sleep(0.002)  # the wait that lasted until the end is one
    ticking.cancel()
    assert (taken.count, taken.sum) == (count, sum(range(count))), taken.__dict__
    return longest[0]

WAYS = {
    "stream, sync source": lambda taken, count: stream(taken, Chain(slow), range(count)),
    "stream, async source": lambda taken, count: stream(taken, Chain(slow), items(count)),
    "stream, 64 in flight": lambda taken, count: stream(taken, Chain(ops.map(slow, concurrency=64)), range(count)),
    "stream, never suspends": lambda taken, count: stream(taken, Chain(quick), range(count)),
    "stream, async source, never suspends": lambda taken, count: stream(taken, Chain(quick), items(count)),
    "publisher": publisher,
    "aioreactive": lambda taken, count: aioreactive(taken, Chain(slow), count),
    "aioreactive, never suspends": lambda taken, count: aioreactive(taken, Chain(quick), count),
    "reactivex, block": reactivex,
}
way, count, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
asyncio.run(watched(way, 20_000))
longest = min(asyncio.run(watched(way, count // 10)) for _ in range(runs))
tracemalloc.start()
asyncio.run(watched(way, 1000))
start = tracemalloc.get_traced_memory()[0]
tracemalloc.reset_peak()
asyncio.run(watched(way, count))
print(json.dumps([tracemalloc.get_traced_memory()[1] - start, longest]))
"""


def producer_memory(settings: Settings) -> Report:
    """What is held at most while a fast producer sends a million items through a slower chain, which it waits for?"""
    report = report_of(producer_memory, "B")
    for way in WAYS:
        found = _measured(report, way, settings)
        if found is not None:
            report.rows.append(Row(f"rxchain: {way}", found[0]))
            report.bars.append(Bar(way, found[0] / 1e6, 5.0, "MB"))
    return report


def event_loop_blocked(settings: Settings) -> Report:
    """How long at most does another task of the event loop wait meanwhile, while a hundred thousand items pass?"""
    report = report_of(event_loop_blocked, "s")
    for way in WAYS:
        found = _measured(report, way, settings)
        if found is not None:
            report.rows.append(Row(f"rxchain: {way}", found[1]))
            report.bars.append(Bar(way, found[1] * 1e3, 20, "ms"))
    return report


@functools.cache
def _measure(way: str, count: int) -> tuple[float, float]:
    """Bytes, seconds; both benchmarks ask the same program."""
    command = [sys.executable, "-c", _PROGRAM, way, str(count), str(RUNS)]
    traced, longest = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return traced, longest


def _measured(report: Report, way: str, settings: Settings) -> tuple[float, float] | None:
    host = way.partition(",")[0]
    if host in ("aioreactive", "reactivex") and importlib.util.find_spec(host) is None:
        report.skipped.append(f"rxchain: {way} ({host} is not installed)")
        return None
    try:
        return _measure(way, settings.items or 1_000_000)
    except subprocess.CalledProcessError as error:
        report.wrong.append(f"{way}: the program ended with {error.returncode}")
        return None
