"""Threads: real ones, so nothing here waits for longer than it takes them to answer."""

import asyncio
import contextvars
import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from rxchain.schedulers import PoolClosed, Threads, placed
from rxchain.schedulers import _placed as placed_module
from rxchain.schedulers import _threads as module
from rxchain.testing import no_leaks, run

colour_of_item: contextvars.ContextVar[str] = contextvars.ContextVar("colour_of_item", default="none")


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message}")
    logger.enable("rxchain")
    yield lines
    logger.enable("")  # as it was: nothing asked for
    logger.remove(sink)


async def in_flight(fn: Callable[[Any], Any], count: int, at_once: int) -> list[Any]:
    """Call *fn* for each number, so many at once; the results in order."""
    numbers, results = iter(range(count)), [None] * count

    async def work() -> None:
        for i in numbers:
            results[i] = await fn(i)

    await asyncio.gather(*[work() for _ in range(at_once)])
    return results


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (it is a thread that makes it so)
        await asyncio.sleep(0.001)


def test_many_calls_at_once_each_get_their_own_result() -> None:
    async def main() -> None:
        async with Threads(8) as pool:
            assert await in_flight(placed(lambda x: x * x, pool), 2000, 64) == [x * x for x in range(2000)]

    with no_leaks():
        asyncio.run(main())


@given(st.integers(1, 5), st.integers(1, 12), st.lists(st.sampled_from([0, 0, 0.0005]), max_size=30))
def test_no_more_run_at_once_than_the_pool_has_threads(size: int, at_once: int, sleeps: list[float]) -> None:
    inside: list[int] = []
    most = 0

    def work(i: int) -> int:
        nonlocal most
        inside.append(i)
        most = max(most, len(inside))
        time.sleep(sleeps[i])
        inside.remove(i)
        return i

    async def main() -> None:
        async with Threads(size) as pool:
            assert await in_flight(placed(work, pool), len(sleeps), at_once) == list(range(len(sleeps)))
            assert pool.statistics().threads <= size

    asyncio.run(main())
    assert most <= size


def test_calls_that_block_each_get_a_thread() -> None:
    async def main() -> None:
        barrier = threading.Barrier(16, timeout=3)
        async with Threads(16) as pool:
            await asyncio.gather(*[placed(lambda _: barrier.wait(), pool)(i) for i in range(16)])
            assert pool.statistics().threads == 16
            await until(lambda: len(pool._resting) == 16)
            await asyncio.gather(*[placed(lambda _: barrier.wait(), pool)(i) for i in range(16)])

    asyncio.run(main())


def test_threads_are_named_after_their_pool() -> None:
    async def main() -> None:
        shared = await placed(lambda _: threading.current_thread().name, "threads")(1)
        assert shared.startswith("rxchain threads ")
        async with Threads(1, name="pictures") as pool:
            assert await placed(lambda _: threading.current_thread().name, pool)(1) == "rxchain pictures 1"
            assert repr(pool) == "Threads(1, name='pictures')"

    asyncio.run(main())


def test_an_error_arrives_as_it_was_raised_with_its_traceback() -> None:
    def fails(x: int) -> int:
        return 1 // x

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(placed(fails, "threads")(0))
    assert caught.traceback[-1].name == "fails"


def test_a_stop_iteration_does_not_end_a_loop_in_silence() -> None:
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(placed(next, "threads")(iter([])))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_an_exit_called_in_a_thread_is_the_callers() -> None:
    async def main() -> None:
        await placed(lambda _: sys.exit(3), "threads")(1)

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    assert caught.value.code == 3


def test_nothing_of_an_item_stays_with_the_pool() -> None:
    class Item:
        def fail(self) -> None:
            raise ValueError(self)

    async def main() -> None:
        async with Threads(1, idle=5) as pool:
            item = Item()
            gone = weakref.ref(item)
            await placed(lambda item: None, pool)(item)
            try:
                await placed(Item.fail, pool)(item)
            except ValueError:
                pass
            del item
            for _ in range(100):  # until the thread has looked for more to do
                if gone() is None:
                    break
                await asyncio.sleep(0.001)
            assert gone() is None

    gc.collect()
    gc.disable()  # by reference counts alone
    try:
        asyncio.run(main())
    finally:
        gc.enable()


# --- context


def test_the_items_context_holds_in_the_thread_and_comes_back_to_nobody() -> None:
    def paint(colour: str) -> tuple[str, str]:
        before = colour_of_item.get()
        colour_of_item.set(colour + "!")
        return before, colour_of_item.get()

    async def item(colour: str) -> None:
        colour_of_item.set(colour)
        for _ in range(3):
            assert await placed(paint, pool)(colour) == (colour, colour + "!")
            assert colour_of_item.get() == colour

    async def main() -> None:
        async with pool:
            await asyncio.gather(*[item(colour) for colour in ("red", "green", "blue")])

    pool = Threads(1)
    asyncio.run(main())


# --- cancellation


def test_a_cancelled_call_that_has_not_begun_never_begins() -> None:
    async def main() -> None:
        async with Threads(1) as pool:
            go = threading.Event()
            calls: list[int] = []
            first = asyncio.ensure_future(placed(lambda _: go.wait(10), pool)(1))
            second = asyncio.ensure_future(placed(calls.append, pool)(2))
            await asyncio.sleep(0.005)
            second.cancel()
            await asyncio.wait([second])
            assert second.cancelled()
            go.set()
            await first
        assert calls == []

    asyncio.run(main())


def test_cancelled_it_is_left_at_once_and_the_end_of_the_pool_waits_for_it() -> None:
    events: list[str] = []

    async def main() -> None:
        entered, go = threading.Event(), threading.Event()

        def work(_: object) -> None:
            entered.set()
            go.wait(10)
            events.append("done")

        async with Threads(1) as pool:
            call = asyncio.ensure_future(placed(work, pool)(1))
            await until(entered.is_set)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            events.append("left")
            assert pool.statistics() == module.ThreadsStatistics(threads=1, busy=1, waiting=0)
            asyncio.get_running_loop().call_later(0.002, go.set)
        events.append("closed")

    with no_leaks():
        asyncio.run(main())
    assert events == ["left", "done", "closed"]


@pytest.mark.parametrize("loop_ends_first", [False, True])
def test_a_call_that_fails_after_it_was_given_up_says_so(logged: list[str], loop_ends_first: bool) -> None:
    entered, go = threading.Event(), threading.Event()

    def work(item: str) -> None:
        entered.set()
        go.wait(10)
        raise LookupError("too late")

    async def main() -> None:
        call = asyncio.ensure_future(placed(work, pool, name="fetch")("tea"))
        await until(entered.is_set)
        call.cancel()
        await asyncio.wait([call])
        if not loop_ends_first:
            go.set()
            await pool.aclose()
            await asyncio.sleep(0)

    pool = Threads(1)
    asyncio.run(main())
    go.set()
    pool.close()
    assert len(logged) == 1
    assert logged[0].startswith(
        "WARNING node 'fetch': a call that had been cancelled ran on and failed: LookupError: too late\nTraceback"
    )
    assert "tea" not in logged[0]


def test_an_error_that_comes_in_the_moment_of_the_cancellation_is_told(logged: list[str]) -> None:
    async def main() -> None:
        async with Threads(1) as pool:
            call = asyncio.ensure_future(placed(int, pool, name="parse")("x"))
            await asyncio.sleep(0)
            while pool.statistics().busy or pool.statistics().waiting:
                time.sleep(0.0001)  # noqa: ASYNC251 (the loop is not to look yet)
            asyncio.get_running_loop().call_soon(call.cancel)
            await asyncio.wait([call])
            assert call.cancelled()

    asyncio.run(main())
    assert len(logged) == 1
    assert "node 'parse': a call that had been cancelled ran on and failed: ValueError: invalid" in logged[0]


class Fate(NamedTuple):
    """What one call of a random history does, and what becomes of it."""

    sleeps: float
    fails: bool
    cancelled_after: float | None


fates = st.builds(
    Fate, st.sampled_from([0, 0, 0.0003]), st.booleans(), st.sampled_from([None, None, 0, 0.0001, 0.0005])
)


@given(st.integers(1, 3), st.lists(fates, max_size=25), st.sampled_from([0, 0.0001, 5]))
def test_each_call_has_exactly_one_outcome(size: int, history: list[Fate], idle: float) -> None:
    begun: list[int] = []
    reported: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        time.sleep(history[i].sleeps)
        if history[i].fails:
            raise LookupError(i)
        return i

    async def one(i: int) -> object:
        call = asyncio.ensure_future(placed(work, pool)(i))
        if (after := history[i].cancelled_after) is not None:
            await asyncio.sleep(after)
            call.cancel()
        await asyncio.wait([call])
        if call.cancelled():
            return None
        return repr(call.exception()) if call.exception() else call.result()

    async def main() -> list[object]:
        async with pool:
            return await asyncio.gather(*[one(i) for i in range(len(history))])

    pool = Threads(size, idle=idle)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placed_module, "report_failure", lambda name, args, error: reported.append(args[0]))
        outcomes = asyncio.run(main())
    assert len(begun) == len(set(begun))
    for i, (fate, outcome) in enumerate(zip(history, outcomes)):
        if outcome is None:
            assert fate.cancelled_after is not None
            assert (i in reported) == (fate.fails and i in begun)
        else:
            assert i in begun
            assert i not in reported
            assert outcome == (repr(LookupError(i)) if fate.fails else i)
    assert pool.statistics() == module.ThreadsStatistics(0, 0, 0)


# --- ends


def test_threads_of_the_shared_pool_end_when_they_have_rested() -> None:
    async def main() -> None:
        await placed(abs, "threads")(-1)
        assert module.shared_threads.statistics().threads == 1
        for thread in threading.enumerate():
            if thread.name.startswith("rxchain threads"):
                thread.join(5)
        assert module.shared_threads.statistics().threads == 0
        assert await placed(abs, "threads")(-2) == 2

    asyncio.run(main())


@given(st.lists(st.sampled_from([0.0, 0.0001, 0.0003]), min_size=1, max_size=12))
def test_a_pool_whose_threads_end_at_once_loses_no_call(pauses: list[float]) -> None:
    async def main() -> None:
        with Threads(1, idle=0.0001) as pool:
            fn = placed(abs, pool)
            for pause in pauses:
                assert await asyncio.wait_for(fn(-3), 10) == 3
                time.sleep(pause)  # noqa: ASYNC251 (the thread is to come and go)

    asyncio.run(main())


class Between(list[Any]):
    """The list of resting threads, in which something happens right before a thread is on it, or after it has left."""

    def __init__(self, before_append: Callable[[], object], after_remove: Callable[[], object]) -> None:
        super().__init__()
        self._before_append = before_append
        self._after_remove = after_remove

    def append(self, gate: Any) -> None:
        self._before_append()
        super().append(gate)

    def remove(self, gate: Any) -> None:
        super().remove(gate)
        self._after_remove()


@pytest.mark.parametrize("moment", ["before it rests", "when it has rested enough", "when it is about to end"])
def test_a_call_that_comes_in_the_moment_in_which_a_thread_does_not_look_is_not_lost(moment: str) -> None:
    handed: list[asyncio.Future[Any]] = []

    async def main() -> None:
        def hand_over() -> None:
            if not handed:
                handed.append(asyncio.run_coroutine_threadsafe(placed(abs, pool)(-7), loop))  # type: ignore[arg-type]
                deadline = time.monotonic() + 5
                while not pool.statistics().waiting and time.monotonic() < deadline:
                    time.sleep(0.0001)

        class Lock:
            """The pool's lock, before which something happens."""

            def __init__(self) -> None:
                self._lock = threading.Lock()

            def __enter__(self) -> None:
                if threading.current_thread() in pool._workers:
                    hand_over()
                self._lock.acquire()

            def __exit__(self, *_: object) -> None:
                self._lock.release()

        loop = asyncio.get_running_loop()
        pool = Threads(1, idle=5 if moment == "before it rests" else 0.001)
        nothing = int
        if moment == "before it rests":
            pool._resting = Between(hand_over, nothing)
        elif moment == "when it has rested enough":
            pool._resting = Between(nothing, hand_over)
        else:
            pool._lock = Lock()  # type: ignore[assignment]
        async with asyncio.timeout(3):
            assert await placed(abs, pool)(-3) == 3
            await until(lambda: bool(handed))
            assert await asyncio.wrap_future(handed[0]) == 7
        await pool.aclose()

    asyncio.run(main())


def test_after_its_end_a_pool_takes_nothing() -> None:
    async def main() -> None:
        pool = Threads(2)
        await placed(abs, pool)(-1)
        await pool.aclose()
        await pool.aclose()
        pool.close()
        with pytest.raises(PoolClosed, match=r"node 'abs': its pool Threads\(2, name='own'\) has been closed"):
            await placed(abs, pool)(-1)

    with no_leaks():
        asyncio.run(main())


def test_closing_finishes_what_waits() -> None:
    async def main() -> None:
        pool = Threads(1)
        calls = [asyncio.ensure_future(placed(abs, pool)(-i)) for i in range(20)]
        await asyncio.sleep(0)
        pool.close()
        assert await asyncio.gather(*calls) == list(range(20))

    with no_leaks():
        asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_left_by_cancellation_a_pool_does_not_wait_but_says_what_runs(logged: list[str], asynchronous: bool) -> None:
    entered, go = threading.Event(), threading.Event()

    def work(_: object) -> None:
        entered.set()
        go.wait(10)

    async def main() -> None:
        calls = [asyncio.ensure_future(placed(work, pool, name="slow")(i)) for i in range(2)]
        with pytest.raises(asyncio.CancelledError):
            if asynchronous:
                async with pool:
                    await until(entered.is_set)
                    raise asyncio.CancelledError
            else:
                with pool:
                    await until(entered.is_set)
                    raise asyncio.CancelledError
        with pytest.raises(PoolClosed, match=r"node 'slow': its pool .* was closed before it began"):
            await calls[1]
        go.set()
        await calls[0]

    pool = Threads(1, name="slow ones")
    asyncio.run(main())
    assert logged == ["WARNING node 'slow': left running in thread 'rxchain slow ones 1' when its pool was abandoned\n"]


def test_without_a_single_thread_to_be_had_the_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        pool = Threads(1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await placed(abs, pool)(-1)
        assert pool.statistics() == module.ThreadsStatistics(0, 0, 0)
        assert await placed(abs, pool)(-2) == 2
        await pool.aclose()

    def no_thread(self: object) -> None:
        raise RuntimeError("can't start new thread")

    asyncio.run(main())


# --- loops


def test_several_loops_share_a_pool() -> None:
    results: list[list[int]] = []

    def loop() -> None:
        results.append(asyncio.run(in_flight(placed(abs, pool), 300, 8)))

    with Threads(3) as pool:
        threads = [threading.Thread(target=loop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [list(range(300))] * 4


def test_loops_are_let_go() -> None:
    async def main() -> None:
        await placed(abs, "threads")(-1)

    gc.collect()
    with asyncio.Runner() as runner:
        gone = weakref.ref(runner.get_loop())
        runner.run(main())
    del runner
    gc.collect()
    assert gone() is None


def test_virtual_time_stands_still_while_a_thread_works() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        late = loop.call_later(3600, lambda: None)
        async with Threads(2) as pool:
            await asyncio.gather(*[placed(time.sleep, pool)(0.005) for _ in range(4)])
            assert loop.time() == 0
            entered = threading.Event()

            def work(_: object) -> None:
                entered.set()
                time.sleep(0.01)

            left = asyncio.ensure_future(placed(work, pool)(1))
            await asyncio.sleep(0)
            entered.wait(10)
            left.cancel()
        assert loop.time() == 0
        late.cancel()

    run(main())


def test_it_works_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> list[Any]:
        async with Threads(4) as pool:
            return await in_flight(placed(abs, pool), 500, 16)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == list(range(500))
