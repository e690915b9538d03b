"""Operators of several streams: merge, concat, zip, share."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aioreactive
import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, CompositionError, Operator
from rxchain import operators as ops
from rxchain.testing import FailsInClose, FailsMidway, Marbles, NeverCompletes, SourceFailed, no_leaks, run


def of(*steps: Any, name: str | None = None) -> Chain[Any, Any]:
    """A chain of whatever types."""
    return Chain(*steps, name=name)


@pytest.fixture
def m() -> Marbles:
    return Marbles()


async def later(letters: str) -> AsyncIterator[str]:
    for letter in letters:
        await asyncio.sleep(0)
        yield letter


KINDS: list[Callable[[str], Any]] = [
    str,
    list,
    iter,
    later,
    lambda letters: of().stream(letters),
    reactivex.from_iterable,
    aioreactive.from_iterable,
]

untyped: Any = ops

SEVERAL: list[Callable[..., Operator[Any, Any]]] = [ops.merge, ops.concat, ops.zip]
of_several = pytest.mark.parametrize("several", SEVERAL, ids=lambda several: several.__name__)


@of_several
@pytest.mark.parametrize("kind", KINDS)
def test_the_others_may_be_streams_of_every_kind(several: Any, kind: Any) -> None:
    async def main() -> list[Any]:
        async with no_leaks():
            return await of(several(kind("xyz"))).collect("abc")

    outputs = run(main())
    if several is ops.zip:
        assert outputs == [("a", "x"), ("b", "y"), ("c", "z")]
    elif several is ops.concat:
        assert "".join(outputs) == "abcxyz"
    else:
        assert sorted(outputs) == [*"abcxyz"]
        assert [o for o in outputs if o in "abc"] == [*"abc"]
        assert [o for o in outputs if o in "xyz"] == [*"xyz"]


@of_several
def test_another_run_takes_from_them_anew(several: Any, m: Marbles) -> None:
    other = m.source("x-y-z|")
    chain = of(several(other))
    first = run(chain.collect("abc"))
    assert run(chain.collect("abc")) == first
    assert other.opened == other.closed == 2


@of_several
@pytest.mark.parametrize("most", [1, 2])
def test_all_are_closed_when_the_consumer_leaves(several: Any, most: int, m: Marbles) -> None:
    source, others = m.source("a---b--|"), [m.source("-x---y"), m.source("(pq)-|")]

    async def main() -> None:
        async with no_leaks():
            probe = m.probe(of(several(*others)).stream(source))
            await probe.request(most)
            await probe.cancel()

    run(main())
    for stream in [source, *others]:
        assert stream.closed == stream.opened
        assert stream.opened == 1 or several is ops.concat


@of_several
def test_an_error_of_one_closes_the_others(several: Any, m: Marbles) -> None:
    source, other, third = m.source("a-b|"), FailsMidway("x"), m.source("p----")
    outputs: list[Any] = []

    async def main() -> None:
        async with no_leaks():
            async for output in of(several(other, third), name="c").stream(source):
                outputs.append(output)

    with pytest.raises(SourceFailed) as caught:
        run(main())
    assert caught.value is other.error
    assert any(f"in node '{several.__name__}' of chain 'c'" in note for note in caught.value.__notes__)
    before: dict[str, set[Any]] = {"merge": {*"axp"}, "concat": {*"abx"}, "zip": {("a", "x", "p")}}
    assert {*outputs} <= before[several.__name__]
    assert (other.closed, source.closed) == (1, 1)
    assert third.closed == third.opened


@of_several
def test_an_error_in_closing_one_is_told(several: Any, m: Marbles) -> None:
    async def main() -> None:
        async with no_leaks():
            await of(several(FailsInClose("xy"))).collect("ab")

    with pytest.raises(SourceFailed, match="the source fails to close"):
        run(main())


def test_what_fails_in_closing_because_another_has_failed_is_noted() -> None:
    async def clumsy() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(1000)
        finally:
            raise ZeroDivisionError("closing")

    with pytest.raises(SourceFailed) as caught:
        run(gathered(of(ops.merge(clumsy())).collect(FailsMidway("ab"))))
    told = "while the sources were being closed, one failed too: ZeroDivisionError('closing')"
    assert told in caught.value.__notes__


@of_several
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (3, "it takes iterables, async iterables and Observables, got an int: 3\n    ops.NAME(3)  # incorrect\n"),
        (later, "ops.NAME(later())  # correct, if what it returns is one"),
        (of(str.upper), "# correct: a chain is no stream before it has a source"),
        (list, "got a class"),
    ],
)
def test_what_is_no_stream_is_refused_where_it_is_written(several: Any, other: Any, message: str) -> None:
    with pytest.raises(CompositionError, match=re.escape(message.replace("NAME", several.__name__))):
        several("abc", other)


# --- merge


def test_merge_emits_as_they_come(m: Marbles) -> None:
    assert m.play("-a--b--|", untyped.merge(m.source("--x---y--|"))) == "-ax-b-y--|"
    assert m.play("a|", untyped.merge(m.source("-x|"), m.source("--y|"))) == "axy|"
    assert m.play("---|", untyped.merge(m.source("-|"))) == "---|"
    assert m.play("a--#", untyped.merge(m.source("-x-y-z|"))) == "ax-(y#)"


def test_merge_takes_in_turn_what_is_ready() -> None:
    assert run(of(ops.merge("vwxyz", "12")).collect("abc")) == [*"av1bw2cxyz"]


def test_merge_holds_one_item_of_each(m: Marbles) -> None:
    source, other = m.source("abcdef|"), m.source("uvwxyz|")

    async def main() -> None:
        probe = m.probe(of(ops.merge(other)).stream(source))
        await probe.request()
        await asyncio.sleep(20)
        assert source.given + other.given == 3
        await probe.request()
        await asyncio.sleep(20)
        assert source.given + other.given == 4
        await probe.cancel()

    run(main())


def test_an_error_does_not_wait_for_the_others_to_run_dry() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "x"

    outputs: list[str] = []

    async def main() -> None:
        async for output in of(ops.merge(endless(), FailsMidway("y"))).stream("a"):
            outputs.append(output)
            for _ in range(5):
                await asyncio.sleep(0)  # there is always another x by then
            assert len(outputs) < 20

    with pytest.raises(SourceFailed):
        run(main())
    assert {"a", "y"} <= {*outputs}


@given(st.lists(st.text("-.", max_size=8), min_size=1, max_size=4))
def test_merge_loses_nothing_and_keeps_the_order_of_each(lines: list[str]) -> None:
    m = Marbles()
    for number, line in enumerate(lines):
        lines[number] = "".join(f"<{number}{i}>" if c == "." else "-" for i, c in enumerate(line)) + "|"
    outputs = run(of(ops.merge(*[m.source(line) for line in lines[1:]])).collect(m.source(lines[0])))
    for number, line in enumerate(lines):
        assert [output for output in outputs if output[0] == str(number)] == re.findall(r"<(\w+)>", line)
    assert len(outputs) == sum(line.count("<") for line in lines)


# --- concat


def test_concat_opens_one_when_the_one_before_has_ended(m: Marbles) -> None:
    assert m.play("-a-|", untyped.concat(m.source("-x-|"), "yz")) == "-a--x-(yz|)"
    assert m.play("-a#", untyped.concat("xyz")) == "-a#"
    assert m.play("abc|", ops.take(1), untyped.concat("xyz")) == "(axyz|)---", "an early end is an end"


def test_concat_of_plain_streams_stays_synchronous() -> None:
    chain = of(ops.concat("xyz"), str.upper)
    assert not chain.is_async
    assert list(chain.iterate("ab")) == [*"ABXYZ"]


# --- zip


def test_zip_waits_for_all(m: Marbles) -> None:
    chain = (untyped.zip(m.source("x--y---z|"), "123"), ops.map("".join))
    assert m.play("-ab---c-|", *chain) == "-<ax1>-<by2>---(<cz3>|)-"


def test_zip_asks_all_at_the_same_time_and_only_when_it_is_asked(m: Marbles) -> None:
    source, other = m.source("abc|"), m.source("xyz|")

    async def main() -> None:
        probe = m.probe(of(ops.zip(other)).stream(source))
        await probe.request()
        await asyncio.sleep(20)
        assert (source.given, other.given) == (1, 1)
        await probe.cancel()

    run(main())


def test_zip_ends_with_the_shortest_at_once(m: Marbles) -> None:
    source = NeverCompletes("ab")
    assert run(of(ops.zip("xy")).collect(source)) == [("a", "x"), ("b", "y")]
    assert source.closed == 1
    assert m.play("abc-----|", ops.zip(m.source("x-|")), ops.map("".join)) == "<ax>-|------"


@given(st.lists(st.text("abc", max_size=4), max_size=3), st.text("abc", max_size=4), st.booleans())
def test_zip_does_what_pythons_does(others: list[str], letters: str, strict: bool) -> None:
    try:
        expected: Any = list(zip(letters, *others, strict=strict))
    except ValueError:
        with pytest.raises(ValueError, match=r"zip: .* ended after \d+ items, and .* went on"):
            run(of(ops.zip(*others, strict=strict)).collect(letters))
    else:
        assert run(of(ops.zip(*others, strict=strict)).collect(letters)) == expected


def test_zip_says_who_was_too_short() -> None:
    with pytest.raises(ValueError, match="zip: the source ended after 2 items, and stream 1 of the others went on"):
        run(of(ops.zip("abc", strict=True)).collect("ab"))
    with pytest.raises(ValueError, match="zip: stream 2 of the others ended after 1 items, and the source and"):
        run(of(ops.zip("abc", "a", strict=True)).collect("ab"))


# --- share


async def gathered(*collecting: Any) -> Any:
    async with no_leaks():
        return await asyncio.gather(*collecting)


def test_share_gives_all_its_consumers_the_same_run(m: Marbles) -> None:
    source = m.source("-a-b-c|")
    shared = ops.share(source, consumers=3)
    chains = [of(str.upper), of(ops.count()), of(ops.take(2))]
    assert run(gathered(*(chain.collect(shared) for chain in chains))) == [[*"ABC"], [3], [*"ab"]]
    assert (source.opened, source.given, source.closed) == (1, 3, 1)


def test_who_comes_late_gets_what_comes_from_then_on(m: Marbles) -> None:
    source = m.source("a-b-c-d|")
    shared = ops.share(source)
    seen: dict[str, list[Any]] = {}

    async def consume(name: str, delay: float, most: int) -> None:
        await asyncio.sleep(delay)
        seen[name] = await of(ops.take(most)).collect(shared)

    run(gathered(consume("first", 0, 9), consume("early leaver", 0, 1), consume("late", 3, 9), consume("last", 99, 2)))
    assert seen == {"first": [*"abcd"], "early leaver": ["a"], "late": [*"cd"], "last": [*"ab"]}
    assert (source.opened, source.closed) == (2, 2)


def test_the_quickest_waits_for_the_slowest(m: Marbles) -> None:
    source = m.source("abcdefghij|")
    shared = ops.share(source, consumers=2, max_buffer=3)

    async def main() -> None:
        quick, slow = (m.probe(of().stream(shared)) for _ in range(2))
        taking = asyncio.ensure_future(quick.request(10))
        assert await slow.request() == ["a"]
        await asyncio.sleep(20)
        assert quick.items == [*"abcd"]
        assert source.given == 4
        await slow.request(2)
        await asyncio.sleep(20)
        assert quick.items == [*"abcdef"]
        await slow.cancel()
        assert await taking == [*"abcdefghij"], "nobody is slow any more"
        await quick.cancel()

    run(gathered(main()))


@pytest.mark.parametrize("needed", [1, 2])
def test_an_error_of_the_source_reaches_each_consumer_behind_its_items(needed: int) -> None:
    source = FailsMidway("ab")
    shared = ops.share(source, consumers=needed)

    async def consume() -> list[str]:
        outputs: list[str] = []
        with pytest.raises(SourceFailed) as caught:
            async for letter in shared:
                outputs.append(letter)
        assert caught.value is source.error
        return outputs

    assert run(gathered(*[consume() for _ in range(needed)])) == [["a", "b"]] * needed
    assert source.closed == 1


def test_a_consumer_that_is_cancelled_is_one_of_many(m: Marbles) -> None:
    source = m.source("a-b-c|")
    shared = ops.share(source, consumers=3)

    async def cancelled(after: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after):
                await of().collect(shared)

    assert run(gathered(of().collect(shared), cancelled(1), cancelled(3)))[0] == [*"abc"]
    assert source.closed == 1


def test_nothing_is_opened_before_enough_have_come(m: Marbles) -> None:
    source = m.source("abc|")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await of().collect(ops.share(source, consumers=2))

    run(gathered(main()))
    assert source.opened == source.closed == 0


def test_a_new_run_waits_until_the_one_before_has_closed_the_source() -> None:
    said: list[str] = []

    class Slow:
        async def __aiter__(self) -> AsyncIterator[int]:
            said.append("opened")
            try:
                yield 1
                await asyncio.sleep(10)
                yield 2
            finally:
                await asyncio.sleep(5)
                said.append("closed")

    shared = ops.share(Slow())

    async def main() -> None:
        first = asyncio.ensure_future(of(ops.take(1)).collect(shared))
        await asyncio.sleep(2)
        assert said == ["opened"]
        assert await of().collect(shared) == [1, 2]
        assert await first == [1]

    run(gathered(main()))
    assert said == ["opened", "closed"] * 2


def test_an_error_in_closing_is_told_to_the_last() -> None:
    source = FailsInClose("ab")
    with pytest.raises(SourceFailed, match="fails to close"):
        run(gathered(of().collect(ops.share(source))))


def test_share_is_of_one_event_loop(m: Marbles) -> None:
    shared = ops.share(NeverCompletes("ab"))

    async def main() -> None:
        stream = aiter(shared)
        await anext(stream)

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="share: its consumers are on different event loops"):
                list(of().iterate(shared))

        await asyncio.to_thread(elsewhere)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(
        CompositionError, match="share: it takes iterables, async iterables and Observables, got an int"
    ):
        ops.share(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="share: consumers must be a whole number, 1 or more, got 0"):
        ops.share("abc", consumers=0)
    with pytest.raises(ValueError, match="share: max_buffer must be a whole number, 1 or more, got 0"):
        ops.share("abc", max_buffer=0)
    assert repr(ops.share("abc")) == "share('abc')"
