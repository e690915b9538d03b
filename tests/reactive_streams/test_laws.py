"""Laws: whatever is requested, and whenever it ends, the signals are those of a list that is handed over on demand."""

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain
from rxchain import operators as ops
from rxchain.streams import Publisher, to_async_iterable
from tests.reactive_streams.peers import Recorder, Upstream, play, quiet, running

delays = st.sampled_from([0.0, 0.0, 1.0, 2.5])
demands = st.lists(st.tuples(st.integers(1, 6), delays), max_size=8)
windows = st.integers(1, 5)


def chains(pauses: list[float], window: int) -> Chain[int, int]:
    """Nodes that take their time, and one that drops and one that multiplies."""

    async def node(n: int) -> int:
        await asyncio.sleep(pauses[n % len(pauses)] if pauses else 0)
        return n

    return Chain(ops.filter(lambda n: n % 3 != 1), node, ops.flat_map(lambda n: [n] * (n % 3)), node, window=window)


def expected(items: int) -> list[int]:
    return [n for n in range(items) if n % 3 == 2 for _ in range(2)]


def as_publisher(chain: Chain[int, int], items: int, window: int) -> Publisher[int]:
    return chain.publisher(range(items))


def as_processor(chain: Chain[int, int], items: int, window: int) -> Publisher[int]:
    processor = chain.processor()
    Chain[int, int]().publisher(range(items)).subscribe(processor)
    return processor


def as_row(chain: Chain[int, int], items: int, window: int) -> Publisher[int]:
    """Through an async iterable, and a processor behind that."""
    processor = Chain[int, int](window=window).processor()
    passing: Chain[int, int] = Chain()
    passing.publisher(to_async_iterable(chain.publisher(range(items)), prefetch=window)).subscribe(processor)
    return processor


hosts = st.sampled_from([as_publisher, as_processor, as_row])
Host = Callable[[Chain[int, int], int, int], Publisher[int]]


@settings(max_examples=20)
@given(hosts, st.integers(0, 25), st.lists(delays, max_size=4), windows, demands)
def test_each_item_in_order_and_no_more_than_requested(
    host: Host, items: int, pauses: list[float], window: int, requests: list[tuple[int, float]]
) -> None:
    async def main() -> None:
        subscriber = Recorder[int]()
        host(chains(pauses, window), items, window).subscribe(subscriber)
        requested = 0
        for n, pause in requests:
            subscriber.request(n)
            requested += n
            await asyncio.sleep(pause)
        await quiet()
        assert subscriber.items == expected(items)[:requested]
        if not subscriber.over:
            subscriber.request(100)
            await quiet()
        assert subscriber.items == expected(items)
        assert (subscriber.completed, subscriber.error, subscriber.violations) == (1, None, [])
        assert running() == []

    play(main)


@settings(max_examples=20)
@given(hosts, st.lists(delays, max_size=4), windows, demands, st.integers(0, 12), st.booleans())
def test_a_cancellation_at_any_point_ends_everything(
    host: Host, pauses: list[float], window: int, requests: list[tuple[int, float]], after: int, within: bool
) -> None:
    async def main() -> None:
        def then(subscriber: Recorder[int], _: int) -> None:
            if within and len(subscriber.items) == after:
                subscriber.cancel()

        subscriber = Recorder[int](then=then)
        host(chains(pauses, window), 200, window).subscribe(subscriber)
        for n, pause in requests:
            subscriber.request(n)
            await asyncio.sleep(pause)
        if not within:
            for _ in range(after):
                await asyncio.sleep(0)
        subscriber.cancel()
        before = list(subscriber.items)
        await quiet()
        assert subscriber.items == before == expected(200)[: len(before)]
        assert (subscriber.over, subscriber.violations, running()) == (False, [], [])

    play(main)


@settings(max_examples=20)
@given(hosts, st.integers(0, 20), windows, demands)
def test_a_failure_comes_behind_the_items_before_it_once(
    host: Host, at: int, window: int, requests: list[tuple[int, float]]
) -> None:
    broken = ZeroDivisionError()

    async def node(n: int) -> int:
        await asyncio.sleep(1)
        if n == at:
            raise broken
        return n

    async def main() -> None:
        subscriber = Recorder[int]()
        host(Chain(node, window=window), 25, window).subscribe(subscriber)
        for n, pause in requests:
            subscriber.request(n)
            await asyncio.sleep(pause)
        subscriber.request(100)
        await quiet()
        assert subscriber.items == list(range(at))
        assert subscriber.error is broken
        assert (subscriber.completed, subscriber.violations, running()) == (0, [], [])

    play(main)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 30), st.integers(0, 30), st.booleans())
def test_an_async_iterable_asks_for_no_more_than_its_prefetch(
    prefetch: int, items: int, leave_after: int, synchronously: bool
) -> None:
    async def main() -> None:
        upstream = Upstream[int](emit=range(items) if synchronously else ())
        taken: list[int] = []

        async def consume() -> None:
            async for item in to_async_iterable(upstream, prefetch=prefetch):
                taken.append(item)
                assert upstream.requested <= len(taken) + prefetch
                if len(taken) > leave_after:
                    break

        consumer = asyncio.create_task(consume())
        await quiet()
        given_so_far = 0
        while not synchronously and given_so_far < items and not upstream.cancelled:
            if given_so_far < upstream.requested:
                upstream.subscriber.on_next(given_so_far)
                given_so_far += 1
            else:
                await quiet()
        await quiet()
        upstream.subscriber.on_complete()
        await consumer
        assert taken == list(range(min(items, leave_after + 1)))
        assert upstream.cancelled == (items > leave_after)
        assert upstream.violations == []

    play(main)
