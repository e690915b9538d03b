"""buffer: what waits, what is dropped, and who is told."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain
from rxchain import operators as ops
from rxchain.errors import Overflow
from rxchain.operators._buffer import POLICIES
from rxchain.testing import Marbles, no_leaks, run


@pytest.fixture
def m() -> Marbles:
    return Marbles()


async def kept(m: Marbles, marbles: str, size: int, overflow: Any, on_drop: Any = None) -> list[str]:
    """What a consumer gets who takes one item, is busy for a while, and takes the rest."""
    chain: Chain[str, str] = Chain(ops.buffer(size, overflow, on_drop))
    probe = m.probe(chain.stream(m.source(marbles)))
    await probe.request()
    await asyncio.sleep(50)
    await probe.request(50)
    if probe.error is not None:
        raise probe.error
    return probe.items


@pytest.mark.parametrize(
    ("overflow", "expected", "dropped"),
    [
        ("block", "abcdefgh", []),
        ("drop_oldest", "afgh", [("b", 1), ("c", 2), ("d", 3), ("e", 4)]),
        ("drop_newest", "abcd", [("e", 1), ("f", 2), ("g", 3), ("h", 4)]),
        ("latest", "ah", [("b", 1), ("c", 2), ("d", 3), ("e", 4), ("f", 5), ("g", 6)]),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_what_there_is_no_room_for(m: Marbles, overflow: str, expected: str, dropped: list[Any], later: bool) -> None:
    told: list[Any] = []

    async def tell_later(item: str, count: int) -> None:
        await asyncio.sleep(0.1)
        told.append((item, count))

    def tell(item: str, count: int) -> None:
        told.append((item, count))

    assert run(kept(m, "abcdefgh|", 3, overflow, tell_later if later else tell)) == [*expected]
    assert told == dropped


def test_an_overflow_that_is_an_error_comes_behind_what_waits(m: Marbles) -> None:
    chain: Chain[str, str] = Chain(ops.buffer(2, "error"), name="quotes")
    source = m.source("abcdefgh|")

    async def main() -> None:
        probe = m.probe(chain.stream(source))
        await probe.request()
        await asyncio.sleep(50)
        assert await probe.request(9) == ["b", "c"]
        assert probe.error is not None
        raise probe.error

    with pytest.raises(Overflow, match="buffer: 2 items wait to be taken, and another has come") as caught:
        run(main())
    assert caught.value.__notes__ == ["in node 'buffer' of chain 'quotes'"]
    assert (source.given, source.closed) == (4, 1)


def test_a_source_that_waits_is_taken_from_as_soon_as_there_is_room(m: Marbles) -> None:
    source = m.source("abcdefgh|")

    async def main() -> None:
        chain: Chain[str, str] = Chain(ops.buffer(2))
        probe = m.probe(chain.stream(source))
        given = []
        for _ in range(4):
            await probe.request()
            await asyncio.sleep(50)
            given.append(source.given)
        assert given == [3, 4, 5, 6]
        await probe.cancel()

    run(main())


def test_a_source_and_a_consumer_work_side_by_side(m: Marbles) -> None:
    """Each takes two seconds an item: one behind the other that is four, with a buffer two."""

    async def main() -> None:
        chain: Chain[str, str] = Chain(ops.buffer(1))
        async for _ in chain.stream(m.source("--a-b-c-d|")):
            await asyncio.sleep(2)
        assert asyncio.get_running_loop().time() == 10

    run(main())


def test_an_error_of_on_drop_ends_the_stream(m: Marbles) -> None:
    def fails(item: str, count: int) -> None:
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError, match="b") as caught:
        run(kept(m, "abcdefgh|", 1, "drop_oldest", fails))
    assert caught.value.__notes__ == ["in node 'buffer'"]


@given(
    st.sampled_from([policy for policy in POLICIES if policy != "error"]),
    st.integers(1, 4),
    st.lists(st.sampled_from([0, 1, 2]), max_size=12),
    st.lists(st.sampled_from([0, 0.5, 1, 3]), min_size=1, max_size=5),
)
@settings(max_examples=200)
def test_each_item_is_emitted_or_dropped_and_told(
    overflow: Any, size: int, gaps: list[float], pauses: list[float]
) -> None:
    dropped: list[int] = []
    counts: list[int] = []

    def tell(item: int, count: int) -> None:
        dropped.append(item)
        counts.append(count)

    async def source() -> Any:
        for item, gap in enumerate(gaps):
            await asyncio.sleep(gap)
            yield item

    async def main() -> list[int]:
        taken: list[int] = []
        chain: Chain[int, int] = Chain(ops.buffer(size, overflow, tell))
        async for item in chain.stream(source()):
            taken.append(item)
            await asyncio.sleep(pauses[item % len(pauses)])
        return taken

    taken = run(main())
    assert taken == sorted(taken)
    assert sorted(taken + dropped) == list(range(len(gaps)))
    assert counts == list(range(1, len(dropped) + 1))
    assert overflow != "block" or not dropped
    if gaps and overflow != "drop_newest":
        assert taken[-1] == len(gaps) - 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: ops.buffer(0),
            "buffer: size must be a whole number, 1 or more, got 0\n    ops.buffer(0)  # incorrect",
        ),
        (
            lambda: ops.buffer(9, "drop"),  # type: ignore[arg-type]
            "buffer: overflow is one of 'error', 'block', 'drop_oldest', 'drop_newest', 'latest', got 'drop'\n"
            "    ops.buffer(100, 'drop')  # incorrect\n",
        ),
        (lambda: ops.buffer(9, on_drop=3), "buffer: on_drop must be a function or None, got an int: 3"),  # type: ignore[arg-type]
    ],
)
def test_a_mistake_is_told_where_it_is_written(wrong: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        wrong()


@pytest.mark.parametrize("overflow", ["error", "drop_oldest"])
def test_what_a_source_gives_instead_of_ending_is_nobodys(overflow: Any) -> None:
    dropped: list[Any] = []

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(1)
        yield 2
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            yield 3

    async def main() -> None:
        chain: Chain[int, int] = Chain(ops.buffer(1, overflow, lambda *told: dropped.append(told)))
        stream = chain.stream(stubborn())
        assert await anext(stream) == 1
        await asyncio.sleep(2)
        await stream.aclose()

    run(main())
    assert dropped == []


def test_nothing_is_left_when_a_consumer_leaves_while_somebody_is_told(m: Marbles) -> None:
    async def tells_for_long(item: str, count: int) -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        async with no_leaks():
            chain: Chain[str, str] = Chain(ops.buffer(1, "drop_oldest", tells_for_long))
            probe = m.probe(chain.stream(m.source("abcdef|")))
            await probe.request()
            await asyncio.sleep(10)
            await probe.cancel()

    run(main())
