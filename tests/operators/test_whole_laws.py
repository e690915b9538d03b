"""What all operators over the stream as a whole promise, whatever their source and their consumer do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain
from rxchain import operators as ops
from rxchain.testing import (
    EmitsAfterEnd,
    FailsInClose,
    FailsMidway,
    HangsInClose,
    IgnoresCancellation,
    Marbles,
    MarbleSource,
    NeverCompletes,
    SourceFailed,
    no_leaks,
    run,
)
from tests.operators.whole import WHOLE, Whole, shown

each_operator = pytest.mark.parametrize("example", WHOLE, ids=shown)

marbles = st.builds(
    "{}{}".format,
    st.text("---.", max_size=24).map(lambda text: "".join(chr(97 + i) if c == "." else c for i, c in enumerate(text))),
    st.sampled_from(["|", "#", ""]),
)
"""Diagrams of items that are all different; in half of the ticks several at once would hide nothing."""

pauses = st.lists(st.sampled_from([0, 0, 0, 0.5, 1, 4]), max_size=12)
"""How long a consumer takes for each item, again and again."""


@dataclass
class Played:
    """What came of one run."""

    items: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    error: BaseException | None = None
    completed: bool = False
    most_held: int = 0


async def play(
    example: Whole, source: MarbleSource[Any], pauses: list[float], most: int | None, until: float | None
) -> Played:
    """Take from the operator, with pauses; leave after *most* items, or be cancelled at a time."""
    played = Played()
    loop = asyncio.get_running_loop()

    async def consume() -> None:
        stream = Chain(example.make()).stream(source)
        try:
            if most == 0:
                return
            async for item in stream:
                played.items.append(item)
                played.times.append(loop.time())
                played.most_held = max(played.most_held, source.given - len(example.items(played.items)))
                if pauses:
                    await asyncio.sleep(pauses[len(played.items) % len(pauses)])
                played.most_held = max(played.most_held, source.given - len(example.items(played.items)))
                if len(played.items) == most:
                    return
            played.completed = True
        except Exception as error:
            played.error = error
        finally:
            await stream.aclose()

    consuming = asyncio.ensure_future(consume())
    await asyncio.wait([consuming], timeout=until if until is not None else 200)
    consuming.cancel()
    await asyncio.wait([consuming])
    if not consuming.cancelled():
        consuming.result()
    assert_nothing_is_left(source)
    return played


def assert_nothing_is_left(source: MarbleSource[Any]) -> None:
    """No task, no timer, and the source closed: now, and not when the loop ends."""
    assert asyncio.all_tasks() == {asyncio.current_task()}
    loop: Any = asyncio.get_running_loop()
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
    assert source.closed == source.opened


def is_within(few: list[Any], many: list[Any]) -> bool:
    """Whether *few* are some of *many*, in their order."""
    rest = iter(many)
    return all(item in rest for item in few)


@each_operator
@given(marbles, pauses, st.none() | st.integers(0, 6), st.none() | st.sampled_from([0, 0.5, 1, 2, 2.5, 3, 7, 11.5]))
@settings(max_examples=60)
def test_order_is_kept_bounds_hold_nothing_is_left_behind(
    example: Whole, marbles: str, pauses: list[float], most: int | None, until: float | None
) -> None:
    source = Marbles().source(marbles)
    played = run(play(example, source, pauses, most, until))
    everything = [letter for letter in marbles if letter.isalpha()]
    items = example.items(played.items)
    assert is_within(items, everything)
    assert source.closed == source.opened <= 1
    if not example.loses:
        assert played.most_held <= example.held
        if played.completed or (played.error is not None and not example.folds):
            assert items == everything, "nothing is lost at the end"
    if played.error is not None:
        assert marbles.endswith("#")
        assert isinstance(played.error, SourceFailed)
        assert not played.completed
    if played.completed:
        assert marbles.endswith("|")
    if most is None and until is None:
        assert (played.completed, played.error is not None) == (marbles.endswith("|"), marbles.endswith("#"))


@each_operator
@given(marbles, pauses, st.none() | st.integers(1, 6))
@settings(max_examples=25)
def test_a_second_run_is_like_the_first(example: Whole, marbles: str, pauses: list[float], most: int | None) -> None:
    source = Marbles().source(marbles)
    chain = Chain(example.make())

    async def once() -> tuple[list[Any], str]:
        outputs: list[Any] = []
        stream = chain.stream(source)
        try:
            async with asyncio.timeout(200):
                async for output in stream:
                    outputs.append((output, asyncio.get_running_loop().time()))
                    if len(outputs) == most:
                        break
        except (SourceFailed, TimeoutError) as error:
            return outputs, type(error).__name__
        finally:
            await stream.aclose()
        return outputs, ""

    first = run(once())
    assert run(once()) == first
    assert source.closed == source.opened in (0, 2)


@each_operator
def test_the_source_is_opened_taken_from_and_closed_in_one_task(example: Whole) -> None:
    tasks: list[Any] = []

    async def source() -> AsyncIterator[int]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
            async with asyncio.timeout(1000):
                for item in range(5):
                    tasks.append(asyncio.current_task())
                    await asyncio.sleep(0.7)
                    yield item
        tasks.append(asyncio.current_task())

    async def main() -> None:
        async with no_leaks():
            await Chain(example.make()).collect(source())

    run(main())
    assert len(tasks) == 7
    assert len(set(tasks)) == 1


@each_operator
def test_a_source_that_emits_after_its_end_is_not_asked_again(example: Whole) -> None:
    source = EmitsAfterEnd("ab", late="cd")
    outputs = run(Chain(example.make()).collect(source))
    assert set(example.items(outputs)) <= set("ab")
    assert (source.asked, source.closed) == (3, 1)


@each_operator
def test_an_error_comes_once_and_behind_the_items(example: Whole) -> None:
    source = FailsMidway("ab")
    outputs: list[Any] = []

    async def main() -> None:
        async with no_leaks():
            async for output in Chain(example.make()).stream(source):
                outputs.append(output)

    with pytest.raises(SourceFailed) as caught:
        run(main())
    assert caught.value is source.error
    assert caught.value.__notes__ == ["in the source of the chain"]
    assert example.loses or example.folds or example.items(outputs) == ["a", "b"]
    assert source.closed == 1


@each_operator
def test_an_error_in_closing_the_source_at_its_end_is_told(example: Whole) -> None:
    source = FailsInClose("abcd")

    async def main() -> None:
        async with no_leaks():
            await Chain(example.make()).collect(source)

    with pytest.raises(SourceFailed) as caught:
        run(main())
    assert caught.value is source.error
    assert source.closed == 1


@each_operator
@pytest.mark.parametrize("how", ["close", "take"])
def test_an_error_in_closing_the_source_early_is_told(example: Whole, how: str) -> None:
    async def source() -> AsyncIterator[int]:
        try:
            for item in range(100):
                yield item
                await asyncio.sleep(2)
        finally:
            raise SourceFailed("in closing")

    async def main() -> None:
        async with no_leaks():
            chain: Chain[int, Any] = Chain(example.make())
            if how == "take":
                await (chain | ops.take(2)).collect(source())
                return
            stream = chain.stream(source())
            await anext(stream)
            await anext(stream)
            await stream.aclose()

    with pytest.raises(SourceFailed, match="in closing"):
        run(main())


@each_operator
def test_what_would_have_come_later_does_not_fail_a_consumer_that_has_left(example: Whole) -> None:
    chain: Chain[str, Any] = Chain(example.make(), ops.take(1))
    source = FailsMidway("abcdefgh")
    if not example.loses and "whole, s" not in shown(example):
        assert run(chain.collect(source))
        assert source.closed == 1


@each_operator
@pytest.mark.parametrize("end", ["cancel", "close", "break"])
def test_a_source_that_never_completes_is_closed_when_its_consumer_leaves(example: Whole, end: str) -> None:
    source = NeverCompletes("abcdefghijk")

    async def main() -> None:
        async with no_leaks():
            stream = Chain(example.make()).stream(source)
            if end == "close":
                await anext(stream)
                await stream.aclose()
            elif end == "break":
                async for _ in stream:
                    break
                del stream
                await asyncio.sleep(1)
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(50):
                        async for _ in stream:
                            pass

    run(main())
    assert source.closed == (source.asked > 0)


@each_operator
def test_a_source_that_hangs_in_closing_is_let_go_of_when_that_is_cancelled(example: Whole) -> None:
    source = HangsInClose("abc")

    async def main() -> None:
        async with no_leaks():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(50):
                    await Chain(example.make()).collect(source)

    run(main())
    assert source.closed == 1


@each_operator
def test_a_source_that_ignores_a_cancellation_is_cancelled_again(example: Whole) -> None:
    source = IgnoresCancellation("abc", times=1)

    async def main() -> None:
        async with no_leaks():
            task = asyncio.ensure_future(Chain(example.make()).collect(source))
            await asyncio.sleep(20)
            task.cancel()
            await asyncio.sleep(20)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())
    assert (source.ignored, source.closed) == (1, 1)


@each_operator
def test_a_cancellation_by_the_source_itself_is_not_swallowed(example: Whole) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    async def main() -> None:
        async with no_leaks():
            with pytest.raises(asyncio.CancelledError):
                await Chain(example.make()).collect(source())

    run(main())


@each_operator
def test_synchronous_code_runs_it_on_a_loop_of_its_own(example: Whole) -> None:
    if example.name in ("delay", "window"):
        return  # their time is real there
    chain: Chain[int, Any] = Chain(example.make(), ops.take(2))
    assert chain.is_async
    outputs = list(chain.iterate(range(5)))
    assert is_within(example.items(outputs), list(range(5)))


@each_operator
def test_a_source_that_is_always_ready_leaves_the_loop_to_others(example: Whole) -> None:
    """In real time: the virtual clock stands still as long as something is ready."""

    async def main() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.ensure_future(others())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                stream = Chain(example.make()).stream(iter(int, 1))
                try:
                    async for _ in stream:
                        pass
                finally:
                    await stream.aclose()
        other.cancel()
        assert turns > 1

    if not (example.name == "buffer" and "error" in shown(example)) and shown(example) != "window(whole, seconds=2)":
        asyncio.run(main())


@each_operator
def test_who_closes_it_may_be_cancelled_meanwhile(example: Whole) -> None:
    said: list[str] = []
    closed_at = 0.0

    async def source() -> AsyncIterator[int]:
        try:
            for item in range(100):
                yield item
                await asyncio.sleep(2)
        finally:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                said.append(f"cancelled at {asyncio.get_running_loop().time() - closed_at:g}")
                raise

    async def main() -> None:
        nonlocal closed_at
        async with no_leaks():
            stream = Chain(example.make()).stream(source())
            await anext(stream)
            await anext(stream)
            closed_at = asyncio.get_running_loop().time()
            closing = asyncio.ensure_future(stream.aclose())
            await asyncio.sleep(5)
            assert not closing.done()
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()

    run(main())
    assert said == ["cancelled at 5"]


async def later(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


async def much_later(item: Any) -> Any:
    await asyncio.sleep(0.7)
    return item


@each_operator
@given(st.sampled_from([0, 0.5, 1, 1.5, 2, 3, 4]), st.integers(0, 40), st.booleans(), st.booleans())
@settings(max_examples=60)
def test_it_may_be_cancelled_at_any_await(
    example: Whole, time: float, rounds: int, close: bool, between_nodes: bool
) -> None:
    source = Marbles(tick=0.5).source("a(bc)de-(fghij)k--l|")
    steps = (later, example.make(), much_later) if between_nodes else (example.make(),)

    async def consume(stream: Any) -> None:
        try:
            async for _ in stream:
                await asyncio.sleep(0)
        finally:
            await stream.aclose()

    async def main() -> None:
        stream = Chain(*steps).stream(source)
        consuming = asyncio.ensure_future(consume(stream))
        await asyncio.sleep(time)
        for _ in range(rounds):
            await asyncio.sleep(0)
        consuming.cancel()
        await asyncio.wait([consuming])
        assert consuming.done()
        if not consuming.cancelled():
            consuming.result()
        assert_nothing_is_left(source)

    run(main())


@each_operator
@pytest.mark.parametrize("skips", [False, True])
def test_between_asynchronous_nodes_it_is_the_same(example: Whole, skips: bool) -> None:
    """Where items are pipelined, several are under way in front of it and behind it."""
    source = Marbles().source("abc--d-(efgh)----ij|")
    failures: list[Any] = []

    async def main(*steps: Any) -> list[Any]:
        chain = Chain(*steps)
        return await chain.collect(source, on_error=failures.append if skips else None)

    alone = run(main(example.make()))
    among = run(main(later, example.make(), later))
    assert failures == []
    assert is_within(example.items(among), [*"abcdefghij"])
    assert len(example.items(among)) == len(example.items(alone)) or example.loses
    assert source.opened == source.closed == 2
