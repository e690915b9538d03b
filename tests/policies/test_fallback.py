"""fallback: another result for an item whose node has failed."""

import asyncio
from typing import Any

import pytest

from rxchain import Chain, CompositionError, Fallback, Retry, StopStream, Undo, node
from rxchain import operators as ops
from rxchain.policies import attempts_of
from rxchain.policies._fallback import answer_for, fallbacks, recovery
from rxchain.testing import run


def number(text: str) -> int:
    return int(text)


async def number_later(text: str) -> int:
    await asyncio.sleep(0.001)
    return int(text)


async def length_later(text: str) -> int:
    await asyncio.sleep(1)
    return len(text)


both = pytest.mark.parametrize("logic", [number, number_later])


@both
@pytest.mark.parametrize(
    ("fallback", "result"),
    [
        (-1, -1),
        (None, None),
        ([], []),
        (len, 2),
        (lambda text: text * 2, "xyxy"),
        (lambda text, error: (text, type(error)), ("xy", ValueError)),
        (length_later, 2),
        (Chain(len, ops.map(lambda n: n + 1)), 3),
        (Chain(length_later), 2),
        (ops.map(len), 2),
        (Fallback(-1), -1),
        (Fallback(len, on=ValueError), 2),
        ([Fallback(-1, on=KeyError), Fallback(-2, on=(OSError, ValueError)), Fallback(-3)], -2),
    ],
)
def test_what_takes_the_place_of_a_result(logic: Any, fallback: Any, result: Any) -> None:
    chain = Chain(node(fallback=fallback)(logic))
    assert run(chain.collect(["1", "xy", "2"])) == [1, result, 2]
    assert chain.run_sync("xy") == result


@both
def test_other_errors_arrive_as_they_are(logic: Any) -> None:
    chain = Chain(node(fallback=[Fallback(0, on=KeyError), Fallback(1, on=OSError)])(logic), name="c")
    with pytest.raises(ValueError, match="'x'") as raised:
        run(chain.run("x"))
    assert raised.value.__cause__ is None
    assert raised.value.__notes__ == [f"in node '{logic.__name__}' of chain 'c', with item 'x'"]


@both
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_of_the_fallback_arrives_with_its_cause(logic: Any, asynchronous: bool) -> None:
    def at_once(text: str, error: Exception) -> int:
        raise KeyError(text)

    async def later(text: str, error: Exception) -> int:
        await asyncio.sleep(1)
        raise KeyError(text)

    failures: list[Any] = []
    chain = Chain(node(fallback=later if asynchronous else at_once)(logic))
    assert run(chain.collect(["1", "x"], on_error=failures.append)) == [1]
    assert isinstance(failures[0].error, KeyError)
    assert isinstance(failures[0].error.__cause__, ValueError)
    assert failures[0].node == logic.__name__


def test_a_cause_that_it_names_itself_is_kept() -> None:
    reason = OSError("disk")

    def instead(text: str) -> int:
        raise KeyError(text) from reason

    with pytest.raises(KeyError) as raised:
        Chain(node(fallback=instead)(number)).run_sync("x")
    assert raised.value.__cause__ is reason


def test_a_fallback_that_passes_the_error_on_is_no_cause_of_itself() -> None:
    def instead(text: str, error: Exception) -> int:
        raise error

    with pytest.raises(ValueError, match="'x'") as raised:
        Chain(node(fallback=instead)(number)).run_sync("x")
    assert raised.value.__cause__ is None


def test_the_first_that_is_for_the_error_is_the_last_that_is_asked() -> None:
    def fails(text: str) -> int:
        raise OSError

    chain = Chain(node(fallback=[Fallback(fails, on=ValueError), Fallback(0, on=OSError)])(number))
    with pytest.raises(OSError, match=r"^$|in node"):
        chain.run_sync("x")


def test_it_is_for_what_is_left_when_all_attempts_have_failed() -> None:
    seen: list[int] = []

    def instead(text: str, error: Exception) -> int:
        seen.append(len(attempts_of(error)))
        return 0

    for wait in (0, 1):
        assert run(Chain(node(retry=Retry(3, wait=wait), fallback=instead)(number)).run("x")) == 0
        assert run(Chain(node(retry=Retry(3, wait=wait), fallback=instead)(number_later)).run("x")) == 0
    assert seen == [3] * 4


def test_the_end_of_the_stream_and_a_cancellation_are_not_caught() -> None:
    for error in (StopStream(), asyncio.CancelledError(), KeyboardInterrupt()):
        assert not Fallback(0).matches(error)  # type: ignore[arg-type]

    async def cancelled(item: int) -> int:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Chain(node(fallback=0, retry=Retry(5, wait=0))(cancelled)).run(1)

    run(main())


def test_a_cancellation_while_it_answers_is_one() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(Chain(node(fallback=length_later)(number)).run("x"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_recovery_of_nothing_that_matches_raises_the_error_itself() -> None:
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as raised:
        recovery(fallbacks(Fallback(0, on=KeyError), "here"), answer_for("n"))(1, error)
    assert raised.value is error


# --- as it is declared


@pytest.mark.parametrize(
    "on", [int, BaseException, "ValueError", (), (ValueError, asyncio.CancelledError), ValueError()]
)
def test_it_is_for_types_of_exception(on: Any) -> None:
    with pytest.raises(CompositionError, match=r"a fallback is for types of Exception(?s:.*)TimeoutError, Conn"):
        Fallback(0, on=on)


def test_a_function_takes_the_item_or_the_item_and_the_error() -> None:
    with pytest.raises(CompositionError, match="a fallback takes the item, or the item and the error"):
        node(fallback=lambda: 0)(number)


def test_a_list_of_them_is_of_nothing_else() -> None:
    with pytest.raises(CompositionError, match=r"node 'number': what is given is a list of Fallback, and in it is an"):
        node(fallback=[Fallback(1), 0])(number)


def test_a_chain_that_does_what_may_have_to_be_undone_stands_in_catch() -> None:
    charge = node(undo=Undo(print), name="charge")(number)
    with pytest.raises(CompositionError, match=r"nothing behind this node would set that off(?s:.*)ops.catch\(n"):
        node(fallback=Chain(charge))(number)
    chain: Chain[str, int] = Chain(node(fallback=ops.saga(charge))(lambda text: int("x")))
    assert run(chain.run("2")) == 2


def test_it_reads_as_it_was_made_and_compares_by_that() -> None:
    assert repr(Fallback(0)) == "Fallback(0)"
    assert repr(Fallback(number, on=OSError)) == "Fallback(number, on=OSError)"
    assert repr(Fallback(Chain(str.upper), on=(OSError, KeyError))) == "Fallback(Chain(upper), on=(OSError, KeyError))"
    assert Fallback(number, on=OSError) == Fallback(number, on=OSError) != Fallback(number)
    assert Fallback(0) != 0
