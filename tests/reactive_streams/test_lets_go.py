"""Thousands of subscriptions leave memory, tasks and threads where they were."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rxchain import Chain
from rxchain.streams import to_async_iterable
from tests.reactive_streams.peers import Recorder, Upstream, later, number, play, quiet, running

MANY = 300
ROOM = 60_000
"""Bytes that may be more after many than before: the interpreter's free lists, which fill up once. That is 200 for
each subscription, and one takes more."""


async def cancelled_at_once() -> None:
    subscriber = Recorder[int]()
    Chain(number).publisher([1, 2, 3]).subscribe(subscriber)
    subscriber.cancel()
    await quiet()


async def cancelled_while_it_runs() -> None:
    subscriber = Recorder[int](request=5)
    Chain(later).publisher([1, 2, 3]).subscribe(subscriber)
    await asyncio.sleep(1.5)
    subscriber.cancel()
    await quiet()


async def completed() -> None:
    subscriber = Recorder[int](request=5)
    Chain(number).publisher([1, 2, 3]).subscribe(subscriber)
    await quiet()
    assert subscriber.over


async def failed() -> None:
    subscriber = Recorder[int](request=0)
    Chain(number).publisher([1, 2, 3]).subscribe(subscriber)
    subscriber.request(0)
    await quiet()
    assert subscriber.over


async def iterated() -> None:
    async for _ in to_async_iterable(Chain(number).publisher(range(9)), prefetch=2):
        break
    await quiet()


async def processed() -> None:
    upstream = Upstream[int](emit=range(9))
    processor = Chain(number).processor()
    subscriber = Recorder[int](request=2)
    processor.subscribe(subscriber)
    upstream.subscribe(processor)
    await quiet()
    subscriber.cancel()
    await quiet()


WAYS = [cancelled_at_once, cancelled_while_it_runs, completed, failed, iterated, processed]


@pytest.mark.parametrize("once", WAYS, ids=lambda f: f.__name__)
def test_many_subscriptions_leave_nothing(once: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        for _ in range(50):
            await once()
        gc.collect()
        threads, tasks = threading.active_count(), len(asyncio.all_tasks())
        grown = []
        for _ in range(3):  # a table that doubles does so once
            tracemalloc.start()
            for _ in range(MANY):
                await once()
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
            if grown[-1] < ROOM:
                break
        assert min(grown) < ROOM
        assert (threading.active_count(), len(asyncio.all_tasks())) == (threads, tasks)
        assert running() == []

    play(main)


def test_subscriptions_that_were_never_asked_for_anything_end_with_cancel() -> None:
    async def main() -> None:
        subscribers = [Recorder[int]() for _ in range(100)]
        for subscriber in subscribers:
            Chain(number).publisher([1]).subscribe(subscriber)
        await asyncio.sleep(0)
        assert len(running()) == 100
        for subscriber in subscribers:
            subscriber.cancel()

    play(main)
    assert running() == []
