"""Threads and coroutines on both ends at once: nothing lost, nothing doubled, and it ends."""

import asyncio
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import QueueClosed, QueueFull, TaskQueue
from rxchain.testing import no_leaks, run

ITEMS = 400


@pytest.fixture
def _often() -> Iterator[None]:
    """Have threads take turns far more often than they do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def nobody_waits(queue: TaskQueue[Any]) -> bool:
    """Nor does anything else that would stay."""
    return not (queue._getters or queue._putters or queue._joiners or queue._leases or queue._delayed)


BALANCES: list[dict[str, Any]] = [
    {},
    {"balance": "round_robin"},
    {"balance": "least_busy"},
    {"balance": "by_key", "key": lambda item: item % 7},
]


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("order", ["fifo", "lifo", "priority"])
@pytest.mark.parametrize("balance", BALANCES, ids=lambda given: given.get("balance", "shared"))
@pytest.mark.parametrize("size", [None, 3])
def test_threads_and_coroutines_on_both_ends_lose_and_double_nothing(
    order: Any, balance: Any, size: int | None
) -> None:
    queue: TaskQueue[int] = TaskQueue(order, size=size, visibility=60 if size else None, **balance)
    done: list[int] = []
    working: Counter[int] = Counter()
    trouble: list[str] = []

    def settle(delivery: Any, chance: random.Random) -> None:
        working[delivery.item] += 1
        if working[delivery.item] > 1:
            trouble.append(f"{delivery.item} is worked on twice")
        working[delivery.item] -= 1
        if delivery.attempt < 3 and chance.random() < 0.2:
            assert delivery.nack(delay=chance.choice([0.0, 0.0, 0.001]))
        else:
            assert delivery.ack()
            done.append(delivery.item)

    def produces(numbers: range) -> None:
        for number in numbers:
            queue.put_sync(number)

    async def produces_too(numbers: range) -> None:
        for number in numbers:
            await queue.put(number, delay=0.001 if number % 50 == 0 else 0.0)

    def consumes(seed: int) -> None:
        chance = random.Random(seed)
        while True:
            with queue.consumer(f"thread {seed}") as mine:
                for _ in range(chance.randrange(1, 100)):
                    try:
                        settle(mine.get_sync(), chance)
                    except QueueClosed:
                        return

    async def consumes_too(seed: int) -> None:
        chance = random.Random(seed)
        while True:
            with queue.consumer(f"task {seed}") as mine:
                for _ in range(chance.randrange(1, 100)):
                    try:
                        async with asyncio.timeout(chance.choice([0.0, 0.002, 5])):
                            delivery = await mine.get()
                    except QueueClosed:
                        return
                    except TimeoutError:
                        continue
                    settle(delivery, chance)

    def loop_in_a_thread() -> None:
        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(produces_too(range(ITEMS, 2 * ITEMS)))
                for seed in (3, 4):
                    group.create_task(consumes_too(seed))

        asyncio.run(main())

    async def main() -> None:
        async with no_leaks():
            threads = [threading.Thread(target=produces, args=(range(ITEMS),))]
            threads += [threading.Thread(target=consumes, args=(seed,)) for seed in (1, 2)]
            threads.append(threading.Thread(target=loop_in_a_thread))
            for thread in threads:
                thread.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(consumes_too(5))
                await produces_too(range(2 * ITEMS, 3 * ITEMS))
                while queue.statistics().put < 3 * ITEMS:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                await queue.drain()
            for thread in threads:
                await asyncio.to_thread(thread.join)

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main()

    asyncio.run(bounded())
    assert sorted(done) == list(range(3 * ITEMS))
    assert not trouble
    found = queue.statistics()
    assert (found.ready, found.delayed, found.taken, found.done, found.consumers) == (0, 0, 0, 3 * ITEMS, 0)
    assert nobody_waits(queue)


@pytest.mark.usefixtures("_often")
def test_an_ack_and_a_nack_from_two_threads_settle_once() -> None:
    queue: TaskQueue[int] = TaskQueue()
    for _ in range(300):
        queue.put_nowait(1)
        delivery = queue.get_nowait()
        begin = threading.Barrier(2)
        answers: list[bool] = []

        def settle(how: Any) -> None:
            begin.wait()  # noqa: B023
            answers.append(how())  # noqa: B023

        threads = [threading.Thread(target=settle, args=(how,)) for how in (delivery.ack, delivery.nack)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False, True]
        if len(queue):
            assert queue.get_nowait().ack()
        assert queue.join_sync(timeout=0)


@pytest.mark.usefixtures("_often")
def test_join_ends_when_the_last_is_acknowledged_in_another_thread() -> None:
    for _ in range(200):
        queue: TaskQueue[int] = TaskQueue()
        queue.put_nowait(1)
        delivery = queue.get_nowait()
        thread = threading.Thread(target=delivery.ack)
        thread.start()
        assert queue.join_sync(timeout=10)
        thread.join()


def test_timeouts_of_threads() -> None:
    queue: TaskQueue[int] = TaskQueue(size=1, visibility=0.02)
    with pytest.raises(TimeoutError):
        queue.get_sync(timeout=0.005)
    queue.put_sync(1)
    with pytest.raises(QueueFull):
        queue.put_sync(2, timeout=0.005)
    assert not queue.join_sync(timeout=0.005)
    assert not queue.drain_sync(timeout=0.005)
    assert queue.get_sync().attempt == 1
    again = queue.get_sync(timeout=10)
    assert again.attempt == 2
    assert again.ack()
    assert nobody_waits(queue)


def test_a_thread_whose_time_is_up_leaves_the_timer_to_another() -> None:
    queue: TaskQueue[str] = TaskQueue()
    queue.put_sync("x", delay=0.05)
    found: list[str] = []
    begun = threading.Event()

    def waits() -> None:
        begun.wait()
        found.append(queue.get_sync(timeout=10).item)

    thread = threading.Thread(target=waits)
    thread.start()
    begin = threading.Timer(0.005, begun.set)
    begin.start()
    with pytest.raises(TimeoutError):
        queue.get_sync(timeout=0.02)
    thread.join(5)
    assert found == ["x"], "nobody has looked at the time"
    thread.join()
    begin.join()


Act = tuple[str, int, float]
acts = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "work", "cancel"]), st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0, 3.0])
    ),
    max_size=40,
)


@given(acts, st.none() | st.integers(1, 3), st.sampled_from(BALANCES), st.sampled_from([None, 4.0]))
@settings(max_examples=150)
def test_whoever_waits_is_served_whatever_is_cancelled(
    given_acts: list[Act], size: int | None, balance: Any, visibility: float | None
) -> None:
    """Tasks wait at both ends and are cancelled at any moment; in the end whatever is there is there for who asks."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue: TaskQueue[int] = TaskQueue(size=size, visibility=visibility, clock=loop.time, **balance)
        tasks: list[asyncio.Task[Any]] = []
        accepted, done = set[int](), list[int]()

        async def put(number: int, delay: float) -> None:
            accepted.add(await queue.put(number, delay=delay))

        async def get(pause: float) -> None:
            with queue.consumer() as mine:
                delivery = await mine.get()
                await asyncio.sleep(pause)
                if delivery.ack():
                    done.append(delivery.item)

        for number, (act, which, seconds) in enumerate(given_acts):
            if act == "put":
                tasks.append(asyncio.create_task(put(number, seconds)))
            elif act in ("get", "work"):
                tasks.append(asyncio.create_task(get(seconds * (2 if act == "work" else 0))))
            elif tasks:
                tasks[which % len(tasks)].cancel()
            if which % 3 == 0:
                await asyncio.sleep(seconds)
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(consume(queue, done))
            await asyncio.sleep(20)
            await asyncio.gather(*[task for task in tasks if not is_getter(task)], return_exceptions=True)
            await queue.drain()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(done) == sorted(accepted)
        assert nobody_waits(queue)

    def is_getter(task: asyncio.Task[Any]) -> bool:
        return "get" in getattr(task.get_coro(), "__qualname__", "")

    async def consume(queue: TaskQueue[int], done: list[int]) -> None:
        with queue.consumer() as mine:
            async for delivery in mine:
                assert delivery.ack()
                done.append(delivery.item)

    run(main())
