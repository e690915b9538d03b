"""What every operator of the catalogue promises."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from rxchain import Chain
from rxchain import operators as ops
from tests.operators.examples import EXAMPLES, Example, later, plain, shown
from tests.operators.whole import SOURCES, WHOLE
from tests.running import Source, SourceFailure, collected, interpreted, iterated, streamed, streamed_async

FIELDS = ["Emits", "Buffers", "Fails", "Completes", "Disposes"]

SEVERAL = {"concat", "concat_map", "flat_map", "unbatch", "start_with"}
"""Where several items follow from one: when one fails, those behind it go with it."""

each_operator = pytest.mark.parametrize("name", ops.__all__)
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=shown)
each_colour = pytest.mark.parametrize("colour", [plain, later])


def test_every_operator_has_an_example() -> None:
    assert {example.name for example in EXAMPLES} | {example.name for example in WHOLE} | SOURCES == set(ops.__all__)


def test_the_catalogue_is_sorted() -> None:
    assert ops.__all__ == sorted(ops.__all__)


@each_operator
def test_the_five_fields_are_written(name: str) -> None:
    doc = getattr(ops, name).__doc__
    assert re.findall(r"^ *:(\w+):", doc, re.M) == FIELDS
    assert re.match(r"[A-Z][^\n]*\.\n", doc), "one line in the imperative first"
    assert ">>> " in doc


@pytest.mark.parametrize("name", sorted(set(ops.__all__) - SOURCES))
def test_an_operator_that_was_not_called_is_told_from_a_function(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is an operator that has not been called"):
        Chain(getattr(ops, name))


@each_example
@each_colour
def test_it_is_fused(example: Example, colour: Any) -> None:
    explained = example.make(colour).execution.explanation()
    assert "stays a call" not in explained
    assert "whole" not in explained


@each_example
@each_colour
def test_a_second_subscription_starts_afresh(example: Example, colour: Any) -> None:
    chain = example.make(colour)
    assert (
        collected(chain, [1, 1, 2, 3])
        == collected(chain, [1, 1, 2, 3])
        == collected(example.make(colour), [1, 1, 2, 3])
    )


@each_example
def test_it_equals_itself_and_shows_how_it_was_made(example: Example) -> None:
    assert example.make(plain) == example.make(plain)
    assert repr(example.make(plain)[-1]).startswith(f"{example.name}(")


@each_example
@each_colour
def test_an_error_of_the_source_passes_once_and_ends_it(example: Example, colour: Any) -> None:
    boom = SourceFailure("boom")
    outcome = streamed_async(example.make(colour), [1, boom, 2])
    if outcome.error is None:  # it had ended before
        assert outcome.taken == 1 or "take(0)" in shown(example)
    else:
        assert outcome.error == "SourceFailure: boom"
        assert outcome.notes == ("in the source of the chain",)
        assert outcome.taken == 2


@each_example
@each_colour
@pytest.mark.parametrize("most", range(4))
@pytest.mark.parametrize("run", [iterated, streamed, streamed_async])
def test_the_source_is_closed_exactly_once(example: Example, colour: Any, most: int, run: Any) -> None:
    outcome = run(example.make(colour), [1, 2, 3, 5], False, most)
    assert outcome.closed == (most > 0)


@each_example
@each_colour
def test_no_item_is_asked_for_before_it_is_needed(example: Example, colour: Any) -> None:
    fast = collected(example.make(colour), [1, 1, 2, 3])
    assert collected(example.make(colour), [1, 1, 2, 3, 4]).taken <= 5
    if fast.taken < 4:  # it ends by itself: never touches what comes then
        untouched = collected(example.make(colour), [*[1, 1, 2, 3][: fast.taken], SourceFailure("asked for")])
        assert untouched.error is None


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.name not in SEVERAL], ids=shown)
@each_colour
def test_an_item_that_fails_further_down_changes_nothing_for_the_others(example: Example, colour: Any) -> None:
    refused: list[Any] = []

    def picky(item: Any) -> Any:
        refused.append(item)
        raise ValueError(item)

    chain = Chain(*example.make(colour), ops.map(picky))
    expected = collected(Chain(*example.make(colour)), [1, 1, 2, 3, 5], skip=True)
    for run in (iterated, streamed, streamed_async, interpreted):
        refused.clear()
        outcome = run(chain, [1, 1, 2, 3, 5], True)
        assert refused == expected.outputs
        assert outcome.outputs == []


def test_take_touches_the_source_only_when_it_takes() -> None:
    touched: list[str] = []

    class Untouched(Source):
        def __iter__(self) -> Iterator[Any]:
            touched.append("opened")
            return super().__iter__()

    from tests.running import Outcome

    outcome = Outcome()
    assert list(Chain(ops.take(0)).iterate(Untouched([1], outcome))) == []
    assert touched == []
    assert outcome.closed == 1


def test_start_with_emits_before_the_source_is_opened() -> None:
    seen: list[Any] = []

    def source() -> Iterator[int]:
        seen.append("opened")
        yield 1

    list(Chain(ops.start_with(8, 9), ops.tap(seen.append)).iterate(source()))
    assert seen == [8, 9, "opened", 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: ops.take(-1),
            "take: count must be a whole number, 0 or more, got -1\n    ops.take(-1)  # incorrect\n",
        ),
        (lambda: ops.take(bool), "take: count must be a whole number, 0 or more, got <class 'bool'>"),  # type: ignore[arg-type]
        (lambda: ops.skip(1.5), "skip: count must be a whole number, 0 or more, got 1.5"),  # type: ignore[arg-type]
        (lambda: ops.batch(0), "batch: size must be a whole number, 1 or more, got 0\n    ops.batch(0)  # incorrect\n"),
        (lambda: ops.distinct(memory=0), "distinct: memory must be a whole number, 1 or more, got 0"),
        (lambda: ops.flat_map(range, concurrency=0), "flat_map: concurrency must be a whole number, 1 or more, got 0"),
    ],
)
def test_a_wrong_count_is_refused_where_it_is_written(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong()


@pytest.mark.parametrize("name", ["map", "filter", "concat_map", "flat_map", "tap", "take_while"])
def test_what_is_no_function_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: .* must be a function, got an int: 3"):
        getattr(ops, name)(3)


@pytest.mark.parametrize("make", [ops.first, ops.last])
def test_the_error_of_an_empty_stream_says_what_allows_it(make: Any) -> None:
    outcome = iterated(Chain(make()), [])
    assert outcome.error is not None
    assert outcome.error.startswith(f"EmptyStream: {make.__name__}: the stream ended without an item\n")
    assert "default_if_empty(value)" in outcome.error
    refusing = iterated(Chain(make(str)), [])
    assert refusing.error is not None
    assert "that its predicate accepts" in refusing.error


def test_the_keys_distinct_remembers_are_those_seen_last() -> None:
    chain: Chain[int, int] = Chain(ops.distinct(memory=2))
    assert list(chain.iterate([1, 2, 1, 3, 1, 2, 3])) == [1, 2, 3, 2, 3]


def test_a_key_that_cannot_be_looked_up_fails_with_its_item() -> None:
    outcome = iterated(Chain(ops.distinct()), [[1]])
    assert outcome.error == "TypeError: unhashable type: 'list'"
    assert outcome.notes == ("in node 'distinct', with item [1]",)


def test_lists_of_batch_are_never_touched_again() -> None:
    chain: Chain[int, list[int]] = Chain(ops.batch(2))
    batches = list(chain.iterate(range(5)))
    assert batches == [[0, 1], [2, 3], [4]]
    assert len({id(batch) for batch in batches}) == 3
