"""Hostile sources do what they say, and chains stand it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from reactivex.abc import ObserverBase

from rxchain import Chain
from rxchain import operators as ops
from rxchain.testing import (
    Deadlock,
    EmitsAfterEnd,
    FailsInClose,
    FailsMidway,
    HangsInClose,
    IgnoresCancellation,
    Marbles,
    NeverCompletes,
    Overlapping,
    Reentrant,
    SourceFailed,
    run,
)

UPPER: Chain[str, str] = Chain(str.upper)


@pytest.fixture
def m() -> Marbles:
    return Marbles()


async def taken(source: AsyncIterator[str], count: int) -> list[str]:
    return [await anext(source) for _ in range(count)]


# --- never completes


def test_a_source_that_never_completes_is_left_by_take() -> None:
    source = NeverCompletes("abc")
    assert run((UPPER | ops.take(2)).collect(source)) == ["A", "B"]
    assert (source.asked, source.given, source.closed) == (2, 2, 1)


def test_a_source_that_never_completes_is_closed_when_its_consumer_is_cancelled() -> None:
    source = NeverCompletes("ab")

    async def main() -> None:
        async with asyncio.timeout(5):
            await UPPER.collect(source)

    with pytest.raises(TimeoutError):
        run(main())
    assert (source.given, source.closed) == (2, 1)
    with pytest.raises(Deadlock):
        run(UPPER.collect(NeverCompletes("ab")))


def test_an_observable_that_never_completes(m: Marbles) -> None:
    probe, source = m.probe(), NeverCompletes("ab")
    subscription = source.observable().pipe(UPPER).subscribe(probe)
    assert probe.marbles == "(AB)"
    subscription.dispose()
    assert source.closed == 1
    assert probe.marbles == "(AB)"


# --- fails


def test_a_source_that_fails_midway_is_closed_and_its_error_arrives() -> None:
    source = FailsMidway("ab", LookupError("gone"))

    async def main() -> None:
        stream = UPPER.stream(source)
        assert await taken(stream, 2) == ["A", "B"]
        with pytest.raises(LookupError, match="gone"):
            await anext(stream)

    run(main())
    assert source.closed == 1


def test_an_observable_that_fails_midway(m: Marbles) -> None:
    probe = m.probe()
    FailsMidway("ab").observable().pipe(UPPER).subscribe(probe)
    assert probe.marbles == "(AB#)"
    assert isinstance(probe.error, SourceFailed)


def test_a_source_that_fails_in_close_fails_the_chain() -> None:
    source = FailsInClose("ab", LookupError("no close"))
    with pytest.raises(LookupError, match="no close"):
        run((UPPER | ops.take(1)).collect(source))
    assert source.closed == 1


def test_disposing_of_an_observable_that_fails_at_it_is_not_silent() -> None:
    subscription = FailsInClose("ab").observable().subscribe(lambda _: None)
    with pytest.raises(SourceFailed):
        subscription.dispose()


# --- after the end


def test_what_comes_after_the_end_is_not_asked_for() -> None:
    source = EmitsAfterEnd("ab", late="cd")
    assert run(UPPER.collect(source)) == ["A", "B"]
    assert source.given == 2


def test_a_source_that_is_asked_after_its_end_gives_more() -> None:
    async def main() -> list[str]:
        source = EmitsAfterEnd("a", late="bc")
        return [item async for item in source] + [item async for item in source]

    assert run(main()) == ["a", "b", "c"]


def test_after_the_end_an_observer_behind_a_chain_hears_nothing(m: Marbles) -> None:
    probe, source = m.probe(), EmitsAfterEnd("ab", late="cd")
    source.observable().subscribe(probe)
    assert probe.marbles == "(ab|cd#|)"
    behind = m.probe()
    source.observable().pipe(UPPER).subscribe(behind)
    assert behind.marbles == "(AB|)"


# --- closing, cancelling


def test_a_source_that_hangs_in_close_hangs_until_it_is_cancelled() -> None:
    source = HangsInClose("ab")

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await UPPER.collect(source)
        return asyncio.get_running_loop().time()

    assert run(main()) == 5
    assert source.closed == 1
    with pytest.raises(Deadlock, match=r"in HangsInClose\.aclose"):
        run(UPPER.collect(HangsInClose("ab")))


def test_a_source_that_ignores_cancellation_once_needs_a_second() -> None:
    source = IgnoresCancellation("ab")

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(UPPER.collect(source))
        for _ in range(2):
            await asyncio.sleep(5)
            assert not task.done()
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return [loop.time(), source.ignored, source.closed]

    assert run(main()) == [10, 1, 1]


# --- overlap


class Overlap(ObserverBase[Any]):
    """An observer that notices when it is called while it is being called."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.threads: set[str] = set()
        self.ended = 0

    def on_next(self, item: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.threads.add(threading.current_thread().name)
        sum(range(1000))
        self.inside -= 1

    def on_error(self, error: Exception) -> None:
        raise error

    def on_completed(self) -> None:
        self.ended += 1


def test_threads_push_side_by_side_and_a_chain_makes_them_one() -> None:
    raw, behind = Overlap(), Overlap()
    source = Overlapping(range(301), threads=3)
    source.observable().subscribe(raw)
    assert raw.most > 1
    assert len(raw.threads) == 3
    got: list[int] = []
    source.observable().pipe(Chain(ops.tap(got.append))).subscribe(behind)
    assert (behind.most, behind.ended) == (1, 1)
    assert sorted(got) == list(range(301))


def test_what_an_observer_raises_on_a_thread_is_raised_by_subscribe() -> None:
    def fail(item: int) -> None:
        raise LookupError(item)

    with pytest.raises(LookupError):
        Overlapping(range(10)).observable().subscribe(fail)


def test_a_reentrant_source_pushes_while_an_item_is_handled(m: Marbles) -> None:
    source = Reentrant("abc")
    depth, order = 0, []

    def handle(item: str) -> None:
        nonlocal depth
        depth += 1
        order.append((item, depth))
        source.again()
        depth -= 1

    source.observable().subscribe(handle)
    assert order == [("a", 1), ("b", 2), ("c", 3)]

    probe = m.probe()
    source.observable().pipe(Chain(ops.tap(source.again), UPPER)).subscribe(probe)
    assert probe.marbles == "(ABC|)"


def test_an_error_that_no_observer_takes_is_raised() -> None:
    with pytest.raises(SourceFailed):
        FailsMidway("a").observable().subscribe()
