"""Hedging: the first result wins, and nothing of the others is left."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import CompositionError, StopStream
from rxchain.policies import Hedge
from rxchain.testing import no_leaks, run


@dataclass
class Attempt:
    """What an attempt does: it answers or fails after so many seconds, and takes its time to be cancelled."""

    takes: float
    fails: bool = False
    cleanup: float = 0.0


class Failed(Exception):
    """Of one attempt, by its number."""


class Service:
    """Does what each attempt is to do, and writes down what became of them."""

    def __init__(self, attempts: list[Attempt]) -> None:
        self.attempts = attempts
        self.begun: list[float] = []
        self.inside = 0
        self.cancelled = 0

    async def __call__(self, item: object) -> int:
        number = len(self.begun)
        self.begun.append(asyncio.get_running_loop().time())
        attempt = self.attempts[number]
        self.inside += 1
        try:
            await asyncio.sleep(attempt.takes)
            if attempt.fails:
                raise Failed(number)
            return number
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.sleep(attempt.cleanup)
            raise
        finally:
            self.inside -= 1


def called(hedge: Hedge, service: Callable[[Any], Awaitable[Any]]) -> Any:
    return run(hedge.around(service, "price")("tea"))


def test_an_answer_that_is_quick_enough_is_the_only_attempt() -> None:
    service = Service([Attempt(1)])
    assert called(Hedge(after=2), service) == 0
    assert service.begun == [0]


def test_the_second_attempt_begins_when_the_first_has_not_answered_and_the_loser_is_cancelled() -> None:
    service = Service([Attempt(60), Attempt(1)])

    async def main() -> None:
        async with no_leaks():
            assert await Hedge(after=2).around(service, "price")("tea") == 1
            assert service.begun == [0, 2]
            assert (service.inside, service.cancelled) == (0, 1)
            assert asyncio.get_running_loop().time() == 3

    run(main())


def test_the_first_may_win_after_all() -> None:
    service = Service([Attempt(3), Attempt(60)])
    assert called(Hedge(after=2), service) == 0
    assert (service.inside, service.cancelled) == (0, 1)


def test_the_loser_is_waited_for_before_the_result_is_given() -> None:
    service = Service([Attempt(60, cleanup=4), Attempt(1)])

    async def main() -> None:
        assert await Hedge(after=2).around(service, "price")("tea") == 1
        assert (service.inside, asyncio.get_running_loop().time()) == (0, 7)

    run(main())


def test_one_that_fails_beside_another_is_waited_out() -> None:
    assert called(Hedge(after=2), Service([Attempt(3, fails=True), Attempt(5)])) == 1


def test_one_that_fails_alone_is_the_end() -> None:
    service = Service([Attempt(1, fails=True), Attempt(1)])
    with pytest.raises(Failed) as caught:
        called(Hedge(after=2), service)
    assert service.begun == [0]
    assert not hasattr(caught.value, "__notes__")


def test_when_all_fail_the_last_error_names_the_others() -> None:
    with pytest.raises(Failed) as caught:
        called(Hedge(after=1, attempts=3), Service([Attempt(5, fails=True), Attempt(3, fails=True), Attempt(9, True)]))
    assert caught.value.args == (2,)
    assert caught.value.__notes__ == [
        "attempt 1 of 3 beside one another failed with Failed(1)",
        "attempt 2 of 3 beside one another failed with Failed(0)",
    ]


def test_an_early_end_is_no_failure_to_wait_out() -> None:
    async def ends(_: Any) -> None:
        await asyncio.sleep(3)
        raise StopStream

    async def main() -> None:
        with pytest.raises(StopStream):
            await Hedge(after=2).around(ends, "price")("tea")
        assert asyncio.get_running_loop().time() == 3

    run(main())


def test_an_attempt_that_is_cancelled_from_within_cancels_the_item() -> None:
    async def gives_up(_: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        called(Hedge(after=2), gives_up)


def test_each_attempt_has_a_copy_of_the_items_context_and_is_a_task_of_its_own() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
    seen: list[tuple[str, str]] = []

    async def look(_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        seen.append((colour.get(), task.get_name()))
        colour.set("spoilt")
        await asyncio.sleep(3)

    async def main() -> None:
        colour.set("red")
        await Hedge(after=2).around(look, "look")(1)
        assert colour.get() == "red"

    run(main())
    assert seen == [("red", "look, attempt 1"), ("red", "look, attempt 2")]


def test_cancelled_twice_it_still_waits_for_its_attempts() -> None:
    service = Service([Attempt(60, cleanup=4), Attempt(60, cleanup=9)])

    async def main() -> None:
        async with no_leaks():
            task = asyncio.create_task(Hedge(after=2).around(service, "price")("tea"))
            await asyncio.sleep(3)
            task.cancel()
            await asyncio.sleep(1)
            task.cancel()  # the attempts are cancelled once more: they were cleaning up
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (service.inside, asyncio.get_running_loop().time()) == (0, 4)

    run(main())


attempts = st.builds(Attempt, st.integers(0, 9), st.booleans(), st.integers(0, 2))


def expected(after: int, most: int, planned: list[Attempt]) -> tuple[float, set[int] | None, int]:
    """When it ends, which attempt may be the one that wins (None: all fail), and how many were begun."""
    ends = [k * after + attempt.takes for k, attempt in enumerate(planned[:most])]
    begun = 1
    while (
        begun < most
        and max(ends[:begun]) > begun * after
        and not any(ends[k] <= begun * after and not planned[k].fails for k in range(begun))
    ):
        begun += 1
    wins = [ends[k] for k in range(begun) if not planned[k].fails]
    if not wins:
        return max(ends[:begun]), None, begun
    return min(wins), {k for k in range(begun) if ends[k] == min(wins) and not planned[k].fails}, begun


@given(st.integers(1, 4), st.integers(2, 4), st.lists(attempts, min_size=4, max_size=4))
def test_it_does_what_the_model_says_and_leaves_nothing(after: int, most: int, planned: list[Attempt]) -> None:
    # Half a second apart, so that nothing is due at the very moment at which another attempt is.
    for attempt in planned:
        attempt.takes += 0.5
    service = Service(planned)
    when, winners, begun = expected(after, most, planned)

    async def main() -> None:
        try:
            won = await Hedge(after, attempts=most).around(service, "price")("tea")
        except Failed:
            assert winners is None
        else:
            assert winners is not None
            assert won in winners
        losers = [k for k in range(begun) if k * after + planned[k].takes > when]
        assert asyncio.get_running_loop().time() == when + max((planned[k].cleanup for k in losers), default=0)
        assert len(service.begun) == begun
        assert service.inside == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@given(st.lists(attempts, min_size=3, max_size=3), st.floats(0, 12), st.floats(0, 3))
def test_wherever_it_is_cancelled_nothing_is_left(planned: list[Attempt], at: float, again: float) -> None:
    service = Service(planned)

    async def main() -> None:
        task = asyncio.create_task(Hedge(2, attempts=3).around(service, "price")("tea"))
        await asyncio.sleep(at)
        first = task.cancel()
        await asyncio.sleep(again)
        second = task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            assert first or second
        except Failed:
            assert not first
        else:
            assert not first
        assert service.inside == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@pytest.mark.parametrize(("after", "attempts_"), [(0, 2), (-1, 2), ("1", 2), (1, 1), (1, 2.5), (1, True)])
def test_what_makes_no_hedge_is_refused(after: Any, attempts_: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s)Hedge: .* # incorrect\n.* # correct"):
        Hedge(after, attempts=attempts_)


def test_hedges_are_values() -> None:
    assert Hedge(2) == Hedge(2.0, attempts=2) != Hedge(2, attempts=3)
    assert repr(Hedge(0.5)) == "Hedge(after=0.5)"
    assert repr(Hedge(0.5, attempts=3)) == "Hedge(after=0.5, attempts=3)"
