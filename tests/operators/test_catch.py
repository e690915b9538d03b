"""ops.catch: something else in the place of what a part could not give."""

import asyncio
from typing import Any

import pytest

from rxchain import Chain, CompositionError, Failure, Fallback, node
from rxchain import operators as ops
from rxchain.testing import run
from tests.policies.shop import Shop, fails_on


def number(text: str) -> int:
    return int(text)


async def number_later(text: str) -> int:
    await asyncio.sleep(1)
    return int(text)


async def length_later(text: str, error: Exception) -> int:
    await asyncio.sleep(1)
    return len(text)


@pytest.mark.parametrize("logic", [number, number_later])
@pytest.mark.parametrize(
    ("to", "outputs"),
    [
        (0, [0]),
        (None, [None]),
        ([7, 8], [[7, 8]]),
        (len, [2]),
        (lambda text, error: repr(error)[:10], ["ValueError"]),
        (length_later, [2]),
        (Chain(len, ops.map(str)), ["2"]),
        (ops.concat_map(list), ["x", "y"]),
        (ops.filter(lambda text: False), []),
        (Fallback(0, on=ValueError), [0]),
        ([Fallback(1, on=KeyError), Fallback(ops.concat_map(list), on=ValueError)], ["x", "y"]),
    ],
)
def test_what_goes_on_instead(logic: Any, to: Any, outputs: Any) -> None:
    assert run(Chain(ops.catch(logic, to)).collect(["1", "xy", "2"])) == [1, *outputs, 2]
    several = Chain(ops.catch(Chain(str.split, ops.unbatch(), logic), to))
    assert run(several.collect(["1 2", "xy"])) == [1, 2, *outputs]


def test_a_plain_chain_stays_plain() -> None:
    chain = Chain(ops.catch(number, 0))
    assert not chain.is_async
    assert list(chain.iterate(["1", "x"])) == [1, 0]
    assert "except Exception as nested0_error" in chain.program()


def test_nothing_of_a_part_that_failed_goes_on() -> None:
    assert list(Chain(ops.catch(Chain(str.split, ops.unbatch(), number), -1)).iterate(["1 x 2"])) == [-1]


def test_an_error_that_it_is_not_for_passes() -> None:
    failures: list[Failure] = []
    chain = Chain(ops.catch(Chain(number, name="part"), 0, on=(KeyError, OSError)), name="c")
    assert list(chain.iterate(["1", "x"], on_error=failures.append)) == [1]
    assert failures[0].error.__notes__ == [
        "in node 'part/number', with item 'x'",
        "in node 'catch/part/number' of chain 'c', with item 'x'",
    ]


def test_an_error_of_what_was_to_take_its_place_arrives_with_its_cause() -> None:
    for to in (Chain(lambda text: text[9]), lambda text: text[9]):
        with pytest.raises(IndexError) as raised:
            Chain(ops.catch(number, to)).run_sync("x")
        assert isinstance(raised.value.__cause__, ValueError)


def test_with_concurrency_in_order() -> None:
    chain = Chain(ops.catch(number_later, length_later, concurrency=3))
    assert run(chain.collect(["1", "xyz", "2", "3"])) == [1, 3, 2, 3]


def test_a_cancellation_is_not_caught() -> None:
    async def gives_up(item: int) -> int:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Chain(ops.catch(gives_up, 0)).run(1)

    run(main())


# --- and what is undone


def test_what_the_part_did_is_undone_before_something_takes_its_place() -> None:
    shop = Shop()
    chain = Chain(shop.does("a"), ops.catch(Chain(shop.does("b"), fails_on(1)), shop.does("c")), fails_on(2, 1))
    assert run(chain.collect([1, 2, 3], on_error="skip")) == [3]
    of = {item: [entry for entry in shop.log if entry.endswith(str(item))] for item in (1, 2, 3)}
    assert of[1] == ["a1", "b1", "unb1", "c1", "unc1", "una1"]
    assert of[2] == ["a2", "b2", "unb2", "una2"]
    assert of[3] == ["a3", "b3"]


def test_what_took_its_place_may_be_undone_though_the_part_has_nothing_to_undo() -> None:
    shop = Shop()
    chain = Chain(ops.catch(fails_on(1, 2), Chain(shop.does("a"), shop.does("b", 2))), fails_on(1))
    assert run(chain.collect([1, 2], on_error="skip")) == []
    assert shop.stands == []
    assert shop.log.count("una1") == shop.log.count("unb2") == 1


def test_what_could_not_be_undone_is_not_caught() -> None:
    shop = Shop()
    failures: list[Failure] = []
    chain = Chain(ops.catch(Chain(shop.does("a", not_undone=(1,)), fails_on(1, 2)), 0))
    assert run(chain.collect([1, 2], on_error=failures.append)) == [0]
    assert [(failure.item, failure.stands) for failure in failures] == [(1, ("a",))]


# --- as it is written


def test_a_fallback_says_itself_which_errors_it_is_for() -> None:
    with pytest.raises(CompositionError, match=r"ops.catch: a Fallback says itself(?s:.*)Fallback\(0, on=ValueError\)"):
        ops.catch(number, Fallback(0), on=ValueError)
    with pytest.raises(CompositionError, match="in it is an int: 0"):
        ops.catch(number, [Fallback(0), 0])
    with pytest.raises(CompositionError, match="types of Exception"):
        ops.catch(number, 0, on=3)  # type: ignore[arg-type]


def test_it_is_known_by_what_it_was_made_of() -> None:
    assert ops.catch(number, 0) == ops.catch(number, 0) != ops.catch(number, 1)
    assert ops.catch(number, 0, on=KeyError) != ops.catch(number, 0)
    assert repr(ops.catch(number, len, on=ValueError)) == "catch(Chain(number), len, on=ValueError)"
    assert node(name="n")(number) != ops.catch(number, 0)
