"""Asynchronous chains from synchronous code: an event loop in a thread of its own, which ends with the iteration."""

import asyncio
import contextvars
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rxchain import Chain, NoResult
from rxchain import operators as ops


async def later(x: Any) -> Any:
    await asyncio.sleep(0)
    return x


def same(x: int) -> int:
    return x


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rxchain loop"]


def test_an_asynchronous_chain_runs_from_synchronous_code() -> None:
    chain = Chain(later, ops.batch(2))
    assert list(chain.iterate(range(3))) == [[0, 1], [2]]
    assert chain.run_sync(1) == [1]
    assert not loop_threads()


def test_also_from_inside_a_running_event_loop() -> None:
    async def main() -> tuple[Any, Any]:
        return Chain(later).run_sync(1), list(Chain(later).iterate([2]))

    assert asyncio.run(main()) == (1, [2])


def test_a_synchronous_chain_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    assert list(Chain(same, ops.concat_map(lambda x: [x]), ops.take(2)).iterate([1, 2, 3])) == [1, 2]


def test_an_asynchronous_source_too() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    assert list(Chain(same).iterate(source())) == [1, 2]


@pytest.mark.parametrize(
    "end",
    [
        lambda iteration: iteration.close(),
        lambda iteration: iteration.throw(KeyError("thrown in")),
        lambda iteration: None,  # dropped, and collected
    ],
)
def test_however_the_iteration_ends_its_source_is_closed_and_its_thread_has_ended(
    end: Callable[[Any], object],
) -> None:
    closed: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(threading.current_thread().name)

    iteration: Any = Chain(later).iterate(source())
    assert next(iteration) == 0
    assert len(loop_threads()) == 1
    try:
        end(iteration)
    except KeyError:
        pass
    del iteration
    gc.collect()
    assert closed == ["rxchain loop"]
    assert not loop_threads()


def test_an_error_arrives_with_its_note() -> None:
    async def fails(x: int) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        list(Chain(fails).iterate([1]))
    assert caught.value.__notes__ == ["in node 'fails', with item 1"]
    with pytest.raises(NoResult):
        Chain(later, ops.filter(lambda x: False)).run_sync(1)
    assert not loop_threads()


def test_context_variables_travel_into_the_thread() -> None:
    user = contextvars.ContextVar("user", default="nobody")

    async def who(x: int) -> str:
        return user.get()

    user.set("ann")
    assert Chain(who).run_sync(1) == "ann"
    assert list(Chain(who).iterate([1])) == ["ann"]


@pytest.mark.leaves_behind("a task of user code's own")
def test_tasks_that_user_code_left_do_not_hold_up_the_end() -> None:
    cancelled: list[str] = []

    async def leaves_a_task(x: int) -> int:
        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append("cancelled")
                raise

        tasks.append(asyncio.ensure_future(forever()))
        await asyncio.sleep(0)
        return x

    tasks: list[Any] = []
    assert Chain(leaves_a_task).run_sync(1) == 1
    assert cancelled == ["cancelled"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a system without pthread_kill")
def test_an_interrupt_while_waiting_cancels_what_runs() -> None:
    """Ctrl-C in the waiting thread: the coroutine is cancelled and awaited before the interrupt goes on."""
    events: list[str] = []

    async def waits(x: int) -> int:
        try:
            main_thread = threading.main_thread().ident
            assert main_thread is not None
            signal.pthread_kill(main_thread, signal.SIGINT)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        return x

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in a shell's background
    try:
        with pytest.raises(KeyboardInterrupt):
            Chain(waits).run_sync(1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert events == ["cancelled"]
    assert not loop_threads()


def test_asynchronous_parts_in_a_synchronous_chain_are_waited_for() -> None:
    async def parts(x: int) -> AsyncIterator[int]:
        yield x
        await asyncio.sleep(0)
        yield x + 1

    chain = Chain(ops.concat_map(lambda x: parts(x)), ops.take(3))
    assert not chain.is_async
    assert list(chain.iterate([1, 5])) == [1, 2, 5]
    assert not loop_threads()
