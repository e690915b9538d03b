"""`Lane`: so many at once, in order, wherever they run."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.scheduler import NewThreadScheduler

from rxchain.schedulers import Lane, Placed, PoolClosed, Processes, Threads, placed
from rxchain.schedulers import _placed as placed_module
from rxchain.testing import no_leaks, run

from . import _work


def lane_of(fn: Any, on: Any, at_once: int) -> Lane:
    made = placed(fn, on)
    assert isinstance(made, Placed)
    return made.lane(at_once)


class Fate(NamedTuple):
    sleeps: float
    fails: bool
    cancelled_after: float | None


fates = st.builds(
    Fate,
    sleeps=st.sampled_from([0, 0, 0.0003]),
    fails=st.sampled_from([False] * 4 + [True]),
    cancelled_after=st.sampled_from([None] * 4 + [0, 0.0002]),
)


@given(st.integers(1, 4), st.lists(fates, max_size=25), st.sampled_from(["threads", "few", "executor", "scheduler"]))
def test_so_many_run_at_once_and_they_begin_in_order(at_once: int, history: list[Fate], where: str) -> None:
    begun: list[int] = []
    inside: list[int] = []
    reported: list[int] = []
    most = 0

    def work(i: int) -> int:
        nonlocal most
        begun.append(i)
        inside.append(i)
        most = max(most, len(inside))
        time.sleep(history[i].sleeps)
        inside.remove(i)
        if history[i].fails:
            raise LookupError(i)
        return i

    async def one(lane: Lane, i: int) -> object:
        call = asyncio.ensure_future(lane(i))
        if (after := history[i].cancelled_after) is not None:
            await asyncio.sleep(after)
            call.cancel()
        await asyncio.wait([call])
        if call.cancelled():
            return None
        return repr(call.exception()) if call.exception() else call.result()

    async def main(on: Any) -> list[object]:
        lane = lane_of(work, on, at_once)
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(*[one(lane, i) for i in range(len(history))])
            for i, fate in enumerate(history):
                while outcomes[i] is None and fate.fails and i in begun and i not in reported:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)  # the thread is about to find that nobody waits
            return outcomes

    with Threads(2) as few, ThreadPoolExecutor(3) as executor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(placed_module, "report_failure", lambda name, args, error: reported.append(args[0]))
        on = {"few": few, "executor": executor, "scheduler": NewThreadScheduler()}.get(where, "threads")
        outcomes = asyncio.run(main(on))
    assert most <= at_once
    if at_once == 1:
        assert begun == sorted(set(begun))
    for i, (fate, outcome) in enumerate(zip(history, outcomes)):
        if outcome is None:
            assert fate.cancelled_after is not None
            assert fate.fails or i not in reported
        else:
            assert begun.count(i) == 1
            assert outcome == (repr(LookupError(i)) if fate.fails else i)


def test_as_many_as_may_run_do() -> None:
    async def main() -> None:
        barrier = threading.Barrier(4, timeout=10)
        async with Threads(8) as pool:
            lane = lane_of(lambda _: barrier.wait(), pool, 4)
            await asyncio.gather(*[lane(i) for i in range(40)])
            assert pool.statistics().threads >= 4

    with no_leaks():
        asyncio.run(main())


def test_where_a_failure_is_the_end_none_begins_behind_it() -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        return 1 // i

    async def main() -> None:
        made = placed(work, "threads")
        assert isinstance(made, Placed)
        lane = Lane(made, 1, stops=True)
        calls = [asyncio.ensure_future(lane(i)) for i in (2, 1, 0, 3, 4)]
        done, rest = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        assert len(done) == 3
        for call in rest:
            call.cancel()
        await asyncio.wait(rest)
        assert begun == [2, 1, 0]
        late = asyncio.ensure_future(lane(5))
        await asyncio.sleep(0.005)
        late.cancel()
        await asyncio.wait([late])
        assert begun == [2, 1, 0]

    asyncio.run(main())


def test_where_the_failure_is_lived_with_the_others_go_on() -> None:
    async def main() -> None:
        lane = lane_of(lambda i: 1 // (i % 2), "threads", 2)
        outcomes = await asyncio.gather(*[lane(i) for i in range(20)], return_exceptions=True)
        assert [outcome if outcome == 1 else type(outcome) for outcome in outcomes] == [ZeroDivisionError, 1] * 10

    run(main())


def test_processes_have_lanes_too() -> None:
    async def main() -> None:
        async with Processes(2) as pool:
            lane = lane_of(_work.divide, pool, 1)
            outcomes = await asyncio.gather(*[lane(i) for i in (1, 0, 2)], return_exceptions=True)
            assert outcomes[0] == 1
            assert isinstance(outcomes[1], ZeroDivisionError)
            assert outcomes[2] == 0

    run(main())


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_pool_that_is_closed_lets_nobody_wait_for_ever(when: str) -> None:
    async def main() -> None:
        pool = Threads(1)
        lane = lane_of(time.sleep, pool, 1)
        if when == "before":
            pool.close()
        calls: list[Any] = [asyncio.ensure_future(lane(0.002)) for _ in range(4)]
        await asyncio.sleep(0)
        pool.close(wait=False)
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        first, *others = outcomes
        assert first is None or isinstance(first, PoolClosed)
        assert {type(other) for other in others} == {PoolClosed}

    asyncio.run(main())
