"""DeadLetters as a chain's on_error: where letters go, when the run stops, what happens where a letter cannot go."""

import asyncio
import gc
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import (
    Chain,
    CompositionError,
    DeadLetterLost,
    Failure,
    TooManyDeadLetters,
)
from rxchain import (
    operators as ops,
)
from rxchain.policies import DeadLetter, DeadLetterFile, DeadLetters
from rxchain.testing import Marbles, run
from rxchain.types import Place

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def number(text: str) -> int:
    return int(text)


async def number_later(text: str) -> int:
    await asyncio.sleep(1)
    return int(text)


numbers = Chain(str.strip, number, name="numbers")
numbers_later = Chain(str.strip, number_later, name="numbers")


def iterated(chain: Chain[Any, Any], source: Iterable[Any], handler: DeadLetters) -> list[Any]:
    return list(chain.iterate(source, on_error=handler))


def collected(chain: Chain[Any, Any], source: Iterable[Any], handler: DeadLetters) -> list[Any]:
    return run(chain.collect(source, on_error=handler))


Runs = Callable[[Chain[Any, Any], Iterable[Any], DeadLetters], list[Any]]
every_way = pytest.mark.parametrize(
    ("way", "chain"),
    [(iterated, numbers), (collected, numbers), (collected, numbers_later)],
    ids=["iterate", "collect", "workers"],
)


# --- where letters go


@every_way
def test_a_list_has_a_letter_for_each_item_that_failed(way: Runs, chain: Chain[Any, Any]) -> None:
    letters: list[DeadLetter] = []
    source = ["1", " x", "3", "y"]
    assert way(chain, source, DeadLetters(letters, now=lambda: NOON)) == [1, 3]
    assert [(letter.item, letter.value, letter.position) for letter in letters] == [(" x", "x", 1), ("y", "y", 3)]
    assert {(letter.chain, letter.error, letter.time) for letter in letters} == {("numbers", "ValueError", NOON)}
    assert "invalid literal" in letters[0].traceback


@every_way
def test_a_file_has_them(way: Runs, chain: Chain[Any, Any], tmp_path: Path) -> None:
    for to in (tmp_path / "a.jsonl", str(tmp_path / "b.jsonl"), DeadLetterFile(tmp_path / "c.jsonl", fsync=True)):
        assert way(chain, ["1", "x", "3"], DeadLetters(to)) == [1, 3]
        assert [letter.item for letter in DeadLetterFile(to)] == ["x"]


@every_way
def test_a_function_is_called_an_async_one_awaited(way: Runs, chain: Chain[Any, Any]) -> None:
    told: list[str] = []

    async def later(letter: DeadLetter) -> None:
        await asyncio.sleep(0)
        told.append(letter.item)

    assert way(chain, ["1", "x", "y"], DeadLetters(lambda letter: told.append(letter.item))) == [1]
    assert way(chain, ["1", "x", "y"], DeadLetters(later)) == [1]
    assert told == ["x", "y", "x", "y"]


@every_way
def test_a_chain_is_run_over_each(way: Runs, chain: Chain[Any, Any]) -> None:
    told: list[str] = []

    async def post(text: str) -> None:
        await asyncio.sleep(0)
        told.append(text)

    def shown(letter: DeadLetter) -> str:
        return f"{letter.node}: {letter.value}"

    chains: list[Any] = [Chain(shown, told.append), Chain(shown, post), ops.map(lambda each: told.append(shown(each)))]
    for to in chains:
        assert way(chain, ["1", "x"], DeadLetters(to)) == [1]
    assert told == [f"{chain.execution.label.nodes[1]}: x"] * 3


def test_synchronous_destinations_keep_a_synchronous_chain_without_a_loop() -> None:
    async def later(letter: DeadLetter) -> None: ...

    from rxchain.engine import Colour, colour

    assert colour(DeadLetters([])) is Colour.SYNC
    assert colour(DeadLetters(Chain(number))) is Colour.SYNC
    assert colour(DeadLetters(later)) is Colour.ASYNC
    assert colour(DeadLetters(Chain(later))) is Colour.ASYNC
    assert isinstance(DeadLetters(later), DeadLetters)


def test_the_last_few_are_enough_for_who_says_so() -> None:
    last: deque[DeadLetter] = deque(maxlen=2)
    assert iterated(numbers, "1abc2", DeadLetters(last)) == [1, 2]
    assert [letter.item for letter in last] == ["b", "c"]


def test_what_fails_when_the_stream_is_flushed_has_a_letter() -> None:
    letters: list[DeadLetter] = []
    chain = Chain(ops.batch(3), ops.map(lambda batch: 3 // (len(batch) - 2)))
    assert iterated(chain, "abcde", DeadLetters(letters, streak=1)) == [3]
    assert [(letter.value, letter.position) for letter in letters] == [(["d", "e"], None)]


def test_the_source_and_the_key_are_those_that_were_said() -> None:
    letters: list[DeadLetter] = []
    handler = DeadLetters(letters, source="orders.csv", key=lambda item: item["customer"])
    assert iterated(Chain(lambda item: item["n"] + 1), [{"n": "x", "customer": "anna"}, {"n": "y"}], handler) == []
    assert [letter.place for letter in letters] == ["orders.csv, item 0, key 'anna'", "orders.csv, item 1"]
    told = Failure(ValueError(), "", "n", "x", "x", place=Place("file.txt", 1_234, "bea"))
    handler(told)
    assert letters[-1].place == "file.txt, item 1,234, key 'bea'"


def test_no_letter_is_written_for_cancellation() -> None:
    letters: list[DeadLetter] = []

    async def cancelled(item: str) -> str:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Chain(cancelled).collect("ab", on_error=DeadLetters(letters))

    run(main())
    assert letters == []


def test_letters_are_told_in_the_items_order_while_others_go_on() -> None:
    m = Marbles()
    letters: Any = m.probe()

    async def slow(item: str) -> str:
        await asyncio.sleep(3)
        if item.isupper():
            raise ValueError(item)
        return item

    assert m.play("-aXb|", Chain(slow), on_error=DeadLetters(letters)) == "----a-----(b|)"
    assert [letter.item for letter in letters.items] == ["X"]
    assert letters.times == [7.0]


# --- limits


@every_way
def test_a_streak_stops_the_run_when_the_last_letter_is_safe(way: Runs, chain: Chain[Any, Any], tmp_path: Path) -> None:
    path = str(tmp_path / "dead.jsonl")
    with pytest.raises(TooManyDeadLetters) as stopped:
        way(chain, ["1", "x", "2", "a", "b", "c", "3", "d"], DeadLetters(path, streak=3))
    assert [letter.item for letter in DeadLetterFile(path)] == ["x", "a", "b", "c"]
    error = stopped.value
    where = f"node {error.letters[-1].node!r}: ValueError"
    assert str(error).splitlines() == [
        f"chain 'numbers': 3 items in a row failed, and streak=3 stops it; the last in {where}",
        *(
            f"    item {n}: {where}: invalid literal for int() with base 10: {text!r}"
            for n, text in ((1, "x"), (3, "a"), (4, "b"), (5, "c"))
        ),
        f"all of them: rxchain dead list {path}",
    ]
    assert (error.limit, error.path) == ("3 items in a row failed, and streak=3", path)
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize("chain", [numbers, numbers_later], ids=["synchronous", "workers"])
def test_results_before_a_limit_are_delivered_first(chain: Chain[Any, Any]) -> None:
    got: list[int] = []
    handler = DeadLetters([], share=0.2, window=10)

    async def main() -> None:
        async for result in chain.stream(["1", "x", "2", "y", "3", "z", "4"], on_error=handler):
            got.append(result)

    with pytest.raises(TooManyDeadLetters, match=r"3 of the last 10 items failed, and share=0\.2"):
        run(main())
    assert got == [1, 2, 3]


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.sampled_from([numbers, numbers_later]))
def test_every_run_counts_from_the_start(failing: list[bool], streak: int, chain: Chain[Any, Any]) -> None:
    letters: list[DeadLetter] = []
    handler = DeadLetters(letters, streak=streak)
    source = ["x" if fails else "1" for fails in failing]
    model = next((i for i in range(len(failing)) if i + 1 >= streak and all(failing[i + 1 - streak : i + 1])), None)
    for _ in range(2):
        letters.clear()
        if model is None:
            collected(chain, source, handler.fresh())
            assert len(letters) == sum(failing)
        else:
            with pytest.raises(TooManyDeadLetters):
                collected(chain, source, handler.fresh())
            assert letters[-1].position == model
            assert len(letters) == sum(failing[: model + 1])
    assert handler.statistics().stopped == (0 if model is None else 2)


def test_the_runs_of_a_chain_do_not_count_together() -> None:
    chain = Chain(number, name="numbers", on_error=DeadLetters([], streak=3))
    assert list(chain.iterate(["1", "x", "y"])) == [1]
    assert list(chain.iterate(["1", "2", "3", "x"])) == [1, 2, 3]
    assert run(chain.collect(["x", "2", "3", "4", "y"])) == [2, 3, 4]


@pytest.mark.parametrize("first", [(), (str.strip,)], ids=["first", "not first"])
def test_what_fails_behind_a_step_over_the_whole_stream_is_kept_without_a_number(first: tuple[Any, ...]) -> None:
    letters: list[DeadLetter] = []
    steps: list[Any] = [*first, ops.delay(1), number]
    assert collected(Chain(*steps), ["1", "x", "2"], DeadLetters(letters)) == [1, 2]
    assert [(letter.value, letter.position) for letter in letters] == [("x", None)]
    with pytest.warns(RuntimeWarning, match="cannot count"):
        assert collected(Chain(*steps), ["1", "x", "2", "y"], DeadLetters(letters, streak=1)) == [1, 2]


def test_several_results_of_one_item_are_one_failure() -> None:
    letters: list[DeadLetter] = []
    chain = Chain(ops.flat_map(str.split), number)
    assert collected(chain, ["1 x y", "2", "z", "3"], DeadLetters(letters, streak=2)) == [1, 2, 3]
    assert [(letter.position, letter.value) for letter in letters] == [(0, "x"), (0, "y"), (2, "z")]


def test_limits_that_cannot_count_say_so_once() -> None:
    handler = DeadLetters([], streak=2)
    failure = Failure(ValueError(), "", "n", "x", "x")
    with pytest.warns(RuntimeWarning, match="cannot count: it is not told which items fail"):
        handler(failure)
    handler(failure)
    DeadLetters([])(failure)


# --- a destination that fails


@every_way
def test_where_a_letter_cannot_go_the_run_ends_with_both_errors(way: Runs, chain: Chain[Any, Any]) -> None:
    def full(letter: DeadLetter) -> None:
        raise OSError("disk full")

    async def full_later(letter: DeadLetter) -> None:
        await asyncio.sleep(0)
        raise OSError("disk full")

    for to in (full, full_later, Chain(full), Chain(full_later)):
        with pytest.raises(
            DeadLetterLost, match=r"(?s)dead letter of node .* could not go to .*: OSError: disk full"
        ) as e:
            way(chain, ["1", "x", "2"], DeadLetters(to))
        lost = e.value
        assert "item 1: node" in str(lost)
        assert "ValueError: invalid literal" in str(lost)
        assert lost.letter.item == "x"
        assert isinstance(lost.failure, ValueError)
        assert isinstance(lost.error, OSError)
        assert isinstance(lost.__cause__, ExceptionGroup)
        assert lost.__cause__.exceptions == (lost.failure, lost.error)


def test_a_file_that_cannot_be_written_any_more_loses_no_failure(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    handler = DeadLetters(folder / "dead.jsonl")
    folder.rmdir()
    with pytest.raises(DeadLetterLost, match="FileNotFoundError") as lost:
        iterated(numbers, ["x"], handler)
    assert lost.value.letter.item == "x"


def test_a_function_that_returns_a_coroutine_is_told_apart() -> None:
    async def send(letter: DeadLetter) -> None: ...

    with pytest.raises(DeadLetterLost, match=r"(?s)no async function.*# incorrect.*# correct"):
        iterated(numbers, ["x"], DeadLetters(lambda letter: send(letter)))
    gc.collect()


# --- built wrongly


@pytest.mark.parametrize("wrong", [None, 3, {}, DeadLetter, lambda: 0, (), b"dead.jsonl"])
def test_what_is_no_destination_is_refused_when_it_is_built(wrong: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s)go to a list.*# incorrect\n.*# correct"):
        DeadLetters(wrong)


@pytest.mark.parametrize(
    ("path", "why"), [("nowhere/dead.jsonl", "there is no folder"), (".", "that is a folder"), ("", "needs a name")]
)
def test_a_path_that_cannot_be_is_refused_when_it_is_built(
    path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CompositionError, match=why):
        DeadLetters(path)
    assert list(tmp_path.iterdir()) == []


def test_it_shows_what_it_does_and_counts(tmp_path: Path) -> None:
    letters: list[DeadLetter] = []
    handler = DeadLetters(letters, share=0.5, streak=3)
    assert repr(handler) == "DeadLetters([], share=0.5, window=100, streak=3)"
    assert repr(DeadLetters(str(tmp_path / "x"))).startswith("DeadLetters(DeadLetterFile('")
    iterated(numbers, ["1", "x", "y"], handler)
    assert (handler.statistics().kept, handler.statistics().stopped) == (2, 0)


# --- on a chain, everywhere


def test_it_may_be_said_with_the_chain() -> None:
    letters: list[DeadLetter] = []
    chain = Chain(number, name="numbers", on_error=DeadLetters(letters))
    assert list(chain.iterate(["1", "x", "2"])) == [1, 2]
    assert [letter.item for letter in letters] == ["x"]


def test_limits_end_an_endless_stream_and_close_its_source() -> None:
    closed = []

    def endless() -> Iterator[str]:
        try:
            yield from itertools.cycle(["1", "x", "y", "z"])
        finally:
            closed.append(True)

    with pytest.raises(TooManyDeadLetters):
        iterated(numbers, endless(), DeadLetters([], streak=3))
    assert closed == [True]


def test_items_of_observables_have_letters_too() -> None:
    import reactivex

    letters: list[DeadLetter] = []
    chain = Chain(number, name="numbers", on_error=DeadLetters(letters))
    results: list[object] = []
    reactivex.from_iterable(["1", "x", "2", "y"]).pipe(chain).subscribe(results.append, results.append)
    assert results == [1, 2]
    assert [letter.item for letter in letters] == ["x", "y"]
