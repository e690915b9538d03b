"""The operators give what reactivex gives, what the interpreter gives, and the same for functions of either colour."""

from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex.scheduler import ImmediateScheduler

from rxchain import Chain
from tests.operators.examples import EXAMPLES, Example, later, plain, shown
from tests.running import collected, interpreted, iterated, observed, streamed, streamed_async

items = st.lists(st.integers(0, 9), max_size=12)

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=shown)


def by_reactivex(example: Example, values: list[int]) -> tuple[list[Any], str | None]:
    """What reactivex makes of *values*: its items, and what it failed with."""
    assert example.theirs is not None
    outputs: list[Any] = []
    errors: list[Exception] = []
    # At once: on the default scheduler concat_map's error overtakes the parts of the items before.
    reactivex.from_iterable(values, ImmediateScheduler()).pipe(example.theirs).subscribe(outputs.append, errors.append)
    return outputs, type(errors[0]).__name__ if errors else None


def ours(error: str | None) -> str | None:
    kind = error.partition(":")[0] if error is not None else None
    return "SequenceContainsNoElementsError" if kind == "EmptyStream" else kind


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.theirs is not None], ids=shown)
@given(items)
@settings(max_examples=50)
def test_it_gives_what_reactivex_gives(example: Example, values: list[int]) -> None:
    outcome = iterated(example.make(plain), values)
    assert (outcome.outputs, ours(outcome.error)) == by_reactivex(example, values)


@each_example
@given(items, st.booleans(), st.none() | st.integers(1, 4))
@settings(max_examples=40)
def test_it_gives_what_the_interpreter_gives(example: Example, values: list[int], skip: bool, most: int | None) -> None:
    chain = example.make(plain)
    assert iterated(chain, values, skip, most) == interpreted(chain, values, skip, most)


@each_example
@given(items)
@settings(max_examples=25)
def test_it_gives_the_same_on_an_observable(example: Example, values: list[int]) -> None:
    chain = example.make(plain)
    expected, outcome = iterated(chain, values), observed(chain, values)
    assert [o for o in outcome.outputs if o != "|"] == expected.outputs
    assert outcome.error == expected.error


@each_example
@given(items, st.booleans())
@settings(max_examples=8)
def test_async_functions_give_the_same(example: Example, values: list[int], skip: bool) -> None:
    expected = interpreted(example.make(plain), values, skip)
    asynchronous = example.make(later)
    assert interpreted(asynchronous, values, skip) == expected
    assert streamed(asynchronous, values, skip) == expected
    assert streamed_async(asynchronous, values, skip) == expected


@given(st.lists(st.sampled_from(EXAMPLES), max_size=4), items, st.booleans())
@settings(max_examples=150)
def test_a_row_of_operators_gives_what_the_interpreter_gives(
    examples: list[Example], values: list[int], skip: bool
) -> None:
    chain: Chain[Any, Any] = Chain(*[step for example in examples for step in example.make(plain)])
    expected = interpreted(chain, values, skip)
    assert iterated(chain, values, skip) == expected
    assert streamed(chain, values, skip) == expected
    assert collected(chain, values, skip).outputs == (expected.outputs if expected.error is None else [])
