"""Operators that end the stream do so although their last item failed further down and the others go on."""

from typing import Any

import pytest

from rxchain import Chain, Failure
from rxchain import operators as ops


def refuses_two(item: int) -> int:
    if item == 2:
        raise ValueError(item)
    return item


@pytest.mark.parametrize(
    "op",
    [ops.take(2), ops.take_while(lambda item: item < 2, inclusive=True), ops.first(lambda item: item == 2)],
    ids=repr,
)
def test_nothing_passes_an_end_whose_last_item_failed(op: Any) -> None:
    failures: list[Failure] = []
    passed = list(Chain(op, refuses_two).iterate([1, 2, 1, 2], on_error=failures.append))
    assert 1 not in passed[1:]
    assert [failure.item for failure in failures if failure.node == "refuses_two"] == [2]
