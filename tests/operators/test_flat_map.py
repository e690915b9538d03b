"""flat_map side by side: what runs at once, what waits, and that nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain, Failure
from rxchain import operators as ops
from rxchain.operators._flat_map import SIDE_BY_SIDE
from tests.running import AsyncSource, Outcome, Source, SourceFailure, interpreted, iterated, streamed, streamed_async


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test; no task but its own is there at its end."""

    async def whole() -> None:
        await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {left}"

    asyncio.run(whole())


async def settle() -> None:
    """Let all tasks run until they wait for something that only the test does."""
    for _ in range(30):
        await asyncio.sleep(0)


class Gates:
    """An async generator function whose parts come when the test opens their gates."""

    def __init__(self) -> None:
        self._gates: dict[Any, asyncio.Event] = {}
        self.entered: list[Any] = []
        self.left: list[Any] = []
        self.made: list[Any] = []

    def __getitem__(self, key: Any) -> asyncio.Event:
        return self._gates.setdefault(key, asyncio.Event())

    async def parts(self, item: Any) -> AsyncIterator[Any]:
        self.entered.append(item)
        try:
            for part in "ab":
                await self[item, part].wait()
                self.made.append((item, part))
                yield item, part
        finally:
            await asyncio.sleep(0)
            self.left.append(item)

    def open(self, *keys: Any) -> None:
        for key in keys:
            self[key].set()


def test_parts_come_as_they_are_ready() -> None:
    async def main() -> None:
        gates = Gates()
        stream = Chain(ops.flat_map(gates.parts)).stream([1, 2, 3])
        for key in [(2, "a"), (3, "a"), (1, "a"), (3, "b"), (1, "b"), (2, "b")]:
            gates.open(key)
            assert await anext(stream) == key
        assert await anext(stream, "end") == "end"
        assert gates.left == [3, 1, 2]

    run(main())


@pytest.mark.parametrize("concurrency", [1, 2, 3, None])
def test_so_many_items_are_worked_on_side_by_side(concurrency: int | None) -> None:
    async def main() -> None:
        gates, outcome = Gates(), Outcome()
        expected = SIDE_BY_SIDE if concurrency is None else concurrency
        chain = Chain(ops.flat_map(gates.parts, concurrency))
        stream = chain.stream(AsyncSource(list(range(50)), outcome))
        first = asyncio.ensure_future(anext(stream))
        await settle()
        for _ in range(3):
            await settle()
        assert gates.entered == list(range(expected))
        assert expected <= outcome.taken <= chain.execution.window
        gates.open((0, "a"), (0, "b"))
        assert await first == (0, "a")
        assert await anext(stream) == (0, "b")
        await settle()
        assert gates.entered == list(range(expected + 1))
        await stream.aclose()
        assert sorted(gates.left) == gates.entered
        assert outcome.closed == 1

    run(main())


def test_parts_wait_in_the_window_and_are_made_in_turn_then() -> None:
    async def main() -> None:
        made: list[tuple[int, int]] = []

        async def endless(item: int) -> AsyncIterator[tuple[int, int]]:
            part = 0
            while True:
                made.append((item, part))
                yield item, part
                part += 1

        stream = Chain(ops.flat_map(endless, concurrency=3), window=6).stream(range(3))
        assert await anext(stream) == (0, 0)
        await settle()
        assert len(made) <= 1 + 6 + 3, "taken, in the window, and one that each waits with"
        parts = [await anext(stream) for _ in range(36)]
        assert {item for item, _ in parts[-12:]} == {0, 1, 2}, "nobody waits for ever"
        await stream.aclose()

    run(main())


def test_plain_functions_run_side_by_side_only_where_it_is_said() -> None:
    def twice(item: int) -> list[int]:
        return [item, item]

    assert list(Chain(ops.flat_map(twice)).iterate([1, 2])) == [1, 1, 2, 2]
    assert not Chain(ops.flat_map(twice)).is_async
    assert sorted(Chain(ops.flat_map(twice, concurrency=2)).iterate([1, 2])) == [1, 1, 2, 2]
    assert list(Chain(ops.flat_map(twice, concurrency=1)).iterate([1, 2])) == [1, 1, 2, 2]


@pytest.mark.parametrize("how", ["close", "cancel", "drop"])
def test_all_tasks_end_when_the_consumer_stops(how: str) -> None:
    async def main() -> None:
        gates, outcome = Gates(), Outcome()
        stream = Chain(ops.flat_map(gates.parts)).stream(AsyncSource([1, 2, 3], outcome))
        gates.open((1, "a"))
        assert await anext(stream) == (1, "a")
        await settle()
        if how == "close":
            await stream.aclose()
        elif how == "cancel":
            waiting = asyncio.ensure_future(anext(stream))
            await settle()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            del stream
            await settle()
        assert sorted(gates.left) == [1, 2, 3]
        assert outcome.closed == 1

    run(main())


def test_the_end_further_down_ends_all_tasks() -> None:
    async def main() -> None:
        gates = Gates()
        gates.open((2, "a"))
        assert await Chain(ops.flat_map(gates.parts), ops.first()).collect([1, 2, 3]) == [(2, "a")]
        assert sorted(gates.left) == [1, 2, 3]

    run(main())


def test_the_first_error_ends_it_after_cancelling_the_others() -> None:
    async def main() -> None:
        gates, outcome = Gates(), Outcome()
        failing = asyncio.Event()

        async def parts(item: int) -> AsyncIterator[Any]:
            if item == 2:
                await failing.wait()
                raise ValueError("boom")
            async for part in gates.parts(item):
                yield part

        stream = Chain(ops.flat_map(parts), name="orders").stream(AsyncSource([1, 2, 3], outcome))
        gates.open((3, "a"))
        assert await anext(stream) == (3, "a")
        failing.set()
        with pytest.raises(ValueError, match="boom") as caught:
            await anext(stream)
        assert caught.value.__notes__ == [
            "in node 'flat_map' of chain 'orders', with item 2",
            "abandoned: 1 in 'flat_map', 3 in 'flat_map'",
        ]
        await settle()
        assert sorted(gates.left) == [1, 3]
        assert outcome.closed == 1

    run(main())


def test_parts_that_were_ready_come_before_the_error() -> None:
    async def parts(item: int) -> AsyncIterator[int]:
        if item == 2:
            raise ValueError("boom")
        yield item

    for way in (iterated, streamed, streamed_async, interpreted):
        outcome = way(Chain(ops.flat_map(parts)), [1, 2, 3])
        assert outcome.outputs in ([1], [1, 3]), "side by side"
        assert outcome.error == "ValueError: boom"
        assert outcome.notes == ("in node 'flat_map', with item 2",)
        assert outcome.closed == 1


def test_an_item_that_fails_leaves_the_others_alone_where_errors_are_handled() -> None:
    async def parts(item: int) -> AsyncIterator[int]:
        yield item
        if item == 2:
            raise ValueError("boom")
        yield -item

    for way in (iterated, streamed, streamed_async, interpreted):
        outcome = way(Chain(ops.flat_map(parts)), [1, 2, 3], True)
        assert sorted(outcome.outputs) == [-3, -1, 1, 2, 3]
        assert outcome.error is None
        boom = "ValueError: boom (\"in node 'flat_map', with item 2\",)"
        assert outcome.failures == [(boom, "flat_map", 2, 2)]


def test_an_item_that_fails_makes_room() -> None:
    async def fail(item: int) -> list[int]:
        raise ValueError(item)

    outcome = streamed(Chain(ops.flat_map(fail, concurrency=2)), list(range(10)), True)
    assert [failure[2] for failure in outcome.failures] == list(range(10))


def test_an_error_while_others_are_cancelled_is_not_lost() -> None:
    async def parts(item: int) -> AsyncIterator[int]:
        if item == 2:
            raise ValueError("boom")
        try:
            await asyncio.Event().wait()
            yield item
        finally:
            raise KeyError(item)

    outcome = streamed(Chain(ops.flat_map(parts)), [1, 2])
    assert outcome.error == "ValueError: boom"
    assert outcome.notes == (
        "in node 'flat_map', with item 2",
        "another item failed, too: KeyError(1)",
    )


def test_an_error_while_closing_is_raised() -> None:
    async def main() -> None:
        async def parts(item: int) -> AsyncIterator[int]:
            try:
                yield item
                await asyncio.Event().wait()
            finally:
                raise KeyError(item)

        stream = Chain(ops.flat_map(parts)).stream([1])
        assert await anext(stream) == 1
        await settle()
        with pytest.raises(KeyError, match="1"):
            await stream.aclose()

    run(main())


def test_an_item_that_swallows_its_cancellation_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        async def stubborn(item: int) -> AsyncIterator[int]:
            yield item
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            yield -item
            yield -item

        stream = Chain(ops.flat_map(stubborn)).stream([1])
        assert await anext(stream) == 1
        await settle()
        await stream.aclose()

    run(main())


def test_a_second_cancellation_does_not_leave_tasks_behind() -> None:
    async def main() -> None:
        slow = asyncio.Event()
        ended: list[int] = []

        async def parts(item: int) -> AsyncIterator[int]:
            try:
                await asyncio.Event().wait()
                yield item
            finally:
                await slow.wait()
                ended.append(item)

        running = asyncio.ensure_future(Chain(ops.flat_map(parts)).collect([1, 2]))
        await settle()
        running.cancel()
        await settle()
        running.cancel()
        await settle()
        assert not running.done()
        slow.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sorted(ended) == [1, 2]

    run(main())


def test_an_item_that_is_cancelled_by_itself_cancels_the_stream() -> None:
    async def main() -> None:
        async def cancelled(item: int) -> list[int]:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await Chain(ops.flat_map(cancelled)).collect([1, 2])

    run(main())


def test_a_source_that_fails_ends_it_after_cancelling_the_items() -> None:
    async def main() -> None:
        gates, outcome = Gates(), Outcome()
        source: Any = AsyncSource([1, 2, SourceFailure("gone")], outcome)
        with pytest.raises(SourceFailure, match="gone") as caught:
            await Chain(ops.flat_map(gates.parts)).collect(source)
        assert caught.value.__notes__ == [
            "in the source of the chain",
            "abandoned: 1 in 'flat_map', 2 in 'flat_map'",
        ]
        assert sorted(gates.left) == [1, 2]
        assert outcome.closed == 1

    run(main())


def test_the_function_runs_in_a_task() -> None:
    async def main() -> None:
        async def timed(item: int) -> list[asyncio.Task[Any] | None]:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                await group.create_task(asyncio.sleep(0))
            return [asyncio.current_task()]

        tasks = await Chain(ops.flat_map(timed)).collect([1, 2])
        assert len({id(task) for task in tasks}) == 2

    run(main())


def test_the_source_is_opened_asked_and_closed_in_one_task() -> None:
    async def main() -> None:
        tasks: list[Any] = []

        async def source() -> AsyncIterator[int]:
            try:
                for item in range(40):
                    tasks.append(asyncio.current_task())
                    yield item
            finally:
                tasks.append(asyncio.current_task())

        async def same(item: int) -> list[int]:
            await asyncio.sleep(0)
            return [item]

        stream = Chain(ops.flat_map(same)).stream(source())
        async for item in stream:
            if item == 20:
                break
        await stream.aclose()
        assert len(tasks) > 20
        assert len(set(tasks)) == 1

    run(main())


def test_errors_are_handed_to_an_async_handler_one_after_the_other() -> None:
    async def main() -> None:
        inside, most = 0, 0

        async def on_error(failure: Failure) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

        async def fail(item: int) -> list[int]:
            raise ValueError(item)

        assert await Chain(ops.flat_map(fail)).collect(range(8), on_error=on_error) == []
        assert most == 1

    run(main())


@given(
    st.lists(st.integers(0, 4), max_size=20),
    st.integers(1, 5),
    st.none() | st.integers(1, 6),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@settings(max_examples=100)
def test_nothing_is_lost_doubled_or_out_of_its_items_order(
    items: list[int], concurrency: int, most: int | None, skip: bool, random: Any
) -> None:
    working, worked = 0, 0

    async def parts(numbered: tuple[int, int]) -> AsyncIterator[tuple[int, int]]:
        nonlocal working, worked
        number, count = numbered
        working += 1
        worked = max(worked, working)
        try:
            for part in range(count):
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)
                if part == 3:
                    raise ValueError(number)
                yield number, part
        finally:
            working -= 1

    chain: Chain[int, tuple[int, int]] = Chain(ops.enumerate(), ops.flat_map(parts, concurrency))
    for way in (streamed, streamed_async, interpreted):
        working = worked = 0
        outcome = way(chain, items, skip, most)
        assert worked <= concurrency
        assert working == 0
        assert outcome.closed == 1
        assert len(set(outcome.outputs)) == len(outcome.outputs)
        for number in range(len(items)):
            own = [part for n, part in outcome.outputs if n == number]
            assert own == list(range(len(own)))
        if outcome.error is None and most is None:
            assert len(outcome.outputs) == sum(min(count, 3) for count in items)
        if outcome.error is not None:
            assert not skip
            assert 4 in items
        if concurrency == 1 and most is None:
            assert outcome.outputs == sorted(outcome.outputs)


def test_a_plain_source_is_closed_too() -> None:
    async def same(item: int) -> list[int]:
        return [item]

    outcome = Outcome()
    results = Chain(ops.flat_map(same)).iterate(Source([1, 2, 3], outcome))
    assert next(results) == 1
    results.close()
    assert outcome.closed == 1
