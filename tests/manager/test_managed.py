"""Managed chains: edits by name, what they refuse, states, pausing, draining, stopping, and what is told of it all."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from rxchain import Chain, ChainManager, CompositionError, DeadLetters, Failure, Graph, Resume, RxChainError, node
from rxchain import operators as ops
from rxchain.manager import ChainStatistics, ManagedChain, State
from rxchain.testing import FailsInClose, FailsMidway, NeverCompletes, no_leaks, run


async def every_second(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(1)
        yield number


def double(number: int) -> int:
    return number * 2


def negate(number: int) -> int:
    return -number


@node(undo=lambda number, result: None)
def refunded(number: int) -> int:
    return number


async def async_wait(result: object) -> None:
    await asyncio.sleep(1)


async def slow(number: int) -> int:
    await asyncio.sleep(5)
    return number


# --- edits


def test_nodes_are_added_removed_replaced_and_renamed_by_name() -> None:
    chain = ChainManager().chain("numbers", double)
    chain.add(negate)
    chain.insert_before("double", str.strip)
    chain.insert_after("strip", int_of, name="int")
    assert chain.names == ("strip", "int", "double", "negate")
    assert chain.run_sync(" 2 ") == -4
    chain.replace("double", lambda number: number * 10)
    chain.remove("negate")
    chain.rename("double", "ten times")
    assert ",".join(chain.names) == "strip,int,ten times"
    assert chain.run_sync(" 2 ") == 20
    assert [(edit.what, edit.node) for edit in chain.statistics().edits] == [
        ("add", "negate"),
        ("insert", "strip"),
        ("insert", "int"),
        ("replace", "double"),
        ("remove", "negate"),
        ("rename", "double"),
    ]


def int_of(text: str) -> int:
    return int(text)


def test_steps_of_the_same_name_are_told_apart_by_number() -> None:
    chain = ChainManager().chain("c", ops.map(double), ops.filter(bool), ops.map(negate), ops.map(double))
    assert chain.names == ("map", "filter", "map_2", "map_3")
    chain.remove("map_2")
    assert chain.run_sync(1) == 4


def with_an_inner_chain() -> ManagedChain:
    inner = Chain(int_of, ops.map(double), ops.map(negate), name="inner", window=3)
    retried = ops.retry(Chain(double, name="part"), 2)
    return ChainManager().chain("c", str.strip, inner, retried, Graph(negate, name="g"))


def test_nodes_of_chains_in_it_are_changed_by_their_path() -> None:
    chain = with_an_inner_chain()
    before = chain.chain
    assert " ".join(chain.paths) == "strip inner inner/int_of inner/map inner/map_2 retry g"
    assert chain.run_sync(" 2 ") == {"negate": 8}
    chain.remove("inner/map_2")
    chain.replace("inner/map", lambda number: number + 1)
    chain.insert_after("inner/int_of", negate)
    chain.insert_before("inner/int_of", Chain(str.strip, name="deep"))
    chain.insert_after("inner/deep/strip", str.lower)
    chain.rename("inner/map", "add")
    chain.rename("inner", "outer")
    assert chain.paths == (
        *("strip", "outer", "outer/deep", "outer/deep/strip", "outer/deep/lower"),
        *("outer/int_of", "outer/negate", "outer/add", "retry", "g"),
    )
    assert chain.run_sync(" 2 ") == {"negate": 2}
    assert [(edit.what, edit.node) for edit in chain.statistics().edits][:5] == [
        ("remove", "inner/map_2"),
        ("replace", "inner/map"),
        ("insert", "inner/negate"),
        ("insert", "inner/deep"),
        ("insert", "inner/deep/lower"),
    ]
    assert chain.chain["outer"].window == 3  # type: ignore[attr-defined]
    assert before.run_sync(" 2 ") == {"negate": 8}, "chains are values"


def test_a_name_with_a_slash_comes_before_a_path() -> None:
    chain = ChainManager().chain("c", int_of, Chain(double, name="a"))
    chain.add(negate, name="a/double")
    chain.remove("a/double")
    assert (chain.names, chain.run_sync("2")) == (("int_of", "a"), 4)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.remove("map"), "no node 'map'; 'inner/map', perhaps; there is 'strip', 'inner', 'inner/int_of', "),
        (lambda c: c.remove("inner/mapp"), "no node 'inner/mapp'; 'inner/map', perhaps"),
        (lambda c: c.remove("part/double"), "incorrect: it is a part of 'retry', which is no chain"),
        (lambda c: c.remove("double"), "replace('retry', ...)  # correct: another one in its place"),
        (lambda c: c.replace("g/negate", double), "incorrect: it is a part of 'g', which is no chain"),
        (lambda c: c.insert_after("inner/map", negate, name="map_2"), "has a node 'inner/map_2' already"),
        (lambda c: c.insert_after("inner/map", negate, name="inner/n"), "('inner/map', negate, name='n')  # correct"),
        (lambda c: c.rename("inner/map", "map_2"), "has a node 'inner/map_2' already"),
        (lambda c: c.rename("inner/map", "inner/n"), "rename('inner/map', 'n')  # correct"),
        (lambda c: c.canary("inner/map"), "node 'inner/map' of chain 'c' has no canary"),
    ],
)
def test_what_is_in_no_chain_is_out_of_reach_and_the_error_says_what_there_is(edit: Any, message: str) -> None:
    chain = with_an_inner_chain()
    plan = chain.chain
    with pytest.raises(CompositionError) as found:
        edit(chain)
    assert message in str(found.value)
    assert chain.chain is plan


def test_an_existing_chain_or_graph_is_taken_with_what_it_declares() -> None:
    manager = ChainManager()
    given = Chain(double, negate, name="other", window=3, on_error="skip")
    chain = manager.chain("mine", given)
    assert chain.chain == Chain(double, negate, name="mine", window=3, on_error="skip")
    assert manager.chain("wider", given, window=9).chain.window == 9
    graph = manager.chain("graph", Graph(output="b").add("a", double).add("b", lambda a: a + 1))
    assert graph.run_sync(4) == 9
    assert graph.names == ("graph",)


def test_any_kind_of_step_can_be_renamed() -> None:
    inner = Chain(double, name="inner")
    steps = [double, ops.map(double), inner, Graph(name="g", output="a").add("a", double), ops.retry(double, 2)]
    for step in steps:
        chain = ChainManager().chain("c")
        chain.add(step, name="first")
        chain.rename("first", "second")
        assert chain.names == ("second",)
        assert chain.run_sync(2) == 4


def test_a_named_chain_is_one_node_and_an_unnamed_one_must_be_given_a_name() -> None:
    chain = ChainManager().chain("c", double)
    chain.add(Chain(double, negate, name="pair"))
    chain.add(Chain(double, negate), name="other")
    assert chain.names == ("double", "pair", "other")
    with pytest.raises(CompositionError, match="needs a name"):
        chain.add(Chain(double, negate))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda c: c.remove("dubble"),
            "chain 'c' has no node 'dubble'; 'double', perhaps; there is 'double', 'negate'",
        ),
        (lambda c: c.replace("nobody", double), "has no node 'nobody'"),
        (lambda c: c.add(double), "has a node 'double' already"),
        (lambda c: c.insert_after("double", double, name="negate"), "has a node 'negate' already"),
        (lambda c: c.rename("double", "negate"), "has a node 'negate' already"),
        (lambda c: c.add(3), "a step is an operator or a function"),
        (lambda c: c.add(int), "a class is no step"),
        (lambda c: c.add(double, name=3), "a node's name is a string"),
        (lambda c: c.replace("double", negate, key=double), "a key says which items are the canary's"),
        (lambda c: c.replace("double", negate, canary=1.5), "more than 0 and less than 1"),
        (lambda c: c.replace("double", negate, canary=True), "more than 0 and less than 1"),
        (lambda c: c.replace("double", negate, canary=0.1, key="customer"), "a canary's key is a plain function"),
        (lambda c: c.replace("double", ops.map(negate), canary=0.1), "goes around nodes, chains and graphs"),
        (lambda c: c.canary("double"), "has no canary"),
        (lambda c: c.promote("double"), "has no canary"),
        (lambda c: c.roll_back("double"), "has no canary"),
        (lambda c: c.replace("double", refunded), "declares an undo, and behind it 'split'"),
    ],
)
def test_a_bad_edit_is_refused_and_the_old_plan_runs_on(edit: Any, message: str) -> None:
    managed = ChainManager().chain("c", double, negate)
    if "undo" in message:
        managed.add(ops.concat_map(lambda number: [number]), name="split")
    plan = managed.chain
    results = managed.iterate(range(3))
    first = next(results)
    with pytest.raises(CompositionError) as found:
        edit(managed)
    assert message in str(found.value)
    assert managed.chain is plan
    assert [first, *results] == [0, -2, -4]
    assert [e for e in managed.statistics().edits if e.what != "add"] == []


def test_what_only_a_run_can_tell_is_refused_too() -> None:
    """`Resume` needs a chain of one program, and that is what the stream was asked for."""

    async def main() -> None:
        chain = ChainManager().chain("c", double)
        stream = chain.stream(every_second(3), on_error=Resume(0))
        assert await anext(stream) == 0
        with pytest.raises(CompositionError, match="what is to go on in the place of an item"):
            chain.add(ops.delay(1))
        assert [item async for item in stream] == [2, 4]

    run(main())


def test_an_item_in_flight_finishes_on_the_old_plan_and_the_next_takes_the_new_one() -> None:
    async def main() -> list[int]:
        chain = ChainManager().chain("c", slow, double)
        got: list[int] = []
        chain.start(every_second(4), got.append)
        await asyncio.sleep(2.5)  # two are in flight
        chain.replace("double", negate)
        assert got == []
        await chain.join()
        assert chain.statistics().edits[0].item == 2
        return got

    assert run(main()) == [0, 2, -2, -3]


def test_the_item_that_is_being_waited_for_belongs_to_the_new_plan() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", double)
        stream = chain.stream(every_second(2))
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.5)
        chain.replace("double", negate)
        chain.add(lambda number: f"<{number}>", name="shown")
        assert await waiting == "<0>"
        assert [item async for item in stream] == ["<-1>"]

    run(main())


def test_steps_that_hold_items_back_are_flushed_at_the_barrier_and_states_begin_anew() -> None:
    def items() -> Iterator[int]:
        for number in range(5):
            if number == 3:
                chain.add(len)
            yield number

    chain = ChainManager().chain("c", ops.batch(2))
    assert list(chain.iterate(items())) == [[0, 1], [2], 2]  # what comes when the edit has been made is the new plan's
    counts = ChainManager().chain("counts", ops.count())
    assert list(counts.iterate([])) == [0]


def test_a_pause_flushes_nothing() -> None:
    async def main() -> list[Any]:
        chain = ChainManager().chain("c", ops.batch(4))
        got: list[Any] = []
        chain.start(every_second(4), got.append)
        await asyncio.sleep(2.5)
        chain.pause()
        await asyncio.sleep(10)
        assert got == []
        chain.resume()
        await chain.join()
        return got

    assert run(main()) == [[0, 1, 2, 3]]


def test_what_is_held_back_comes_out_at_the_edit_also_while_the_source_has_nothing_to_say() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", ops.batch(4))
        got: list[Any] = []
        chain.start(NeverCompletes([1, 2]), got.append)
        await asyncio.sleep(1)
        assert got == []
        chain.add(len)
        await asyncio.sleep(1)
        assert got == [[1, 2]]
        await chain.drain()

    run(main())


def test_an_item_that_came_during_a_pause_is_drained_with_those_before_it() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", ops.batch(4))
        got: list[Any] = []
        chain.start(every_second(10), got.append)
        await asyncio.sleep(1.5)
        chain.pause()
        await asyncio.sleep(1)
        await chain.drain()
        assert got == [[0, 1]]

    run(main())


def test_a_plan_that_is_given_no_item_gives_no_result_but_one_that_never_had_any_does() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", ops.count())

        async def ends_late() -> AsyncIterator[int]:
            async for number in every_second(2):
                yield number
            await asyncio.sleep(2)

        stream = chain.stream(ends_late())

        async def edit() -> None:
            await asyncio.sleep(1.5)
            for _ in range(3):
                chain.add(double, name="x")
                chain.remove("x")
            await asyncio.sleep(1)
            chain.add(double, name="x")

        editing = asyncio.create_task(edit())
        assert [item async for item in stream] == [1, 1]
        await editing
        assert await chain.collect([]) == [0]

    run(main())


def test_an_early_end_is_the_end_whatever_the_plan() -> None:
    source = NeverCompletes(range(10))
    assert run(ChainManager().chain("c", ops.take(3)).collect(source)) == [0, 1, 2]
    assert source.closed == 1


def test_edits_come_from_any_thread() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", double)
        stream = chain.stream(NeverCompletes([1]))
        assert await anext(stream) == 2
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await asyncio.to_thread(chain.replace, "double", negate)
        assert chain.names == ("double",)
        thread = threading.Thread(target=chain.pause)
        thread.start()
        thread.join()
        assert chain.state is State.PAUSED
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stream.aclose()

    asyncio.run(main())


def test_a_node_may_change_its_own_chain() -> None:
    chain = ChainManager().chain("c", double)

    def once(number: int) -> int:
        chain.remove("once")
        return number + 100

    chain.add(once)
    assert list(chain.iterate([1, 2, 3])) == [102, 4, 6]


# --- the source


def test_the_context_that_the_source_sets_goes_with_the_item() -> None:
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=-1)

    async def numbered() -> AsyncIterator[int]:
        for k in range(4):
            number.set(k)
            await asyncio.sleep(1)
            yield k

    async def waits(item: int) -> tuple[int, int]:
        await asyncio.sleep(2)
        return item, number.get()

    def looks(item: int) -> tuple[int, int]:
        return item, number.get()

    for step in (waits, looks):
        chain = ChainManager().chain("c", step)
        assert run(chain.collect(numbered())) == [(k, k) for k in range(4)]
    assert number.get() == -1


def test_a_source_that_fails_ends_the_run_behind_what_it_gave() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", slow)
        source = FailsMidway([1, 2], OSError("gone"))
        got: list[int] = []
        with pytest.raises(OSError, match="gone") as found:
            async for item in chain.stream(source):
                got.append(item)
        assert got == [1, 2]
        assert "in the source of chain 'c'" in found.value.__notes__
        statistics = chain.statistics()
        assert (statistics.state, statistics.failed, statistics.last_error) == (State.FAILED, 0, found.value)

    run(main())


def test_a_source_that_fails_when_it_is_closed_says_so() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", double)
        with pytest.raises(OSError, match="close"):
            await chain.collect(FailsInClose([1, 2], OSError("close")))

        def fails(number: int) -> int:
            raise ValueError("no")

        chain.replace("double", fails)
        with pytest.raises(ValueError, match="no") as found:
            await chain.collect(FailsInClose([1, 2], OSError("close")))
        assert any("closing the source failed, too" in note for note in found.value.__notes__)

    run(main())


def test_a_source_that_is_none_is_refused_at_once() -> None:
    chain = ChainManager().chain("c", double)
    with pytest.raises(CompositionError, match="items come from an iterable"):
        chain.stream(3)  # type: ignore[arg-type]


# --- errors


def test_failures_have_their_place_in_the_whole_source_whatever_the_plan() -> None:
    def odd(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number

    async def main() -> None:
        chain = ChainManager().chain("c", odd)
        letters: list[Any] = []
        stream = chain.stream(every_second(6), on_error=DeadLetters(letters))
        assert await anext(stream) == 0
        await asyncio.sleep(1.5)
        chain.add(negate)
        assert [item async for item in stream] == [-2, -4]
        assert [letter.place for letter in letters] == ["item 1", "item 3", "item 5"]
        statistics = chain.statistics()
        assert (statistics.failed, statistics.results, str(statistics.last_error)) == (3, 3, "5")

    run(main())


def test_what_the_chain_says_of_errors_counts_where_a_run_says_nothing() -> None:
    def fails(number: int) -> int:
        raise ValueError(number)

    told: list[Failure] = []
    chain = ChainManager().chain("c", fails, on_error=told.append)
    assert list(chain.iterate([1, 2])) == []
    assert [failure.item for failure in told] == [1, 2]
    assert list(chain.iterate([1, 2], on_error=Resume(0))) == [0, 0]
    with pytest.raises(ValueError, match="1"):
        list(chain.iterate([1, 2], on_error="stop"))
    assert chain.statistics().failed == 5


def test_a_handler_is_closed_once_when_the_run_ends() -> None:
    class Handler:
        closed = 0

        def __call__(self, failure: Failure) -> None: ...

        async def aclose(self) -> None:
            self.closed += 1

    async def main() -> None:
        handler = Handler()
        chain = ChainManager().chain("c", double)
        stream = chain.stream(every_second(3), on_error=handler)
        await anext(stream)
        chain.add(negate)
        assert await anext(stream) == -2
        assert handler.closed == 0
        await stream.aclose()
        assert handler.closed == 1

    run(main())


# --- states


def shown(statistics: ChainStatistics) -> tuple[str, int, int, int | None]:
    return statistics.state.value, statistics.taken, statistics.results, statistics.in_flight


def test_the_states_of_a_chain_and_its_numbers() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", slow)
        assert shown(chain.statistics()) == ("idle", 0, 0, 0)
        async with no_leaks():
            chain.start(every_second(100))
            assert shown(chain.statistics())[0] == "running"
            await asyncio.sleep(7.5)
            assert shown(chain.statistics()) == ("running", 3, 1, 2)
            chain.pause()
            await asyncio.sleep(20)
            assert shown(chain.statistics()) == ("paused", 3, 3, 0)
            chain.resume()
            await asyncio.sleep(6)
            draining = asyncio.create_task(chain.drain())
            await asyncio.sleep(0)
            assert shown(chain.statistics())[0] == "draining"
            await draining
            taken = chain.statistics().taken
            assert shown(chain.statistics()) == ("done", taken, taken, 0)
            chain.start(every_second(3))
            await asyncio.sleep(2.5)
            stopping = asyncio.create_task(chain.stop())
            await asyncio.sleep(0)
            await stopping
            assert shown(chain.statistics()) == ("stopped", taken + 2, taken, 0)

    run(main())


def test_a_pause_takes_nothing_from_any_kind_of_source_and_lets_in_flight_go_on() -> None:
    async def main(source: Any, step: Any) -> None:
        chain = ChainManager().chain("c", step, ops.filter(lambda number: number % 3 == 0), window=2)
        chain.start(source, async_wait)
        await asyncio.sleep(2)
        chain.pause()
        await asyncio.sleep(100)
        taken = chain.statistics().taken
        assert 1 <= taken <= 7
        assert chain.statistics().in_flight in (0, None)
        await asyncio.sleep(100)
        assert chain.statistics().taken == taken
        chain.resume()
        await chain.join()
        assert chain.statistics().taken == 20

    for step in (slow, double):
        run(main(iter(range(20)), step))
        run(main(every_second(20), step))


@pytest.mark.parametrize("edit", [False, True])
def test_an_item_that_came_during_a_pause_is_not_lost_when_the_chain_is_drained(edit: bool) -> None:
    async def main() -> None:
        given: list[int] = []
        got: list[int] = []

        async def source() -> AsyncIterator[int]:
            async for number in every_second(10):
                given.append(number)
                yield number

        chain = ChainManager().chain("c", double)
        chain.start(source(), got.append)
        await asyncio.sleep(1.5)
        chain.pause()
        await asyncio.sleep(10)
        assert (given, got) == ([0, 1], [0])
        if edit:
            chain.replace("double", negate)
        await chain.drain()
        assert (given, got) == ([0, 1], [0, -1 if edit else 2])

    run(main())


def test_draining_does_not_wait_for_a_source_that_is_idle() -> None:
    async def main() -> None:
        source = NeverCompletes([1, 2])
        got: list[int] = []
        chain = ChainManager().chain("c", slow)
        chain.start(source, got.append)
        await asyncio.sleep(1)
        await chain.drain()
        assert (got, source.closed, asyncio.get_running_loop().time()) == ([1, 2], 1, 10)

    with no_leaks():
        run(main())


def test_a_chain_is_drained_before_it_has_begun() -> None:
    async def main() -> None:
        source = NeverCompletes([1, 2])
        chain = ChainManager().chain("c", slow)
        chain.start(source)
        await chain.drain()
        assert (source.asked, chain.state) == (0, State.DONE)
        assert source.closed == 1

    with no_leaks():
        run(main())


def test_stopping_cancels_what_is_in_flight_and_undoes_what_it_did() -> None:
    undone: list[int] = []

    @node(undo=lambda number, result: undone.append(number))
    async def charge(number: int) -> int:
        await asyncio.sleep(3)
        return number

    async def main() -> None:
        source = NeverCompletes([1, 2])
        chain = ChainManager().chain("c", charge, slow)
        chain.start(source)
        await asyncio.sleep(4)
        await chain.stop()
        assert asyncio.get_running_loop().time() == 4
        assert source.closed == 1
        assert sorted(undone) == [1, 2]

    with no_leaks():
        run(main())


def test_stopping_waits_for_what_is_being_undone() -> None:
    async def refund(number: int, result: object) -> None:
        await asyncio.sleep(3)

    @node(undo=refund)
    async def charge(number: int) -> int:
        return await slow(number)

    async def main() -> None:
        chain = ChainManager().chain("c", charge)
        chain.start([1])
        await asyncio.sleep(1)
        stopping = asyncio.create_task(chain.stop())
        await asyncio.sleep(1)
        assert chain.state is State.STOPPING
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert (chain.state, asyncio.get_running_loop().time()) == (State.STOPPED, 4)

    with no_leaks():
        run(main())


def test_what_a_run_fails_with_is_logged_and_raised_to_whoever_joins(caplog: pytest.LogCaptureFixture) -> None:
    def fails(number: int) -> int:
        raise ValueError("no")

    async def main() -> None:
        chain = ChainManager().chain("c", fails)
        chain.start([1])
        await asyncio.sleep(1)
        assert chain.state is State.FAILED
        assert "chain 'c' has failed: ValueError: no" in caplog.text
        with pytest.raises(ValueError, match="no"):
            await chain.join()
        await chain.join()  # told once
        assert chain.statistics().failed == 1

    run(main())


def test_a_sink_that_fails_ends_the_run_and_is_named() -> None:
    def sink(number: int) -> None:
        raise OSError("full")

    async def main() -> None:
        chain = ChainManager().chain("c", double)
        chain.start(every_second(3), sink)
        with pytest.raises(OSError, match="full") as found:
            await chain.join()
        assert found.value.__notes__ == ["in the sink of chain 'c', with result 0"]

    with no_leaks():
        run(main())


def test_a_chain_that_runs_is_not_started_again() -> None:
    async def main() -> None:
        async with ChainManager() as manager:
            chain = manager.chain("c", double)
            chain.start(every_second(3))
            with pytest.raises(RxChainError, match="chain 'c' is running: it is started again when"):
                chain.start([1])

    run(main())


def test_drain_and_stop_from_within_do_not_wait_for_themselves() -> None:
    async def main(end: str) -> list[int]:
        chain = ChainManager().chain("c")
        got: list[int] = []

        async def ends(number: int) -> int:
            await asyncio.sleep(1)
            if number == 2:
                await getattr(chain, end)()
            return number

        chain.add(ends)
        chain.start(every_second(10), got.append)
        await chain.join()
        assert chain.state in (State.DONE, State.STOPPED)
        return got

    with no_leaks():
        assert run(main("drain")) == [0, 1, 2, 3]  # the last was on its way
        assert run(main("stop")) == [0, 1]


def test_streams_that_are_read_beside_each_other_change_together() -> None:
    async def main() -> None:
        chain = ChainManager().chain("c", double)
        one, other = chain.stream(every_second(3)), chain.stream(iter([10, 20]))
        assert (await anext(one), await anext(other)) == (0, 20)
        assert chain.statistics().runs == 2
        chain.replace("double", negate)
        assert (await anext(one), await anext(other)) == (-1, -20)
        await chain.drain()
        assert [item async for item in one] == []
        assert [item async for item in other] == []
        assert chain.statistics().runs == 0

    with no_leaks():
        run(main())


# --- the manager


def test_a_manager_knows_its_chains_by_name() -> None:
    manager = ChainManager()
    one = manager.chain("one", double)
    assert manager["one"] is one
    assert list(manager) == ["one"]
    assert "one" in manager
    assert "two" not in manager
    assert len(manager) == 1
    with pytest.raises(KeyError, match="no chain called 'two'; there is 'one'"):
        manager["two"]
    with pytest.raises(CompositionError, match="there is a chain 'one' already"):
        manager.chain("one", double)
    with pytest.raises(CompositionError, match="a managed chain has a name"):
        manager.chain(double)  # type: ignore[arg-type]


def test_the_end_of_the_block_drains_all_chains() -> None:
    async def main() -> None:
        got: list[int] = []
        async with no_leaks(), ChainManager() as manager:
            for k in range(3):
                manager.chain(f"c{k}", slow).start(every_second(100), got.append)
            await asyncio.sleep(2.5)
        assert sorted(got) == [0, 0, 0, 1, 1, 1]
        assert {chain.state for chain in manager.statistics().chains} == {State.DONE}

    run(main())


def test_a_block_that_fails_stops_all_chains() -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            async with no_leaks(), ChainManager() as manager:
                manager.chain("c", slow).start(every_second(100))
                await asyncio.sleep(2.5)
                raise KeyError
        assert asyncio.get_running_loop().time() == 2.5
        assert manager["c"].state is State.STOPPED

    run(main())


def test_errors_that_nobody_was_told_are_raised_at_the_end_of_the_block() -> None:
    def fails(number: int) -> int:
        raise ValueError(number)

    async def main(count: int) -> None:
        async with ChainManager() as manager:
            for k in range(count):
                manager.chain(f"c{k}", fails).start([k])
            await asyncio.sleep(1)

    with pytest.raises(ValueError, match="0"):
        run(main(1))
    with pytest.raises(ExceptionGroup, match="several chains have failed") as found:
        run(main(2))
    assert len(found.value.exceptions) == 2


def test_all_chains_are_paused_and_resumed_at_once() -> None:
    async def main() -> None:
        async with ChainManager() as manager:
            chains = [manager.chain(name, double) for name in "ab"]
            for chain in chains:
                chain.start(every_second(5))
            manager.pause()
            assert {chain.state for chain in chains} == {State.PAUSED}
            manager.resume()
            for chain in chains:
                await chain.join()
                assert chain.statistics().results == 5

    run(main())
