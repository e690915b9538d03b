"""Timeouts: who waits, for how long, and whose TimeoutError it is."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import CompositionError
from rxchain.policies import Timeout
from rxchain.testing import no_leaks, run


async def sleeps(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@given(st.floats(0.1, 10), st.floats(0, 20))
def test_what_answers_in_time_has_answered_and_what_does_not_is_cancelled_then(limit: float, takes: float) -> None:
    async def main() -> None:
        try:
            assert await Timeout(limit).around(sleeps, "sleeps")(takes) == takes
        except TimeoutError:
            assert takes >= limit - 1e-6
            assert asyncio.get_running_loop().time() == pytest.approx(limit, abs=1e-5)
        else:
            assert takes <= limit + 1e-6
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_the_error_names_the_node_and_the_seconds_and_shows_where_it_waited() -> None:
    with pytest.raises(
        TimeoutError, match=r"^node 'price' has not answered within 2\.5 s, and was cancelled$"
    ) as caught:
        run(Timeout(2.5).around(sleeps, "price")(60))
    assert not hasattr(caught.value, "__notes__")
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


def test_a_timeout_error_of_the_functions_own_is_told_apart() -> None:
    async def own(_: Any) -> None:
        raise TimeoutError("the server said so")

    async def inner(_: Any) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(60)

    for fn, said in ((own, "the server said so"), (inner, "")):
        with pytest.raises(TimeoutError) as caught:
            run(Timeout(2).around(fn, "price")(1))
        assert str(caught.value) == said
        assert caught.value.__notes__ == ["raised by node 'price' itself, within the 2 s that it has"]


def test_of_two_timeouts_one_inside_the_other_each_says_its_own_seconds() -> None:
    attempt = Timeout(2).around(sleeps, "price")

    async def twice(item: float) -> Any:
        try:
            return await attempt(item)
        except TimeoutError:
            return await attempt(item)

    with pytest.raises(TimeoutError, match="within 3 s"):
        run(Timeout(3).around(twice, "price")(60))
    with pytest.raises(TimeoutError, match="within 2 s"):
        run(Timeout(30).around(twice, "price")(60))


def test_who_catches_the_cancellation_and_answers_after_all_has_answered() -> None:
    async def stubborn(_: Any) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
        return "late"

    async def main() -> None:
        assert await Timeout(2).around(stubborn, "stubborn")(1) == "late"
        assert asyncio.get_running_loop().time() == 7
        await asyncio.sleep(1)  # this task has not been left with a cancellation

    run(main())


def test_a_cancellation_from_outside_stays_one() -> None:
    async def main() -> None:
        task = asyncio.create_task(Timeout(2).around(sleeps, "sleeps")(60))
        await asyncio.sleep(1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

        both = asyncio.create_task(Timeout(2).around(sleeps, "sleeps")(60))
        asyncio.get_running_loop().call_at(3.0, both.cancel)
        with pytest.raises(asyncio.CancelledError):
            await both

    with no_leaks():
        run(main())


def test_the_function_runs_in_the_task_of_its_caller() -> None:
    async def who(_: Any) -> "asyncio.Task[Any] | None":
        return asyncio.current_task()

    async def main() -> None:
        assert await Timeout(2).around(who, "who")(1) is asyncio.current_task()

    run(main())


@pytest.mark.parametrize("wrong", [0, -1, float("inf"), float("nan"), True, "2", None])
def test_what_is_no_number_of_seconds_is_refused(wrong: Any) -> None:
    with pytest.raises(CompositionError, match="seconds must be a number of seconds above 0") as caught:
        Timeout(wrong)
    assert "# incorrect" in str(caught.value)
    assert "# correct" in str(caught.value)


def test_timeouts_are_values() -> None:
    assert Timeout(2) == Timeout(2.0) != Timeout(3)
    assert repr(Timeout(2.0)) == "Timeout(2)"
