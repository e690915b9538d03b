"""no_leaks: each kind of leak is found and named; what is clean passes."""

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from rxchain import Chain
from rxchain import operators as ops
from rxchain.testing import Leak, no_leaks, run
from rxchain.testing._leaks import FULL, wait_a_moment


async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


async def endless() -> AsyncIterator[int]:
    n = 0
    while True:
        yield n
        n += 1


async def waiting() -> None:
    await asyncio.Event().wait()  # for ever


def found(main: Callable[[], Coroutine[Any, Any, object]]) -> list[str]:
    """What is left by *main* inside the check."""
    with pytest.raises(Leak) as raised:
        run(main())
    return raised.value.left


# --- async


def test_a_task() -> None:
    tasks = []

    async def main() -> None:
        try:
            async with no_leaks():
                tasks.append(asyncio.create_task(waiting(), name="background"))
        finally:
            assert tasks[0].cancelled()

    (left,) = found(main)
    assert left.startswith("the task 'background' of waiting (await or cancel it), at test_leaks.py:")
    assert left.endswith("# for ever")


def test_a_task_that_was_cancelled_and_not_awaited() -> None:
    async def main() -> None:
        async with no_leaks():
            task = asyncio.create_task(double(1), name="dropped")
            task.add_done_callback(lambda _: None)

    (left,) = found(main)
    assert "'dropped' of double" in left


def test_an_async_generator() -> None:
    kept = []

    async def main() -> None:
        async with no_leaks():
            kept.append(endless())
            await anext(kept[0])

    (left,) = found(main)
    assert left.startswith("the async generator endless (aclose it), at test_leaks.py:")
    assert left.endswith("yield n")
    assert kept[0].ag_frame is None  # type: ignore[attr-defined]  # it has been closed


def test_a_coroutine_dropped_and_one_kept() -> None:
    kept = []

    async def main() -> None:
        async with no_leaks():
            double(1)  # type: ignore[unused-coroutine]
            kept.append(double(2))

    left = found(main)
    assert len(left) == 2
    assert all(text.startswith("the coroutine double of test_leaks.py:") for text in left)
    assert all(text.endswith("never awaited (await it)") for text in left)


def test_a_kept_coroutine_is_found_however_often_garbage_was_collected_and_blocks_nest() -> None:
    outer, inner = [], []
    with pytest.raises(Leak) as of_outer, no_leaks():
        outer.append(double(1))
        gc.collect()
        with pytest.raises(Leak) as of_inner, no_leaks():
            inner.append(double(2))
            gc.collect()
        gc.collect()
    assert [len(of.value.left) for of in (of_inner, of_outer)] == [1, 1]


def test_what_was_dropped_before_is_not_the_blocks() -> None:
    def drop() -> None:
        circle: list[Any] = [double(1)]
        circle.append(circle)

    gc.disable()
    try:
        drop()
        with pytest.warns(RuntimeWarning, match="never awaited"), no_leaks():
            pass
    finally:
        gc.enable()


def test_a_thread() -> None:
    release = threading.Event()

    async def main() -> None:
        async with no_leaks(grace=0.02):
            threading.Thread(target=release.wait, name="forgotten").start()

    try:
        assert found(main) == ["the thread 'forgotten' (join it)"]
    finally:
        release.set()


def test_a_thread_that_is_about_to_end_is_waited_for() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with no_leaks():
            told = asyncio.Event()

            def work() -> None:
                loop.call_soon_threadsafe(told.set)

            threading.Thread(target=work).start()

    run(main())


def test_what_was_there_before_is_nobodys_leak() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)

    async def main() -> None:
        task = asyncio.create_task(waiting())
        generator = endless()
        await anext(generator)
        coroutine = double(1)
        thread.start()
        async with no_leaks(grace=0):
            await anext(generator)
        await coroutine
        await generator.aclose()  # type: ignore[attr-defined]
        task.cancel()
        await asyncio.wait([task])

    run(main())
    release.set()
    thread.join()


def test_what_ends_what_it_begins_is_clean() -> None:
    async def main() -> None:
        async with no_leaks():
            async for _ in Chain(double).stream(range(3)):
                break
            async for _ in endless():
                break
            assert await Chain(ops.flat_map(waited)).collect([1]) == [1]
            assert await Chain(ops.concat_map(waited)).collect(range(3)) == [0, 1, 2]
            await asyncio.to_thread(sum, [1])
            async with asyncio.TaskGroup() as group:
                group.create_task(double(1))

    run(main())
    asyncio.run(main())


async def waited(n: int) -> list[int]:
    await asyncio.sleep(0.001)
    return [n]


def test_a_failing_block_raises_its_own_error_and_warns_as_ever() -> None:
    async def main() -> None:
        async with no_leaks():
            double(1)  # type: ignore[unused-coroutine]
            raise LookupError("its own")

    with pytest.warns(RuntimeWarning, match="never awaited"), pytest.raises(LookupError, match="its own"):
        run(main())


# --- sync


@pytest.mark.leaves_behind("the leak under test")
def test_around_a_loop_what_it_cancels_when_it_closes_is_told() -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(asyncio.create_task(waiting(), name="background"))
        kept.append(endless())
        await anext(kept[-1])

    for runs in (asyncio.run, run):
        with pytest.raises(Leak) as raised, no_leaks():
            runs(main())
        task, generator = raised.value.left
        assert "'background' of waiting" in task
        assert "when its loop was closed" in task
        assert "endless" in generator


def test_around_plain_code() -> None:
    release = threading.Event()
    with pytest.raises(Leak) as raised, no_leaks(grace=0.02):
        threading.Thread(target=release.wait, name="forgotten").start()
        double(1)  # type: ignore[unused-coroutine]
    release.set()
    assert [text.split(" of ")[0].split(" (")[0] for text in raised.value.left] == [
        "the coroutine double",
        "the thread 'forgotten'",
    ]
    assert isinstance(raised.value, AssertionError)

    with no_leaks():
        assert list(Chain(double).iterate([1, 2])) == [2, 4]
        assert next(Chain(double).iterate([1, 2])) == 2


def test_inside_a_coroutine_the_sync_form_sees_its_loop() -> None:
    async def main() -> None:
        with no_leaks():
            task = asyncio.create_task(waiting(), name="background")
        await asyncio.wait([task])

    with pytest.raises(Leak, match="background"):
        run(main())


def test_a_thread_that_is_just_being_started_is_waited_for() -> None:
    thread = threading.Thread(target=lambda: None)
    wait_a_moment(thread)
    thread.start()
    wait_a_moment(thread)
    thread.join()


def test_checks_nest() -> None:
    with no_leaks():
        with pytest.raises(Leak), no_leaks():
            double(1)  # type: ignore[unused-coroutine]
        run(double(1))


def test_garbage_of_many_blocks_is_collected_in_the_end() -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    def circles() -> int:
        return sum(type(found) is Circle for found in gc.get_objects())

    gc.collect()
    for _ in range(FULL):
        with no_leaks():
            kept = Circle()
            gc.collect(1)
        del kept
    assert circles() < FULL


def test_nothing_of_it_stays_behind() -> None:
    import asyncio.runners as runners

    before = runners._cancel_all_tasks, warnings._warn_unawaited_coroutine  # type: ignore[attr-defined]
    with no_leaks(), no_leaks():
        pass
    with pytest.raises(LookupError), no_leaks():
        raise LookupError
    assert (runners._cancel_all_tasks, warnings._warn_unawaited_coroutine) == before  # type: ignore[attr-defined]
    assert gc.get_freeze_count() == 0
