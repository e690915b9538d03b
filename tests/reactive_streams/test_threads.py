"""Calls from other threads: real ones, on a real event loop."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rxchain import Chain
from rxchain.streams import Subscriber, Subscription, to_async_iterable
from rxchain.testing import no_leaks
from tests.reactive_streams.peers import Recorder, number

PATIENCE = 10.0
"""Seconds after which a test has failed; none takes them."""


async def pausing(n: int) -> int:
    await asyncio.sleep(0)
    return n


def on_each_thread(threads: int, call: Callable[[int], object]) -> None:
    """Make *call* on so many threads at once, and wait for them."""
    barrier = threading.Barrier(threads)

    def run(k: int) -> None:
        barrier.wait(PATIENCE)
        call(k)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run, k) for k in range(threads)]:
            done.result(PATIENCE)


class Threaded:
    """A publisher that signals from a thread of its own, as many items as are requested.

    Args:
        items: how many there are.
        threads: more than one and it breaks rule 1.3, as it signals from all of them at once.
    """

    def __init__(self, items: int, threads: int = 1) -> None:
        self._items = items
        self._demand = threading.Semaphore(0)
        self._cancelled = False
        self._threads = threads
        self.running: list[threading.Thread] = []
        self.requested = 0

    def subscribe(self, subscriber: Subscriber[int], /) -> None:
        subscriber.on_subscribe(self)
        self.running = [threading.Thread(target=self._signal, args=(subscriber, k)) for k in range(self._threads)]
        for thread in self.running:
            thread.start()

    def request(self, n: int, /) -> None:
        self.requested += n
        for _ in range(n):
            self._demand.release()

    def cancel(self) -> None:
        self._cancelled = True
        for _ in self.running:
            self._demand.release()

    def _signal(self, subscriber: Subscriber[int], first: int) -> None:
        for n in range(first, self._items, self._threads):
            if not self._demand.acquire(timeout=PATIENCE) or self._cancelled:
                return
            subscriber.on_next(n)
        subscriber.on_complete()

    def join(self) -> None:
        for thread in self.running:
            thread.join(PATIENCE)


@pytest.mark.parametrize("where", ["on a loop", "on a thread of its own"])
def test_requests_from_many_threads_add_up(where: str) -> None:
    subscriber = Recorder[int]()
    publisher = Chain(pausing).publisher(range(1000))
    subscriber._requested = 1000

    def ask(_: int) -> None:
        for _ in range(100):
            subscriber.subscription.request(1)

    if where == "on a thread of its own":
        publisher.subscribe(subscriber)
        on_each_thread(8, ask)
        subscriber.subscription.request(201)
        assert subscriber.ended.wait(PATIENCE)
    else:

        async def main() -> None:
            async with no_leaks():
                publisher.subscribe(subscriber)
                await asyncio.to_thread(on_each_thread, 8, ask)
                subscriber.subscription.request(201)
                await asyncio.to_thread(subscriber.ended.wait, PATIENCE)

        asyncio.run(main())
    assert (subscriber.items, subscriber.completed) == (list(range(1000)), 1)
    assert subscriber.violations == []


@pytest.mark.parametrize("where", ["on a loop", "on a thread of its own"])
def test_cancel_from_many_threads_while_it_runs(where: str) -> None:
    def leave(subscriber: Recorder[int]) -> Callable[[int], None]:
        def call(k: int) -> None:
            subscriber.subscription.request(k + 1)
            subscriber.subscription.cancel()
            subscriber.subscription.request(k)

        return call

    async def main() -> None:
        async with no_leaks():
            for _ in range(20):
                subscriber = Recorder[int](request=2**63 - 1)
                Chain(pausing).publisher(iter(int, 1)).subscribe(subscriber)
                await asyncio.to_thread(on_each_thread, 4, leave(subscriber))
                assert not subscriber.over

    if where == "on a loop":
        asyncio.run(main())
        return
    for _ in range(20):
        subscriber = Recorder[int](request=2**63 - 1)
        Chain(pausing).publisher(iter(int, 1)).subscribe(subscriber)
        on_each_thread(4, leave(subscriber))
        assert not subscriber.over


def test_a_request_of_zero_from_another_thread_fails_the_subscription_on_its_loop() -> None:
    async def main() -> None:
        subscriber = Recorder[int](request=2**63 - 1)
        Chain(pausing).publisher(iter(int, 1)).subscribe(subscriber)
        await asyncio.to_thread(subscriber.subscription.request, 0)
        await asyncio.to_thread(subscriber.ended.wait, PATIENCE)
        assert isinstance(subscriber.error, ValueError)
        assert subscriber.violations == []

    asyncio.run(main())


@pytest.mark.parametrize("prefetch", [1, 2, 16])
def test_a_publisher_on_another_thread_is_iterated_over(prefetch: int) -> None:
    async def main() -> None:
        publisher = Threaded(300)
        async with no_leaks():
            taken = [item async for item in to_async_iterable(publisher, prefetch=prefetch)]
            await asyncio.to_thread(publisher.join)
        assert taken == list(range(300))
        assert publisher.requested <= 300 + prefetch

    asyncio.run(main())


def test_an_iteration_over_another_threads_publisher_is_left() -> None:
    async def main() -> None:
        publisher = Threaded(10_000)
        async for item in to_async_iterable(publisher):
            if item == 20:
                break
        await asyncio.to_thread(publisher.join)
        assert not any(thread.is_alive() for thread in publisher.running)

    asyncio.run(main())


def test_a_row_of_processors_on_threads_of_their_own() -> None:
    upstream = Threaded(500)
    row = [Chain(pausing, window=k + 1).processor() for k in range(3)]
    subscriber = Recorder[int](request=1, then=lambda s, _: s.request(1))
    row[2].subscribe(subscriber)
    row[1].subscribe(row[2])
    row[0].subscribe(row[1])
    upstream.subscribe(row[0])
    assert subscriber.ended.wait(PATIENCE)
    upstream.join()
    assert (subscriber.items, subscriber.completed) == (list(range(500)), 1)
    assert subscriber.violations == []


def test_a_publisher_that_signals_from_several_threads_at_once_loses_nothing() -> None:
    """It breaks rule 1.3; an end that overtakes items loses those, so only what came before one is certain."""

    async def main() -> None:
        publisher = Threaded(400, threads=4)
        taken: list[int] = []
        async for item in to_async_iterable(publisher, prefetch=400):
            taken.append(item)
            if len(taken) == 50:
                break
        await asyncio.to_thread(publisher.join)
        assert len(set(taken)) == 50
        for k in range(4):
            mine = [n for n in taken if n % 4 == k]
            assert mine == sorted(mine)

    asyncio.run(main())


def test_subscribing_from_several_threads_takes_an_iterator_once() -> None:
    publisher = Chain(number).publisher(iter(range(100)))
    subscribers = [Recorder[int](request=200) for _ in range(8)]
    on_each_thread(8, lambda k: publisher.subscribe(subscribers[k]))
    for subscriber in subscribers:
        assert subscriber.ended.wait(PATIENCE)
    assert sum(subscriber.completed for subscriber in subscribers) == 1
    assert sum(subscriber.items == list(range(100)) for subscriber in subscribers) == 1
    assert sum(isinstance(subscriber.error, RuntimeError) for subscriber in subscribers) == 7


def test_calls_on_a_subscription_do_not_overlap_whoever_makes_them() -> None:
    class Judging:
        """Says whether a call came while another one ran."""

        def __init__(self) -> None:
            self.inside = 0
            self.overlapped = False

        def _call(self) -> None:
            self.inside += 1
            self.overlapped |= self.inside > 1
            threading.Event().wait(random.random() / 2000)
            self.inside -= 1

        def request(self, n: int, /) -> None:
            self._call()

        def cancel(self) -> None:
            self._call()

    from rxchain.streams._upstream import Upstream

    judge = Judging()
    failed: list[Any] = []
    upstream = Upstream(judge, lambda *told: failed.append(told))

    def call(k: int) -> None:
        for _ in range(20):
            upstream.request(1)
        if k == 3:
            upstream.cancel()

    on_each_thread(8, call)
    assert (judge.overlapped, failed) == (False, [])


def test_a_loop_thread_is_not_started_for_a_subscriber_that_is_none() -> None:
    before = threading.active_count()
    items: Iterable[int] = [1]
    with pytest.raises(TypeError):
        Chain(number).publisher(items).subscribe(None)  # type: ignore[arg-type]
    assert threading.active_count() == before


def test_a_subscription_cancelled_in_on_subscribe_ends_its_thread() -> None:
    class Leaving(Recorder[int]):
        def on_subscribe(self, subscription: Subscription, /) -> None:
            subscription.cancel()

    for _ in range(10):
        Chain(number).publisher([1]).subscribe(Leaving())  # the net under all tests looks for their threads
