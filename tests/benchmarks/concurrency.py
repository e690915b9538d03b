"""Nodes that wait: one item after the other, many in flight, in order, and in the order of their keys."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from itertools import cycle, islice

from rxchain import Chain
from rxchain import operators as ops

from ._measure import BY_HAND, Bar, Report, Run, Settings, Variant, installed, race, report_of
from ._nodes import PLAIN, Async, Plain, wrap

IN_FLIGHT = 64
MILLISECOND = 0.001


def _waiting(fn: Plain, seconds: float) -> Async:
    async def node(x: int) -> int:
        await asyncio.sleep(seconds)
        return fn(x)

    node.__name__ = fn.__name__
    return node


YIELDING = tuple(_waiting(fn, 0) for fn in PLAIN)
"""The eight functions, each of which lets the event loop run once."""


async def _through_all(x: int) -> int:
    for fn in YIELDING:
        x = await fn(x)
    return x


async def _one_after_the_other(count: int) -> list[int]:
    out = []
    for x in range(count):
        for fn in YIELDING:
            x = await fn(x)
        out.append(x)
    return out


def _slots(fn: Callable[[int], Awaitable[int]], at_once: int) -> Run:
    """A task for each call that may run at once, which take from one iterator and put what they have in its place."""

    async def run(count: int) -> list[int]:
        items, out = iter(range(count)), [0] * count

        async def work() -> None:
            for x in items:
                out[x] = await fn(x)

        await asyncio.gather(*[work() for _ in range(at_once)])
        return out

    return run


def _sliding(fn: Async, at_once: int) -> Run:
    """A task an item; the oldest is awaited when there are as many as may run at once."""

    async def run(count: int) -> list[int]:
        out: list[int] = []
        running: deque[asyncio.Task[int]] = deque()
        for x in range(count):
            if len(running) == at_once:
                out.append(await running.popleft())
            running.append(asyncio.create_task(fn(x)))
        while running:
            out.append(await running.popleft())
        return out

    return run


def async_sequence(settings: Settings) -> Report:
    """What do eight nodes that suspend cost with one item after the other, beside a loop that awaits them?"""
    alone, default = Chain(*YIELDING, window=1), Chain(*YIELDING)
    report = report_of(async_sequence, "s")
    variants = [
        Variant(BY_HAND, _one_after_the_other),
        Variant("rxchain: window=1", lambda count: alone.collect(range(count))),
        Variant("rxchain: the default window", lambda count: default.collect(range(count))),
    ]
    race(report, settings, variants, items=200)
    report.bars.append(Bar("window=1", report.ratio("rxchain: window=1"), 1.1, "x"))
    return report


def async_in_flight(settings: Settings) -> Report:
    """What do eight nodes that suspend cost with 64 items in flight, in order, beside a loop with one at a time?

    The floor is what 64 tasks cost that do not wait for one another.
    """
    chain = Chain(*[ops.map(fn, concurrency=IN_FLIGHT) for fn in YIELDING], window=IN_FLIGHT)
    one_at_a_time = Chain(*YIELDING, window=IN_FLIGHT)
    report = report_of(async_in_flight, "s")
    variants = [
        Variant(BY_HAND, _one_after_the_other),
        Variant("rxchain: concurrency=64", lambda count: chain.collect(range(count))),
        Variant("rxchain: each node one at a time", lambda count: one_at_a_time.collect(range(count))),
        Variant("the floor: 64 tasks, no order", _slots(_through_all, IN_FLIGHT)),
    ]
    race(report, settings, variants, items=640)
    report.bars.append(Bar("concurrency=64", report.ratio("rxchain: concurrency=64"), 0.7, "x"))
    return report


def async_ordered(settings: Settings) -> Report:
    """What does a node of 1 ms cost with 100 in flight, in order, beside tasks that keep the order by hand?"""
    at_once = 100
    fn = _waiting(wrap, MILLISECOND)
    chain = Chain(ops.map(fn, concurrency=at_once))
    narrow = Chain(ops.map(fn, concurrency=at_once), window=at_once)

    def in_streamable() -> Run:
        """streamable: map, concurrency=100."""
        stream = import_module("streamable").stream

        async def run(count: int) -> list[int]:
            return [x async for x in stream(range(count)).map(fn, concurrency=at_once)]

        return run

    def in_aiostream() -> Run:
        """aiostream: map, task_limit=100."""
        stream = import_module("aiostream.stream")

        async def run(count: int) -> list[int]:
            items = stream.map(stream.iterate(range(count)), fn, task_limit=at_once)
            async with items.stream() as streamer:
                return [x async for x in streamer]

        return run

    report = report_of(async_ordered, "s")
    variants = [
        Variant(BY_HAND, _slots(fn, at_once)),
        Variant("rxchain: concurrency=100", lambda count: chain.collect(range(count))),
        Variant("rxchain: concurrency=100, window=100", lambda count: narrow.collect(range(count))),
        Variant("by hand: a task an item", _sliding(fn, at_once)),
        *installed([(in_streamable, 1), (in_aiostream, 0.5)], report),
    ]
    race(report, settings, variants, items=2_000, repeat=21)
    report.bars.append(Bar("of the best by hand", report.of_best("rxchain: concurrency=100"), 1.05, "x"))
    return report


KEYS = 1000
_draw = random.Random(1)
_KEY_OF = [_draw.randrange(KEYS) for _ in range(10_007)]


def key_of(x: int) -> int:
    """One of a thousand keys, at random, and the same each time."""
    return _KEY_OF[x % len(_KEY_OF)]


class _PerKey(list[int]):
    """Items that equal others if they have the same items of each key in the same order."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PerKey) and self.of_each() == other.of_each()

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def of_each(self) -> dict[int, list[int]]:
        found = defaultdict[int, list[int]](list)
        for x in self:
            found[key_of(x)].append(x)
        return found


class _Watched:
    """Notes how many ran at once, and whether two of one key did. Waits as long as *fn*, and longer now and then."""

    def __init__(self) -> None:
        self.most = 0
        self.running: dict[int, int] = {}
        self.twice: set[int] = set()
        self._waits: Iterator[float] = cycle([0, MILLISECOND, 0, 0, 2 * MILLISECOND])

    async def __call__(self, x: int) -> int:
        key = key_of(x)
        if key in self.running:
            self.twice.add(key)
        self.running[key] = x
        self.most = max(self.most, len(self.running))
        await asyncio.sleep(next(self._waits))
        del self.running[key]
        return x


Keyed = Callable[[Async], Run]
"""Makes a run of a function that is called for one item of each key at a time, 64 at once."""


def _ours(fn: Async) -> Run:
    chain = Chain(ops.map(fn, concurrency=IN_FLIGHT, by=key_of))

    async def run(count: int) -> list[int]:
        return _PerKey(await chain.collect(range(count)))

    return run


def _parked(fn: Async) -> Run:
    """64 tasks, each of which sets aside items of keys that another has, who does them next. Nothing bounds these."""

    async def run(count: int) -> list[int]:
        items, out, behind = iter(range(count)), _PerKey(), dict[int, deque[int]]()

        async def work() -> None:
            for x in items:
                key = key_of(x)
                if key in behind:
                    behind[key].append(x)
                    continue
                mine = behind[key] = deque[int]()
                out.append(await fn(x))
                while mine:
                    out.append(await fn(mine.popleft()))
                del behind[key]

        await asyncio.gather(*[work() for _ in range(IN_FLIGHT)])
        return out

    return run


def _sharded(fn: Async) -> Run:
    """64 tasks, each with a queue for the keys that are its own."""

    async def run(count: int) -> list[int]:
        out = _PerKey()
        queues = [asyncio.Queue[int | None](2) for _ in range(IN_FLIGHT)]

        async def work(mine: asyncio.Queue[int | None]) -> None:
            while (x := await mine.get()) is not None:
                out.append(await fn(x))

        workers = [asyncio.create_task(work(queue)) for queue in queues]
        for x in range(count):
            await queues[key_of(x) % IN_FLIGHT].put(x)
        for queue in queues:
            await queue.put(None)
        await asyncio.gather(*workers)
        return out

    return run


def _locked(fn: Async) -> Run:
    """A task an item, which waits for the one before it of the same key; a semaphore lets 64 in."""

    async def run(count: int) -> list[int]:
        out, room, last = _PerKey(), asyncio.Semaphore(IN_FLIGHT), dict[int, asyncio.Task[None]]()

        async def one(x: int, before: asyncio.Task[None] | None) -> None:
            if before is not None and not before.done():
                await before
            out.append(await fn(x))
            room.release()

        for x in range(count):
            await room.acquire()
            key = key_of(x)
            last[key] = asyncio.create_task(one(x, last.get(key)))
        await asyncio.gather(*last.values())
        return out

    return run


_KEYED: dict[str, Keyed] = {
    BY_HAND: _parked,
    "rxchain: by=key, concurrency=64": _ours,
    "by hand: a queue for each of 64 tasks": _sharded,
    "by hand: a task an item": _locked,
}


def async_keyed(settings: Settings) -> Report:
    """What does a node of 1 ms cost with 1000 keys, 64 in flight, each key in order, beside tasks that keep it by hand?

    That no more than 64 ran and no key twice at once is checked in a run of its own.
    """
    return _by_key(report_of(async_keyed, "s"), settings, MILLISECOND)


def async_keyed_yield(settings: Settings) -> Report:
    """The same where the node but lets the event loop run: what does keeping the order of keys cost by itself?"""
    return _by_key(report_of(async_keyed_yield, "s"), settings, 0)


def _by_key(report: Report, settings: Settings, seconds: float) -> Report:
    for name, keyed in _KEYED.items():
        watched = _Watched()
        answer = asyncio.run(_awaited(keyed(watched.__call__), 2_000))
        if watched.most > IN_FLIGHT or watched.twice or answer != _PerKey(range(2_000)):
            report.wrong.append(
                f"{name}: {watched.most} at once; keys twice at once or out of order: {sorted(watched.twice)[:5]}"
            )
    fn = _waiting(int, seconds)
    variants = [Variant(name, keyed(fn)) for name, keyed in _KEYED.items()]
    race(report, settings, variants, items=2_000, repeat=21)
    ours = next(islice(_KEYED, 1, None))
    report.bars.append(Bar("of the best by hand", report.of_best(ours), 1.2, "x"))
    return report


async def _awaited(run: Run, count: int) -> object:
    answer = run(count)
    assert isinstance(answer, Awaitable)
    return await answer
