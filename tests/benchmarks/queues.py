"""A task through a queue: put, taken, acknowledged, beside the standard library's put, get and task_done."""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from rxchain import TaskQueue

from ._measure import Bar, Report, Settings, Variant, race, report_of

BOUND = 100


def queue_fifo(settings: Settings) -> Report:
    """What does a task cost that one coroutine puts, takes and acknowledges, beside `asyncio.Queue`?"""
    report = report_of(queue_fifo, "s", "asyncio.Queue")

    async def theirs(count: int) -> int:
        tasks, total = asyncio.Queue[int](), 0
        for number in range(count):
            await tasks.put(number)
            total += await tasks.get()
            tasks.task_done()
        await tasks.join()
        return total

    def ours(**declared: Any) -> Callable[[int], Awaitable[int]]:
        async def run(count: int) -> int:
            tasks, total = TaskQueue[int](**declared), 0
            for number in range(count):
                await tasks.put(number)
                delivery = await tasks.get()
                total += delivery.item
                delivery.ack()
            await tasks.join()
            return total

        return run

    async def at_an_end_of_its_own(count: int) -> int:
        tasks, total = TaskQueue[int](balance="round_robin"), 0
        with tasks.consumer() as mine:
            for number in range(count):
                await tasks.put(number)
                delivery = await mine.get()
                total += delivery.item
                delivery.ack()
        await tasks.join()
        return total

    variants = [
        Variant("asyncio.Queue", theirs),
        Variant("rxchain", ours()),
        Variant("rxchain: order='lifo'", ours(order="lifo")),
        Variant("rxchain: visibility=30", ours(visibility=30.0)),
        Variant("rxchain: balance='round_robin', a consumer", at_an_end_of_its_own),
    ]
    race(report, settings, variants, items=5_000)
    report.bars.append(Bar("put, get, ack", report.ratio("rxchain"), 2.0, "x"))
    return report


def queue_bounded(settings: Settings) -> Report:
    """What does a task cost from one coroutine to another, at most 100 waiting, beside `asyncio.Queue`?"""
    report = report_of(queue_bounded, "s", "asyncio.Queue")

    async def theirs(count: int) -> int:
        tasks, total = asyncio.Queue[int](BOUND), 0

        async def consume() -> None:
            nonlocal total
            for _ in range(count):
                total += await tasks.get()
                tasks.task_done()

        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            for number in range(count):
                await tasks.put(number)
            await tasks.join()
        return total

    async def ours(count: int) -> int:
        tasks, total = TaskQueue[int](size=BOUND), 0

        async def consume() -> None:
            nonlocal total
            for _ in range(count):
                delivery = await tasks.get()
                total += delivery.item
                delivery.ack()

        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            for number in range(count):
                await tasks.put(number)
            await tasks.join()
        return total

    race(report, settings, [Variant("asyncio.Queue", theirs), Variant("rxchain", ours)], items=5_000)
    report.bars.append(Bar("size=100", report.ratio("rxchain"), 2.0, "x"))
    return report


def queue_priority(settings: Settings) -> Report:
    """What does a task with a priority cost, with 100 others waiting, beside `asyncio.PriorityQueue`?"""
    report = report_of(queue_priority, "s", "asyncio.PriorityQueue")

    async def theirs(count: int) -> int:
        tasks, total = asyncio.PriorityQueue[tuple[int, int, int]](), 0
        for number in range(BOUND):
            tasks.put_nowait((3, number, number))
        for number in range(count):
            await tasks.put((number % 7, BOUND + number, number))
            total += (await tasks.get())[2]
            tasks.task_done()
        return total

    def ours(ageing: float) -> Callable[[int], Awaitable[int]]:
        async def run(count: int) -> int:
            at = 0.0
            tasks, total = TaskQueue[int]("priority", ageing=ageing, clock=lambda: at), 0
            for number in range(BOUND):
                tasks.put_nowait(number, priority=3)
            for number in range(count):
                await tasks.put(number, priority=number % 7)
                delivery = await tasks.get()
                total += delivery.item
                delivery.ack()
            return total

        return run

    variants = [
        Variant("asyncio.PriorityQueue", theirs),
        Variant("rxchain", ours(0.0)),
        Variant("rxchain: ageing=0.1", ours(0.1)),
    ]
    race(report, settings, variants, items=5_000)
    report.bars.append(Bar("order='priority'", report.ratio("rxchain"), 2.0, "x"))
    return report


def queue_threads(settings: Settings) -> Report:
    """What does a task cost that a thread puts, takes and acknowledges, beside `queue.Queue`?"""
    report = report_of(queue_threads, "s", "queue.Queue")

    def theirs(count: int) -> int:
        tasks, total = queue.Queue[int](), 0
        for number in range(count):
            tasks.put(number)
            total += tasks.get()
            tasks.task_done()
        return total

    def ours(count: int) -> int:
        tasks, total = TaskQueue[int](), 0
        for number in range(count):
            tasks.put_sync(number)
            delivery = tasks.get_sync()
            total += delivery.item
            delivery.ack()
        return total

    race(report, settings, [Variant("queue.Queue", theirs), Variant("rxchain", ours)], items=5_000)
    report.bars.append(Bar("put, get, ack", report.ratio("rxchain"), 2.0, "x"))
    return report


def queue_threads_priority(settings: Settings) -> Report:
    """What does a task with a priority cost a thread, with 100 others waiting, beside `queue.PriorityQueue`?"""
    report = report_of(queue_threads_priority, "s", "queue.PriorityQueue")

    def theirs(count: int) -> int:
        tasks, total = queue.PriorityQueue[tuple[int, int, int]](), 0
        for number in range(BOUND):
            tasks.put((3, number, number))
        for number in range(count):
            tasks.put((number % 7, BOUND + number, number))
            total += tasks.get()[2]
            tasks.task_done()
        return total

    def ours(count: int) -> int:
        tasks, total = TaskQueue[int]("priority"), 0
        for number in range(BOUND):
            tasks.put_sync(number, priority=3)
        for number in range(count):
            tasks.put_sync(number, priority=number % 7)
            delivery = tasks.get_sync()
            total += delivery.item
            delivery.ack()
        return total

    race(report, settings, [Variant("queue.PriorityQueue", theirs), Variant("rxchain", ours)], items=5_000)
    report.bars.append(Bar("order='priority'", report.ratio("rxchain"), 2.0, "x"))
    return report


def queue_between_threads(settings: Settings) -> Report:
    """What does a task cost from one thread to another, at most 100 waiting, beside `queue.Queue`?"""
    report = report_of(queue_between_threads, "s", "queue.Queue")

    def between(put: Callable[[int], object], take: Callable[[], int]) -> Callable[[int], int]:
        def run(count: int) -> int:
            total = 0

            def consume() -> None:
                nonlocal total
                for _ in range(count):
                    total += take()

            thread = threading.Thread(target=consume)
            thread.start()
            for number in range(count):
                put(number)
            thread.join()
            return total

        return run

    theirs, ours = queue.Queue[int](BOUND), TaskQueue[int](size=BOUND)

    def take_theirs() -> int:
        item = theirs.get()
        theirs.task_done()
        return item

    def take_ours() -> int:
        delivery = ours.get_sync()
        delivery.ack()
        return delivery.item

    variants = [
        Variant("queue.Queue", between(lambda item: theirs.put(item, timeout=60), take_theirs)),
        # with a timeout, as this thread has an event loop, which may not be blocked for ever
        Variant("rxchain", between(lambda item: ours.put_sync(item, timeout=60), take_ours)),
    ]
    race(report, settings, variants, items=5_000, repeat=21)
    report.bars.append(Bar("size=100", report.ratio("rxchain"), 2.0, "x"))
    return report
