"""Functions in threads: what the way there and back costs."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from rxchain import Chain, node
from rxchain.schedulers import Threads

from ._measure import BY_HAND, Bar, Report, Settings, Variant, race, report_of
from ._nodes import increment

THREADS = 16
IN_FLIGHT = 64


def wait_a_millisecond(x: int) -> int:
    time.sleep(0.001)
    return x


def blocking_in_threads(settings: Settings) -> Report:
    """What does a function that waits 1 ms cost on 16 threads, beside `ThreadPoolExecutor.map`?"""
    report = report_of(blocking_in_threads, "s")
    with ThreadPoolExecutor(THREADS) as executor, Threads(THREADS) as pool:
        same = Chain(node(on=pool, concurrency=THREADS)(wait_a_millisecond))
        more = Chain(node(on=pool, concurrency=IN_FLIGHT)(wait_a_millisecond))
        variants = [
            Variant(BY_HAND, lambda count: list(executor.map(wait_a_millisecond, range(count)))),
            Variant("rxchain: concurrency=16", lambda count: same.collect(range(count))),
            Variant("rxchain: concurrency=64", lambda count: more.collect(range(count))),
        ]
        race(report, settings, variants, items=400, repeat=21)
    report.bars.append(Bar("concurrency=16", report.ratio("rxchain: concurrency=16"), 1.05, "x"))
    return report


def cheap_in_threads(settings: Settings) -> Report:
    """What does a function that does nothing cost in a thread, beside the best asyncio form of the same?"""
    report = report_of(cheap_in_threads, "s")
    with ThreadPoolExecutor(THREADS) as executor, Threads(THREADS) as pool:
        ours = Chain(node(on=pool, concurrency=IN_FLIGHT)(increment))
        one = Chain(node(on=pool)(increment))

        async def window(count: int) -> list[int]:
            loop, out, waiting = asyncio.get_running_loop(), [], deque[asyncio.Future[int]]()
            for x in range(count):
                if len(waiting) == IN_FLIGHT:
                    out.append(await waiting.popleft())
                waiting.append(loop.run_in_executor(executor, increment, x))
            while waiting:
                out.append(await waiting.popleft())
            return out

        def slices(size: int) -> Callable[[int], Awaitable[list[int]]]:
            async def run(count: int) -> list[int]:
                loop, out = asyncio.get_running_loop(), list[int]()
                for first in range(0, count, size):
                    numbers = range(first, min(first + size, count))
                    out += await asyncio.gather(*[loop.run_in_executor(executor, increment, x) for x in numbers])
                return out

            return run

        async def semaphore(count: int) -> list[int]:
            loop, room = asyncio.get_running_loop(), asyncio.Semaphore(IN_FLIGHT)

            async def one(x: int) -> int:
                async with room:
                    return await loop.run_in_executor(executor, increment, x)

            return await asyncio.gather(*[one(x) for x in range(count)])

        variants = [
            Variant(BY_HAND, window),
            Variant("rxchain: concurrency=64", lambda count: ours.collect(range(count))),
            Variant("rxchain: one at a time", lambda count: one.collect(range(count))),
            Variant(f"by hand: slices of {THREADS}", slices(THREADS)),
            Variant(f"by hand: slices of {IN_FLIGHT}", slices(IN_FLIGHT)),
            Variant("by hand: a semaphore", semaphore),
        ]
        race(report, settings, variants, items=1_000, repeat=21)
    report.bars.append(Bar("64 in flight, of the best", report.of_best("rxchain: concurrency=64"), 0.85, "x"))
    return report
