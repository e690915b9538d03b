"""Workers on one stream: exact scenarios, in virtual time."""

import asyncio
import contextvars
import gc
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest

from rxchain import Chain
from rxchain import operators as ops
from rxchain.engine._crew import Worker
from rxchain.testing import run

Work = Callable[[int], Awaitable[int]]


def takes(*seconds: float | None) -> Work:
    """A node that takes so long for items 0, 1, 2, ..., again and again; None does not suspend at all."""

    async def work(item: int) -> int:
        delay = seconds[item % len(seconds)]
        if delay is not None:
            await asyncio.sleep(delay)
        return item

    return work


async def of_async(items: Iterable[int]) -> AsyncIterator[int]:
    for item in items:
        yield item


async def timed(chain: Chain[Any, Any], source: Any, pause: float = 0) -> list[tuple[Any, float]]:
    """What a chain gives, and when."""
    loop = asyncio.get_running_loop()
    given = []
    async for item in chain.stream(source):
        given.append((item, loop.time()))
        if pause:
            await asyncio.sleep(pause)
    return given


# --- how many, and when


def test_nodes_in_a_row_work_on_different_items_at_the_same_time() -> None:
    chain = Chain(takes(1), takes(1), takes(1), takes(1))
    assert run(timed(chain, range(5))) == [(0, 4), (1, 5), (2, 6), (3, 7), (4, 8)]


def test_a_node_works_on_as_many_items_as_it_says_and_gives_their_results_in_order() -> None:
    chain = Chain(ops.map(takes(3, 1, 2), concurrency=3))
    assert run(timed(chain, range(6))) == [(0, 3), (1, 3), (2, 3), (3, 4), (4, 4), (5, 5)]


def test_results_go_on_as_they_are_done_where_nobody_wants_them_ordered() -> None:
    chain = Chain(ops.map(takes(3, 1, 2), concurrency=3, ordered=False))
    assert run(timed(chain, range(6))) == [(1, 1), (2, 2), (0, 3), (4, 3), (3, 4), (5, 5)]


def test_a_slow_item_holds_back_results_and_not_the_work_on_others() -> None:
    """Head of line: those behind it are worked on all the same, as far as the window goes."""
    began: list[tuple[int, float]] = []

    async def work(item: int) -> int:
        began.append((item, asyncio.get_running_loop().time()))
        await asyncio.sleep(1 if item else 10)
        return item

    chain = Chain(ops.map(work, concurrency=2), window=4)
    assert run(timed(chain, range(6))) == [(0, 10), (1, 10), (2, 10), (3, 10), (4, 11), (5, 11)]
    assert began == [(0, 0), (1, 0), (2, 1), (3, 2), (4, 10), (5, 10)]


def test_more_at_once_than_the_window_has_room_for_is_as_many_as_it_has_room_for() -> None:
    chain = Chain(ops.map(takes(1), concurrency=5), window=2)
    assert run(timed(chain, range(5))) == [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3)]


def test_results_are_there_as_soon_as_they_are_ready() -> None:
    chain = Chain(ops.map(takes(1, 0.5), concurrency=2), takes(0, 1))
    assert run(timed(chain, range(4))) == [(0, 1), (1, 2), (2, 2), (3, 3)]


# --- keys


def test_items_of_one_key_go_in_one_after_the_other_and_those_of_others_beside_them() -> None:
    chain = Chain(ops.map(takes(1), concurrency=8, by=hot))
    assert run(timed(chain, range(6))) == [(0, 1), (1, 1), (4, 1), (2, 2), (3, 3), (5, 4)]


def hot(item: int) -> str:
    """0, 2, 3 and 5 are of one key; the others of keys of their own."""
    return "hot" if item in (0, 2, 3, 5) else str(item)


def test_a_hot_key_gets_one_place_in_the_node_and_its_neighbours_the_others() -> None:
    """While the window has room, who waits for a key that is inside keeps nobody else from going in."""

    def key(item: int) -> int:
        return 0 if item < 6 else item

    inside: dict[float, set[int]] = {}

    async def work(item: int) -> int:
        inside.setdefault(asyncio.get_running_loop().time(), set()).add(item)
        await asyncio.sleep(1)
        return item

    chain = Chain(ops.map(work, concurrency=2, by=key), window=40)
    run(chain.collect(range(1, 17)))
    assert [inside[second] for second in range(8)] == [
        *({hot, 5 + hot} for hot in range(1, 6)),
        *({11, 12}, {13, 14}, {15, 16}),
    ]


def test_where_all_places_are_taken_no_more_is_begun_to_look_for_another_key() -> None:
    taken: list[int] = []
    source = Counted(9)

    async def work(item: int) -> int:
        await asyncio.sleep(1)
        taken.append(source.taken)
        return item

    run(Chain(ops.map(work, concurrency=2, by=str), window=9).collect(source))
    assert taken[:4] == [2, 3, 4, 5]


def test_a_key_that_is_free_again_goes_in_behind_the_other_keys_that_wait() -> None:
    async def arrives(item: str) -> str:
        await asyncio.sleep(0)
        return item

    entered: list[str] = []

    async def work(item: str) -> str:
        entered.append(item)
        await asyncio.sleep(1)
        return item

    by_letter = ops.map(work, concurrency=2, by=lambda item: item[0])
    chain = Chain(ops.map(arrives, concurrency=9), by_letter, window=9)
    run(chain.collect(["a1", "a2", "a3", "b1", "c1", "d1"]))
    assert entered == ["a1", "b1", "c1", "d1", "a2", "a3"]


def test_as_many_items_of_one_key_as_the_window_holds_keep_the_others_out_of_it() -> None:
    """What is not promised: an item that waits for its key takes a place in the window."""
    chain = Chain(ops.map(takes(1), concurrency=2, by=lambda item: item // 3), window=3)
    assert run(timed(chain, range(4))) == [(0, 1), (1, 2), (3, 2), (2, 3)]


# --- bounds


class Counted:
    """A list of numbers that says how many were taken."""

    def __init__(self, size: int) -> None:
        self.taken, self._items = 0, iter(range(size))

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        item = next(self._items)
        self.taken += 1
        return item

    async def as_async(self) -> AsyncIterator[int]:
        for item in self:
            yield item


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_consumer_holds_the_source_back_at_the_window(ordered: bool) -> None:
    for window, concurrency in ((4, 2), (5, 8)):
        source = Counted(30)
        chain = Chain(ops.map(takes(1), concurrency=concurrency, ordered=ordered), takes(0), window=window)

        async def main(source: Counted = source, chain: Chain[int, int] = chain, window: int = window) -> list[int]:
            ahead = []
            given = 0
            async for _ in chain.stream(source):
                given += 1
                await asyncio.sleep(100)
                ahead.append(source.taken - given)
            return ahead

        # The item in hand has been given and gives its place to another when the next is asked for, or before.
        assert set(run(main())[:-window]) <= {window - 1, window}


def test_an_asynchronous_source_is_asked_one_item_ahead_of_the_first_node_once_that_suspends() -> None:
    source = Counted(30)
    taken: list[int] = []

    async def work(item: int) -> int:
        await asyncio.sleep(1)
        taken.append(source.taken)
        return item

    run(Chain(work, window=9).collect(source.as_async()))
    assert taken == [*[9] * 8, *range(10, 31), 30]


# --- nothing suspends


def test_a_chain_that_never_suspends_runs_in_the_consumers_task_and_takes_an_item_when_it_is_asked_for() -> None:
    source = Counted(9)

    async def main() -> None:
        task = asyncio.current_task()

        async def work(item: int) -> int:
            assert asyncio.current_task() is task
            assert asyncio.all_tasks() == {task}
            return item

        def takes_part(item: int) -> bool:
            return True

        given = 0
        async for _ in Chain(work, ops.map(work, concurrency=3), ops.filter(takes_part), work).stream(source):
            given += 1
            assert source.taken == given
            await asyncio.sleep(0.1 if given % 2 else 0)
            assert source.taken == given
        assert given == 9

    run(main())


def test_it_goes_on_alone_until_something_suspends() -> None:
    async def main() -> list[int]:
        tasks: list[int] = []

        async def work(item: int) -> int:
            tasks.append(len(asyncio.all_tasks()))
            if item == 5:
                await asyncio.sleep(1)
            return item

        await Chain(work).collect(range(8))
        return tasks

    tasks = run(main())
    assert tasks[:6] == [1] * 6
    assert max(tasks[6:]) == 2


# --- ends


def test_earlier_results_come_first_and_then_the_error() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(1)
        if item == 2:
            raise ValueError("two")
        return item

    async def main() -> tuple[list[Any], BaseException]:
        given: list[Any] = []
        try:
            async for item in Chain(work, takes(0.5), takes(3), name="c").stream(range(9)):
                given.append((item, asyncio.get_running_loop().time()))
        except ValueError as error:
            return given, error
        raise AssertionError

    given, error = run(main())
    assert given == [(0, 4.5), (1, 7.5)]
    assert error.__notes__ == ["in node 'work' (step 1 of 3) of chain 'c', with item 2"]


def test_what_is_abandoned_behind_an_error_is_named_once_and_not_given_out() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(1 if item else 2)
        if not item:
            raise ValueError("nought")
        return item

    chain = Chain(ops.map(work, concurrency=4), name="c")
    with pytest.raises(ValueError, match="nought") as caught:
        run(chain.collect(range(4)))
    assert caught.value.__notes__[0] == "in node 'map' of chain 'c', with item 0"
    assert caught.value.__notes__[1:] == [
        "abandoned: 1 waiting for its turn, 2 waiting for its turn, 3 waiting for its turn"
    ]


def test_a_node_that_cancels_itself_ends_the_stream_behind_the_results_ahead_of_it() -> None:
    told: list[Any] = []

    async def work(item: int) -> int:
        await asyncio.sleep(1)
        if item == 2:
            raise asyncio.CancelledError("two")
        return item

    async def main() -> list[int]:
        given: list[int] = []
        with pytest.raises(asyncio.CancelledError, match="two"):
            async for item in Chain(ops.map(work, concurrency=3), takes(2)).stream(range(9), on_error=told.append):
                given.append(item)
        return given

    assert run(main()) == [0, 1]
    assert told == []


def test_the_consumers_cancellation_reaches_every_node_and_is_its_own() -> None:
    cancelled: list[int] = []

    async def work(item: int) -> int:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(1)  # takes its time: it is waited for
            cancelled.append(item)
            raise
        return item

    async def main() -> float:
        task = asyncio.ensure_future(Chain(ops.map(work, concurrency=3)).collect(range(9)))
        await asyncio.sleep(5)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return asyncio.get_running_loop().time()

    assert run(main()) <= 7
    assert sorted(cancelled) == [0, 1, 2]


def test_synchronous_code_gets_the_same() -> None:
    chain = Chain(ops.map(takes(0.002, 0), concurrency=3), takes(0))
    assert list(chain.iterate(range(20))) == list(range(20))


# --- other loops, other tasks


def test_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        chain = Chain(ops.map(takes(0.002, 0, None), concurrency=3), takes(0), ops.scan(int.__add__, 0))
        expected = list(itertools.accumulate(range(30)))
        assert runner.run(chain.collect(range(30))) == expected
        assert runner.run(chain.collect(of_async(range(30)))) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_with_eager_tasks() -> None:
    async def main(source: Any, chain: Chain[int, int]) -> list[int]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        return [item async for item in chain.stream(source)]

    for ordered in (True, False):
        chain = Chain(ops.map(takes(0.3, 0, None), concurrency=3, ordered=ordered), takes(0, None, 0.1))
        for make in (range, lambda size: of_async(range(size)), lambda size: Counted(size)):
            given = run(main(make(20), chain))
            assert (given if ordered else sorted(given)) == list(range(20))


# --- found by the laws of tests/laws/test_workers.py


def test_who_is_done_while_others_are_on_their_way_out_does_not_overtake_them() -> None:
    for window in (3, None):
        chain = Chain(ops.map(takes(None, 0.1), concurrency=2), window=window)
        assert run(chain.collect(range(4))) == [0, 1, 2, 3]


def test_a_steps_own_variable_is_read_before_its_result_has_to_wait() -> None:
    chain = Chain(takes(0), ops.scan(int.__add__, 0), window=3)
    assert run(timed(chain, range(6), pause=50)) == [(n, 50 * i) for i, n in enumerate([0, 1, 3, 6, 10, 15])]


def test_one_gate_by_key_after_another_knows_an_item_by_each_ones_own_key() -> None:
    def third(item: int) -> int:
        return item % 3

    def half(item: int) -> int:
        return item % 2

    chain = Chain(ops.map(takes(1, 2), concurrency=5, by=third), ops.map(takes(0, 1), concurrency=5, by=half))
    assert sorted(run(chain.collect(range(12)))) == list(range(12))


def test_an_item_that_has_overtaken_others_and_fails_does_not_keep_them_for_ever() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(1 if item else 5)
        if item == 2:
            raise ValueError(item)
        return item

    chain = Chain(ops.map(work, concurrency=3, ordered=False))
    for ends in (chain.collect(range(9)), timed(chain, range(9))):
        with pytest.raises(ValueError, match="2"):
            run(ends)


def test_a_failing_item_keeps_its_place_until_it_is_told() -> None:
    async def main(source: Any) -> list[int]:
        given: list[int] = []
        chain = Chain(ops.map(takes(None), concurrency=2), ops.map(lambda item: 1 // item), window=2)
        with pytest.raises(ZeroDivisionError):
            async for item in chain.stream(source):
                given.append(item)
        return given

    assert run(main(of_async(range(2)))) == []


def test_what_ends_a_stream_first_in_its_order_ends_it() -> None:
    """An item that fails before all nodes waits for those that are inside, one of which fails."""

    def not_one(item: int) -> int:
        if item == 1:
            raise ValueError("one")
        return item

    chain = Chain(not_one, ops.map(takes(0.1), concurrency=2), ops.map(lambda item: 1 // item), window=2)
    for source in (range(2), of_async(range(2))):
        with pytest.raises(ZeroDivisionError):
            run(chain.collect(source))


def test_a_cancellation_is_not_replaced_by_an_error_of_an_item_behind_it() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0)
        if item == 1:
            raise asyncio.CancelledError
        if item == 2:
            raise ValueError(item)
        return item

    with pytest.raises(asyncio.CancelledError) as caught:
        run(Chain(ops.map(work, concurrency=3)).collect(range(3)))
    assert caught.value.__notes__ == ["another item failed, too: ValueError(2)"]


# --- found by breaking single lines of the workers and of the gates


@pytest.mark.parametrize("ordered", [True, False])
def test_who_leaves_the_first_node_for_a_place_in_the_next_makes_room_for_another(ordered: bool) -> None:
    chain = Chain(*[ops.map(takes(1), concurrency=2, ordered=ordered) for _ in range(2)])
    assert run(timed(chain, range(6))) == [(0, 2), (1, 2), (2, 3), (3, 3), (4, 4), (5, 4)]


def test_a_node_for_as_many_as_the_window_between_two_for_one() -> None:
    began: list[float] = []

    async def work(item: int) -> int:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        return item

    chain = Chain(work, ops.map(takes(1, 3), concurrency=50), takes(1))
    assert run(timed(chain, range(5))) == [(0, 3), (1, 6), (2, 7), (3, 8), (4, 9)]
    assert began == [0, 1, 2, 3, 4]


def test_many_results_of_one_item_wait_for_a_slow_consumer() -> None:
    source = Counted(20)
    chain = Chain(takes(1), ops.concat_map(lambda item: [item] * 10), window=3)
    ahead: list[int] = []

    async def main() -> list[int]:
        given: list[int] = []
        async for item in chain.stream(source):
            given.append(item)
            await asyncio.sleep(5)
            ahead.append(source.taken - item)
        return given

    assert run(main()) == [item for item in range(20) for _ in range(10)]
    assert max(ahead) <= 5  # the item whose results are being given, one that is being taken apart, and the window


def test_an_asynchronous_source_that_was_not_begun_is_closed() -> None:
    class Source:
        closed = 0

        def __aiter__(self) -> AsyncIterator[int]:
            raise AssertionError("nobody asked for it")

        async def aclose(self) -> None:
            self.closed += 1

    source = Source()

    async def main() -> None:
        stream = Chain(takes(1), ops.start_with(7)).stream(source)
        async for item in stream:
            assert item == 7
            break
        await stream.aclose()

    run(main())
    assert source.closed == 1


def test_what_an_async_iterable_opens_is_closed() -> None:
    class Source:
        closed = 0

        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                for item in range(9):
                    yield item
            finally:
                self.closed += 1

    for take in (1, 20):
        source = Source()
        assert run(Chain(takes(1), ops.take(take)).collect(source)) == list(range(min(take, 9)))
        assert source.closed == 1


def test_who_swallows_its_cancellation_does_not_wait_for_a_turn_that_never_comes() -> None:
    async def work(item: int) -> int:
        try:
            await asyncio.sleep(1 if item == 0 else 10)
        except asyncio.CancelledError:
            if item == 1:
                raise
        return item

    async def main() -> None:
        stream = Chain(ops.map(work, concurrency=4)).stream(range(9))
        async for _ in stream:
            break
        await stream.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_variable_that_the_source_sets_for_one_item_is_not_there_for_the_next() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    async def source() -> AsyncIterator[int]:
        token = variable.set("ann")
        yield 0
        variable.reset(token)
        yield 1
        yield 2

    async def work(item: int) -> int:
        seen.append(variable.get())
        return item

    run(Chain(work).collect(source()))
    assert seen == ["ann", "nobody", "nobody"]


def test_workers_that_an_item_has_left_something_in_are_let_go_of() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    alive: list[int] = []

    async def work(item: int) -> int:
        variable.set(item)
        await asyncio.sleep(0)
        if item == 150:
            gc.collect()
            # By their crew's name: what other tests keep, an error with its traceback say, is none of ours.
            workers = [found for found in gc.get_objects() if isinstance(found, Worker)]
            alive.append(sum(worker.crew.name == "lets go" for worker in workers))
        return item

    run(Chain(work, window=4, name="lets go").collect(range(200)))
    assert 1 <= alive[0] <= 4 + 2


def test_workers_without_an_item_are_called_in_again() -> None:
    async def source() -> AsyncIterator[int]:
        for item in range(20):
            await asyncio.sleep(1)
            yield item

    tasks: list[int] = []

    async def work(item: int) -> int:
        await asyncio.sleep(0.5)
        tasks.append(len(asyncio.all_tasks()))
        return item

    run(Chain(work).collect(source()))
    assert max(tasks) <= 4  # of the consumer, of the source; one that works, one that waits for its turn


def test_who_leaves_before_the_error_has_come_is_told_of_none() -> None:
    async def fails(item: int) -> int:
        await asyncio.sleep(item)
        if item:
            raise ValueError(item)
        return item

    async def main() -> None:
        outputs = Chain(ops.map(fails, concurrency=5)).stream([0, 0, 3, 2, 1])
        assert [await anext(outputs), await anext(outputs)] == [0, 0]
        await asyncio.sleep(10)  # 3 has ended the stream, 2 and 1 wait behind it to do so
        await outputs.aclose()

    run(main())


def test_whoever_is_cancelled_while_it_closes_a_stream_is_cancelled_when_that_is_done() -> None:
    ended: list[int] = []

    async def work(item: int) -> int:
        try:
            await asyncio.sleep(1 if item == 0 else 10)
        finally:
            await asyncio.sleep(2)
            ended.append(item)
        return item

    async def leaves(stream: Any) -> None:
        async for _ in stream:
            break
        await stream.aclose()

    async def main() -> None:
        leaving = asyncio.ensure_future(leaves(Chain(ops.map(work, concurrency=3)).stream(range(9))))
        await asyncio.sleep(4)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert sorted(ended) == [0, 1, 2]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_the_first_of_all_may_fail_where_all_are_worked_on_at_once() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(1)
        if item in (0, 3):
            raise ValueError(item)
        return item

    told: list[Any] = []
    for source in (range(6), of_async(range(6))):
        chain = Chain(ops.map(work, concurrency=50), takes(1))
        assert run(chain.collect(source, on_error=told.append)) == [1, 2, 4, 5]
    assert [failure.item for failure in told] == [0, 3, 0, 3]


def test_what_is_dropped_on_its_way_keeps_nobody_waiting_where_all_are_worked_on_at_once() -> None:
    def is_even(item: int) -> bool:
        return item % 2 == 0

    def is_not_four(item: int) -> bool:
        return item != 4

    many = [ops.map(takes(1, 0.5), concurrency=50) for _ in range(3)]
    chain = Chain(many[0], ops.filter(is_even), many[1], ops.filter(is_not_four), many[2], takes(0.1))
    for source in (range(40), of_async(range(40))):
        assert run(chain.collect(source)) == [item for item in range(0, 40, 2) if item != 4]


# --- letting the event loop run


def test_one_worker_at_a_time_lets_the_event_loop_breathe(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is time to, it is for all of them: that each does would be a round of the loop for every item."""
    breathing: list[int] = []
    now = begun = ended = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.01
        return now

    async def breathe(_: object) -> float:
        nonlocal begun, ended
        begun += 1
        breathing.append(int(begun - ended))
        await asyncio.sleep(0)
        ended += 1
        return now

    async def work(item: int) -> int:
        await asyncio.sleep(0)
        return item

    monkeypatch.setattr("rxchain.engine._support.breathe", breathe)
    monkeypatch.setattr("rxchain.engine._support.clock", clock)
    chain = Chain(ops.map(work, concurrency=8), ops.enumerate(), ops.map(list))  # of a shape that is compiled here
    assert len(asyncio.run(chain.collect(range(64)))) == 64
    assert len(breathing) > 5
    assert set(breathing) == {1}
