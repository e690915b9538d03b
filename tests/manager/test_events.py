"""Events: who is told, in which order, who waits, and whose error is whose."""

import asyncio
import contextvars
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain, ChainManager, CompositionError, Failure, Overflow
from rxchain import operators as ops
from rxchain.manager._events import matches
from rxchain.testing import no_leaks, run


async def slow(item: Any) -> Any:
    await asyncio.sleep(1)
    return item


def test_an_event_runs_each_chain_and_function_declared_for_it() -> None:
    async def main() -> None:
        got: list[Any] = []
        async with no_leaks(), ChainManager() as manager:
            orders = manager.chain("orders", slow, lambda order: f"shipped {order}")
            manager.on("order.created", orders, sink=got.append)
            manager.on("order.created", "orders")
            manager.on("order.created", Chain(slow, name="audit"), sink=lambda order: got.append(f"audited {order}"))
            manager.on("order.created", got.append)
            manager.on("order.paid", lambda order: got.append("never"))
            assert await manager.emit("order.created", 7) == 4
            assert await manager.emit("order.lost", 7) == 0
        assert sorted(map(str, got)) == ["7", "audited 7", "shipped 7"]

    run(main())


@pytest.mark.parametrize(
    ("pattern", "event", "found"),
    [
        ("order.created", "order.created", True),
        ("order.*", "order.created", True),
        ("*", "anything", True),
        ("order.*", "orders.created", False),
        ("order.creat?d", "order.created", False),
        ("a[b]*", "a[b]*", True),
    ],
)
def test_patterns_name_several_events(pattern: str, event: str, found: bool) -> None:
    assert matches(pattern, event) is found


def test_who_emits_waits_when_a_window_is_full() -> None:
    async def main() -> None:
        async with no_leaks(), ChainManager() as manager:
            manager.on("tick", Chain(slow, window=2))
            loop, times = asyncio.get_running_loop(), []
            for number in range(8):
                await manager.emit("tick", number)
                times.append(loop.time())
        assert times[0] == 0
        assert times[-1] >= 3

    run(main())


def test_emit_nowait_is_refused_by_those_that_are_full_and_told_to_all_others() -> None:
    async def main() -> None:
        quick: list[int] = []
        async with no_leaks(), ChainManager() as manager:
            manager.on("tick", Chain(slow, name="narrow", window=1))
            manager.on("tick", quick.append)
            manager.emit_nowait("tick", 0)
            with pytest.raises(Overflow, match="event 'tick' finds no room in 'narrow'"):
                manager.emit_nowait("tick", 1)
        assert quick == [0, 1]

    run(main())


@settings(max_examples=50)
@given(
    windows=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    emitters=st.lists(st.lists(st.sampled_from([0.0, 0.0, 0.5, 2.0]), max_size=6), min_size=1, max_size=3),
)
def test_each_subscriber_is_told_of_each_event_once_and_in_the_order_of_each_emitter(
    windows: list[int], emitters: list[list[float]]
) -> None:
    got: list[list[tuple[int, int]]] = [[] for _ in windows]

    async def main() -> None:
        async with no_leaks(), ChainManager() as manager:
            for window, mine in zip(windows, got):
                manager.on("tick", Chain(slow, window=window), sink=mine.append)

            async def emits(who: int, delays: list[float]) -> None:
                for number, delay in enumerate(delays):
                    await asyncio.sleep(delay)
                    await manager.emit("tick", (who, number))

            await asyncio.gather(*(emits(who, delays) for who, delays in enumerate(emitters)))

    run(main())
    expected = sorted((who, number) for who, delays in enumerate(emitters) for number in range(len(delays)))
    for mine in got:
        assert sorted(mine) == expected
        assert mine == got[0]
        for who in range(len(emitters)):
            assert [n for w, n in mine if w == who] == list(range(len(emitters[who])))


def test_errors_stay_with_their_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    def fails(item: int) -> int:
        raise ValueError(f"no {item}")

    def fails_hard(failure: Failure) -> None:
        raise failure.error

    async def main() -> None:
        got: list[int] = []
        told: list[Failure] = []
        async with no_leaks(), ChainManager() as manager:
            unheard = manager.on("tick", fails)
            heard = manager.on("tick", fails, on_error=told.append)
            ends = manager.on("tick", Chain(fails, name="ends"), on_error=fails_hard)
            sinks = manager.on("tick", lambda item: item, sink=fails)
            manager.on("tick", got.append)
            for number in range(3):
                await manager.emit("tick", number)
                await asyncio.sleep(1)
            assert [s.statistics().failed for s in (unheard, heard, ends, sinks)] == [3, 3, 1, 0]
            assert ends.statistics().events == 1
            assert [str(s.statistics().last_error) for s in (unheard, ends, sinks)] == ["no 2", "no 0", "no 2"]
        assert got == [0, 1, 2]
        assert [failure.item for failure in told] == [0, 1, 2]
        assert caplog.text.count("event 'tick' failed in node 'fails'") == 3
        assert caplog.text.count("the sink of '<lambda>', on event 'tick', failed") == 3
        assert "chain 'ends', on event 'tick', has ended" in caplog.text

    run(main())


def test_the_events_of_an_emitter_bring_its_context_along() -> None:
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")

    async def main() -> None:
        got: list[tuple[int, str]] = []

        async def looks(item: int) -> None:
            await asyncio.sleep(1)
            got.append((item, trace.get()))

        async with no_leaks(), ChainManager() as manager:
            manager.on("tick", looks)

            async def emits(item: int) -> None:
                if item:
                    trace.set(f"trace {item}")
                await manager.emit("tick", item)

            await asyncio.gather(*(emits(item) for item in (1, 0, 2)))
        assert got == [(1, "trace 1"), (0, "none"), (2, "trace 2")]

    run(main())


def test_a_subscription_ends_and_what_it_had_taken_is_worked_on() -> None:
    async def main() -> None:
        got: list[int] = []
        async with no_leaks(), ChainManager() as manager:
            subscription = manager.on("tick", slow, sink=got.append)
            for number in range(3):
                await manager.emit("tick", number)
            subscription.dispose()
            assert await manager.emit("tick", 3) == 0
            subscription.dispose()
        assert got == [0, 1, 2]
        assert manager.statistics().subscribers == ()

    run(main())


def test_a_subscriber_that_has_had_enough_is_told_no_more() -> None:
    async def main() -> None:
        got: list[int] = []
        async with no_leaks(), ChainManager() as manager:
            manager.on("tick", Chain(ops.take(2)), sink=got.append)
            told = []
            for number in range(4):
                told.append(await manager.emit("tick", number))
                await asyncio.sleep(1)
        assert (got, told) == ([0, 1], [1, 1, 0, 0])

    run(main())


def test_what_subscribers_emit_reaches_those_that_were_added_behind_them_also_at_the_end() -> None:
    async def main() -> None:
        got: list[str] = []
        async with no_leaks(), ChainManager() as manager:

            async def pays(order: int) -> None:
                await asyncio.sleep(1)
                await manager.emit("order.paid", f"order {order}")

            orders = manager.chain("orders", lambda order: manager.emit_nowait("order.created", order))
            manager.on("order.created", pays)
            manager.on("order.paid", slow, sink=got.append)
            orders.start([1, 2])
            await orders.join()
        assert got == ["order 1", "order 2"]

    run(main())


def test_a_managed_chain_is_changed_while_events_run_it_and_a_drain_of_it_ends_them() -> None:
    async def main() -> None:
        got: list[int] = []
        async with no_leaks(), ChainManager() as manager:
            chain = manager.chain("c", slow)
            manager.on("tick", chain, sink=got.append)
            await manager.emit("tick", 1)
            await asyncio.sleep(0.5)
            chain.add(lambda item: -item, name="negate")
            await manager.emit("tick", 2)
            await asyncio.sleep(0.5)
            chain.pause()
            for number in (3, 4):
                await manager.emit("tick", number)
            await chain.drain()
            assert await manager.emit("tick", 5) == 0
        assert got == [1, -2, -3, -4]

    run(main())


def test_stopping_the_manager_cancels_what_events_began() -> None:
    async def main() -> None:
        got: list[int] = []
        manager = ChainManager()
        async with no_leaks():
            manager.on("tick", slow, sink=got.append)
            await manager.emit("tick", 1)
            await asyncio.sleep(0.5)
            await manager.stop()
        assert (got, asyncio.get_running_loop().time()) == ([], 0.5)

    run(main())


def test_events_are_an_observable() -> None:
    async def main() -> None:
        manager = ChainManager()
        got: list[Any] = []
        observable = manager.events("order.*")
        subscription = observable.subscribe(got.append, on_completed=lambda: got.append("|"))
        observable.pipe(Chain(lambda item: item * 10)).subscribe(got.append)
        assert await manager.emit("order.created", 1) == 2
        assert manager.emit_nowait("order.paid", 2) == 2
        assert manager.statistics().subscribers[0].events == 4
        subscription.dispose()
        assert await manager.emit("order.created", 3) == 1
        again: list[Any] = []
        observable.subscribe(again.append, on_completed=lambda: again.append("|"))
        await manager.emit("order.created", 4)
        await manager.drain()
        assert got == [1, 10, 2, 20, 30, 40]
        assert again == [4, "|"]

    run(main())


def test_an_observer_that_fails_is_told_of_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fails(item: int) -> None:
        raise ValueError("no")

    async def main() -> None:
        manager = ChainManager()
        got: list[int] = []
        manager.events("tick").subscribe(fails)
        manager.events("tick").subscribe(got.append)
        await manager.emit("tick", 1)
        assert got == [1]
        assert "an observer of event 'tick' failed" in caplog.text
        assert manager.statistics().subscribers[0].failed == 1

    run(main())


def test_what_no_event_can_run_is_refused() -> None:
    manager = ChainManager()
    with pytest.raises(CompositionError, match="an event is known by its name"):
        manager.on(slow, slow)  # type: ignore[arg-type]
    with pytest.raises(CompositionError, match="a step is an operator or a function"):
        manager.on("tick", 3)
    with pytest.raises(KeyError, match="no chain called 'orders'"):
        manager.on("tick", "orders")
