"""Marbles: what is written is what is played, and what is played is what is drawn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, Failure, Step, operator
from rxchain import operators as ops
from rxchain.testing import (
    Deadlock,
    Leak,
    LimitReached,
    MarbleError,
    Marbles,
    MarbleSource,
    Probe,
    SourceFailed,
    run,
)


@pytest.fixture
def m() -> Marbles:
    return Marbles()


SYMBOLS = st.one_of(
    st.sampled_from("abcxyz0123"),
    st.text("ab -|#(1!", min_size=0, max_size=3).filter(lambda t: len(t) != 1 or t in "-|#(! ").map("<{}>".format),
)
TICKS = st.lists(st.one_of(st.just([]), st.lists(SYMBOLS, max_size=3)), max_size=12)


@st.composite
def diagrams(draw: Callable[..., Any]) -> str:
    """Diagrams as `play` draws them: a group has two members at least, and nothing but ticks follows the end."""
    ticks: list[list[str]] = draw(TICKS)
    end = draw(st.sampled_from(["", "|", "#"]))
    if end:
        ticks.append([*draw(st.lists(SYMBOLS, max_size=2)), end])
        ticks += [[]] * draw(st.integers(0, 3))
    return "".join("-" if not tick else tick[0] if len(tick) == 1 else f"({''.join(tick)})" for tick in ticks)


# --- laws


@given(diagrams())
def test_a_chain_of_nothing_changes_nothing(marbles: str) -> None:
    assert Marbles().play(marbles) == marbles


@given(diagrams(), st.sampled_from([0.001, 0.1, 1 / 3, 7.0, 3600.0]))
def test_how_long_a_tick_takes_changes_nothing(marbles: str, tick: float) -> None:
    assert Marbles(tick=tick).play(marbles, lambda item: item) == marbles


@given(diagrams())
def test_spaces_change_nothing(marbles: str) -> None:
    if "<" in marbles:  # there a space is text
        return
    assert Marbles().play(" ".join(marbles)) == marbles


@given(diagrams())
def test_a_second_iteration_plays_it_again(marbles: str) -> None:
    async def times(source: MarbleSource[str]) -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            return [(round(loop.time() - start, 6), item) async for item in source]
        except SourceFailed:
            return []

    async def main() -> None:
        source = Marbles().source(marbles)
        assert await times(source) == await times(source)
        assert source.opened == 2

    if marbles.rstrip("-").endswith(("|", "#", "|)", "#)")):
        run(main())


# --- examples


async def slowly(item: str) -> str:
    await asyncio.sleep(1.5)
    return item


def test_a_slow_step_makes_the_source_wait(m: Marbles) -> None:
    assert m.play("-1-2-3-|", slowly) \
               == "--1-2-3|"  # fmt: skip
    assert m.play("-123|    ", slowly) \
               == "--1-2(3|)"  # fmt: skip


def test_the_diagram_grows_with_what_comes_late(m: Marbles) -> None:
    async def late(item: str) -> str:
        await asyncio.sleep(5)
        return item

    assert m.play("-1|   ", late) \
               == "------(1|)"  # fmt: skip


def test_what_ends_early_is_drawn_to_the_length_of_the_source(m: Marbles) -> None:
    assert m.play("-1-2-3-|",   ops.take(2)) \
               == "-1-(2|)----"  # fmt: skip


def test_values_stand_for_symbols_both_ways(m: Marbles) -> None:
    values = {"a": [1], "b": [2, 3], "<long>": 0, "two": 2, "t": True}
    assert m.play("-a-b-t|", lambda item: item, values=values) == "-a-b-t|"
    assert m.play("-a-b-|", len_of, values=values) == "-1-<two>-|"


def len_of(item: list[int]) -> int:
    return len(item)


def test_an_output_that_is_no_character_is_shown_by_its_text(m: Marbles) -> None:
    assert m.play("-1-2-|", ops.batch(2)) == "---<['1', '2']>-|"
    assert m.play("-<10>-|", ops.map(int), lambda n: n + 1) == "-<11>-|"


def test_an_item_that_cannot_be_compared_is_shown_all_the_same(m: Marbles) -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        def __str__(self) -> str:
            return "A"

        __hash__ = None  # type: ignore[assignment]

    assert m.play("-1-|", lambda item: Array(), values={"x": Array()}) == "-A-|"


def test_an_error_is_drawn_and_kept(m: Marbles) -> None:
    assert m.play("-1-x-3-|", ops.map(int)) == "-1-#----"
    assert isinstance(m.error, ValueError)
    assert m.play("-1-|", ops.map(int)) == "-1-|"
    assert m.error is None
    assert m.play("-1-#") == "-1-#"
    assert isinstance(m.error, SourceFailed)
    given = LookupError()
    assert m.play("-1-#", error=given) == "-1-#"
    assert m.error is given


def test_the_items_that_fail_are_told(m: Marbles) -> None:
    failed = m.probe()
    assert m.play("-1-x-3-|", ops.map(int), on_error=failed) == "-1---3-|"
    assert failed.marbles == "---x----"  # fmt: skip
    assert isinstance(failed.items[0], Failure)

    async def told(failure: Failure) -> None:
        await asyncio.sleep(2)
        failed(failure)

    assert m.play("-1-x-3-|", ops.map(int), on_error=told) == "-1---3-|"


def test_a_failing_source_is_no_failed_item(m: Marbles) -> None:
    failed = m.probe()
    assert m.play("-1-#", ops.map(int), on_error=failed) == "-1-#"
    assert failed.marbles                                == "----"  # fmt: skip


def test_a_stream_without_an_end_is_left_when_nothing_more_comes(m: Marbles) -> None:
    assert m.play("-1-2-", slowly) == "--1-2"
    assert m.play("") == ""


def test_the_consumer_may_leave(m: Marbles) -> None:
    closed = []

    @operator
    def noticing() -> Step[str, str]:
        async def over(source: AsyncIterator[str]) -> AsyncIterator[str]:
            try:
                async for item in source:
                    yield item
            finally:
                closed.append(asyncio.get_running_loop().time())

        return over  # type: ignore[return-value]

    assert m.play("-1-2-3-|", noticing(), until="-- -!") \
               == "-1------"  # fmt: skip
    assert closed == [3]
    assert m.play("-1|", until="-------!") == "-1|-----"


def test_an_endless_chain_needs_until(m: Marbles) -> None:
    @operator
    def ticking() -> Step[str, str]:
        async def over(source: AsyncIterator[str]) -> AsyncIterator[str]:
            async for item in source:
                while True:
                    yield item
                    await asyncio.sleep(1)

        return over  # type: ignore[return-value]

    assert m.play("-1-|", ticking(), until="-----!") == "-1111-"
    with pytest.raises(LimitReached):
        m.play("-1-|", ticking())


def test_a_chain_that_hangs_says_where(m: Marbles) -> None:
    async def hangs(item: str) -> str:
        await asyncio.Event().wait()  # here
        return item

    with pytest.raises(Deadlock, match="# here"):
        m.play("-1-|", hangs)


def test_a_task_that_is_left_fails_the_play(m: Marbles) -> None:
    async def careless(item: str) -> str:
        tasks.append(asyncio.create_task(asyncio.sleep(100)))
        return item

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(Leak, match=r"left behind:\n +the task"):
        m.play("-1-|", careless)
    assert tasks[0].cancelled()


def test_a_step_that_fails_when_it_is_left_is_not_silent(m: Marbles) -> None:
    async def awkward(item: str) -> str:
        try:
            await asyncio.sleep(100)
        finally:
            raise LookupError("at the worst time")

    assert m.play("-1-|", awkward, until="---!") == "---#"
    assert "at the worst time" in str(m.error)


def test_it_plays_in_a_running_loop_too(m: Marbles) -> None:
    async def main() -> str:
        return m.play("-1-|", slowly)

    assert asyncio.run(main()) == "--1|"


def test_side_by_side(m: Marbles) -> None:
    async def parts(item: str) -> AsyncIterator[str]:
        for part in (item, item.upper()):
            await asyncio.sleep(2)
            yield part

    assert m.play("-a-b-|-", ops.flat_map(parts)) \
               == "---a-(Ab)-(B|)"  # fmt: skip
    assert m.play("-a-b-|-", ops.concat_map(parts)) \
               == "---a-A-b-(B|)"  # fmt: skip


# --- diagrams that are none


@pytest.mark.parametrize(
    ("marbles", "position", "what"),
    [
        ("-(ab", 1, "without ')'"),
        ("-ab)", 3, "without '('"),
        ("-()-", 1, "empty group"),
        ("-(a(b))", 3, "a group inside"),
        ("-(a-b)", 3, "one tick"),
        ("-|a", 2, "only '-' may follow"),
        ("(|a)", 2, "only '-' may follow"),
        ("-|#", 2, "only '-' may follow"),
        ("-a-!", 3, "until="),
        ("^-a", 0, "at once"),
        ("a<b", 1, "without '>'"),
        ("a>b", 1, "without '<'"),
    ],
)
def test_a_diagram_that_is_none_says_where(m: Marbles, marbles: str, position: int, what: str) -> None:
    with pytest.raises(MarbleError) as raised:
        m.play(marbles)
    assert (raised.value.marbles, raised.value.position) == (marbles, position)
    assert what in str(raised.value)
    assert str(raised.value).endswith(f"    {marbles}\n    {' ' * position}^")


@pytest.mark.parametrize(("until", "position"), [("---", 3), ("-a!", 1), ("!!", 1)])
def test_an_until_that_is_none_says_where(m: Marbles, until: str, position: int) -> None:
    with pytest.raises(MarbleError) as raised:
        m.play("-1-|", until=until)
    assert raised.value.position == position


def test_a_tick_takes_time() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Marbles(tick=0)


# --- the source alone


def test_a_source_is_asked_only_when_something_is_taken(m: Marbles) -> None:
    source = m.source("123|")

    async def main() -> None:
        stream = Chain(ops.map(int)).stream(source)
        assert source.asked == 0
        assert await anext(stream) == 1
        assert (source.asked, source.given, source.closed) == (1, 1, 0)
        await stream.aclose()
        assert (source.asked, source.closed) == (1, 1)

    run(main())


def test_a_source_counts_its_end_as_asked(m: Marbles) -> None:
    source = m.source("1-2|")
    assert run(Chain(ops.map(int)).collect(source)) == [1, 2]
    assert (source.asked, source.given, source.opened, source.closed) == (3, 2, 1, 1)


def test_a_source_that_was_left_while_it_waited_has_lost_nothing(m: Marbles) -> None:
    async def main() -> list[str]:
        items = aiter(m.source("--1-2|"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await anext(items)
        return [item async for item in items]

    assert run(main()) == ["1", "2"]


def test_a_source_refuses_to_be_asked_twice_at_once(m: Marbles) -> None:
    async def main() -> None:
        items = aiter(m.source("--1|"))
        first, second = await asyncio.gather(anext(items), anext(items), return_exceptions=True)
        assert first == "1"
        assert isinstance(second, RuntimeError)

    run(main())


def test_a_source_is_typed_by_its_values(m: Marbles) -> None:
    assert_type(m.source("-1|"), MarbleSource[str])
    source = m.source("-ab|", values={"a": 1, "b": 2})
    assert_type(source, MarbleSource[int])
    assert run(Chain[int, int]().collect(source)) == [1, 2]
    with pytest.raises(MarbleError, match="values= has no 'c'"):
        m.source("-ac|", values={"a": 1})


# --- probes


def test_a_probe_takes_as_many_as_it_is_told_to(m: Marbles) -> None:
    source = m.source("-1-2-3-|")

    async def main() -> None:
        probe = m.probe(Chain(ops.map(int)).stream(source))
        assert_type(probe, Probe[int])
        assert await probe.request(2) == [1, 2]
        assert source.asked == 2
        await asyncio.sleep(10)
        assert await probe.request(5) == [3]
        assert (probe.completed, probe.error) == (True, None)
        assert await probe.request() == []
        await probe.cancel()
        assert probe.marbles == "-1-2---------(3|)"
        assert probe.times == [1, 3, 13]
        assert source.closed == 1

    run(main())


def test_a_probe_that_leaves_closes_the_source_once(m: Marbles) -> None:
    source = m.source("-1-2-3-|")

    async def main() -> None:
        probe = m.probe(Chain(ops.map(int)).stream(source))
        await probe.request()
        await probe.cancel()
        await probe.cancel()

    run(main())
    assert (source.asked, source.closed) == (1, 1)


def test_a_probe_keeps_the_error(m: Marbles) -> None:
    async def main() -> None:
        probe = m.probe(Chain(ops.map(int)).stream(m.source("-1-x-3-|")))
        assert await probe.request(3) == [1]
        assert isinstance(probe.error, ValueError)
        assert probe.marbles == "-1-#"
        assert await probe.request(3) == []

    run(main())


def test_a_probe_says_what_it_cannot_do(m: Marbles) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r"m.probe\(chain.stream\(source\)\)  # correct"):
            await m.probe().request()
        probe = m.probe(Chain(ops.map(int)).stream(["1"]))
        with pytest.raises(ValueError, match="1 or more, got 0"):
            await probe.request(0)
        await probe.cancel()

    run(main())


def test_a_probe_stands_where_a_function_does(m: Marbles) -> None:
    before, after = m.probe(), m.probe()
    assert m.play("-1-2-|", ops.tap(before), slowly, ops.tap(after)) == "--1-2|"
    assert (before.marbles, after.marbles) == ("-1-2--", "--1-2-")
    assert list(Chain(ops.tap(before)).iterate("ab")) == ["a", "b"]
    assert before.items == ["1", "2", "a", "b"]


def test_a_probe_is_an_observer(m: Marbles) -> None:
    import reactivex

    probe = m.probe()
    reactivex.of("1", "2").pipe(Chain(ops.map(int))).subscribe(probe)
    assert probe.marbles == "(12|)"
    failed = m.probe()
    reactivex.of("1", "x").pipe(Chain(ops.map(int))).subscribe(failed)
    assert failed.marbles == "(1#)"
    assert repr(failed) == "<probe (1#)>"


def test_steps_are_taken_whatever_their_types(m: Marbles) -> None:
    def halves(item: int) -> Iterator[float]:
        yield item / 2
        yield item / 2

    assert m.play("-2-|", Chain(ops.map(int), halves, name="inner"), ops.take(1), repr) == "-(<1.0>|)--"
