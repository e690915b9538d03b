"""A queue in virtual time: who waits for what, and when it ends."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, CompositionError, Failure, QueueClosed, QueueFull, TaskQueue
from rxchain import operators as ops
from rxchain.queues import Consumer, Delivery, Queue, Sink, Source
from rxchain.testing import no_leaks, run


def queue_now(*args: Any, **kwargs: Any) -> TaskQueue[Any]:
    """One that goes by the event loop's time."""
    return TaskQueue(*args, clock=asyncio.get_running_loop().time, **kwargs)


def now() -> float:
    return asyncio.get_running_loop().time()


# --- order


@pytest.mark.parametrize(("order", "expected"), [("fifo", [1, 2, 3]), ("lifo", [3, 2, 1])])
def test_tasks_leave_in_the_declared_order(order: Any, expected: list[int]) -> None:
    queue: TaskQueue[int] = TaskQueue(order)
    for item in (1, 2, 3):
        queue.put_nowait(item)
    queue.close()
    assert list(queue) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=30))
def test_the_order_by_priority_is_stable(given_tasks: list[tuple[int, int]]) -> None:
    queue: TaskQueue[Any] = TaskQueue("priority")
    for task in enumerate(given_tasks):
        queue.put_nowait(task, priority=task[1][0])
    queue.close()
    assert list(queue) == sorted(enumerate(given_tasks), key=lambda task: task[1][0])


@given(st.integers(0, 50), st.floats(0.01, 5.0), st.integers(1, 20))
def test_with_ageing_no_stream_of_urgent_tasks_starves_a_task(priority: int, ageing: float, pace: int) -> None:
    at, latest = 0.0, priority / ageing
    queue: TaskQueue[Any] = TaskQueue("priority", ageing=ageing, clock=lambda: at)
    queue.put_nowait("patient", priority=priority)
    queue.put_nowait("urgent", priority=0)
    while queue.get_nowait().item != "patient":
        assert at <= latest * 1.000001, "it has not left, and what was put in after its time has"
        at += max(latest / pace, 0.01)
        queue.put_nowait("urgent", priority=0)


def test_without_ageing_it_starves() -> None:
    queue: TaskQueue[Any] = TaskQueue("priority")
    queue.put_nowait("patient", priority=1)
    for _ in range(100):
        queue.put_nowait("urgent")
        assert queue.get_nowait().item == "urgent"


@pytest.mark.parametrize(("order", "expected"), [("fifo", [1, 2, 3]), ("lifo", [2, 1, 3]), ("priority", [1, 2, 3])])
def test_what_goes_back_takes_its_old_place(order: Any, expected: list[int]) -> None:
    queue: TaskQueue[int] = TaskQueue(order)
    queue.put_nowait(1)
    queue.put_nowait(2)
    if order == "lifo":
        queue.put_nowait(3)
        assert queue.get_nowait().ack()
        expected = [2, 1]
    taken = [queue.get_nowait(), queue.get_nowait()]
    if order != "lifo":
        queue.put_nowait(3)
    for delivery in taken:
        delivery.nack()
    queue.close()
    assert list(queue) == expected


def test_what_was_delayed_is_as_good_as_put_in_then() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.put("late", delay=2)
        await queue.put("early")
        assert (await queue.get()).item == "early"
        await asyncio.sleep(1)
        await queue.put("between")
        assert queue.statistics().delayed == 1
        await asyncio.sleep(1)
        await queue.put("last")
        assert [(await queue.get()).item for _ in range(3)] == ["between", "last", "late"]

    run(main())


def test_a_delayed_task_is_given_out_at_its_time_to_whoever_waits() -> None:
    async def main() -> None:
        queue = queue_now()
        waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(1)
        await queue.put("b", delay=5)
        await queue.put("a", delay=2)
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert ([task.result().item for task in done], now()) == (["a"], 3.0)
        done, rest = await asyncio.wait(set(waiting) - done, return_when=asyncio.FIRST_COMPLETED)
        assert ([task.result().item for task in done], now()) == (["b"], 6.0)
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)
        assert not queue._getters

    run(main())


# --- bounds, and waiting


def test_a_full_queue_makes_put_wait_and_put_nowait_fail() -> None:
    async def main() -> None:
        queue = queue_now(size=2)
        await queue.put(1)
        await queue.put(2)
        with pytest.raises(QueueFull, match="2 tasks wait"):
            queue.put_nowait(3)
        third = asyncio.create_task(queue.put(3))
        await asyncio.sleep(1)
        assert not third.done()
        assert (await queue.get()).item == 1
        assert await third == 3
        assert len(queue) == 2

    run(main())


def test_a_getter_that_is_cancelled_when_it_has_been_woken_wakes_the_next() -> None:
    async def main() -> None:
        queue = queue_now()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait("x")
        first.cancel()
        assert (await asyncio.wait_for(second, 1)).item == "x"
        assert first.cancelled()

    run(main())


def test_a_putter_that_is_cancelled_when_it_has_been_woken_wakes_the_next() -> None:
    async def main() -> None:
        queue = queue_now(size=1)
        await queue.put(0)
        first, second = asyncio.create_task(queue.put(1)), asyncio.create_task(queue.put(2))
        await asyncio.sleep(0)
        queue.get_nowait()
        first.cancel()
        assert await asyncio.wait_for(second, 1) == 2

    run(main())


def test_whoever_had_the_timer_hands_it_on_when_it_is_cancelled() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.put("x", delay=5)
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        first.cancel()
        assert ((await second).item, now()) == ("x", 5.0)

    run(main())


def test_whoever_had_the_timer_hands_it_on_when_its_consumer_ends() -> None:
    async def main() -> None:
        queue = queue_now()
        with queue.consumer("ann") as ann:
            ann.pause()
            has_the_timer = asyncio.create_task(ann.get())
            await asyncio.sleep(0)
            await queue.put("x", delay=5)
            await asyncio.sleep(0)
            waits = asyncio.create_task(queue.get())
            await asyncio.sleep(0)
        with pytest.raises(QueueClosed, match="not open"):
            await has_the_timer
        assert (await waits).item == "x"
        assert now() == 5

    run(main())


def test_whoever_had_the_timer_hands_it_on_when_it_has_found_a_task() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.put("late", delay=5)
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        await queue.put("x")
        found = {(await task).item for task in (first, second)}
        assert (found, now()) == ({"x", "late"}, 5.0)

    run(main())


def test_a_loop_that_was_closed_with_somebody_waiting_loses_nothing() -> None:
    queue: TaskQueue[str] = TaskQueue()
    loop = asyncio.new_event_loop()
    waiting = queue.get()
    task = loop.create_task(waiting)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert queue._getters
    loop.close()

    async def main() -> None:
        mine = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait("x")
        assert (await asyncio.wait_for(mine, 1)).item == "x"

    run(main())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    waiting.close()


def test_getters_are_served_in_the_order_of_their_coming() -> None:
    async def main() -> None:
        queue = queue_now()
        served: list[str] = []

        async def get(name: str) -> None:
            served.append(f"{name}{(await queue.get()).item}")

        tasks = [asyncio.create_task(get(name)) for name in "abc"]
        await asyncio.sleep(0)
        for item in range(3):
            queue.put_nowait(item)
        await asyncio.wait(tasks)
        assert served == ["a0", "b1", "c2"]

    run(main())


# --- settling


def test_a_task_of_which_nothing_is_said_goes_back() -> None:
    async def main() -> None:
        queue = queue_now(visibility=30)
        await queue.put("x")
        lost = await queue.get()
        again = await queue.get()
        assert (again.item, again.attempt, now()) == ("x", 2, 30.0)
        assert not lost.ack()
        assert again.ack()
        assert not again.ack()
        await queue.join()

    run(main())


def test_it_may_take_longer_if_that_is_said() -> None:
    async def main() -> None:
        queue = queue_now(visibility=10)
        await queue.put("x")
        slow = await queue.get()
        other = asyncio.create_task(queue.get())
        for _ in range(10):
            await asyncio.sleep(8)
            assert slow.extend(10)
        assert not other.done()
        assert ((await other).attempt, now()) == (2, 90.0)

    run(main())


def test_what_was_extended_and_settled_leaves_nothing() -> None:
    at = 0.0
    queue: TaskQueue[int] = TaskQueue(visibility=10, clock=lambda: at)
    queue.put_nowait(-1)
    held = queue.get_nowait()  # and so nothing behind it comes up
    for item in range(1000):
        at += 0.001
        queue.put_nowait(item)
        delivery = queue.get_nowait()
        delivery.extend(1000)
        delivery.extend(20)
        delivery.ack()
    assert len(queue._leases._heap) < 200
    assert held.ack()
    assert not queue._leases


def test_a_task_that_was_taken_as_often_as_may_be_is_told_of() -> None:
    async def main() -> None:
        told: list[Failure] = []
        queue = queue_now(attempts=2, given_up=told.append, name="orders")
        await queue.put("x")
        (await queue.get()).nack()
        error = ValueError("no")
        (await queue.get()).nack(error=error)
        assert told == [Failure(error, "", "orders", "x", "x", 2)]
        await queue.join()
        assert queue.statistics().given_up == 1

    run(main())


def test_join_sees_that_the_last_worker_has_died() -> None:
    async def main() -> None:
        told: list[Failure] = []
        queue = queue_now(attempts=1, given_up=told.append, visibility=5)
        await queue.put("x")
        joined = asyncio.create_task(queue.join())
        await asyncio.sleep(1)
        await queue.get()
        await joined
        assert (now(), type(told[0].error)) == (6.0, TimeoutError)

    run(main())


def test_what_the_told_function_raises_goes_to_whoever_found_out_and_nothing_is_lost() -> None:
    async def main() -> None:
        def refuse(failure: Failure) -> None:
            raise OSError("disk full")

        queue = queue_now(attempts=1, given_up=refuse, visibility=5)
        await queue.put("x")
        await queue.put("y")
        await queue.get()
        assert (await queue.get()).ack()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(6)
        await queue.put("z")
        ended = await asyncio.gather(first, second, return_exceptions=True)
        assert sorted(str(getattr(end, "item", end)) for end in ended) == ["disk full", "z"]

    run(main())


def test_a_delivery_as_a_context_manager_settles_itself() -> None:
    queue: TaskQueue[str] = TaskQueue()
    queue.put_nowait("x")
    with pytest.raises(ValueError, match="no"), queue.get_nowait() as item:
        raise ValueError(f"no {item}")
    with queue.get_nowait():
        pass
    assert (queue.statistics().done, queue.statistics().redelivered) == (1, 1)


# --- ends


def test_join_waits_until_all_is_done_and_not_longer() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.join()
        await queue.put("x")
        joined = asyncio.create_task(queue.join())
        delivery = await queue.get()
        await asyncio.sleep(1)
        delivery.nack(delay=3)
        delivery = await queue.get()
        assert now() == 4.0
        assert not joined.done()
        delivery.ack()
        await joined

    run(main())


def test_a_closed_queue_gives_out_what_it_has_and_what_comes_back() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.put("x")
        full = asyncio.create_task(queue.get())
        delivery = await full
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.close()
        await asyncio.sleep(0)
        assert not waiting.done()
        delivery.nack()
        last = asyncio.create_task(queue.get())
        (await waiting).ack()
        with pytest.raises(QueueClosed, match="all of its tasks are done"):
            await last
        with pytest.raises(QueueClosed, match="nothing more can be put in"):
            await queue.put("y")

    run(main())


def test_closing_tells_those_who_wait_for_room() -> None:
    async def main() -> None:
        queue = queue_now(size=1)
        await queue.put(1)
        waiting = asyncio.create_task(queue.put(2))
        await asyncio.sleep(0)
        queue.close()
        with pytest.raises(QueueClosed):
            await waiting

    run(main())


def test_drain_closes_and_waits() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.put("x")
        drained = asyncio.create_task(queue.drain())
        await asyncio.sleep(0)
        assert queue.statistics().closed
        assert not drained.done()
        assert [item async for item in queue] == ["x"]
        await drained

    run(main())


# --- consumers


def test_round_robin_gives_each_its_turn() -> None:
    async def main() -> None:
        queue = queue_now(balance="round_robin")
        with queue.consumer("a") as a, queue.consumer("b") as b:
            for item in range(6):
                await queue.put(item)
            assert [d.item for d in await a.pull(10)] == [0, 2, 4]
            assert [d.item for d in await b.pull(10)] == [1, 3, 5]

    run(main())


def test_least_busy_looks_at_what_is_worked_on() -> None:
    async def main() -> None:
        queue = queue_now(balance="least_busy")
        with queue.consumer("a") as a, queue.consumer("b") as b:
            for item in range(3):
                await queue.put(item)
            assert (await a.get()).item == 0
            assert (await b.get()).item == 1
            held = await a.get()
            assert held.item == 2
            for item in range(3, 6):
                await queue.put(item)
            assert [d.item for d in await b.pull(10)] == [3, 4]  # as many as a has, and one that stands for the tie

    run(main())


def test_a_key_stays_where_it_is_worked_on() -> None:
    async def main() -> None:
        queue = queue_now(balance="by_key", key=lambda item: item[0])
        with queue.consumer("a") as a, queue.consumer("b") as b:
            for item in ("x1", "y1", "x2", "y2"):
                await queue.put(item)
            first = await a.get()
            assert first.item == "x1"
            assert [d.item for d in await b.pull(10)] == ["y1", "y2"]
            with queue.consumer("c") as c:
                await queue.put("x3")
                with pytest.raises(LookupError):
                    c.get_nowait()
                first.nack(delay=5)
                await queue.put("x4")
                with pytest.raises(LookupError):
                    c.get_nowait()
                assert [d.item for d in await a.pull(10)] == ["x2", "x3", "x4"]

    run(main())


def test_a_worker_that_goes_leaves_what_it_has() -> None:
    async def main() -> None:
        queue = queue_now(balance="by_key", key=lambda item: item[0])
        with queue.consumer("b") as b:
            with queue.consumer("a") as a:
                for item in ("x1", "x2", "x3"):
                    await queue.put(item)
                assert (await a.get()).item == "x1"
            assert [(d.item, d.attempt) for d in await b.pull(10)] == [("x1", 2), ("x2", 1), ("x3", 1)]
            with pytest.raises(QueueClosed, match="not open"):
                await a.get()

    run(main())


def test_a_worker_that_hangs_keeps_neither_its_task_nor_its_share() -> None:
    async def main() -> None:
        queue = queue_now(balance="round_robin", visibility=10)
        with queue.consumer("a") as a, queue.consumer("b") as b:
            revoked: list[Any] = []
            a.on_revoke(revoked.extend)
            for item in range(6):
                await queue.put(item)
            hung = await a.get()
            found: list[Any] = []
            while len(found) < 6:
                delivery = await b.get()
                found.append(delivery.item)
                delivery.ack()
            assert (found, now()) == ([1, 3, 5, 0, 2, 4], 10.0)
            assert revoked == [hung]
            await queue.put(6)
            await queue.put(7)
            assert (await b.get()).item == 6  # and nothing is meant for it
            assert (await a.get()).item == 7  # until it asks

    run(main())


def test_a_paused_consumer_takes_nothing_and_its_share_goes_to_others() -> None:
    async def main() -> None:
        for balance in ("shared", "round_robin"):
            queue = queue_now(balance=balance)
            with queue.consumer("a") as a, queue.consumer("b") as b:
                a.pause()
                waiting = asyncio.create_task(a.get())
                await asyncio.sleep(0)
                for item in range(3):
                    await queue.put(item)
                assert [d.item for d in await b.pull(10)] == [0, 1, 2]
                await queue.put(3)
                await asyncio.sleep(1)
                assert not waiting.done()
                a.resume()
                b.pause()
                assert (await waiting).item == 3

    run(main())


def test_ending_a_consumer_tells_whoever_waits_at_it() -> None:
    async def main() -> None:
        for balance in ("shared", "least_busy"):
            queue = queue_now(balance=balance)
            with queue.consumer("a") as a:
                waiting = asyncio.create_task(a.get())
                await asyncio.sleep(0)
            with pytest.raises(QueueClosed):
                await waiting

    run(main())


def test_a_queue_with_shares_asks_for_consumers() -> None:
    queue: TaskQueue[int] = TaskQueue(balance="round_robin")
    with pytest.raises(CompositionError, match=r"queue\.consumer\('ann'\).*# correct"):
        queue.get_nowait()
    queue.put_nowait(1)
    queue.close()
    assert list(queue) == [1]


# --- chains


def test_a_chain_takes_from_a_queue_and_puts_into_one() -> None:
    async def main() -> None:
        words, lengths = queue_now(size=2), queue_now()
        async with asyncio.TaskGroup() as group:
            group.create_task(Chain(len, lengths.put).collect(words))
            await words.write(["a", "bb", "ccc"])
            words.close()
        await lengths.flush()
        lengths.close()
        assert [length async for length in lengths] == [1, 2, 3]

    run(main())


def test_workers_acknowledge_what_a_chain_has_really_done() -> None:
    async def main() -> None:
        queue = queue_now()
        out: list[int] = []

        async def slow(item: int) -> int:
            await asyncio.sleep(1)
            return item

        chain = Chain(slow, ops.filter(lambda item: item % 2), ops.flat_map(lambda item: [item, item]), out.append)
        await queue.write(range(8))
        queue.close()
        async with no_leaks():
            assert await queue.work(chain, workers=4) == 8
        assert (sorted(out), now()) == ([1, 1, 3, 3, 5, 5, 7, 7], 2.0)
        assert queue.statistics().done == 8

    run(main())


def test_work_stops_at_a_failure_and_gives_back_what_is_worked_on() -> None:
    async def main() -> None:
        queue = queue_now()

        async def fails(item: int) -> None:
            await asyncio.sleep(item)
            raise ValueError(f"no {item}")

        await queue.write([1, 2, 3])
        async with no_leaks():
            with pytest.raises(ValueError, match="no 1"):
                await queue.work(fails, workers=2)
        found = queue.statistics()
        assert (found.ready, found.taken, found.redelivered, found.consumers) == (3, 0, 2, 0)

    run(main())


def test_work_retries_later_and_gives_up_in_the_end() -> None:
    async def main() -> None:
        told: list[Failure] = []
        queue = queue_now(attempts=3, given_up=told.append)
        times: list[float] = []

        def fails(item: str) -> None:
            times.append(now())
            raise ValueError(item)

        await queue.put("x")
        queue.close()
        seen: list[str] = []
        done = await queue.work(fails, delay=lambda attempt: 2.0**attempt, on_error=lambda item, _: seen.append(item))
        assert (done, times, seen) == (0, [0.0, 2.0, 6.0], ["x"] * 3)
        assert [(failure.attempts, str(failure.error)) for failure in told] == [(3, "x")]

    run(main())


def test_a_chain_that_deals_with_its_own_failures_is_done() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.write(["1", "x"])
        queue.close()
        assert await queue.work(Chain(ops.map(int), on_error="skip")) == 2

    run(main())


def test_cancelling_work_leaves_everything_in_the_queue() -> None:
    async def main() -> None:
        queue = queue_now(balance="least_busy")
        await queue.write(range(10))
        async with no_leaks():
            working = asyncio.create_task(queue.work(asyncio.sleep, workers=3))
            await asyncio.sleep(1.5)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
        found = queue.statistics()
        assert (found.taken, found.consumers, found.done + found.ready) == (0, 0, 10)

    run(main())


def test_what_on_error_raises_ends_the_work() -> None:
    async def main() -> None:
        queue = queue_now()
        await queue.write(["x", "y"])

        def on_error(item: str, error: Exception) -> None:
            raise LookupError(item) from error

        with pytest.raises(LookupError, match="x") as caught:
            await queue.work(int, on_error=on_error)
        assert isinstance(caught.value.__cause__, ValueError)
        assert len(queue) == 2

    run(main())


# --- corners, each of them once a bug or nearly one


def test_a_paused_waiter_that_is_woken_wakes_the_next() -> None:
    async def main() -> None:
        queue = queue_now()
        with queue.consumer("a") as a, queue.consumer("b") as b:
            first, second = asyncio.create_task(a.get()), asyncio.create_task(b.get())
            await asyncio.sleep(0)
            a.pause()
            await queue.put("x")
            assert (await asyncio.wait_for(second, 1)).item == "x"
            first.cancel()

    run(main())


def test_what_was_meant_for_a_consumer_goes_to_others_when_it_pauses() -> None:
    queue: TaskQueue[int] = TaskQueue(balance="round_robin")
    with queue.consumer("a") as a, queue.consumer("b") as b:
        for item in range(3):
            queue.put_nowait(item)
        assert b.get_nowait().item == 1
        a.pause()
        assert [b.get_nowait().item, b.get_nowait().item] == [0, 2]


@pytest.mark.parametrize("how", ["pause", "hang"])
def test_a_key_moves_when_one_who_is_away_has_nothing_of_it_in_hand(how: str) -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(balance="by_key", key=lambda item: item[0], visibility=10, clock=lambda: at)
    with queue.consumer("a") as a, queue.consumer("b") as b:
        queue.put_nowait("y0")
        hung = a.get_nowait()
        at = 5.0
        queue.put_nowait("x1")
        queue.put_nowait("x2")
        x1 = a.get_nowait()
        if how == "pause":
            a.pause()
        else:
            at = 10.0
            assert not queue.join_sync(0)
            assert not hung.ack()
            assert b.get_nowait().item == "y0"
        with pytest.raises(LookupError):
            b.get_nowait()
        assert x1.ack()
        assert b.get_nowait().item == "x2"


def test_a_key_stays_while_its_only_task_waits_to_be_tried_again() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(balance="by_key", key=lambda item: item[0], clock=lambda: at)
    with queue.consumer("b") as b:
        with queue.consumer("a") as a:
            queue.put_nowait("x1")
            a.get_nowait().nack(delay=5)
            queue.put_nowait("x2")
            with pytest.raises(LookupError):
                b.get_nowait()
            assert a.get_nowait().ack()
            at = 5.0
            with pytest.raises(LookupError):
                b.get_nowait()
            assert a.get_nowait().item == "x1"
            queue.put_nowait("x3")
            with pytest.raises(LookupError):
                b.get_nowait()
        assert [b.get_nowait().item, b.get_nowait().item] == ["x1", "x3"]


def test_a_key_is_free_when_whoever_had_it_ends_while_it_waits_to_be_tried_again() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(balance="by_key", key=lambda item: item[0], clock=lambda: at)
    with queue.consumer("b") as b:
        with queue.consumer("a") as a:
            queue.put_nowait("x1")
            a.get_nowait().nack(delay=5)
        queue.put_nowait("x2")
        assert b.get_nowait().item == "x2"
        at = 5.0
        assert b.get_nowait().item == "x1"


def test_a_key_of_one_who_is_away_is_free_when_its_task_may_be_tried_again() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(balance="by_key", key=lambda item: item[0], clock=lambda: at)
    with queue.consumer("a") as a, queue.consumer("b") as b:
        queue.put_nowait("x1")
        a.get_nowait().nack(delay=5)
        a.pause()
        queue.put_nowait("x2")
        with pytest.raises(LookupError):
            b.get_nowait()
        at = 5.0
        assert [b.get_nowait().item, b.get_nowait().item] == ["x2", "x1"]


def test_whoever_waits_is_given_what_another_leaves_behind() -> None:
    async def main() -> None:
        for how in ("pause", "end"):
            queue = queue_now(balance="round_robin")
            with queue.consumer("b") as b:
                with queue.consumer("a") as a:
                    await queue.write([0, 1])
                    await b.get()
                    waiting = asyncio.create_task(b.get())
                    await asyncio.sleep(1)
                    assert not waiting.done()
                    if how == "pause":
                        a.pause()
                        assert (await asyncio.wait_for(waiting, 1)).item == 1
                assert (await asyncio.wait_for(waiting, 1)).item == 1

    run(main())


def test_a_consumer_that_begins_again_has_no_key_of_before() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(balance="by_key", key=lambda item: item[0], clock=lambda: at)
    ann, bob = queue.consumer("ann"), queue.consumer("bob")
    with ann:
        queue.put_nowait("k1")
        assert ann.get_nowait().nack(delay=1)
    with ann, bob:
        queue.put_nowait("k2")
        k2 = bob.get_nowait()
        at = 2.0
        with pytest.raises(LookupError):
            ann.get_nowait()
        k1 = bob.get_nowait()
        assert (k2.item, k1.item, k1.attempt) == ("k2", "k1", 2)
        assert k2.ack()
        queue.put_nowait("k3")
        with pytest.raises(LookupError):
            ann.get_nowait()
        assert k1.ack()


@pytest.mark.parametrize("others", [98, 99, 100, 101, 250])
def test_however_much_is_meant_for_others_a_consumer_finds_its_own(others: int) -> None:
    async def main() -> None:
        queue = queue_now(balance="by_key", key=lambda item: item[0])
        with queue.consumer("a") as a, queue.consumer("b") as b:
            await queue.put("x")
            await a.get()
            await queue.write(["x"] * others + ["y"])
            assert (await asyncio.wait_for(b.get(), 1)).item == "y"
            assert len(await a.pull(1000)) == others

    run(main())


def test_what_is_urgent_comes_before_what_was_meant_for_a_consumer_already() -> None:
    queue: TaskQueue[str] = TaskQueue("priority", balance="round_robin")
    with queue.consumer("a") as a, queue.consumer("b") as b:
        queue.put_nowait("slow", priority=5)
        queue.put_nowait("slow too", priority=6)
        assert b.get_nowait().item == "slow too"
        queue.put_nowait("urgent", priority=1)
        assert a.get_nowait().item == "urgent"
        assert a.get_nowait().item == "slow"


def test_a_consumer_forgets_what_is_settled() -> None:
    queue: TaskQueue[int] = TaskQueue(visibility=10)
    with queue.consumer() as mine:
        for item in range(10):
            queue.put_nowait(item)
            mine.get_nowait().ack()
        assert not mine.taken
    assert not queue._held


def test_a_task_on_loan_for_a_time_goes_back_also_where_others_are_not() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(clock=lambda: at)
    for item in "abc":
        queue.put_nowait(item)
    a, b = queue.get_nowait(), queue.get_nowait()
    assert a.extend(5)
    b.nack()
    assert queue.get_nowait().item == "b"
    at = 5.0
    assert queue.get_nowait().item == "a"


def test_giving_up_the_last_task_ends_join() -> None:
    async def main() -> None:
        queue = queue_now(attempts=1, given_up=lambda failure: None)
        await queue.put("x")
        joined = asyncio.create_task(queue.join())
        delivery = await queue.get()
        await asyncio.sleep(1)
        delivery.nack()
        await asyncio.wait_for(joined, 1)

    run(main())


def test_what_is_told_and_fails_leaves_the_task_to_whoever_waits_next() -> None:
    async def main() -> None:
        at = 0.0

        def refuse(failure: Failure) -> None:
            raise OSError("disk full")

        queue: TaskQueue[str] = TaskQueue(attempts=1, given_up=refuse, visibility=5, clock=lambda: at)
        await queue.put("x")
        await queue.get()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        at = 6.0
        await queue.put("z")
        assert (await asyncio.wait_for(second, 1)).item == "z"
        with pytest.raises(OSError, match="disk full"):
            await first

    run(main())


def test_what_is_told_and_fails_leaves_the_time_to_whoever_joins() -> None:
    async def main() -> None:
        told = []

        def refuses_once(failure: Failure) -> None:
            told.append(failure.item)
            if len(told) == 1:
                raise OSError("disk full")

        queue = queue_now(attempts=1, given_up=refuses_once, visibility=5)
        await queue.write(["x", "y"])
        await queue.get()
        await asyncio.sleep(1)
        await queue.get()
        getter = asyncio.create_task(queue.get())
        joined = asyncio.create_task(queue.join())
        with pytest.raises(OSError, match="disk full"):
            await getter
        await joined
        assert (told, now()) == (["x", "y"], 6.0)

    run(main())


def test_a_timer_on_a_closed_loop_is_nobodys() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(clock=lambda: at)
    queue.put_nowait("x", delay=5)
    loop = asyncio.new_event_loop()
    waiting = queue.get()
    task = loop.create_task(waiting)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    async def main() -> None:
        nonlocal at
        mine = asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        at = 5.0
        assert (await asyncio.wait_for(mine, 10)).item == "x"

    run(main())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    waiting.close()


def test_what_is_being_acknowledged_while_its_time_runs_out_is_done() -> None:
    at = 0.0
    queue: TaskQueue[str] = TaskQueue(visibility=5, clock=lambda: at)
    queue.put_nowait("x")
    delivery = queue.get_nowait()
    queue._held.remove(delivery)  # as `ack` does first, in another thread
    at = 6.0
    assert queue.join_sync(0)
    with pytest.raises(LookupError):
        queue.get_nowait()


# --- the rest


def test_a_queue_and_a_consumer_are_what_other_queues_will_be() -> None:
    queue: TaskQueue[int] = TaskQueue()
    consumer = queue.consumer()
    assert isinstance(queue, Queue)
    assert isinstance(queue, Sink)
    assert isinstance(consumer, Source)
    assert isinstance(consumer, Consumer)


def test_execute_runs_the_tasks_in_order() -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return "c"

    class Task:
        def execute(self) -> str:
            return "a"

    queue: TaskQueue[Any] = TaskQueue("priority")
    queue.add_task(lambda: "b", 2)
    queue.add_task(later, 3)
    queue.add_task(Task(), 1)
    assert queue.execute() == ["a", "b", "c"]
    queue.add_task(5)
    with pytest.raises(CompositionError, match="# correct"):
        queue.execute()
    assert len(queue) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"order": "random"}, "order is 'fifo', 'lifo' or 'priority'"),
        ({"size": 0}, "size is a number, 1 or more"),
        ({"size": True}, "size is a number, 1 or more"),
        ({"ageing": -1.0, "order": "priority"}, "ageing is by how much"),
        ({"ageing": 1.0}, "ageing= is for priorities"),
        ({"visibility": 0}, "visibility is a number of seconds"),
        ({"attempts": 3}, "belong together"),
        ({"given_up": print}, "belong together"),
        ({"attempts": 3, "given_up": 5}, "given_up is a function"),
        ({"balance": "fair"}, "balance is"),
        ({"balance": "by_key"}, "belong together"),
        ({"key": len}, "belong together"),
        ({"key": 5, "balance": "by_key"}, "key is a function"),
    ],
)
def test_what_is_declared_wrong_is_told_with_what_is_right(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(CompositionError, match=says) as caught:
        TaskQueue(**wrong)
    assert "# incorrect" in str(caught.value)
    assert "# correct" in str(caught.value)


def test_priorities_and_delays_are_numbers() -> None:
    queue: TaskQueue[int] = TaskQueue("priority")
    for priority in (float("nan"), float("inf"), "high"):
        with pytest.raises((ValueError, TypeError)):
            queue.put_nowait(1, priority=priority)  # type: ignore[arg-type]
    for delay in (-1.0, float("inf"), "soon"):
        with pytest.raises(ValueError, match="delay is a number of seconds"):
            queue.put_nowait(1, delay=delay)  # type: ignore[arg-type]
    with pytest.raises(CompositionError, match=r"TaskQueue\('priority'\)  # correct"):
        TaskQueue[int]().put_nowait(1, priority=3)
    with pytest.raises(TypeError, match="has to be hashable"):
        TaskQueue[Any](balance="by_key", key=lambda item: item).put_nowait([1])
    assert len(queue) == 0
    assert queue.statistics().put == 0
    queue.put_nowait(1, priority=2)
    with pytest.raises(ValueError, match="delay"):
        queue.get_nowait().nack(delay=-1)


def test_blocking_calls_do_not_block_the_event_loop() -> None:
    async def main() -> None:
        queue = queue_now(size=1)
        with pytest.raises(RuntimeError, match=r"await queue.get\(\)  # correct"):
            queue.get_sync()
        queue.put_sync(1)
        with pytest.raises(RuntimeError, match=r"await queue.put\(\)  # correct"):
            queue.put_sync(2)
        with pytest.raises(QueueFull):
            queue.put_sync(2, timeout=0)
        assert queue.get_sync().item == 1
        with pytest.raises(RuntimeError, match=r"await queue.join\(\)  # correct"):
            queue.join_sync()
        assert not queue._getters
        assert not queue._putters
        assert not queue._joiners

    run(main())


def test_user_functions_are_never_called_under_the_lock() -> None:
    queue: TaskQueue[int]

    def free(*_: object) -> int:
        from threading import Thread

        thread = Thread(target=queue.statistics)
        thread.start()
        thread.join(5)
        assert not thread.is_alive(), "the lock is held"
        return 0

    at = 0.0
    queue = TaskQueue(balance="by_key", key=free, attempts=1, given_up=free, visibility=1, name="q", clock=lambda: at)
    with queue.consumer() as mine:
        mine.on_revoke(free)
        queue.put_nowait(1)
        mine.get_nowait().nack()
        queue.put_nowait(2, delay=1)
        at = 1.0
        mine.get_nowait()
        at = 2.0
        assert queue.join_sync(0)
    assert queue.statistics().given_up == 2


def test_a_delivery_says_what_it_is() -> None:
    queue: TaskQueue[str] = TaskQueue(name="letters")
    queue.put_nowait("x")
    delivery = queue.get_nowait()
    assert isinstance(delivery, Delivery)
    assert repr(delivery) == "<delivery of 'x', attempt 1>"
    assert repr(queue) == "<TaskQueue 'letters', fifo: 0 waiting, 1 taken>"
    assert repr(queue.consumer("ann")).startswith("<consumer 'ann' of <TaskQueue")
    assert queue
