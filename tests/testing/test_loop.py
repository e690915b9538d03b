"""Virtual time: waiting costs nothing, what never ends is an error that says why, threads are really waited for."""

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain
from rxchain import operators as ops
from rxchain.testing import Deadlock, LimitReached, VirtualLoop, run


def now() -> float:
    return asyncio.get_running_loop().time()


# --- time


def test_waiting_takes_no_real_time() -> None:
    async def main() -> float:
        await asyncio.sleep(86_000)
        return now()

    began = time.monotonic()
    assert run(main()) == 86_000
    assert time.monotonic() - began < 5


@given(st.lists(st.floats(0, 1000), max_size=20))
def test_timers_fire_at_their_time_and_in_its_order(delays: list[float]) -> None:
    fired: list[tuple[float, float]] = []

    async def sleep(delay: float) -> None:
        await asyncio.sleep(delay)
        fired.append((delay, now()))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for delay in delays:
                group.create_task(sleep(delay))

    run(main())
    assert sorted(delay for delay, _ in fired) == sorted(delays)
    assert all(abs(delay - at) <= 2e-6 for delay, at in fired)
    assert [at for _, at in fired] == sorted(at for _, at in fired)


def test_timers_of_one_moment_fire_in_the_order_of_their_setting() -> None:
    order: list[int] = []

    async def main() -> None:
        for n in range(50):
            asyncio.get_running_loop().call_later(5, order.append, n)
        await asyncio.sleep(6)

    run(main())
    assert order == list(range(50))


def test_a_cancelled_timer_does_not_hold_time_up() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(500):
            loop.call_later(1000, print).cancel()
        await asyncio.sleep(1)
        return now()

    assert run(main()) == 1


def test_a_year_is_reached_by_small_steps_too() -> None:
    async def main() -> None:
        await asyncio.sleep(365 * 86_400)
        for _ in range(10):
            await asyncio.sleep(1e-7)

    run(main(), max_seconds=1e9)


def test_asyncios_timeout_is_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        return now()

    assert run(main()) == 60


def test_runs_are_the_same_each_time() -> None:
    async def worker(n: int, log: list[tuple[int, float]]) -> None:
        for k in range(5):
            await asyncio.sleep(n * 0.1 + k)
            log.append((n, now()))

    async def main() -> list[tuple[int, float]]:
        log: list[tuple[int, float]] = []
        await asyncio.gather(*(worker(n, log) for n in range(7)))
        return log

    assert run(main()) == run(main())


@pytest.mark.parametrize("window", [1, 16])
def test_a_chain_lets_others_run_after_so_many_items_however_long_they_take(window: int) -> None:
    ticks = 0

    def look(item: int, slow: bool) -> int:
        until = time.monotonic() + 0.01 * slow
        while time.monotonic() < until:
            pass
        return ticks

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    async def seen(items: int, slow: bool) -> list[int]:
        nonlocal ticks
        ticks = 0
        ticker = asyncio.create_task(tick())
        try:
            return await Chain(ops.map(lambda item: look(item, slow)), later, window=window).collect(range(items))
        finally:
            ticker.cancel()

    async def later(item: int) -> int:
        return item

    assert run(seen(20, slow=True)) == run(seen(20, slow=False))
    assert 1 < len(set(run(seen(20_000, slow=False)))) < 20


def test_a_chain_that_is_busy_for_long_still_runs() -> None:
    def busy(n: int) -> int:
        until = time.monotonic() + 0.002
        while time.monotonic() < until:
            pass
        return n

    assert run(Chain(busy).collect(range(10))) == list(range(10))


# --- as asyncio.run


def test_what_main_raises_is_raised() -> None:
    async def main() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        run(main())


def test_what_is_no_coroutine_is_refused() -> None:
    with pytest.raises(ValueError, match="a coroutine was expected, got 3"):
        run(3)  # type: ignore[arg-type]


@pytest.mark.leaves_behind("the test is about what run does with it")
def test_what_is_left_is_cancelled_and_awaited() -> None:
    seen: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            seen.append("cleaned up")

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            seen.append("closed")

    kept = []

    async def main() -> None:
        kept.append(asyncio.create_task(background()))
        generator = endless()
        kept.append(generator)  # type: ignore[arg-type]
        await anext(generator)

    run(main())
    assert seen == ["cleaned up", "closed"]


def test_context_is_passed_on_inside_a_running_loop_as_well() -> None:
    who = contextvars.ContextVar("who", default="nobody")

    async def main() -> tuple[str, float]:
        await asyncio.sleep(10)
        return who.get(), now()

    async def outer() -> tuple[str, float]:
        who.set("me")
        return run(main())

    assert asyncio.run(outer()) == ("me", 10)


def test_a_runner_takes_the_loop() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.sleep(10))
        runner.run(asyncio.sleep(10))
        assert runner.get_loop().time() == 20


# --- what never ends


def test_a_deadlock_names_each_task_and_its_line() -> None:
    async def first(event: asyncio.Event) -> None:
        await event.wait()  # the first waits here

    async def second(task: "asyncio.Task[None]") -> None:
        await task  # the second waits here

    async def main() -> None:
        task = asyncio.create_task(first(asyncio.Event()), name="one")
        await asyncio.create_task(second(task), name="two")

    with pytest.raises(Deadlock) as raised:
        run(main())
    text = str(raised.value)
    assert text.startswith("everything waits: nothing is ready, and no timer is set")
    assert "the first waits here" in text
    assert "the second waits here" in text
    assert "'one'" in text
    assert len(raised.value.waiting) == 3


def test_a_deadlock_is_found_through_a_stream() -> None:
    async def step(n: int) -> int:
        await asyncio.Event().wait()  # in the step
        return n

    with pytest.raises(Deadlock, match="in the step"):
        run(Chain(step).collect([1]))

    async def source() -> AsyncIterator[int]:
        await asyncio.Event().wait()  # in the source
        yield 1

    async def main() -> None:
        async for _ in Chain(step).stream(source()):
            pass

    with pytest.raises(Deadlock, match="in the source"):
        run(main())


def test_the_tasks_of_a_deadlock_are_cancelled_and_awaited() -> None:
    seen: list[float] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            seen.append(now())

    with pytest.raises(Deadlock):
        run(main())
    assert seen == [5]


@pytest.mark.leaves_behind("a task that cannot be ended")
@pytest.mark.parametrize(("times", "note"), [(2, "failed: ValueError('at last')"), (1000, "it still waits: the task")])
def test_a_task_that_ignores_the_cancellation_of_a_deadlock_is_noted(times: int, note: str) -> None:
    async def main() -> None:
        for _ in range(times):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
        raise ValueError("at last")

    with pytest.raises(Deadlock) as raised:
        run(main())
    assert note in raised.value.__notes__[0]


def test_polling_without_end_is_found() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(LimitReached, match=r"1000 rounds .* of virtual time") as raised:
        run(main(), max_iterations=1000)
    assert "await asyncio.sleep(0)" in raised.value.tasks[0]


def test_time_without_end_is_found() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(1)

    with pytest.raises(LimitReached, match="set for 61 s of virtual time, and the limit is 60"):
        run(main(), max_seconds=60)


def test_quiet_is_when_nothing_else_goes_on() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        task = asyncio.create_task(asyncio.sleep(7))
        await loop.quiet()
        assert task.done()
        return now()

    assert run(main()) == 7


# --- threads


def test_a_thread_is_really_waited_for_and_time_stands_still() -> None:
    release = threading.Event()

    async def main() -> tuple[bool, float]:
        asyncio.get_running_loop().call_later(1000, release.set)
        async with asyncio.timeout(1):
            done = await asyncio.to_thread(release.wait, 0.05)
        return done, now()

    assert run(main()) == (False, 0)


def test_calls_from_threads_arrive() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        got: asyncio.Queue[int] = asyncio.Queue()

        def produce() -> None:
            for n in range(100):
                loop.call_soon_threadsafe(got.put_nowait, n)

        thread = threading.Thread(target=produce)
        with loop.hold():
            thread.start()
            result = [await got.get() for _ in range(100)]
            thread.join()
        assert now() == 0
        return result

    assert run(main()) == list(range(100))


def test_a_thread_that_nobody_announced_is_given_a_moment() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int] = loop.create_future()
        thread = threading.Timer(0.02, loop.call_soon_threadsafe, (answer.set_result, 42))
        thread.start()
        result = await answer
        thread.join()
        return result

    assert run(main()) == 42


def test_a_thread_that_does_not_report_is_no_endless_wait() -> None:
    release = threading.Event()

    async def main() -> None:
        try:
            await asyncio.to_thread(release.wait)
        finally:
            release.set()

    with pytest.raises(Deadlock, match=r"a thread has not reported for 0.05 s"):
        run(main(), patience=0.05)
