"""What a run has opened it lets go of by itself, not when garbage is collected; its context is the caller's."""

import asyncio
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest
import reactivex

from rxchain import Chain, ManyResults
from rxchain import operators as ops

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


async def who(item: Any) -> str:
    await asyncio.sleep(0)
    return user.get()


def test_asynchronous_steps_see_the_context_of_synchronous_callers() -> None:
    def called() -> None:
        user.set("ann")
        assert Chain(who).run_sync(1) == "ann"
        assert list(Chain(who).iterate([1, 2])) == ["ann", "ann"]

    contextvars.copy_context().run(called)


class Letters:
    """An async iterator that is no generator: nobody closes it but who opened it."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> "Letters":
        return self

    async def __anext__(self) -> str:
        return "a"

    async def aclose(self) -> None:
        self.closed += 1


def test_an_async_iterator_that_a_function_returned_is_closed_once() -> None:
    letters = Letters()

    async def main() -> None:
        assert await Chain(ops.concat_map(lambda item: letters), ops.take(2)).collect([1]) == ["a", "a"]
        assert letters.closed == 1

    asyncio.run(main())


def test_disposing_closes_what_the_program_has_opened() -> None:
    log: list[str] = []
    subject: Any = reactivex.Subject()

    def letters(item: Any) -> Iterator[str]:
        try:
            while True:
                yield "a"
        finally:
            log.append("closed")

    seen: list[str] = []

    def take_two(item: str) -> None:
        seen.append(item)
        if len(seen) == 2:
            subscription.dispose()
            raise LookupError("the observer is gone")

    subscription = subject.pipe(Chain(letters)).subscribe(take_two)
    with pytest.raises(LookupError):
        subject.on_next(1)
    assert (seen, log) == (["a", "a"], ["closed"])


def test_a_second_result_leaves_no_task_behind() -> None:
    async def many(item: Any) -> list[int]:
        return [1, 2, 3]

    async def main() -> None:
        with pytest.raises(ManyResults):
            await Chain(ops.flat_map(many)).run(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_chain_that_ends_before_its_first_item_does_not_subscribe() -> None:
    subscribed: Any = []
    seen: list[Any] = []
    source = reactivex.defer(lambda scheduler: subscribed.append(scheduler) or reactivex.never())
    source.pipe(Chain(ops.take(0))).subscribe(seen.append, seen.append, lambda: seen.append("|"))
    assert (subscribed, seen) == ([], ["|"])
