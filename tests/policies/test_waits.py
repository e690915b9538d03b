"""Waits: numbers, in their bounds, told of chance."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain.errors import CompositionError
from rxchain.policies import Wait, exponential, fixed, linear

seconds = st.floats(0.001, 1000)
attempts = st.integers(1, 10_000)


@st.composite
def waits(draw: st.DrawFn) -> Wait:
    first, more = draw(seconds), draw(seconds)
    jitter = draw(st.booleans())
    return draw(
        st.sampled_from(
            [
                fixed(first, jitter=jitter),
                linear(first, max=first + more, jitter=jitter),
                exponential(first, max=first + more, factor=1 + more, jitter=jitter),
            ]
        )
    )


@given(waits(), attempts, st.integers())
def test_no_wait_is_longer_than_its_max_nor_negative(wait: Wait, attempt: int, seed: int) -> None:
    assert 0 <= wait.seconds(attempt, Random(seed)) <= min(wait.max, 10_000)


@given(waits(), attempts)
def test_without_jitter_a_wait_never_shrinks(wait: Wait, attempt: int) -> None:
    if not wait.jitter:
        assert wait.seconds(attempt) <= wait.seconds(attempt + 1)


@given(waits(), attempts, st.integers())
def test_the_same_chance_gives_the_same_wait(wait: Wait, attempt: int, seed: int) -> None:
    assert wait.seconds(attempt, Random(seed)) == wait.seconds(attempt, Random(seed))


def test_full_jitter_takes_the_whole_of_the_wait() -> None:
    drawn = [exponential(8).seconds(1, Random(seed)) for seed in range(200)]
    assert min(drawn) < 0.5
    assert max(drawn) > 7.5
    assert 3.5 < sum(drawn) / len(drawn) < 4.5


def test_jitter_needs_no_generator_of_ones_own() -> None:
    assert 0 <= exponential(1).seconds(1) < 1


def test_what_they_are() -> None:
    assert [exponential(0.1, max=5, jitter=False).seconds(n) for n in (1, 2, 3, 7, 10_000)] == [0.1, 0.2, 0.4, 5, 5]
    assert [exponential(1, factor=3, jitter=False).seconds(n) for n in (1, 2, 3)] == [1, 3, 9]
    assert [linear(0.5, max=1.2).seconds(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 1.2, 1.2]
    assert [fixed(2).seconds(n) for n in (1, 2, 10_000)] == [2, 2, 2]


@pytest.mark.parametrize(
    "text",
    [
        "exponential(0.1, max=5)",
        "exponential(0.123456789, max=30, factor=1.5)",
        "exponential(1, max=30, jitter=False)",
        "linear(0.5, max=30)",
        "linear(0.5, max=1, jitter=True)",
        "fixed(0)",
        "fixed(2.5, jitter=True)",
    ],
)
def test_a_wait_shows_how_it_was_made(text: str) -> None:
    made = eval(text, {"exponential": exponential, "linear": linear, "fixed": fixed})
    assert repr(made) == text
    assert eval(repr(made), {"exponential": exponential, "linear": linear, "fixed": fixed}) == made
    assert hash(made) == hash(eval(text, {"exponential": exponential, "linear": linear, "fixed": fixed}))


def test_waits_that_are_made_differently_are_not_equal() -> None:
    assert exponential(1) != exponential(1, jitter=False)
    assert fixed(1) != linear(1)
    assert fixed(0) == fixed(0.0)


@pytest.mark.parametrize("wrong", [0, -1, math.inf, math.nan, True, "1", None])
def test_a_first_wait_is_a_number_of_seconds(wrong: float) -> None:
    for make in (exponential, linear):
        with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
            make(wrong)
    if wrong != 0 or wrong is True:
        with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
            fixed(wrong)


def test_what_cannot_be_a_wait_says_why() -> None:
    from datetime import timedelta

    with pytest.raises(CompositionError, match=r"from a timedelta take \.total_seconds\(\)"):
        fixed(timedelta(seconds=1))  # type: ignore[arg-type]
    with pytest.raises(CompositionError, match="if they were swapped"):
        exponential(5, max=0.1)
    with pytest.raises(CompositionError, match="factor must be a number above 1"):
        exponential(1, factor=1)
    with pytest.raises(CompositionError, match="jitter must be True or False"):
        linear(1, jitter=0.5)  # type: ignore[arg-type]
