"""Part 4 of the specification, rule by rule: a processor. The rules of parts 1 to 3 are tested on processors, too."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from rxchain import Chain
from rxchain import operators as ops
from rxchain.streams import Processor, Publisher, Subscriber, Subscription, to_async_iterable
from tests.reactive_streams.peers import (
    Recorder,
    Upstream,
    later,
    number,
    play,
    quiet,
    running,
    through_sync,
    to_int,
)

BROKEN = ZeroDivisionError("the publisher is broken")


def test_rule_4_1_a_processor_is_a_subscriber_and_a_publisher() -> None:
    processor = Chain(number).processor()
    assert isinstance(processor, Processor)
    assert isinstance(processor, Subscriber)
    assert isinstance(processor, Publisher)
    assert isinstance(Chain(number).publisher([]), Publisher)
    recorder = Recorder[int]()
    Chain(number).publisher([]).subscribe(recorder)
    assert isinstance(recorder.subscription, Subscription)
    recorder.cancel()


@pytest.mark.parametrize("first", ["upstream", "downstream"])
def test_rule_4_1_it_may_be_subscribed_to_before_or_after_it_subscribes(first: str) -> None:
    async def main() -> None:
        processor = Chain(to_int).processor()
        subscriber = Recorder[int](request=5)
        steps: list[Callable[[], None]] = [
            lambda: through_sync(["1", "2"]).subscribe(processor),
            lambda: processor.subscribe(subscriber),
        ]
        for step in steps if first == "upstream" else reversed(steps):
            step()
            await quiet()
        assert (subscriber.items, subscriber.completed) == ([1, 2], 1)

    play(main)


@pytest.mark.parametrize("demand", [0, 1, 5])
def test_rule_4_2_an_error_passes_as_the_object_it_is(demand: int) -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        processor = Chain(number).processor()
        subscriber = Recorder[int](request=demand)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        upstream.subscriber.on_error(BROKEN)
        await quiet()
        assert subscriber.error is BROKEN
        assert (subscriber.items, subscriber.violations) == ([], [])

    play(main)


def test_rule_4_2_the_items_before_an_error_come_before_it() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        processor = Chain(later, window=4).processor()
        subscriber = Recorder[int](request=2)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        for n in range(3):
            upstream.subscriber.on_next(n)
        upstream.subscriber.on_error(BROKEN)
        await quiet()
        assert (subscriber.items, subscriber.error) == ([0, 1], None)
        subscriber.request(1)
        await quiet()
        assert subscriber.items == [0, 1, 2]
        assert subscriber.error is BROKEN

    play(main)


def test_an_error_through_a_row_of_processors_is_one_object() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        subscriber = Recorder[int]()
        row = [Chain(number).processor() for _ in range(5)]
        for one, following in pairwise(row):
            one.subscribe(following)
        row[-1].subscribe(subscriber)
        upstream.subscribe(row[0])
        upstream.subscriber.on_error(BROKEN)
        await quiet()
        assert subscriber.error is BROKEN
        assert upstream.cancelled == 0

    play(main)


@pytest.mark.parametrize("window", [1, 2, 3, 16])
@pytest.mark.parametrize("demand", [0, 1, 7])
def test_the_upstream_is_asked_ahead_for_as_many_as_the_window_says(window: int, demand: int) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(1000))
        processor = Chain(later, window=window).processor()
        subscriber = Recorder[int](request=demand)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        await quiet()
        assert subscriber.items == list(range(demand))
        # Requested ahead, and in flight in the chain: a window each; nothing in flight before anything was requested.
        assert upstream.requested <= demand + window * (2 if demand else 1) + 1
        subscriber.cancel()
        await quiet()
        assert (upstream.cancelled, upstream.violations) == (1, [])

    play(main)


def test_what_a_chain_holds_is_given_at_the_end_on_request() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        pairs: Chain[int, list[int]] = Chain(ops.batch(2))
        processor = pairs.processor()
        subscriber = Recorder[list[int]](request=1)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        for n in range(3):
            upstream.subscriber.on_next(n)
        upstream.subscriber.on_complete()
        await quiet()
        assert (subscriber.items, subscriber.completed) == ([[0, 1]], 0)
        subscriber.request(1)
        await quiet()
        assert (subscriber.items, subscriber.completed) == ([[0, 1], [2]], 1)

    play(main)


def test_the_end_needs_no_request_where_nothing_is_held() -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(2))
        processor = Chain(later).processor()
        subscriber = Recorder[int](request=2)
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        await quiet()
        assert (subscriber.items, subscriber.completed) == ([0, 1], 0)
        upstream.subscriber.on_complete()
        await quiet()
        assert subscriber.completed == 1

    play(main)


def test_items_in_time() -> None:
    async def main() -> None:
        upstream = Upstream[int]()
        processor = Chain(later).processor()
        times: list[tuple[float, int]] = []
        now = asyncio.get_running_loop().time
        subscriber = Recorder[int](request=9, then=lambda _, item: times.append((now(), item)))
        processor.subscribe(subscriber)
        upstream.subscribe(processor)
        for item in (1, 2):
            await asyncio.sleep(5)
            upstream.subscriber.on_next(item)
        await asyncio.sleep(5)
        assert times == [(6, 1), (11, 2)]
        subscriber.cancel()

    play(main)


def test_a_processor_that_is_cancelled_before_it_has_a_publisher_wants_none() -> None:
    async def main() -> None:
        processor = Chain(number).processor()
        subscriber = Recorder[int](request=1)
        processor.subscribe(subscriber)
        subscriber.cancel()
        await quiet()
        upstream = Upstream[int]()
        upstream.subscribe(processor)
        assert (upstream.requests, upstream.cancelled) == ([], 1)
        assert running() == []

    play(main)


def test_a_processor_that_is_cancelled_in_on_subscribe_cancels() -> None:
    async def main() -> None:
        class Leaving(Recorder[int]):
            def on_subscribe(self, subscription: Subscription, /) -> None:
                subscription.cancel()

        upstream = Upstream[int]()
        processor = Chain(number).processor()
        upstream.subscribe(processor)
        processor.subscribe(Leaving())
        await quiet()
        assert upstream.cancelled == 1

    play(main)


def test_a_chain_of_everything() -> None:
    async def main() -> None:
        processor = Chain(later, window=3).processor()
        Chain(to_int).publisher(map(str, range(40))).subscribe(processor)
        taken: list[Any] = []
        async for item in to_async_iterable(processor, prefetch=5):
            taken.append(item)
            if item == 30:
                break
        assert taken == list(range(31))
        await quiet()
        assert running() == []

    play(main)


def test_failing_items_may_be_told_and_the_others_go_on() -> None:
    async def main() -> None:
        failed: list[object] = []
        processor = Chain(to_int).processor(on_error=lambda failure: failed.append(failure.item))
        subscriber = Recorder[int](request=9)
        processor.subscribe(subscriber)
        through_sync(["1", "x", "3"]).subscribe(processor)
        await quiet()
        assert (subscriber.items, subscriber.completed, failed) == ([1, 3], 1, ["x"])

    play(main)
