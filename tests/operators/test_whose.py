"""What fails in a part is told by its node, `retry/charge`, with what had entered the part."""

import asyncio
from typing import Any

import pytest

from rxchain import Chain, Failure, Retry, node
from rxchain import operators as ops
from rxchain.testing import run

TWICE = Retry(2, wait=0)


class Frozen(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def add_note(self, note: str) -> None:
        raise AttributeError(note)


def plus(item: int) -> int:
    return item + 1


def fails(item: int) -> int:
    raise ValueError(item)


async def fails_later(item: int) -> int:
    await asyncio.sleep(1)
    raise ValueError(item)


async def later(item: int) -> int:
    return item


def told(chain: Chain[Any, Any], *items: Any) -> list[Failure]:
    failures: list[Failure] = []
    run(chain.collect(items, on_error=failures.append))
    return failures


@pytest.mark.parametrize("failing", [fails, fails_later])
@pytest.mark.parametrize(
    ("around", "named"),
    [
        (lambda part: ops.retry(part, TWICE), "retry/"),
        (lambda part: ops.retry(part, Retry(2, wait=1, total=9)), "retry/"),
        (lambda part: ops.retry(Chain(later, part), TWICE, concurrency=3), "retry/"),
        (lambda part: ops.catch(part, 0, on=KeyError), "catch/"),
        (lambda part: ops.catch(ops.map(fails), part), "catch/"),
        (ops.saga, "saga/"),
        (lambda part: ops.saga(Chain(plus, ops.retry(part, TWICE))), "saga/retry/"),
        (lambda part: Chain(plus, ops.saga(part), name="paying"), "paying/saga/"),
        (lambda part: ops.saga(Chain(part, name="paying")), "saga/paying/"),
        (lambda part: ops.saga(Chain(ops.delay(1), part)), "saga/"),
    ],
)
def test_the_node_in_the_part_is_named(around: Any, named: str, failing: Any) -> None:
    (failure,) = told(Chain(plus, around(Chain(plus, failing))), 1)
    value = 3 if named == "paying/saga/" else 2
    assert (failure.node, failure.item, failure.value) == (f"{named}{failing.__name__}", 1, value)
    assert failure.error.__notes__[-1] == f"in node '{named}{failing.__name__}', with item {value}"


def test_each_time_it_is_the_one_that_has_failed_then_whatever_the_error_object() -> None:
    down = ValueError("down")
    seen: list[int] = []

    def first(item: int) -> int:
        if item == 1:
            raise down
        return item

    def second(item: int) -> int:
        seen.append(item)
        raise down

    chain = Chain(ops.saga(Chain(first, second)), first)
    assert [failure.node for failure in told(chain, 2, 1, 3)] == ["saga/second", "saga/first", "saga/second"]
    both: Chain[int, int] = Chain(first, ops.saga(first))
    assert [failure.node for failure in told(both, 1)] == ["first"]


def test_what_the_operator_itself_raises_is_its_own() -> None:
    part = ops.retry(Chain(plus), Retry(2, wait=0, on_result=bool))
    (failure,) = told(Chain(part), 1)
    assert failure.node == "retry"


def test_of_an_error_that_takes_no_attributes_only_the_operator_is_known() -> None:
    @node(name="cold")
    def raises(item: int) -> int:
        raise Frozen

    (failure,) = told(Chain(ops.saga(raises)), 1)
    assert failure.node == "saga"


def test_of_two_alike_it_is_said_which() -> None:
    twice: Chain[int, int] = Chain(ops.saga(plus), ops.saga(fails))
    with pytest.raises(ValueError, match="2") as raised:
        twice.run_sync(1)
    assert raised.value.__notes__[-1] == "in node 'saga/fails' (step 2 of 2), with item 2"
