"""`ErrorHandler`: what fails is counted, recorded, told of and set aside, and then skipped or not."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from rxchain import Chain, CompositionError, Failure
from rxchain.errors import TooManyDeadLetters
from rxchain.policies import DeadLetter, DeadLetters, ErrorHandler, Notification, Resume, Retry, Throttled
from rxchain.testing import no_leaks, run


@pytest.fixture
def records() -> Iterator[list[Any]]:
    seen: list[Any] = []
    sink = logger.add(lambda message: seen.append(message.record), level=0)
    logger.enable("rxchain")
    yield seen
    logger.enable("")  # as it was: nothing asked for
    logger.remove(sink)


class Told:
    """A notifier that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[Notification] = []

    async def __call__(self, notification: Notification) -> None:
        self.seen.append(notification)

    @property
    def count(self) -> int:
        return sum(notification.count for notification in self.seen)


def price(text: str) -> float:
    return float(text)


async def aprice(text: str) -> float:
    await asyncio.sleep(1)
    return float(text)


TEXTS = ["1", "tea", "2", "", "3"]


# --- in a chain


@pytest.mark.parametrize("step", [price, aprice])
def test_each_failure_stays_with_its_item(step: Callable[[str], Any], records: list[Any]) -> None:
    told, letters = Told(), list[DeadLetter]()
    handler = ErrorHandler(notify=told, dead_letters=DeadLetters(letters))

    async def main() -> list[float]:
        async with no_leaks():
            return await Chain(step, name="prices", on_error=handler).collect(TEXTS)

    assert run(main()) == [1.0, 2.0, 3.0]
    assert [(f.item, f.place and f.place.position) for f in handler.failures] == [("tea", 1), ("", 3)]
    assert [letter.item for letter in letters] == ["tea", ""]
    assert [(n.count, n.node, n.error) for n in told.seen] in (
        [(2, step.__name__, "ValueError")],  # at the end of a run that never waits
        [(1, step.__name__, "ValueError")] * 2,
    )
    assert [(r["level"].name, r["extra"]["chain"], r["extra"]["node"], r["extra"]["item"]) for r in records] == [
        ("ERROR", "prices", step.__name__, "[1]"),
        ("ERROR", "prices", step.__name__, "[3]"),
    ]
    statistics = handler.statistics()
    assert (statistics.failures, statistics.notified, statistics.not_notified) == (2, 2, 0)
    assert statistics.by_node_and_error == {(step.__name__, "ValueError"): 2}


def test_of_plain_parts_it_needs_no_event_loop() -> None:
    letters: list[DeadLetter] = []
    handler = ErrorHandler(dead_letters=DeadLetters(letters), then=Resume(0.0))
    chain = Chain(price, on_error=handler)
    assert not chain.is_async
    assert list(chain.iterate(TEXTS)) == [1.0, 0.0, 2.0, 0.0, 3.0]
    assert len(letters) == len(handler.failures) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_stops_where_it_is_to_stop(asynchronous: bool) -> None:
    told = Told()
    handler = ErrorHandler(then="stop", notify=[told] if asynchronous else [])
    results: list[float] = []
    with no_leaks(), pytest.raises(ValueError, match="tea"):
        results.extend(Chain(price, on_error=handler).iterate(TEXTS))
    assert len(handler.failures) == 1
    assert told.count == asynchronous


async def later(failure: Failure) -> str:
    await asyncio.sleep(0)
    return f"no number: {failure.item}"


@pytest.mark.parametrize("to", [lambda failure: f"no number: {failure.item}", later])
def test_it_resumes_with_what_is_said(to: Callable[[Failure], Any]) -> None:
    handler = ErrorHandler(then=Resume(to))
    assert handler.resumes
    with no_leaks():
        results = list(Chain(price, on_error=handler).iterate(TEXTS))
    assert results == [1.0, "no number: tea", 2.0, "no number: ", 3.0]


def test_what_its_parts_raise_ends_the_stream() -> None:
    def full(_: Failure) -> None:
        raise OSError("no space left")

    handler = ErrorHandler(dead_letters=full)
    with pytest.raises(OSError, match="no space left"):
        list(Chain(price, on_error=handler).iterate(TEXTS))
    assert len(handler.failures) == 1, "it is counted all the same"


@pytest.mark.parametrize("notify", [(), [Told()]])
def test_a_run_of_its_own_has_limits_of_its_own_and_shares_the_rest(notify: Any) -> None:
    handler = ErrorHandler(dead_letters=DeadLetters([], streak=2), notify=notify)
    for run_of_its_own in (handler.fresh(), handler.fresh()):
        assert list(Chain(price, on_error=run_of_its_own).iterate(["tea"])) == []
    assert len(handler.failures) == 2
    with pytest.raises(TooManyDeadLetters):
        list(Chain(price, on_error=handler.fresh()).iterate(["tea", "tea"]))
    assert handler.statistics().failures == 4
    assert handler.statistics().notified == (4 if notify else 0)


def test_a_notifier_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def down(_: Notification) -> None:
        raise ConnectionError("no route")

    told = Told()
    handler = ErrorHandler(notify=[down, told])

    async def main() -> list[float]:
        async with no_leaks():
            return await Chain(aprice, on_error=handler).collect(TEXTS)

    assert run(main()) == [1.0, 2.0, 3.0]
    assert told.count == 2
    assert "notifier down has not been told of 2 failures" in caplog.text
    assert (handler.statistics().notified, handler.statistics().not_notified) == (2, 2)


def test_a_stream_does_not_wait_for_its_notifiers() -> None:
    async def slow(_: Notification) -> None:
        await asyncio.sleep(20)

    handler = ErrorHandler(notify=slow)

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times = [loop.time() async for _ in Chain(aprice, on_error=handler).stream(TEXTS)]
        return [*times, loop.time()]

    assert run(main()) == [1.0, 3.0, 5.0, 42.0], "the end waits: 20 s for each of two messages, the first since 2.0"


def test_left_early_the_rest_is_told() -> None:
    told = Told()
    handler = ErrorHandler(notify=told)

    async def main() -> None:
        async with no_leaks():
            outputs = Chain(price, on_error=handler).stream(["tea", "coffee", "1", "2"])
            async for _ in outputs:
                break
            await outputs.aclose()

    run(main())
    assert told.count == 2


def test_held_open_runs_are_told_of_together() -> None:
    told = Told()

    async def main() -> None:
        async with no_leaks(), ErrorHandler(notify=[Throttled(told, per=60)]) as handler:
            chain = Chain(price, on_error=handler)
            for _ in range(10):
                await chain.collect(TEXTS)
                await asyncio.sleep(1)

    run(main())
    assert sum(notification.count for notification in told.seen) == 20
    assert len(told.seen) <= 3


def test_not_held_open_the_end_of_each_run_tells_the_rest() -> None:
    told = Told()
    chain = Chain(price, on_error=ErrorHandler(notify=told))
    with no_leaks():
        for i in range(3):
            list(chain.iterate(TEXTS))
            assert told.count == 2 * (i + 1)


@given(st.lists(st.sampled_from(["1", "tea", ""]), max_size=20), st.integers(1, 3))
@settings(max_examples=30)
def test_results_failures_letters_and_what_is_told_add_up(texts: list[str], window: int) -> None:
    told, letters = Told(), list[DeadLetter]()
    handler = ErrorHandler(notify=told, dead_letters=DeadLetters(letters), keep=5)

    async def main() -> list[float]:
        async with no_leaks():
            return await Chain(aprice, window=window, on_error=handler).collect(texts)

    done = len(run(main()))
    assert done + len(letters) == len(texts)
    assert handler.statistics().failures == told.count == len(letters)
    assert [failure.item for failure in handler.failures] == [letter.item for letter in letters][-5:]


def test_its_policy_is_that_of_the_nodes_that_have_none() -> None:
    handler = ErrorHandler(retry=2, undo=False)
    assert handler.retries == Retry(2)
    assert handler.undo is False


def test_cancellation_is_not_handled() -> None:
    handler = ErrorHandler()

    async def main() -> None:
        async with no_leaks():
            task = asyncio.ensure_future(Chain(aprice, on_error=handler).collect(TEXTS))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())
    assert handler.failures == ()


# --- alone


class Service:
    """Fails so many times, then answers."""

    def __init__(self, failing: int) -> None:
        self.failing, self.asked = failing, 0

    def answer(self, item: str) -> str:
        self.asked += 1
        if self.asked <= self.failing:
            raise ConnectionError(f"busy: {item}")
        return item.upper()

    async def answer_later(self, item: str) -> str:
        await asyncio.sleep(1)
        return self.answer(item)


@pytest.mark.parametrize("name", ["answer", "answer_later"])
@pytest.mark.parametrize(("retry", "attempts"), [(None, 3), (2, 2), (Retry(5, wait=0.5), 5)])
@given(failing=st.integers(0, 7))
def test_a_task_is_tried_as_often_as_it_says(name: str, retry: Any, attempts: int, failing: int) -> None:
    service = Service(failing)
    task = getattr(service, name)
    handler = ErrorHandler(retry=retry)
    if failing < attempts:
        assert run(handler.retry(task, "tea")) == "TEA"
    else:
        with pytest.raises(ConnectionError):
            run(handler.retry(task, "tea"))
    assert service.asked == min(failing + 1, attempts)
    assert handler.failures == (), "the error is the caller's"


@pytest.mark.parametrize("name", ["answer", "answer_later"])
@given(failing=st.integers(1, 5))
def test_an_error_that_was_caught_is_the_first_attempts(name: str, failing: int) -> None:
    service = Service(failing)
    task = getattr(service, name)
    told = Told()

    async def main() -> str | None:
        async with no_leaks(), ErrorHandler(retry=Retry(3, wait=1), notify=told) as handler:
            try:
                answer = task("tea")
                result: str = await answer if asyncio.iscoroutine(answer) else answer
            except ConnectionError as error:
                result = await handler.handle_error(error, task, "tea")
            assert handler.statistics().failures == (failing >= 3)
            for failure in handler.failures:
                assert (failure.node, failure.item, failure.attempts) == (name, "tea", 3)
        return result

    assert run(main()) == ("TEA" if failing < 3 else None)
    assert service.asked == min(failing + 1, 3)
    assert told.count == (failing >= 3)


def test_without_a_task_an_error_is_recorded_and_what_comes_then_is_said(records: list[Any]) -> None:
    error = ValueError("no such product")
    assert run(ErrorHandler().handle_error(error)) is None
    assert run(ErrorHandler(then=Resume(0)).handle_error(error)) == 0
    with pytest.raises(ValueError, match="no such product"):
        run(ErrorHandler(then="stop").handle_error(error))
    assert [record["message"] for record in records] == ["ValueError: no such product"] * 3


def test_a_cancelled_task_is_not_tried_again() -> None:
    service = Service(0)

    async def main() -> None:
        async with no_leaks():
            task = asyncio.ensure_future(ErrorHandler().retry(service.answer_later, "tea"))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())
    assert service.asked == 0


# --- recording


def test_what_is_recorded_and_how_is_said(records: list[Any]) -> None:
    for handler in (ErrorHandler(record=None), ErrorHandler(record="INFO"), ErrorHandler(payload=True)):
        list(Chain(price, on_error=handler).iterate(["4111 1111"]))
    silent_of_it, shows_it = records
    assert silent_of_it["level"].name == "INFO"
    assert "payload" not in silent_of_it["extra"]
    assert shows_it["extra"]["payload"] == "'4111 1111'"


def test_counting_is_bounded() -> None:
    handler = ErrorHandler(keep=3)

    async def main() -> None:
        for i in range(1100):
            await handler.handle_error(type(f"Error{i}", (Exception,), {})())

    run(main())
    statistics = handler.statistics()
    assert statistics.failures == 1100
    assert len(statistics.by_node_and_error) == 1001
    assert statistics.by_node_and_error["", ""] == 100
    assert len(handler.failures) == 3


# --- mistakes


@pytest.mark.parametrize(
    "mistake",
    [
        {"then": "ignore"},
        {"then": 0},
        {"then": lambda: None},
        {"dead_letters": "dead.jsonl"},
        {"dead_letters": []},
        {"notify": "ops@example.org"},
        {"notify": [None]},
        {"retry": 0},
    ],
)
def test_a_mistake_is_shown_beside_what_is_right(mistake: dict[str, Any]) -> None:
    with pytest.raises(CompositionError, match=r"(?s)# incorrect\n.*# correct"):
        ErrorHandler(**mistake)


@pytest.mark.parametrize("keep", [-1, 1.5, True])
def test_how_many_are_kept_is_a_number(keep: Any) -> None:
    with pytest.raises(CompositionError, match="keep is a number of failures"):
        ErrorHandler(keep=keep)


def test_it_shows_what_it_is_made_of() -> None:
    assert repr(ErrorHandler(retry=3, undo=False, notify=Throttled(print, per=5), then="stop", record=None)) == (
        "ErrorHandler(retry=Retry(3), undo=False, record=None, notify=[Throttled(print, per=5)], then='stop')"
    )
