"""An asynchronous chain on a reactivex Observable: bounded, in order, and gone when it has been disposed of."""

import asyncio
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger
from reactivex import operators as rx
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject

from rxchain import Chain, Overflow
from rxchain import operators as ops
from rxchain.runners import disposed
from rxchain.testing import (
    EmitsAfterEnd,
    FailsInClose,
    FailsMidway,
    NeverCompletes,
    Overlapping,
    Reentrant,
    no_leaks,
    run,
)
from rxchain.types import OverflowPolicy


async def later(x: Any) -> Any:
    await asyncio.sleep(1)
    return x


async def at_once(x: Any) -> Any:
    return x


async def until(holds: Callable[[], object]) -> None:
    """Wait for what another thread, or virtual time, brings about."""
    for _ in range(100_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")


class Seen:
    """An observer that writes everything down."""

    def __init__(self, observable: Any) -> None:
        self.log: list[Any] = []
        self.ended = threading.Event()
        self.subscription = observable.subscribe(self.log.append, self._failed, self._completed)

    def _failed(self, error: BaseException) -> None:
        self.log.append(error)
        self.ended.set()

    def _completed(self) -> None:
        self.log.append("|")
        self.ended.set()

    async def end(self) -> list[Any]:
        await until(self.ended.is_set)
        return self.log

    @property
    def shown(self) -> list[Any]:
        return [repr(x) if isinstance(x, BaseException) else x for x in self.log]


def played(observable: Callable[[], Any]) -> list[Any]:
    """What a subscription sees, on a loop in virtual time."""

    async def main() -> list[Any]:
        async with no_leaks():
            seen = Seen(observable())
            await seen.end()
            await disposed()
        return seen.shown

    return run(main())


@contextmanager
def warnings() -> Iterator[list[str]]:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message)), format="{level}: {message}")
    logger.enable("rxchain")
    try:
        yield told
    finally:
        logger.enable("")  # as it was: nothing asked for
        logger.remove(sink)


# --- the grammar


def test_items_pass_in_order_and_then_the_end() -> None:
    assert played(lambda: reactivex.of(1, 2, 3).pipe(Chain(later, ops.map(str)))) == ["1", "2", "3", "|"]


def test_a_chain_stands_among_other_operators() -> None:
    assert played(lambda: reactivex.of(1, 2, 3).pipe(rx.map(str), Chain(later), rx.map(int), rx.sum())) == [6, "|"]


def test_timers_of_reactivex_and_of_the_chain_are_of_one_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen = Seen(reactivex.timer(2, 2, AsyncIOScheduler(loop)).pipe(rx.take(3), Chain(later)))
        await asyncio.sleep(3.5)
        assert seen.log == [0]
        await seen.end()
        assert seen.log == [0, 1, 2, "|"]
        await disposed()

    run(main())


def test_an_error_of_a_node_names_it_and_comes_behind_the_items_before() -> None:
    async def refuses(x: int) -> int:
        await asyncio.sleep(3 - x)
        if x == 3:
            raise ValueError("three")
        return x

    errors: list[Any] = []

    async def main() -> None:
        chain = Chain(refuses, name="c")
        reactivex.of(1, 2, 3, 4).pipe(chain).subscribe(errors.append, errors.append)
        await asyncio.sleep(100)
        await disposed()

    run(main())
    assert errors[:2] == [1, 2]
    assert repr(errors[2:]) == "[ValueError('three')]"
    assert errors[2].__notes__[0] == "in node 'refuses' of chain 'c', with item 3"


def test_what_has_not_even_been_taken_is_told_with_the_error() -> None:
    async def refuses(x: int) -> int:
        raise ValueError(x)

    errors: list[Any] = []

    async def main() -> None:
        subject = Subject[int]()
        subject.pipe(Chain(refuses, window=4)).subscribe(on_error=errors.append)
        for i in range(3):
            subject.on_next(i)
        await asyncio.sleep(1)

    run(main())
    notes = " ".join(note for note in errors[0].__notes__ if "abandoned" in note)
    assert sum(map(int, re.findall(r"\d+", notes))) == 2


def test_an_error_of_the_source_comes_behind_its_items() -> None:
    source = FailsMidway("ab", ValueError("source"))
    assert played(lambda: source.observable().pipe(Chain(later))) == ["a", "b", "ValueError('source')"]
    assert source.closed == 1


@pytest.mark.parametrize("error", [StopIteration("s"), StopAsyncIteration("s")])
def test_an_error_that_would_end_a_loop_in_silence_is_an_error(error: Exception) -> None:
    (_, told) = played(lambda: FailsMidway("a", error).observable().pipe(Chain(later)))
    assert told.startswith(f"RuntimeError('{type(error).__name__} was raised and not caught")


def test_a_cancellation_that_a_node_raises_does_not_vanish() -> None:
    async def gives_up(x: int) -> int:
        raise asyncio.CancelledError("gave up")

    (told,) = played(lambda: reactivex.of(1).pipe(Chain(gives_up)))
    assert told.startswith("CancelledError")


def test_nothing_follows_the_end() -> None:
    assert played(lambda: EmitsAfterEnd("a", late="b").observable().pipe(Chain(later))) == ["a", "|"]


def test_an_early_end_disposes_of_the_source_once() -> None:
    source = NeverCompletes("abc")
    assert played(lambda: source.observable().pipe(Chain(later, ops.take(2)))) == ["a", "b", "|"]
    assert source.closed == 1


def test_an_end_further_down_ends_the_chain() -> None:
    source = NeverCompletes("abc")
    assert played(lambda: source.observable().pipe(Chain(later), rx.take(2))) == ["a", "b", "|"]
    assert source.closed == 1


def test_a_source_that_fails_to_be_disposed_of_is_told_to_the_loop() -> None:
    told: list[Any] = []

    async def main() -> list[Any]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        seen = Seen(FailsInClose("a", ValueError("close")).observable().pipe(Chain(later, name="c")))
        return await seen.end()

    assert run(main()) == ["a", "|"]
    assert [(c["message"], repr(c["exception"])) for c in told] == [
        ("chain 'c' on an Observable could not dispose of its source", "ValueError('close')")
    ]


def test_an_item_that_is_sent_while_another_is_worked_on_waits_for_its_turn() -> None:
    source = Reentrant("abc")

    async def again(x: str) -> str:
        source.again()
        return x

    assert played(lambda: source.observable().pipe(Chain(again, later))) == ["a", "b", "c", "|"]


def test_threads_that_send_at_once_lose_nothing() -> None:
    async def main() -> list[Any]:
        source = Overlapping(range(40)).observable().pipe(Chain(at_once, window=40))
        seen = await asyncio.to_thread(Seen, source)  # no loop there: it has one of its own
        await asyncio.to_thread(seen.ended.wait)
        await asyncio.to_thread(seen.subscription.dispose)
        return seen.log

    log = asyncio.run(main())
    assert sorted(log[:-1]) == list(range(40))
    assert log[-1] == "|"
    assert [x for x in log[:-1] if x % 2 == 0] == list(range(0, 40, 2))


def test_an_observer_that_raises_ends_the_run_and_is_told_to_the_loop() -> None:
    told: list[Any] = []
    heard: list[Any] = []
    subject = Subject[int]()

    def broken(x: int) -> None:
        heard.append(x)
        raise RuntimeError("observer")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with no_leaks():
            subject.pipe(Chain(later)).subscribe(broken, heard.append)
            subject.on_next(1)
            subject.on_next(2)
            await asyncio.sleep(10)
        assert not subject.observers

    run(main())
    assert heard == [1]
    assert [(c["message"], repr(c["exception"])) for c in told] == [
        ("the chain on an Observable ends: its observer raised", "RuntimeError('observer')")
    ]


def test_a_subscription_without_on_error_is_told_to_the_loop() -> None:
    told: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(repr(context["exception"])))
        FailsMidway("", ValueError("source")).observable().pipe(Chain(later)).subscribe()
        await asyncio.sleep(1)

    run(main())
    assert told == ["ValueError('source')"]


# --- bounds


@pytest.mark.parametrize(
    ("overflow", "expected", "dropped"),
    [
        ("drop_newest", [0, 1, 2, 3], 6),
        ("drop_oldest", [6, 7, 8, 9], 6),
        ("latest", [8, 9], 8),
    ],
)
def test_what_gives_way_is_counted_and_the_count_is_told(
    overflow: OverflowPolicy, expected: list[int], dropped: int
) -> None:
    with warnings() as told:
        chain = Chain(later, name="c", window=4, overflow=overflow)
        assert played(lambda: reactivex.from_iterable(range(10)).pipe(chain)) == [*expected, "|"]
    assert told == [
        f"WARNING: chain 'c' (overflow='{overflow}', window=4): items are being dropped; how many is told at the end\n",
        f"WARNING: chain 'c' (overflow='{overflow}', window=4): {dropped} items were dropped\n",
    ]


def test_a_full_window_is_an_error_that_says_what_to_choose() -> None:
    (*items, error) = played(lambda: reactivex.from_iterable(range(10)).pipe(Chain(later, name="c", window=4)))
    assert items == [0, 1, 2, 3]
    assert error.startswith("Overflow(\"chain 'c': an Observable cannot be asked to wait, and 4 items are in flight")
    for choice in (
        "window=64",
        "overflow='block'",
        "overflow='drop_oldest'",
        "'drop_newest', 'latest'",
        "chain.stream",
    ):
        assert choice in error


def test_a_full_window_disposes_of_the_source_at_once() -> None:
    async def main() -> None:
        subject = Subject[int]()
        seen = Seen(subject.pipe(Chain(later, window=2)))
        for i in range(3):
            subject.on_next(i)
        assert not subject.observers
        await seen.end()
        assert isinstance(seen.log[-1], Overflow)

    run(main())


def test_a_thread_that_emits_is_blocked_while_the_window_is_full() -> None:
    pushed, ahead = 0, []

    async def main() -> list[Any]:
        subject = Subject[int]()

        async def work(x: int) -> int:
            await asyncio.sleep(0)
            ahead.append(pushed - x)
            return x

        def produce() -> None:
            nonlocal pushed
            for i in range(300):
                pushed = i
                subject.on_next(i)
            subject.on_completed()

        seen = Seen(subject.pipe(Chain(work, window=3, overflow="block")))
        await asyncio.to_thread(produce)
        return await seen.end()

    assert asyncio.run(main()) == [*range(300), "|"]
    assert max(ahead) <= 7  # one on its way in, three that wait, three in flight


def test_a_blocked_thread_is_let_go_when_the_run_is_disposed_of() -> None:
    async def main() -> None:
        subject = Subject[int]()
        seen = Seen(subject.pipe(Chain(forever, window=1, overflow="block")))

        def produce() -> None:
            for i in range(10):
                subject.on_next(i)

        producing = asyncio.create_task(asyncio.to_thread(produce))
        await asyncio.sleep(0.01)
        assert not producing.done()
        seen.subscription.dispose()
        await producing
        await disposed()

    asyncio.run(main())


def test_the_loop_itself_is_never_blocked() -> None:
    (_, error) = played(lambda: reactivex.of(1, 2).pipe(Chain(later, window=1, overflow="block")))
    assert "the event loop's own thread" in error
    assert "await asyncio.to_thread(subject.on_next, item)  # correct" in error


# --- disposal


async def forever(x: Any) -> Any:
    return await asyncio.get_running_loop().create_future()


def letting_go(log: list[Any]) -> Callable[[Any], Any]:
    async def waits(x: Any) -> Any:
        log.append(x)
        try:
            return await forever(x)
        finally:
            await asyncio.sleep(0.001)
            log.append(f"let go of {x}")

    return waits


def test_disposing_on_the_loop_can_be_awaited() -> None:
    async def main() -> None:
        log: list[Any] = []
        async with no_leaks():
            subject = Subject[int]()
            seen = Seen(subject.pipe(Chain(letting_go(log))))
            subject.on_next(1)
            await asyncio.sleep(1)
            seen.subscription.dispose()
            seen.subscription.dispose()
            assert not subject.observers
            assert log == [1]
            await disposed()
            assert log == [1, "let go of 1"]
            subject.on_next(2)
            assert seen.log == []

    run(main())


def test_disposing_before_anything_has_begun_leaves_nothing() -> None:
    async def main() -> None:
        async with no_leaks():
            subject = Subject[int]()
            for _ in range(3):
                Seen(subject.pipe(Chain(later))).subscription.dispose()
            assert not subject.observers
            await disposed()

    run(main())


def test_disposing_from_another_thread_waits_until_all_has_ended() -> None:
    async def main() -> None:
        log: list[Any] = []
        subject = Subject[int]()
        seen = Seen(subject.pipe(Chain(letting_go(log))))
        subject.on_next(1)
        await asyncio.sleep(0.001)

        def dispose() -> None:
            seen.subscription.dispose()
            log.append("disposed")

        async with no_leaks():
            await asyncio.to_thread(dispose)
        assert log == [1, "let go of 1", "disposed"]

    asyncio.run(main())


def test_disposing_without_a_loop_waits_and_ends_its_thread() -> None:
    log: list[Any] = []
    arrived = threading.Event()
    subject = Subject[int]()
    with no_leaks():
        seen = Seen(subject.pipe(Chain(ops.tap(lambda _: arrived.set()), letting_go(log))))
        subject.on_next(1)
        assert arrived.wait(5)
        seen.subscription.dispose()
        assert log in ([1, "let go of 1"], [])  # it may have been cancelled on its way in
        assert not any(t.name == "rxchain loop" for t in threading.enumerate())


def test_without_a_loop_the_thread_ends_with_the_stream() -> None:
    with no_leaks():
        seen = Seen(reactivex.from_iterable(range(50)).pipe(Chain(at_once, window=4, overflow="block")))
        assert seen.ended.wait(5)
        assert seen.log == [*range(50), "|"]


def test_a_failing_subscription_ends_the_run() -> None:
    def fails(observer: Any, scheduler: Any = None) -> Any:
        raise ValueError("subscribe")

    errors: list[Any] = []
    with no_leaks():
        reactivex.Observable(fails).pipe(Chain(later)).subscribe(on_error=errors.append)
    assert [repr(e) for e in errors] == ["ValueError('subscribe')"]


def test_a_disposer_that_holds_what_the_observer_waits_for_is_not_waited_for() -> None:
    lock, inside = threading.Lock(), threading.Event()
    subject = Subject[int]()

    def locked(_: int) -> None:
        inside.set()
        with lock:
            pass

    with no_leaks():
        subscription = subject.pipe(Chain(at_once)).subscribe(locked)
        with lock:
            subject.on_next(1)
            assert inside.wait(5)
            subscription.dispose()


def test_a_node_in_a_thread_can_dispose_of_its_own_run() -> None:
    async def main() -> None:
        subject = Subject[int]()
        subscriptions: list[Any] = []

        async def ends(x: int) -> int:
            await asyncio.to_thread(subscriptions[0].dispose)
            return x

        async with no_leaks():
            seen = Seen(subject.pipe(Chain(ends)))
            subscriptions.append(seen.subscription)
            subject.on_next(1)
            await until(lambda: not subject.observers)
            await asyncio.sleep(0.01)
            await disposed()
        assert seen.log == []

    asyncio.run(main())


def test_a_node_that_waits_for_its_thread_can_dispose_of_its_own_run() -> None:
    async def main() -> None:
        subject = Subject[int]()
        subscriptions: list[Any] = []

        async def ends(x: int) -> int:
            job = asyncio.ensure_future(asyncio.to_thread(subscriptions[0].dispose))
            try:
                await asyncio.shield(job)
            finally:
                await asyncio.wait([job])  # a thread cannot be cancelled
            return x

        async with asyncio.timeout(5), no_leaks():
            seen = Seen(subject.pipe(Chain(ends)))
            subscriptions.append(seen.subscription)
            subject.on_next(1)
            await until(lambda: not subject.observers)
            await disposed()
        assert seen.log == []

    asyncio.run(main())


def test_an_error_while_it_is_disposed_of_is_told_to_the_loop() -> None:
    told: list[Any] = []

    async def stubborn(x: int) -> int:
        try:
            return await forever(x)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            raise ValueError("on the way out") from None

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        subject = Subject[int]()
        seen = Seen(subject.pipe(Chain(stubborn)))
        subject.on_next(1)
        await asyncio.sleep(1)
        seen.subscription.dispose()
        await disposed()
        assert seen.log == []

    run(main())
    (context,) = told
    assert context["message"] == "the chain on an Observable failed while it was being disposed of"
    assert "on the way out" in "".join(traceback.format_exception(context["exception"]))


def test_many_subscriptions_and_disposals_leave_nothing() -> None:
    async def main() -> None:
        subject = Subject[int]()
        chain = Chain(later)
        async with no_leaks():
            for i in range(200):
                seen = Seen(subject.pipe(chain))
                subject.on_next(i)
                if i % 2:
                    await asyncio.sleep(0)
                seen.subscription.dispose()
            await disposed()
            assert not subject.observers
            assert len(asyncio.all_tasks()) == 1

    run(main())


def test_many_subscriptions_without_a_loop_leave_no_thread() -> None:
    subject = Subject[int]()
    before = threading.active_count()
    for i in range(20):
        subscription = subject.pipe(Chain(later)).subscribe()
        subject.on_next(i)
        subscription.dispose()
        assert threading.active_count() <= before


# --- context

who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.mark.parametrize("window", [1, 2, 16])
@pytest.mark.parametrize("before", [None, ops.throttle(0.5), ops.rx(rx.map(int)), ops.batch(1)])
def test_the_context_of_an_items_arrival_holds_in_its_nodes(before: Any, window: int) -> None:
    assert seen_behind(before, window) == ["ada", "bob", "subscriber", "cyd"]


@pytest.mark.parametrize("window", [1, 16])
@pytest.mark.parametrize("before", [ops.delay(1), ops.buffer(2), ops.batch(1, within=9)])
def test_behind_what_keeps_items_for_a_while_it_holds_no_longer(before: Any, window: int) -> None:
    assert seen_behind(before, window) == ["subscriber"] * 4


def seen_behind(before: Any, window: int) -> list[str]:
    """What a node sees of the contexts in which items were pushed; that it is given items is seen, too."""

    def first(x: Any) -> Any:
        return x[0] if isinstance(x, list) else x

    async def main() -> list[str]:
        seen: list[str] = []

        async def notes(x: int) -> int:
            await asyncio.sleep(1)
            assert x == 1
            seen.append(who.get())
            return x

        subject = Subject[int]()
        who.set("subscriber")
        end = Seen(subject.pipe(Chain(*([before] if before else []), first, later, notes, window=window)))
        for name in ("ada", "bob", None, "cyd"):
            context = copy_context()
            if name is not None:
                context.run(who.set, name)
            context.run(subject.on_next, 1)
            await asyncio.sleep(5)
        subject.on_completed()
        await end.end()
        return seen

    return run(main())


# --- laws

signals = st.lists(st.integers(0, 9), max_size=12)


def delayed(delays: dict[int, int], bad: int | None) -> Callable[[int], Any]:
    async def node(x: int) -> int:
        for _ in range(delays.get(x, 0)):
            await asyncio.sleep(0.5)
        if x == bad:
            raise ValueError(x)
        return x

    return node


@given(
    signals,
    st.dictionaries(st.integers(0, 9), st.integers(0, 3)),
    st.dictionaries(st.integers(0, 9), st.integers(0, 3)),
    st.none() | st.integers(0, 9),
    st.integers(1, 5),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
@settings(max_examples=20)
def test_it_gives_what_a_stream_gives_and_a_second_subscription_the_same(
    items: list[int],
    first: dict[int, int],
    second: dict[int, int],
    bad: int | None,
    window: int,
    gaps: list[int],
) -> None:
    chain: Chain[int, int] = Chain(
        delayed(first, None), ops.filter(lambda x: x != 5), ops.scan(lambda a, b: a + b, 0), delayed(second, bad)
    )

    async def streamed() -> list[Any]:
        log: list[Any] = []
        try:
            async for x in chain.stream(items):
                log.append(x)
            log.append("|")
        except ValueError as error:
            log.append(repr(error))
        return log

    async def observed() -> list[Any]:
        bounded = Chain(*chain.steps, window=window + len(items))
        async with no_leaks():
            subject = Subject[int]()
            piped = subject.pipe(bounded)
            seen, other = Seen(piped), Seen(piped)
            for item, gap in zip(items, gaps):
                subject.on_next(item)
                await asyncio.sleep(gap)
            subject.on_completed()
            await seen.end()
            await other.end()
            await disposed()
        assert seen.shown == other.shown
        return seen.shown

    assert run(observed()) == run(streamed())


@given(
    st.integers(1, 6),
    st.integers(0, 30),
    st.integers(0, 12),
    st.sampled_from(["drop_oldest", "drop_newest", "latest"]),
)
@settings(max_examples=20)
def test_each_item_is_delivered_or_counted(window: int, count: int, pause_at: int, overflow: OverflowPolicy) -> None:
    async def main() -> tuple[list[int], int]:
        subject = Subject[int]()
        entered: list[int] = []
        done: list[int] = []
        most = 0

        async def work(x: int) -> int:
            entered.append(x)
            await asyncio.sleep(1)
            done.append(x)
            return x

        seen = Seen(subject.pipe(Chain(work, window=window, overflow=overflow)))
        for i in range(count):
            subject.on_next(i)
            most = max(most, len(entered) - len(done))
            if i == pause_at:
                await asyncio.sleep(2)
        subject.on_completed()
        await seen.end()
        await disposed()
        assert seen.log == [*sorted(seen.log[:-1]), "|"]
        assert most <= window
        return seen.log[:-1], count

    with warnings() as told:
        items, count = run(main())
    dropped = int(told[-1].split("): ")[1].split()[0]) if told else 0
    assert len(items) + dropped == count


@given(st.integers(0, 12), st.integers(1, 4), st.integers(0, 8))
@settings(max_examples=20)
def test_disposal_at_any_time_leaves_nothing(count: int, window: int, rounds: int) -> None:
    async def main() -> None:
        async with no_leaks():
            subject = Subject[int]()
            seen = Seen(subject.pipe(Chain(later, at_once, later, window=max(count, window))))
            for i in range(count):
                subject.on_next(i)
            for _ in range(rounds):
                await asyncio.sleep(0.5)
            seen.subscription.dispose()
            told = list(seen.log)
            await disposed()
            assert seen.log == told
            assert not subject.observers

    run(main())
