"""ops.saga: a part whose effects are undone together, or stand together."""

import asyncio
from typing import Any

import pytest

from rxchain import Chain, Failure
from rxchain import operators as ops
from rxchain.testing import run
from tests.policies.shop import Shop, fails_on, stuck


def test_what_came_through_stands_whatever_happens_behind() -> None:
    shop = Shop()
    chain = Chain(ops.saga(Chain(shop.does("a"), shop.does("b", 2))), fails_on(1))
    assert run(chain.collect([1, 2], on_error="skip")) == []
    assert shop.stands == ["a1", "b1"]


def test_within_another_each_undoes_its_own_and_what_has_settled_stands() -> None:
    shop = Shop()
    failures: list[Failure] = []
    inner = ops.saga(Chain(shop.does("b"), shop.does("c", 2)))
    chain = Chain(ops.saga(Chain(shop.does("a"), inner, shop.does("d", 1))), ops.map(str))
    assert run(chain.collect([1, 2, 3], on_error=failures.append)) == ["3"]
    assert [(failure.item, failure.undone) for failure in failures] == [(1, ("d", "a")), (2, ("c", "b", "a"))]
    assert sorted(shop.stands) == ["a3", "b1", "b3", "c1", "c3", "d3"]


def test_of_a_part_that_takes_an_item_apart_all_is_undone_or_nothing() -> None:
    shop = Shop()
    chain = Chain(ops.saga(Chain(ops.unbatch(), shop.does("a"), fails_on(3), ops.filter(lambda item: item != 2))))
    assert run(chain.collect([[1, 2], [3, 4], [5, 3]], on_error="skip")) == [1]
    assert shop.stands == ["a1", "a2"]
    assert shop.log[-4:] == ["a5", "a3", "una3", "una5"]


def test_what_is_done_at_the_end_of_a_part_is_part_of_it() -> None:
    shop = Shop()
    part = Chain(ops.unbatch(), ops.batch(2), ops.map(tuple), shop.does("a"), fails_on((5,)))
    chain = Chain(ops.saga(part))
    assert run(chain.collect([[1, 2, 3], [3, 4, 5]], on_error="skip")) == [(1, 2), (3,)]
    assert shop.stands == ["a(1, 2)", "a(3,)"]


def test_cancelled_it_is_undone() -> None:
    shop = Shop()

    async def main() -> None:
        task = asyncio.ensure_future(Chain(ops.saga(Chain(shop.does("a"), stuck)), ops.batch(2)).run(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert shop.log == ["a1", "una1"]


@pytest.mark.parametrize("part", [repr, Chain(repr), ops.map(str), ops.saga(repr)])
def test_around_what_has_no_undo_it_is_that(part: Any) -> None:
    assert list(Chain(ops.saga(part)).iterate([1, 2])) == ["1", "2"]


def test_it_is_known_by_its_part() -> None:
    assert ops.saga(abs) == ops.saga(abs) != ops.saga(str.strip)
    assert repr(ops.saga(abs)) == "saga(Chain(abs))"
    assert Chain(ops.saga(abs)).to_mermaid().count("saga") == 1
