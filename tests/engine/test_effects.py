"""What an item has done, in programs: where it is registered, and what is refused because nobody could take it back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from rxchain import Chain, CircuitBreaker, CircuitOpen, CompositionError, Stage, node, operator
from rxchain import operators as ops
from rxchain.engine import Effects, StopStream, driven, effects, interpret, take_back, taken_back
from rxchain.testing import no_leaks, run

undone: list[Any] = []


async def undo(item: Any, result: Any) -> None:
    undone.append((item, result))


@operator
def booked(name: str = "booked") -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        effect = effects().begin(undo, name, item)
        effect.result = item * 10
        yield item

    return step


@operator
def booked_twice() -> Any:
    def step(item: Any) -> Iterator[Any]:
        effects().begin(undo, "one", item)
        effects().begin(undo, "other", -item)
        yield item

    return step


@operator
def stays_a_call() -> Any:
    def step(item: Any) -> Iterator[Any]:
        effects().begin(undo, "call", item)
        try:
            yield item
        finally:
            pass

    return step


@operator
def at_the_end() -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield item

    def flush() -> Iterator[Any]:
        effects().begin(undo, "end", None)
        yield 0

    return Stage(step, flush=flush)


@operator
def ends_at(last: int) -> Any:
    def step(item: Any) -> Iterator[Any]:
        if item == last:
            raise StopStream
        yield item

    return step


def refuse(item: Any) -> Any:
    raise ValueError(item)


@pytest.fixture(autouse=True)
def nothing_undone() -> None:
    undone.clear()


def test_an_operator_of_ones_own_registers_what_it_does() -> None:
    assert run(Chain(booked(), refuse).collect([1, 2], on_error="skip")) == []
    assert undone == [(1, 10), (2, 20)]
    undone.clear()
    assert run(Chain(booked_twice(), refuse).collect([1], on_error="skip")) == []
    assert undone == [(-1, None), (1, None)]
    assert Chain(booked_twice()).is_async  # as to undo is


def test_the_program_keeps_a_plain_variable_and_settles_before_its_sink() -> None:
    program = Chain(booked(), ops.map(abs), window=1).program()
    assert "effects = Effects()" in program
    assert program.index("effects.settle()") < program.index("yield")
    assert "Effects" not in Chain(ops.map(abs)).program()


@pytest.mark.parametrize("mode", ["interpreted", "fused"])
def test_an_end_of_the_stream_is_no_failure(mode: str) -> None:
    chain = Chain(booked(), ends_at(2), window=1)
    execution = chain.execution

    async def main() -> list[Any]:
        source: Any = [1, 2, 3]
        by_hand = interpret(execution.operators, source, execution.label)
        stream = by_hand if mode == "interpreted" else chain.stream(source)
        return [item async for item in stream]

    assert run(main()) == [1]
    assert undone == []


def test_the_interpreter_undoes_as_the_program_does() -> None:
    execution = Chain(booked("a"), booked("b"), refuse).execution

    async def main() -> None:
        source: Any = [1]
        with pytest.raises(ValueError, match="1") as raised:
            await anext(interpret(execution.operators, source, execution.label))
        assert taken_back(raised.value) == (("b", "a"), ())
        assert raised.value.__notes__ == ["in node 'refuse', with item 1", "undone: 'b', 'a'"]

    run(main())
    assert undone == [(1, 10), (1, 10)]


def test_told_of_a_failure_it_has_undone_the_whole_item() -> None:
    execution = Chain(booked("a"), booked("b"), refuse).execution
    told: list[Any] = []

    async def on_error(error: Exception, step: int, item: object, value: object) -> None:
        told.append((step, item, taken_back(error).undone))

    async def main() -> None:
        source: Any = [1, 2]
        assert [out async for out in interpret(execution.operators, source, execution.label, on_error)] == []

    run(main())
    assert told == [(2, 1, ("b", "a")), (2, 2, ("b", "a"))]


def test_what_the_compiler_cannot_follow_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"'stays_a_call' calls effects\(\) where the compiler cannot follow it"):
        run(Chain(stays_a_call(), refuse).collect([1]))
    with pytest.raises(CompositionError, match=r"at_the_end: effects\(\) are those of an item"):
        run(Chain(at_the_end()).collect([1]))
    with pytest.raises(CompositionError, match=r"effects\(\) is for the step of an operator"):
        effects()


def test_behind_it_nothing_may_stay_a_call() -> None:
    scope: dict[str, Any] = {"operator": operator, "Any": Any}
    exec(  # no source, so that it stays one
        "@operator\ndef unread():\n    def step(item):\n        yield item\n    return step\n", scope
    )
    with pytest.raises(CompositionError, match="behind it 'unread' makes something else"):
        run(Chain(booked(), scope["unread"]()).collect([1]))


def test_an_error_that_takes_no_notes_arrives_all_the_same() -> None:
    class Frozen(Exception):
        __slots__ = ()

        def add_note(self, note: str) -> None:
            raise AttributeError("frozen")

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError("frozen")

    def fail(item: Any) -> Any:
        raise Frozen

    with pytest.raises(Frozen):
        run(Chain(booked(), fail).run(1))
    assert undone == [(1, 10)]


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_what_would_end_a_loop_in_silence_tells_of_its_effects_too(error: type[Exception]) -> None:
    def fail(item: Any) -> Any:
        raise error

    with pytest.raises(RuntimeError, match="was raised and not caught") as raised:
        run(Chain(booked(), fail, window=1).collect([1]))
    assert raised.value.__notes__ == ["in node 'fail', with item 1", "undone: 'booked'"]
    failures: list[Any] = []
    run(Chain(booked(), fail).collect([1], on_error=failures.append))
    assert failures[0].undone == ("booked",)


def test_nothing_is_done_where_there_is_nothing_to_undo() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        error = ValueError()
        await take_back(Effects(), error)
        assert asyncio.all_tasks() == before
        assert not hasattr(error, "__notes__")

    run(main())


def test_from_a_mark_on_only_what_came_later_is_undone() -> None:
    async def main() -> None:
        scope = Effects()
        scope.begin(undo, "a", 1)
        mark = len(scope.standing)
        scope.begin(undo, "b", 2)
        await take_back(scope, ValueError(), mark)
        assert [effect.node for effect in scope.standing] == ["a"]
        scope.settle()
        assert not scope.standing

    run(main())
    assert undone == [(2, None)]


def test_a_synchronous_interpreter_has_none() -> None:
    execution = Chain(ops.map(abs)).execution
    assert list(driven(interpret(execution.operators, [-1], execution.label))) == [1]


def test_what_nobody_has_taken_when_all_ends_is_undone() -> None:
    done: list[int] = []
    undone: list[int] = []

    @node(undo=undone.append, concurrency=4)
    async def take(item: int) -> int:
        await asyncio.sleep(item % 3)
        done.append(item)
        return item

    async def main() -> list[int]:
        taken: list[int] = []
        async with no_leaks():
            stream = Chain(take).stream(range(100))
            async for item in stream:
                taken.append(item)
                await asyncio.sleep(10)  # all the others have come as far as they can
                if item == 5:
                    break
            await stream.aclose()
        return taken

    assert run(main()) == [0, 1, 2, 3, 4, 5]
    assert len(done) > 6, "some were done and waited to be taken"
    assert sorted(set(done) - set(undone)) == [0, 1, 2, 3, 4, 5]


def test_a_call_that_was_refused_has_done_nothing_that_could_be_undone() -> None:
    undone: list[tuple[str, int]] = []

    @node(undo=lambda item: undone.append(("a", item)))
    async def a(item: int) -> int:
        return item

    @node(undo=lambda item: undone.append(("b", item)), breaker=CircuitBreaker("of test_effects", failures=1))
    async def b(item: int) -> int:
        raise ValueError(item)

    try:
        failures: list[Any] = []
        assert run(Chain(a, b).collect([1, 2], on_error=failures.append)) == []
    finally:
        CircuitBreaker.forget("of test_effects")
    assert [type(failure.error) for failure in failures] == [ValueError, CircuitOpen]
    assert undone == [("b", 1), ("a", 1), ("a", 2)]
