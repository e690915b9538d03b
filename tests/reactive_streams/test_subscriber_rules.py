"""Part 2 of the specification, rule by rule: what a subscriber does, for those there are.

`to_async_iterable` subscribes on behalf of whoever iterates; a processor subscribes itself.
"""

import asyncio
import contextlib
import gc
import traceback
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from rxchain import Chain, CompositionError
from rxchain import operators as ops
from rxchain.streams import Publisher, RuleViolated, to_async_iterable
from rxchain.streams._upstream import Upstream as Calls
from rxchain.testing import run
from tests.reactive_streams.peers import (
    Recorder,
    Upstream,
    number,
    play,
    quiet,
    reports,
    through_async,
    through_sync,
    to_int,
)

WINDOW = 4
BROKEN = ZeroDivisionError("the publisher is broken")


def positive(n: int) -> int:
    return n if n > 0 else 1 // 0


class Iterating:
    """The consumer of an async iterable: takes what it is told to, one item after the other."""

    def __init__(self, upstream: Upstream[Any]) -> None:
        self.items: list[Any] = []
        self.error: BaseException | None = None
        self.completed = 0
        self._more = asyncio.Semaphore(0)
        self._task = asyncio.create_task(self._take(to_async_iterable(upstream, prefetch=WINDOW)))

    @property
    def ended(self) -> bool:
        return self._task.done()

    def take(self, n: int) -> None:
        for _ in range(n):
            self._more.release()

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _take(self, items: AsyncIterable[Any]) -> None:
        try:
            async for item in items:
                await self._more.acquire()
                self.items.append(item)
            self.completed += 1
        except Exception as error:
            self.error = error


class Processing:
    """A processor, and behind it a subscriber that requests what it is told to."""

    def __init__(self, upstream: Upstream[Any]) -> None:
        processor = Chain[Any, Any](window=WINDOW).processor()
        self._recorder = Recorder[Any]()
        processor.subscribe(self._recorder)
        upstream.subscribe(processor)

    items = property(lambda self: self._recorder.items)
    error = property(lambda self: self._recorder.error)
    completed = property(lambda self: self._recorder.completed)
    ended = property(lambda self: self._recorder.over)

    def take(self, n: int) -> None:
        self._recorder.request(n)

    async def leave(self) -> None:
        self._recorder.cancel()
        await quiet()


Consumer = Iterating | Processing
consumers = pytest.mark.parametrize("make", [Iterating, Processing])


async def begin(make: Callable[[Upstream[Any]], Consumer], upstream: Upstream[Any]) -> Consumer:
    """A consumer that has subscribed."""
    consumer = make(upstream)
    await quiet()
    return consumer


async def done(consumer: Consumer, upstream: Upstream[Any]) -> None:
    await consumer.leave()
    assert upstream.violations == []


@consumers
def test_rule_2_1_demand_is_signalled_by_request(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        assert upstream.requests == [WINDOW]
        for n in range(WINDOW):
            upstream.subscriber.on_next(n)
        await quiet()
        consumer.take(WINDOW)
        await quiet()
        assert consumer.items == [0, 1, 2, 3]
        assert upstream.requested == 2 * WINDOW
        await done(consumer, upstream)

    play(main)


@consumers
def test_rule_2_1_what_is_requested_and_not_taken_is_bounded_and_asked_for_in_batches(
    make: Callable[[Upstream[Any]], Consumer],
) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(1000))
        consumer = await begin(make, upstream)
        ahead = 1 if make is Iterating else 0  # what the consumer of the iterable holds in its hand
        for taken in range(100):
            assert upstream.requested <= taken + ahead + WINDOW
            consumer.take(1)
            await quiet()
        assert consumer.items == list(range(100))
        assert set(upstream.requests) == {WINDOW, WINDOW // 2}
        await done(consumer, upstream)

    play(main)


@consumers
def test_rule_2_2_signals_return_before_what_they_cause(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        consumer.take(1)
        await quiet()
        upstream.subscriber.on_next(1)
        assert consumer.items == []
        await quiet()
        assert consumer.items == [1]
        await done(consumer, upstream)

    play(main)


@consumers
@pytest.mark.parametrize("end", ["on_complete", "on_error"])
def test_rules_2_3_and_2_4_the_end_calls_nothing_of_the_subscription(
    make: Callable[[Upstream[Any]], Consumer], end: str
) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        consumer.take(10)
        for n in range(WINDOW):
            upstream.subscriber.on_next(n)
        getattr(upstream.subscriber, end)(*([BROKEN] if end == "on_error" else []))
        await quiet()
        assert consumer.items == [0, 1, 2, 3]
        assert consumer.ended
        await consumer.leave()
        assert (upstream.requests, upstream.cancelled) == ([WINDOW], 0)

    play(main)


@consumers
def test_rule_2_4_leaving_after_the_end_does_not_cancel(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        for n in range(WINDOW):
            upstream.subscriber.on_next(n)
        upstream.subscriber.on_complete()
        consumer.take(1)
        await quiet()
        await consumer.leave()
        assert (consumer.items, upstream.cancelled) == ([0], 0)

    play(main)


@consumers
def test_rule_2_5_a_second_subscription_is_cancelled(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream, second = Upstream[int](), Upstream[int]()
        consumer = await begin(make, upstream)
        upstream.subscriber.on_subscribe(second)
        assert (second.requests, second.cancelled, upstream.cancelled) == ([], 1, 0)
        consumer.take(1)
        upstream.subscriber.on_next(1)
        await quiet()
        assert consumer.items == [1]
        await done(consumer, upstream)

    play(main)


@consumers
def test_rule_2_6_a_subscription_that_is_not_needed_is_cancelled(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(100))
        consumer = await begin(make, upstream)
        consumer.take(2)
        await quiet()
        await consumer.leave()
        assert upstream.cancelled == 1
        asked = list(upstream.requests)
        late = Upstream[int]()
        upstream.subscriber.on_subscribe(late)
        assert (late.cancelled, upstream.requests) == (1, asked)

    play(main)


def test_rule_2_6_a_chain_that_ends_early_cancels() -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(100))
        processor = Chain(number, ops.take(2), window=WINDOW).processor()
        subscriber = Recorder[int](request=100)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        await quiet()
        assert (subscriber.items, subscriber.completed, upstream.cancelled) == ([0, 1], 1, 1)

    play(main)


def test_rule_2_6_a_node_that_fails_cancels() -> None:
    async def main() -> None:
        upstream = Upstream[str](emit=["1", "x", "3"])
        processor = Chain(to_int, window=WINDOW).processor()
        subscriber = Recorder[int](request=100)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        await quiet()
        assert subscriber.items == [1]
        assert isinstance(subscriber.error, ValueError)
        assert upstream.cancelled == 1

    play(main)


def leave_by_break(items: AsyncIterator[int]) -> Coroutine[Any, Any, None]:
    async def leave() -> None:
        async for item in items:
            if item == 1:
                break

    return leave()


def leave_by_an_exception(items: AsyncIterator[int]) -> Coroutine[Any, Any, None]:
    async def leave() -> None:
        with contextlib.suppress(KeyError):
            async for _ in items:
                raise KeyError

    return leave()


def leave_by_a_timeout(items: AsyncIterator[int]) -> Coroutine[Any, Any, None]:
    async def leave() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                async for _ in items:
                    await asyncio.sleep(1)

    return leave()


def leave_by_closing(items: AsyncIterator[int]) -> Coroutine[Any, Any, None]:
    async def leave() -> None:
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    return leave()


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_by_an_exception, leave_by_a_timeout, leave_by_closing], ids=lambda f: f.__name__
)
def test_rule_2_6_an_iteration_that_is_left_cancels(
    leave: Callable[[AsyncIterator[int]], Coroutine[Any, Any, None]],
) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(3))
        await leave(aiter(to_async_iterable(upstream)))
        assert upstream.cancelled == 1
        upstream.subscriber.on_next(9)

    play(main)


@consumers
def test_rule_2_7_calls_on_the_subscription_do_not_overlap(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(10_000))  # emits within request: a request within would recurse
        consumer = await begin(make, upstream)
        consumer.take(5_000)
        await quiet()
        assert consumer.items == list(range(5_000))
        await done(consumer, upstream)

    play(main)


@consumers
def test_rule_2_8_items_after_cancel_are_ignored(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        await consumer.leave()
        for n in range(WINDOW + 1):
            upstream.subscriber.on_next(n)
        upstream.subscriber.on_error(BROKEN)
        await quiet()
        assert (consumer.items, upstream.cancelled) == ([], 1)

    play(main)


@consumers
@pytest.mark.parametrize("items", [0, 1, WINDOW])
def test_rule_2_9_on_complete_needs_no_request(make: Callable[[Upstream[Any]], Consumer], items: int) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        for n in range(items):
            upstream.subscriber.on_next(n)
        upstream.subscriber.on_complete()
        consumer.take(items) if items else None
        await quiet()
        assert (consumer.items, consumer.completed) == (list(range(items)), 1)

    play(main)


@consumers
@pytest.mark.parametrize("items", [0, 1, WINDOW])
def test_rule_2_10_on_error_needs_no_request(make: Callable[[Upstream[Any]], Consumer], items: int) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        for n in range(items):
            upstream.subscriber.on_next(n)
        upstream.subscriber.on_error(BROKEN)
        consumer.take(items) if items else None
        await quiet()
        assert consumer.items == list(range(items))
        assert consumer.error is BROKEN

    play(main)


@consumers
def test_rule_2_11_what_was_signalled_before_anybody_waited_is_there(
    make: Callable[[Upstream[Any]], Consumer],
) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(WINDOW))
        consumer = make(upstream)
        consumer.take(WINDOW)
        await quiet()
        assert consumer.items == list(range(WINDOW))
        await done(consumer, upstream)

    play(main)


def test_rule_2_11_what_is_signalled_just_before_somebody_waits_is_there() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        items = aiter(to_async_iterable(upstream))
        loop: Any = asyncio.get_running_loop()
        create_future = loop.create_future

        def another_thread_is_quicker() -> Any:
            loop.create_future = create_future
            upstream.subscriber.on_next(1)
            return create_future()

        loop.create_future = another_thread_is_quicker
        assert await anext(items) == 1
        await items.aclose()  # type: ignore[attr-defined]

    play(main)


def test_rule_2_12_each_iteration_subscribes_a_subscriber_of_its_own() -> None:
    async def main() -> None:
        seen = []

        class Once:
            def subscribe(self, subscriber: Any, /) -> None:
                seen.append(subscriber)
                through_sync("ab").subscribe(subscriber)

        items = to_async_iterable(Once())
        assert [item async for item in items] == ["a", "b"]
        assert [item async for item in items] == ["a", "b"]
        assert len(set(map(id, seen))) == 2

    play(main)


@consumers
def test_rule_2_13_none_is_a_type_error(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[Any]()
        consumer = await begin(make, upstream)
        subscriber: Any = upstream.subscriber
        for signal in ("on_subscribe", "on_next", "on_error"):
            with pytest.raises(TypeError, match=r"must not be None \(rule 2\.13"):
                getattr(subscriber, signal)(None)
        with pytest.raises(TypeError, match="an error is an exception"):
            subscriber.on_error("text")
        subscriber.on_next(1)
        consumer.take(1)
        await quiet()
        assert consumer.items == [1]
        await done(consumer, upstream)

    play(main)


@pytest.mark.parametrize("signal", ["on_subscribe", "on_next", "on_error", "on_complete"])
def test_rule_2_13_a_signal_that_raises_ends_the_subscription_and_is_reported(signal: str) -> None:
    class Raising(Recorder[int]):
        def __init__(self) -> None:
            super().__init__(request=5)

    def fail(self: Raising, *args: Any) -> None:
        getattr(super(Raising, self), signal)(*args)
        raise BROKEN

    setattr(Raising, signal, fail)
    subscriber = Raising()

    async def main() -> None:
        items = iter([1, -1]) if signal == "on_error" else [1]
        Chain(positive).publisher(items).subscribe(subscriber)
        await quiet()
        subscriber.request(1)

    (told,) = reports(main)
    assert told["exception"] is BROKEN
    assert f"{signal} of" in told["message"]
    assert "rule 2.13" in told["message"]
    assert subscriber.items == ([] if signal == "on_subscribe" else [1])
    assert subscriber.completed == (signal == "on_complete")


def test_after_cancel_nothing_more_is_asked_of_a_subscription_and_it_is_let_go_of() -> None:
    upstream = Upstream[int]()
    calls = Calls(upstream, lambda *_: None)
    calls.request(3)
    calls.cancel()
    calls.cancel()
    calls.request(1)
    gone = weakref.ref(upstream)
    assert (upstream.requests, upstream.cancelled) == ([3], 1)
    del upstream
    assert gone() is None


@consumers
def test_what_was_delivered_and_not_taken_is_let_go_of(make: Callable[[Upstream[Any]], Consumer]) -> None:
    class Item: ...

    async def main() -> None:
        upstream = Upstream[Item]()
        consumer = await begin(make, upstream)
        items = [Item() for _ in range(WINDOW)]
        gone = weakref.ref(items[-1])
        for item in items:
            upstream.subscriber.on_next(item)
        del item, items
        await quiet()
        await consumer.leave()
        gc.collect()
        assert gone() is None

    play(main)


# --- publishers that break the rules


@consumers
def test_more_items_than_requested_are_an_error_that_names_rule_1_1(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        for n in range(WINDOW + 3):
            upstream.subscriber.on_next(n)
        consumer.take(100)
        await quiet()
        assert consumer.items == list(range(WINDOW))
        assert isinstance(consumer.error, RuleViolated)
        assert consumer.error.rule == "1.1"
        assert upstream.cancelled == 1

    play(main)


def test_an_item_before_on_subscribe_is_an_error_that_names_rule_1_9() -> None:
    class Early(Upstream[int]):
        def subscribe(self, subscriber: Any, /) -> None:
            subscriber.on_next(1)
            super().subscribe(subscriber)

    async def main() -> None:
        upstream = Early()
        with pytest.raises(RuleViolated) as raised:
            await anext(aiter(to_async_iterable(upstream)))
        assert raised.value.rule == "1.9"
        assert (upstream.requests, upstream.cancelled) == ([], 1)

    play(main)


@consumers
def test_signals_after_the_end_are_ignored(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        upstream.subscriber.on_next(1)
        upstream.subscriber.on_complete()
        upstream.subscriber.on_next(2)
        upstream.subscriber.on_error(BROKEN)
        upstream.subscriber.on_complete()
        consumer.take(5)
        await quiet()
        assert (consumer.items, consumer.completed, consumer.error) == ([1], 1, None)

    play(main)


@consumers
def test_the_end_before_on_subscribe_is_the_end(make: Callable[[Upstream[Any]], Consumer]) -> None:
    class Ended(Upstream[int]):
        def subscribe(self, subscriber: Any, /) -> None:
            subscriber.on_complete()
            super().subscribe(subscriber)

    async def main() -> None:
        upstream = Ended()
        consumer = await begin(make, upstream)
        assert (consumer.completed, upstream.requests, upstream.cancelled) == (1, [], 1)

    play(main)


@consumers
def test_a_request_that_raises_is_an_error_that_names_rule_3_16(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(WINDOW))
        consumer = await begin(make, upstream)
        upstream.fails = BROKEN
        consumer.take(100)
        await quiet()
        assert isinstance(consumer.error, RuleViolated)
        assert (consumer.error.rule, consumer.error.__cause__) == ("3.16", BROKEN)
        assert consumer.items == list(range(WINDOW))

    play(main)


@consumers
def test_a_cancel_that_raises_is_reported_with_rule_3_15(make: Callable[[Upstream[Any]], Consumer]) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        consumer = await begin(make, upstream)
        upstream.fails = BROKEN
        await consumer.leave()

    (told,) = reports(main)
    assert isinstance(told["exception"], RuleViolated)
    assert told["exception"].rule == "3.15"


def test_a_publisher_whose_subscribe_raises_raises_it_to_the_consumer() -> None:
    class Raising:
        def subscribe(self, subscriber: object, /) -> None:
            raise BROKEN

    async def main() -> None:
        publisher: Publisher[int] = Raising()
        items = aiter(to_async_iterable(publisher))
        with pytest.raises(ZeroDivisionError):
            await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    play(main)


# --- to_async_iterable


@pytest.mark.parametrize("prefetch", [1, 2, 3, 16])
def test_all_items_come_in_order_for_any_prefetch(prefetch: int) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(50))
        items = aiter(to_async_iterable(upstream, prefetch=prefetch))
        for n in range(50):
            assert await anext(items) == n
            assert upstream.requested <= n + 1 + prefetch
        upstream.subscriber.on_complete()
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    play(main)


def test_the_publishers_error_is_raised_as_the_object_it_is_and_then_the_end() -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=[1])
        items = aiter(to_async_iterable(upstream))
        assert await anext(items) == 1
        upstream.subscriber.on_error(BROKEN)
        with pytest.raises(ZeroDivisionError) as raised:
            await anext(items)
        assert raised.value is BROKEN
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(items)

    play(main)


def test_one_consumer_takes_at_a_time() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        items = aiter(to_async_iterable(upstream))
        first = asyncio.ensure_future(anext(items))
        await quiet()
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(items)
        upstream.subscriber.on_next(1)
        assert await first == 1
        await items.aclose()  # type: ignore[attr-defined]

    play(main)


def test_an_iteration_that_never_began_subscribes_to_nothing() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        items = aiter(to_async_iterable(upstream))
        await items.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(items)
        assert not hasattr(upstream, "subscriber")

    play(main)


def test_it_is_a_source_for_chains() -> None:
    async def main() -> None:
        published = Chain(number).publisher(to_async_iterable(through_async(range(5))))
        assert await Chain(number).collect(to_async_iterable(published, prefetch=2)) == [0, 1, 2, 3, 4]
        first: Chain[int, int] = Chain(ops.take(1))
        assert await first.collect(to_async_iterable(published)) == [0]

    play(main)


def test_what_is_no_publisher_and_no_prefetch_is_told_at_once() -> None:
    for wrong in (5, None, [1, 2], Chain(str.upper)):
        with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
            to_async_iterable(wrong)  # type: ignore[arg-type]
    for prefetch in (0, -1, True, 1.5, "2", None):
        with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
            to_async_iterable(through_sync("a"), prefetch=prefetch)  # type: ignore[arg-type]


def test_the_inbox_forgets_the_error_that_it_raised() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        items = aiter(to_async_iterable(upstream))
        waiting = asyncio.ensure_future(anext(items))
        await quiet()
        upstream.subscriber.on_error(error := LookupError())
        with pytest.raises(LookupError):
            await waiting
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert [f for f in frames if error in f.f_locals.values() and f.f_code.co_name == "take"] == []

    run(main())
