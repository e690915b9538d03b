"""`joined`: functions on one pool share a hop, and nobody can tell, but by the price."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rxchain.engine import Colour, colour
from rxchain.schedulers import Placed, Threads, failed_at, joinable, joined, placed

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="")


def on_threads(fn: Callable[..., Any], name: str | None = None) -> Placed:
    made = placed(fn, "threads", name=name)
    assert isinstance(made, Placed)
    return made


def test_they_run_one_after_the_other_on_one_thread() -> None:
    names: list[str] = []

    def note(x: int) -> int:
        names.append(threading.current_thread().name)
        return x + 1

    row = joined(on_threads(note, "first"), on_threads(note, "second"), on_threads(note, "third"))
    assert colour(row) is Colour.ASYNC
    assert (row.name, row.names) == ("first + second + third", ("first", "second", "third"))
    assert asyncio.run(row(1)) == 4
    assert len(set(names)) == 1


def test_only_the_first_takes_all_the_arguments() -> None:
    assert asyncio.run(joined(on_threads(max), on_threads(abs))(-5, -3)) == 3


def test_rows_can_be_joined_again() -> None:
    one = on_threads(abs)
    assert joined(joined(one, one), one) == joined(one, one, one) == joined(one, joined(one, one))
    assert joined(one) == one


def test_only_what_is_on_one_pool_is_joined() -> None:
    own = Threads(1)
    elsewhere = placed(abs, own)
    assert joinable(elsewhere, placed(str, own))
    assert not joinable(on_threads(abs), elsewhere)
    assert not joinable(on_threads(abs), abs)
    with pytest.raises(ValueError, match="only functions on one pool can share a hop: <'abs' on threads>, <'abs' on T"):
        joined(on_threads(abs), elsewhere)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="none"):
        joined()


@pytest.mark.parametrize("bad", range(3))
def test_which_of_them_failed_and_with_what_is_known(bad: int) -> None:
    def step(i: int) -> Callable[[int], int]:
        return lambda x: x * 10 // (i != bad)

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(joined(*[on_threads(step(i)) for i in range(3)])(7))
    assert failed_at(caught.value) == on_threads(abs).failed_at(caught.value) == (bad, 7 * 10**bad)


def test_an_error_from_elsewhere_has_no_such_place() -> None:
    assert failed_at(ValueError()) is None
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(on_threads(lambda x: 1 // x)(0))
    assert failed_at(caught.value) is None


def test_what_one_sets_in_its_context_the_next_does_not_see() -> None:
    def mark(x: int) -> int:
        assert seen.get() == "by the item"
        seen.set("by a function")
        return x

    async def main() -> None:
        seen.set("by the item")
        await joined(on_threads(mark), on_threads(mark))(1)
        assert seen.get() == "by the item"

    asyncio.run(main())
