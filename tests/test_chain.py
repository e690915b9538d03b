"""Chains as values: how they compose, compare, show themselves, and what they refuse to be made of."""

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import reactivex

from rxchain import Chain, ChainNode, CompositionError, Failure, node, operator, pipe
from rxchain import operators as ops


def inc(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


async def later(x: int) -> int:
    return x


def twice(x: int) -> Iterator[int]:
    yield x
    yield x


def test_the_ways_to_compose_give_equal_chains() -> None:
    chain = Chain(inc, double, ops.take(2))
    assert pipe(inc, double, ops.take(2)) == chain
    assert Chain(inc) | double | ops.take(2) == chain
    assert inc | (Chain(double) | ops.take(2)) == chain
    assert inc | ops.take(2) == Chain(inc, ops.take(2))
    assert Chain(Chain(inc, double), Chain(Chain(ops.take(2)))) == chain
    assert hash(Chain(inc, double)) == hash(Chain(inc) | double)
    assert Chain(inc, double, ops.take(3)) != chain
    assert Chain(inc, name="a") != Chain(inc)
    assert Chain(inc) != "chain"


def test_a_named_chain_stays_one_step() -> None:
    pricing = Chain(inc, double, name="pricing")
    outer = Chain(later, pricing, twice, name="orders")
    assert len(outer) == 3
    assert outer[1] is pricing
    assert outer["pricing"] is pricing
    assert list(outer.iterate([1])) == [4, 4]


def test_steps_are_reached_by_position_name_and_slice() -> None:
    chain = Chain(inc, ops.map(double), twice, name="c")
    assert chain[0] == Chain(inc)[0]
    assert chain["twice"] is chain[2]
    assert chain[-1] is chain[2]
    assert chain[1:] == Chain(ops.map(double), twice, name="c")
    assert list(chain) == [chain[0], chain[1], chain[2]]
    with pytest.raises(KeyError, match="no step called 'thrice'; there are 'inc', 'map', 'twice'"):
        chain["thrice"]
    with pytest.raises(IndexError):
        chain[3]


def test_a_chain_is_shown_as_it_is_written() -> None:
    chain = Chain(inc, ops.filter(inc), ops.take(3), Chain(double, name="inner"), name="c")
    assert repr(chain) == "Chain(inc, filter(inc), take(3), Chain(double, name='inner'), name='c')"
    assert repr(Chain()) == "Chain()"


def test_a_chain_without_steps_passes_every_item_on() -> None:
    chain: Chain[int, int] = Chain()
    assert list(chain.iterate([1, 2])) == [1, 2]
    assert chain.run_sync(1) == 1
    assert chain | inc == Chain(inc)


def test_a_drawing_shows_nested_chains_inside_their_box() -> None:
    chain = Chain(inc, Chain(double, ops.take(1), name='"pricing"'), Chain(name="empty"), twice)
    assert chain.to_mermaid() == (
        "flowchart LR\n"
        '    s0(["inc"])\n'
        '    subgraph s1["#quot;pricing#quot;"]\n'
        '        s1_0(["double"])\n'
        '        s1_1["take(1)"]\n'
        "        s1_0 --> s1_1\n"
        "    end\n"
        "    s0 --> s1_0\n"
        '    s3(["twice"])\n'
        "    s1_1 --> s3\n"
    )


class Adds:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __call__(self, x: int) -> int:
        return x + self.amount

    def method(self, x: int) -> int:
        return x + self.amount

    async def later(self, x: int) -> int:
        return x + self.amount

    @staticmethod
    def one(x: int, more: int = 1) -> int:
        return x + more


class AddsLater(Adds):
    async def __call__(self, x: int) -> int:  # type: ignore[override]
        return x + self.amount


@pytest.mark.parametrize(
    ("step", "name", "asynchronous"),
    [
        (inc, "inc", False),
        (later, "later", True),
        (abs, "abs", False),
        (str.__len__, "__len__", False),
        (Adds(1), "Adds", False),
        (AddsLater(1), "AddsLater", True),
        (Adds(1).method, "method", False),
        (Adds(1).later, "later", True),
        (Adds.one, "one", False),
        (partial(Adds.one, more=1), "one", False),
        (partial(Adds(1).later), "later", True),
        (lambda x, *more, key=None: x + 1, "<lambda>", False),
    ],
)
def test_any_callable_of_one_item_is_a_node(step: Any, name: str, asynchronous: bool) -> None:
    chain: Chain[Any, Any] = Chain(step)
    found = chain[0]
    assert isinstance(found, ChainNode)
    assert found.name == name
    assert chain.is_async is asynchronous
    item: Any = "ab" if step is str.__len__ else 1
    assert chain.run_sync(item) in (1, 2)


def gives_a_coroutine() -> Any:
    return later(1)


async def agenerate(x: int) -> AsyncIterator[int]:
    yield x


AnyChain: Any = Chain  # what follows is wrong on purpose, and pyright would say so first
any_ops: Any = ops
any_node: Any = node


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AnyChain(int), ["a class is no step", "Chain(int)  # incorrect", "Chain(ops.map(int))  # correct"]),
        (
            lambda: AnyChain(gives_a_coroutine()),
            ["later was called", "Chain(later(...))  # incorrect", "Chain(later)  # c"],
        ),
        (lambda: AnyChain(twice(1)), ["twice was called instead of passed", "Chain(twice)  # correct"]),
        (lambda: AnyChain(agenerate(1)), ["agenerate was called instead of passed"]),
        (lambda: AnyChain(inc(1)), ["got an int: 2", "Chain(2)  # incorrect", "ops.start_with(2)"]),
        (lambda: AnyChain(None), ["got a NoneType"]),
        (lambda: AnyChain([inc, double]), ["got a list of 2", "Chain(*steps)  # correct"]),
        (
            lambda: AnyChain(any_ops.take),
            ["take is an operator that has not been called", "Chain(ops.take(...))  # correct"],
        ),
        (lambda: AnyChain(lambda: 1), ["a step is called with one item", "<lambda>()"]),
        (lambda: AnyChain(lambda a, b: 1), ["<lambda>(a, b)", "ops.starmap"]),
        (lambda: AnyChain(inc) | (lambda *, key: 1), ["<lambda>(*, key)"]),
        (lambda: 3 | AnyChain(inc), ["got an int: 3"]),
        (lambda: AnyChain(reactivex.of(1)), ["observable.pipe(Chain(...))  # correct"]),
        (lambda: AnyChain(inc, name=3), ["a chain's name is a string, got 3"]),
        (lambda: any_ops.map(gives_a_coroutine()), ["got a coroutine: later was called", "ops.map(later)  # correct"]),
        (lambda: any_ops.map(3), ["map: mapper must be a function, got an int: 3"]),
        (lambda: any_ops.map(), ["ops.map(mapper): missing a required argument: 'mapper'"]),
        (lambda: any_ops.map(inc, 3), ["too many positional arguments"]),
        (lambda: any_ops.map(any_ops.take(3)), ["got an operator", "Chain(take, ...)  # correct"]),
        (lambda: any_ops.map(any_ops.take), ["got an operator"]),
        (lambda: any_ops.scan(inc, 0), ["is called with 2 arguments, and 'inc' does not take that: inc(x"]),
        (lambda: any_node("inc"), ["node is given a function, got a str", "@node(name='inc')  # correct"]),
        (
            lambda: any_node(when=3)(inc),
            ["when must be a function", "got an int: 3"],
        ),
        (lambda: any_node(then=inc)(inc), ["then is called with 2 arguments"]),
        (lambda: any_node(refuse="ignore")(inc), ["node 'inc': refuse must be 'drop', 'pass' or 'fail', got 'ignore'"]),
        (lambda: any_node(lambda a, b: 1), ["is called with 1 argument"]),
        (lambda: AnyChain(inc)([1]), ["await chain.run([1])  # correct"]),
        (lambda: AnyChain(inc).stream(3), ["items come from an iterable", "chain.stream([3])  # correct"]),
        (lambda: AnyChain(inc).iterate(reactivex.of(1)), ["observable.pipe(chain)  # correct"]),
    ],
)
def test_a_wrong_composition_fails_at_once_and_shows_the_right_line(
    make: Callable[[], object], says: list[str]
) -> None:
    with pytest.raises(CompositionError) as caught:
        make()
    for text in says:
        assert text in str(caught.value)


def test_an_operator_that_is_not_fused_is_checked_too() -> None:
    @operator
    def needs(count: int) -> Any:
        if count < 1:
            raise ValueError(f"count must be 1 or more, got {count}")

        def step(item: int) -> Iterator[int]:
            try:
                yield item
            finally:
                pass

        return step

    with pytest.raises(ValueError, match="count must be 1 or more, got 0"):
        needs(0)
    assert list(Chain(needs(1)).iterate([1])) == [1]


# --- nodes


def test_a_node_is_still_its_function() -> None:
    @node(when=bool, then=lambda item, result: None)
    def parse(text: str) -> int:
        """Parse."""
        return int(text)

    assert parse("3") == 3
    assert parse.name == "parse"
    assert parse.__doc__ == "Parse."
    assert inspect.unwrap(parse)("4") == 4
    assert repr(parse) == "<node 'parse'>"


@pytest.mark.parametrize(("refuse", "outputs"), [("drop", [2]), ("pass", [2, -1])])
def test_what_a_refusal_means_is_declared(refuse: Any, outputs: list[int]) -> None:
    positive = node(when=lambda x: x > 0, refuse=refuse)(inc)
    assert list(Chain(positive).iterate([1, -1])) == outputs


def test_postprocessing_sees_item_and_result_and_none_keeps_the_result() -> None:
    seen: list[Any] = []

    def note(item: int, result: int) -> int | None:
        seen.append((item, result))
        return result * 100 if item == 2 else None

    assert list(Chain(node(then=note)(inc)).iterate([1, 2])) == [2, 300]
    assert list(Chain(node(then=note)(twice)).iterate([2])) == [200, 200]
    assert seen == [(1, 2), (2, 3), (2, 2), (2, 2)]


def test_what_a_node_does_not_declare_is_not_in_the_program() -> None:
    assert "x1 = inc(x0)\n" in Chain(inc).program()
    assert "if " not in Chain(inc).program()
    assert "if node0_when(x0):" in Chain(node(when=lambda x: True)(inc)).program()


# --- errors


def fails(x: int) -> int:
    raise ValueError("no")


def notes_of(chain: Chain[Any, Any], item: Any) -> list[str]:
    with pytest.raises(ValueError, match="no") as caught:
        chain.run_sync(item)
    return caught.value.__notes__


def test_an_error_names_chain_node_and_item() -> None:
    assert notes_of(Chain(inc, fails, name="orders"), 1) == ["in node 'fails' of chain 'orders', with item 2"]
    assert notes_of(Chain(inc, Chain(fails, name="pricing")), 1) == ["in node 'pricing/fails', with item 2"]
    assert notes_of(Chain(fails, fails, fails), 1) == ["in node 'fails' (step 1 of 3), with item 1"]
    long = notes_of(Chain(fails), "x" * 1000)[0]
    assert long.startswith("in node 'fails', with item 'xxx")
    assert len(long) < 200


def test_an_item_that_cannot_be_shown_does_not_hide_the_error() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert notes_of(Chain(fails), Odd()) == ["in node 'fails', with item <Odd whose repr raised RuntimeError>"]


def test_a_coroutine_that_nobody_awaited_is_explained() -> None:
    chain: Chain[int, Any] = Chain(lambda x: later(x), inc)
    with pytest.raises(TypeError) as caught:
        chain.run_sync(1)
    assert "declare the function that returned it `async def` instead of calling 'later'" in caught.value.__notes__[0]
    frame = caught.value.__traceback__
    while frame is not None:  # close the coroutine, or it warns
        for value in frame.tb_frame.f_locals.values():
            if inspect.iscoroutine(value):
                value.close()
        frame = frame.tb_next


def test_a_traceback_shows_the_programs_line() -> None:
    import traceback

    try:
        Chain(inc, fails).run_sync(1)
    except ValueError:
        shown = traceback.format_exc()
    assert "x1 = inc(x0)" not in shown
    assert "fails(x1)" in shown
    assert 'File "<rxchain program' in shown


def test_a_failing_source_is_named_as_such() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        list(Chain(inc, name="c").iterate(source()))
    assert caught.value.__notes__ == ["in the source of chain 'c'"]


def test_on_error_is_told_and_the_other_items_go_on() -> None:
    failures: list[Failure] = []
    chain = Chain(inc, ops.filter(lambda x: 6 // (x - 3)), ops.batch(2), name="c")
    assert list(chain.iterate([0, 1, 2, 3, 4], on_error=failures.append)) == [[1, 2], [4, 5]]
    (failure,) = failures
    assert isinstance(failure.error, ZeroDivisionError)
    assert (failure.chain, failure.node, failure.item, failure.value) == ("c", "filter", 2, 3)


def test_a_failing_error_handler_ends_the_stream() -> None:
    def handler(failure: Failure) -> None:
        raise RuntimeError("handler") from failure.error

    with pytest.raises(RuntimeError, match="handler"):
        list(Chain(fails).iterate([1], on_error=handler))


# --- long chains, many chains


def test_a_chain_too_deep_for_one_program_is_several() -> None:
    chain: Chain[int, Any] = Chain(*[ops.flat_map(lambda x: (x,)) for _ in range(25)], fails, name="deep")
    assert notes_of(chain, 3) == ["in node 'fails' of chain 'deep', with item 3"]
    passing: Chain[int, Any] = chain[:25] | ops.take(2) | ops.batch(1)
    assert list(passing.iterate(range(9))) == [[0], [1]]
    assert passing.run_sync(5) == [5]
    got: list[Any] = []
    reactivex.of(1, 2, 3).pipe(passing).subscribe(got.append, got.append, lambda: got.append("|"))
    assert got == [[1], [2], "|"]
    closed: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            closed.append("once")

    assert list(passing.iterate(source())) == [[0], [1]]
    assert closed == ["once"]


def test_chains_of_one_shape_share_their_program() -> None:
    def make(amount: int) -> Chain[int, int]:
        def adds(x: int) -> int:
            return x + amount

        return Chain(adds, ops.take(amount))

    one, other = make(1), make(2)
    assert one.execution.plan is other.execution.plan
    assert [*one.iterate([5, 5, 5]), *other.iterate([5, 5, 5])] == [6, 7, 7]


def test_a_chain_cannot_be_changed() -> None:
    chain: Any = Chain(inc, name="c")
    with pytest.raises(AttributeError, match="a chain is immutable: make another one instead of setting its name"):
        chain.name = "d"
    with pytest.raises(AttributeError, match="a chain is immutable"):
        del chain.steps
    with pytest.raises(AttributeError):
        chain.other = 1


def test_a_stop_iteration_from_a_function_does_not_end_the_stream_in_silence() -> None:
    empty: Chain[Any, Any] = Chain(inc, lambda x: next(iter(())), name="c")
    for run in (
        lambda: empty.run_sync(1),
        lambda: list(empty.iterate([1])),
        lambda: asyncio.run(empty.run(1)),
        lambda: asyncio.run(empty.collect([1])),
        lambda: reactivex.of(1).pipe(empty).run(),
    ):
        with pytest.raises(RuntimeError, match="StopIteration was raised and not caught") as caught:
            run()
        assert caught.value.__notes__ == ["in node '<lambda>' of chain 'c', with item 2"]
    failures: list[Failure] = []
    assert list(Chain(empty, ops.count()).iterate([1, 2], on_error=failures.append)) == [0]
    assert [type(failure.error) for failure in failures] == [RuntimeError, RuntimeError]


def test_an_exception_that_takes_no_notes_arrives_all_the_same() -> None:
    @dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    def fail(x: int) -> int:
        raise Frozen(x)

    with pytest.raises(Frozen) as caught:
        Chain(fail).run_sync(3)
    assert caught.value.code == 3


def test_a_chain_is_its_own_copy() -> None:
    chain = Chain(inc, name="c")
    assert copy.copy(chain) is chain
    assert copy.deepcopy({"chain": chain})["chain"] is chain


def test_a_seed_that_cannot_say_whether_it_is_equal_is_shown() -> None:
    class Array:
        def __eq__(self, other: object) -> Any:
            return NotACondition()

        def __repr__(self) -> str:
            return "array([1, 2])"

    class NotACondition:
        def __bool__(self) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

    assert repr(ops.scan(lambda total, item: total, Array())) == "scan(<lambda>, array([1, 2]))"


def test_a_partial_generator_generates() -> None:
    def repeat(times: int, item: int) -> Iterator[int]:
        yield from [item] * times

    assert list(Chain(partial(repeat, 2)).iterate([1, 2])) == [1, 1, 2, 2]


def test_a_function_with_a_required_keyword_is_no_step() -> None:
    def scaled(item: int, *, by: int) -> int:
        return item * by

    with pytest.raises(CompositionError, match="a step is called with one item, and 'scaled' does not take that"):
        Chain(scaled)
