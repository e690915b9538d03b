"""Limits on failures against a model that looks at all items."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import CompositionError
from rxchain.policies import DeadLetters
from rxchain.policies._dead_limits import FailureLimits

fates = st.lists(st.booleans(), max_size=60)
"""Of each item, whether it fails."""


def stops_at(limits: FailureLimits, failing: list[bool]) -> int | None:
    """The item at which *limits* stop a run."""
    for position, fails in enumerate(failing):
        if fails and limits.failed(position) is not None:
            return position
    return None


@given(fates, st.integers(1, 8))
def test_a_streak_stops_at_the_last_of_so_many_in_a_row(failing: list[bool], streak: int) -> None:
    model = next((i for i in range(len(failing)) if i + 1 >= streak and all(failing[i + 1 - streak : i + 1])), None)
    assert stops_at(FailureLimits(None, 100, streak), failing) == model


@given(fates, st.integers(1, 20), st.sampled_from([0, 0.05, 0.1, 0.29, 0.3, 0.5, 0.58, 0.99]))
def test_a_share_stops_where_more_of_the_window_have_failed(failing: list[bool], window: int, share: float) -> None:
    model = next(
        (
            i
            for i in range(len(failing))
            if failing[i] and sum(failing[max(0, i + 1 - window) : i + 1]) / window > share
        ),
        None,
    )
    assert stops_at(FailureLimits(share, window, None), failing) == model


@given(fates, st.integers(1, 8), st.integers(1, 20), st.sampled_from([0, 0.1, 0.5, 0.9]))
def test_with_both_the_first_of_the_two_stops(failing: list[bool], streak: int, window: int, share: float) -> None:
    each = [
        stops_at(FailureLimits(None, window, streak), failing),
        stops_at(FailureLimits(share, window, None), failing),
    ]
    first = min((at for at in each if at is not None), default=None)
    assert stops_at(FailureLimits(share, window, streak), failing) == first


@given(fates, st.integers(2, 8), st.randoms(use_true_random=False))
def test_failures_out_of_turn_are_counted_where_they_belong(
    failing: list[bool], streak: int, chance: random.Random
) -> None:
    """Within the last *streak* items, which is what is remembered."""
    positions = [i for i, fails in enumerate(failing) if fails]
    nearly = sorted(positions, key=lambda i: i + chance.uniform(0, streak / 2))
    limits = FailureLimits(None, 100, streak)
    told = [limits.failed(position) for position in nearly]
    model = stops_at(FailureLimits(None, 100, streak), failing)
    assert any(told) == (model is not None)


@given(fates)
def test_an_item_that_fails_in_several_of_its_parts_is_one(failing: list[bool]) -> None:
    once, twice = (FailureLimits(0.2, 10, 3) for _ in range(2))
    for position, fails in enumerate(failing):
        if fails:
            told = once.failed(position)
            assert twice.failed(position) == told
            assert twice.failed(position) == told


def test_a_limit_holds_exactly_where_decimals_are_no_binary_fractions() -> None:
    limits = FailureLimits(0.29, 100, None)
    told = [limits.failed(position) for position in range(0, 90, 3)]
    assert told == [None] * 29 + ["30 of the last 100 items failed, and share=0.29"]


def test_no_more_is_remembered_than_the_limits_look_back() -> None:
    limits = FailureLimits(0.99, 50, 20)
    for position in range(0, 10_000, 2):
        assert limits.failed(position) is None
        assert len(limits._failed) <= 50


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 1}, {"share": -0.1}, {"share": "10%"}, {"share": True}, {"share": float("nan")},
        {"window": 0}, {"window": 1.5}, {"streak": 0}, {"streak": True}, {"streak": "3"},
    ],
    ids=str,
)  # fmt: skip
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CompositionError, match=r"(?s)DeadLetters: .*# incorrect\n.*# correct"):
        DeadLetters([], **wrong)  # type: ignore[arg-type]
