"""Processes: real ones, which take a while to start, so that most tests share a pool."""

import asyncio
import contextlib
import functools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rxchain.errors import CompositionError
from rxchain.schedulers import Lane, Placed, PoolClosed, Processes, Unpicklable, WorkerDied, failed_at, joined, placed
from rxchain.schedulers import _team as module
from rxchain.testing import no_leaks, run

from . import _work


@pytest.fixture(scope="module")
def pool() -> Iterator[Processes]:
    """Two workers that are there already."""
    with Processes(2) as pool:
        asyncio.run(call(_work.double, pool, 1))
        yield pool


async def call(fn: Any, on: Any, *args: Any, name: str | None = None) -> Any:
    return await placed(fn, on, name=name)(*args)


def test_items_go_there_and_results_come_back(pool: Processes) -> None:
    async def main() -> None:
        double = placed(_work.double, pool)
        assert await asyncio.gather(*[double(i) for i in range(50)]) == [2 * i for i in range(50)]
        assert await call(_work.where, pool, None) != os.getpid()
        assert pool.statistics().processes >= 1
        assert pool.statistics().calls == 0

    asyncio.run(main())


def test_virtual_time_stands_still_meanwhile(pool: Processes) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(60, lambda: None)
        await call(_work.sleep, pool, 0.01)
        assert asyncio.get_running_loop().time() == 0

    run(main())


@pytest.mark.parametrize(
    ("fn", "result"),
    [
        (_work.decorated.logic, 6),
        (functools.partial(max, 7), 7),
        (functools.partial(_work.Adder(2)), 7),
        (math.factorial, 120),
        (_work.Adder(3), 8),
        (_work.Adder(3).method, 2),
        (float, 5.0),
    ],
)
def test_whatever_can_be_found_or_pickled_can_go(pool: Processes, fn: Any, result: Any) -> None:
    assert asyncio.run(call(fn, pool, 5)) == result


def test_a_row_of_functions_shares_the_way(pool: Processes) -> None:
    row = [placed(fn, pool) for fn in (_work.double, _work.divide, _work.double)]
    assert all(isinstance(one, Placed) for one in row)
    assert asyncio.run(joined(*row)(0.25)) == 4.0  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(joined(*row)(0))  # type: ignore[arg-type]
    assert failed_at(caught.value) == (1, 0)
    assert "in divide" in str(caught.value.__cause__)  # the traceback of the process


def test_what_had_entered_a_failed_one_is_shown_where_it_cannot_come_back(pool: Processes) -> None:
    row: list[Any] = [placed(fn, pool) for fn in (_work.lock, _work.divide)]
    with pytest.raises(TypeError) as caught:
        asyncio.run(joined(*row)(1))
    found = failed_at(caught.value)
    assert found is not None
    assert found[0] == 1
    assert found[1].startswith("<unlocked _thread.lock")


# --- what cannot go is refused when the chain is built


def inner() -> Any:
    def inside(x: int) -> int:
        return x

    return inside


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (lambda x: x, r"it is a lambda, and worker processes find a function by its name in its module\n    node\(l"),
        (
            inner(),
            r"it is defined inside another function, and worker .*\n    node\(inside, on='processes'\)  # inc",
        ),
        (functools.partial(lambda x: x), r"it is a lambda"),
        (functools.partial(max, threading.Lock()), r"what its partial\(\) holds cannot be pickled: .*lock"),
        (threading.Lock().acquire, r"it cannot be pickled: "),
        (_work.Adder(threading.Lock()), r"it cannot be pickled: .*\n.*\n.*node\(..., on='threads'\)  # correct"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("on", ["processes", Processes(1)])
def test_a_function_that_no_process_finds_is_refused_at_once(fn: Any, says: str, on: Any) -> None:
    with pytest.raises(CompositionError, match="node 'price' cannot run on processes: " + says):
        placed(fn, on, name="price")


def test_a_function_whose_name_leads_elsewhere_is_refused(pool: Processes) -> None:
    def moved(x: int) -> int:
        return x

    moved.__qualname__ = "double"
    moved.__module__ = _work.__name__
    with pytest.raises(CompositionError, match=r"_work\.double is something else, and worker processes find a functi"):
        asyncio.run(call(moved, pool, 1))


# --- what cannot travel fails with its item, and nobody else does


@pytest.mark.parametrize(
    ("fn", "item", "says"),
    [
        (_work.double, threading.Lock(), "and its item cannot be pickled: <unlocked _thread.lock"),
        (_work.double, _work.Local(), "and cannot be read there with its item: ValueError: nobody reads me"),
        (_work.lock, 1, "and its result cannot be pickled: <unlocked _thread.lock"),
        (_work.unreadable, 1, "and its result cannot be read here: nobody reads me"),
        (_work.fails_strangely, 404, "with an error that cannot be pickled: TwoArguments: 404: why not"),
    ],
)
def test_what_cannot_travel_fails_alone(pool: Processes, fn: Any, item: Any, says: str) -> None:
    async def main() -> None:
        calls: list[Any] = [call(fn, pool, item, name="price"), call(_work.double, pool, 2)]
        bad, good = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(bad, Unpicklable)
        assert str(bad).startswith("node 'price' runs on processes, ")
        assert says in str(bad)
        assert good == 4

    asyncio.run(main())


# --- ends


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT can be sent there")
def test_an_interrupt_is_the_parents_affair(pool: Processes) -> None:
    async def main() -> None:
        before = {await call(_work.where, pool, None) for _ in range(8)}
        for worker in before:
            os.kill(worker, signal.SIGINT)
        for worker in before:
            assert await call(_work.where, pool, worker) in before

    asyncio.run(main())


def test_a_cancelled_call_that_has_not_been_sent_never_begins(tmp_path: Path) -> None:
    async def main() -> None:
        async with Processes(1) as pool:
            sleeping = asyncio.ensure_future(call(_work.sleep, pool, 0.05))
            calls = [asyncio.ensure_future(call(_work.leave_a_trace, pool, str(tmp_path / str(i)))) for i in range(20)]
            await asyncio.sleep(0)
            for each in calls:
                each.cancel()
            await asyncio.wait(calls)
            await sleeping
            await call(_work.double, pool, 1)

    asyncio.run(main())
    assert len(list(tmp_path.iterdir())) <= 2  # those that the executor had sent ahead


def test_a_worker_that_dies_says_so_and_others_take_its_place() -> None:
    async def main() -> None:
        async with Processes(1) as pool:
            with pytest.raises(WorkerDied) as caught:
                await call(_work.die, pool, 7, name="render")
            assert str(caught.value).startswith(
                "node 'render': a worker process died (exit code 7) while this call was out, with item 7; all calls"
            )
            assert caught.value.exit_codes == (7,)
            assert await call(_work.double, pool, 4) == 8

    with no_leaks():
        asyncio.run(main())


def test_resting_processes_end_and_come_back() -> None:
    async def main() -> None:
        pool = Processes(1, idle=0.01)
        assert await call(_work.double, pool, 4) == 8
        while pool.statistics().processes:  # noqa: ASYNC110 (a thread sees to it)
            await asyncio.sleep(0.01)
        assert await call(_work.double, pool, 5) == 10
        pool.close()
        pool.close()
        await pool.aclose()
        with pytest.raises(PoolClosed, match=r"node 'double': its pool Processes\(1\) has been closed"):
            await call(_work.double, pool, 6)

    with no_leaks():
        asyncio.run(main())


def test_left_by_cancellation_the_processes_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(module, "report_abandoned", lambda name, args, where: told.append(name))

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            async with Processes(1) as pool:
                sleeping = asyncio.ensure_future(call(_work.sleep, pool, 60.0))
                await call(_work.double, Processes(1, idle=0), 1)
                raise asyncio.CancelledError
        with pytest.raises(PoolClosed, match="node 'sleep': its pool was closed before it was done"):
            await sleeping

    asyncio.run(main())
    assert told == ["sleep"]


def test_an_executor_of_ones_own_is_used_the_same_way_and_left_open() -> None:
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))

        async def main() -> None:
            assert await call(_work.double, executor, 4) == 8
            with pytest.raises(Unpicklable, match="its item cannot be pickled"):
                await call(_work.double, executor, threading.Lock())
            with pytest.raises(WorkerDied, match="node 'die': a worker process died while this call was out"):
                await call(_work.die, executor, 1)
            with pytest.raises(PoolClosed, match=r"node 'double': its executor takes no more calls: .*terminated"):
                await call(_work.double, executor, 4)

        async def in_a_lane() -> None:
            made = placed(_work.die, another)
            assert isinstance(made, Placed)
            lane = Lane(made, 1)
            calls: list[Any] = [lane(1) for _ in range(500)]
            first, *others = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
            assert isinstance(first, WorkerDied)
            assert {type(other) for other in others} == {PoolClosed}

        with pytest.raises(CompositionError, match="it is a lambda"):
            placed(lambda x: x, executor)
        asyncio.run(main())
        another = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        asyncio.run(in_a_lane())
