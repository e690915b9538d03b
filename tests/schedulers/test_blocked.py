"""`watching`: functions that really block, for a little longer than they may."""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from loguru import logger

from rxchain import Chain
from rxchain.schedulers import _blocked as module
from rxchain.schedulers import placed, watching
from rxchain.testing import no_leaks, run


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(module, "_told", set())
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message}")
    logger.enable("rxchain")
    yield lines
    logger.enable("")  # as it was: nothing asked for
    logger.remove(sink)


SAID = (
    "WARNING node 'slow' keeps the event loop to itself for more than 100 ms; meanwhile nothing else on it goes on."
    " Let it run elsewhere: node(..., on='threads')\n"
)


def slow(seconds: float) -> float:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return seconds


async def aslow(seconds: float) -> float:
    return slow(seconds)


async def pause(x: float) -> float:
    await asyncio.sleep(0)
    return x


def name(frame: FrameType) -> str:
    assert frame.f_code.co_filename.startswith("<rxchain program")
    return "node 'slow'"


@pytest.mark.parametrize("blocks", [slow, aslow, time.sleep])
def test_a_function_that_blocks_the_loop_is_told_of_once(logged: list[str], blocks: Callable[[float], Any]) -> None:
    async def main() -> None:
        await Chain(pause, blocks, pause).collect([0.0, 0.2, 0.2])
        await Chain(pause, blocks, pause).collect([0.2, 0.2])

    with no_leaks():
        asyncio.run(main())
    assert logged == [SAID.replace("slow", blocks.__name__)]


def loads(x: float) -> float:
    time.sleep(0.004)
    return x


@pytest.mark.parametrize(
    ("fn", "items"), [(loads, [0.0] * 60), (placed(slow, "threads"), [0.2]), (asyncio.sleep, [0.2])]
)
def test_what_is_only_busy_or_waits_is_not(
    logged: list[str], fn: Callable[[float], Awaitable[float] | float], items: list[float]
) -> None:
    async def main() -> None:
        await Chain(pause, fn, pause).collect(items)

    asyncio.run(main())
    assert logged == []


def test_what_is_not_of_a_chain_is_not_its_fault(logged: list[str]) -> None:
    async def main() -> None:
        with watching(name):
            await asyncio.sleep(0.05)
            slow(0.16)

    asyncio.run(main())
    assert logged == []


async def looked(looks: list[tuple[float, FrameType | None]], ticks_before: int = -1) -> None:
    """Look as the thread would, at these times and frames, the first of which asks the loop to tick."""
    with watching(name) as block:
        for i, (now, frame) in enumerate(looks):
            if i == ticks_before:
                await asyncio.sleep(0)
            block.look(now, frame)


def program(text: str) -> Callable[..., Any]:
    made: dict[str, Any] = {}
    exec(compile(text, "<rxchain program of a test>", "exec"), made)
    return made["run"]  # type: ignore[no-any-return]


def test_it_has_to_stand_in_one_place_for_as_long_as_that(logged: list[str]) -> None:
    there = program("def run():\n  yield 1\n  yield 2")()
    next(there)
    asyncio.run(looked([(0, None), (0.04, there.gi_frame), (0.08, there.gi_frame)]))
    asyncio.run(looked([(0, None), (0.08, None), (0.12, there.gi_frame)]))
    asyncio.run(looked([(0, None), (0.08, there.gi_frame), (0.12, there.gi_frame)], ticks_before=2))
    assert logged == []
    asyncio.run(looked([(0, None), (0.08, there.gi_frame), (0.12, there.gi_frame)]))
    assert logged == [SAID]


def test_calls_that_are_quick_are_not_taken_for_one_that_is_not(logged: list[str]) -> None:
    seen: list[FrameType] = []

    async def main() -> None:
        def look() -> None:
            seen.append(sys._getframe())
            block.look(len(seen) * 0.06, seen[-1])

        with watching(name) as block:
            block.look(0, None)
            program("def run(fn):\n  for _ in range(4): fn()")(look)

    asyncio.run(main())
    assert len(seen) == 4
    assert logged == []


def test_loops_share_the_thread_and_it_ends_with_the_last_of_them() -> None:
    def watchers() -> int:
        return sum(thread.name == "rxchain watching" for thread in threading.enumerate())

    async def main() -> None:
        with watching(name):
            await asyncio.sleep(0.06)
            assert watchers() == 1
            with watching(name):
                await asyncio.sleep(0.06)
                barrier.wait()
                assert watchers() == 1
            assert watchers() == 1
        barrier.wait()
        assert watchers() == 0

    barrier = threading.Barrier(2, timeout=10)
    other = threading.Thread(target=lambda: asyncio.run(main()))
    other.start()
    asyncio.run(main())
    other.join()


def test_what_is_short_is_not_watched() -> None:
    async def main() -> None:
        for _ in range(300):
            with watching(name):
                assert all(thread.name != "rxchain watching" for thread in threading.enumerate())

    asyncio.run(main())


def test_in_virtual_time_nothing_is_watched() -> None:
    async def main() -> None:
        before = threading.active_count()
        with watching(name):
            await asyncio.sleep(1)
            assert threading.active_count() == before

    run(main())
