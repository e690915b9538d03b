"""The laws of docs/architecture.md, on random chains of all operators, random items, failures and early ends.

Each property holds one definition to the interpreter on every runner; where reactivex has the operators, to reactivex.
"""

import asyncio
import gc
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as rx
from reactivex.scheduler import ImmediateScheduler

from rxchain import Chain, Fallback, ManyResults, NoResult, PreconditionFailed, Retry, node
from rxchain import operators as ops
from tests.running import (
    Outcome,
    Source,
    SourceFailure,
    collected,
    interpreted,
    iterated,
    observed,
    streamed,
    streamed_async,
)

# --- functions of one item, or two, in both colours; some fail on some items


def key(item: Any) -> int:
    """A small number for whatever came that far."""
    return item if isinstance(item, int) else sum(map(key, item)) if isinstance(item, (list, tuple)) else 7


def fails_now_and_then(item: Any) -> Any:
    if key(item) % 7 == 3:
        raise ValueError(f"no {item}")
    return key(item) + 1


def fails_on_odd(item: int) -> int:
    if item % 2:
        raise ValueError(f"{item} is odd")
    return item // 2


def fails_in_the_end(item: int) -> Iterator[int]:
    yield from (item, item + 1, item + 2)
    raise KeyError(item)


def is_even(item: Any) -> bool:
    return key(item) % 2 == 0


def is_small(item: Any) -> bool:
    return key(item) < 5


def repeated(item: Any) -> list[Any]:
    return [item] * (key(item) % 3)


def repeated_lazily(item: Any) -> Any:
    for i in range(key(item) % 4):
        yield i
        if i == 2:
            raise KeyError(item)


def total(a: Any, b: Any) -> int:
    return key(a) + key(b)


def in_turn(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same, asynchronous: it suspends now and then."""
    if inspect.isgeneratorfunction(fn):

        async def generate(item: Any) -> AsyncIterator[Any]:
            for part in fn(item):
                await asyncio.sleep(0)
                yield part

        return generate

    async def call(*items: Any) -> Any:
        if key(items[0]) % 2:
            await asyncio.sleep(0)
        return fn(*items)

    call.__name__ = fn.__name__
    return call


def instead(item: Any, error: Exception) -> Any:
    """Takes the place of a result."""
    if key(item) % 5 == 0:
        raise KeyError(item)
    return key(item)


async def taken_back(item: Any) -> None:
    await asyncio.sleep(0)
    if key(item) % 5 == 4:
        raise OSError(f"{item} stands")


def taken_back_at_once(item: Any, result: Any) -> None:
    if key(result if result is not None else item) % 5 == 4:
        raise OSError(f"{item} stands")


AT_ONCE = Retry(2, wait=0)
FUNCTIONS = [fails_now_and_then, is_even, is_small]
TAKEN_APART = [repeated, repeated_lazily]


def colours(fns: list[Any], asynchronous: bool) -> st.SearchStrategy[Any]:
    plain = st.sampled_from(fns)
    return plain | plain.map(in_turn) if asynchronous else plain


def policies(asynchronous: bool, undo: bool = False) -> st.SearchStrategy[Any]:
    """Nodes that do something about their failures."""
    to = colours([instead], asynchronous) | st.sampled_from([-1, Fallback(-1, on=KeyError), Chain(fails_now_and_then)])
    declared: dict[str, Any] = {"retry": st.just(AT_ONCE), "fallback": to, "then": colours([total], asynchronous)}
    declared |= {"when": colours(FUNCTIONS, asynchronous), "refuse": st.sampled_from(["pass", "fail"])}
    always: dict[str, Any] = {"undo": st.sampled_from([taken_back, taken_back_at_once])} if undo else {}
    return st.builds(
        lambda fn, given: node(**given)(fn),
        colours(FUNCTIONS, asynchronous),
        st.fixed_dictionaries(always, optional=declared),
    )


def around(part: st.SearchStrategy[Any], to: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What stands around a part of a chain."""
    made = st.one_of(
        st.builds(ops.retry, part, st.just(AT_ONCE)),
        st.builds(ops.catch, part, to, on=st.sampled_from([Exception, ValueError])),
        st.builds(ops.saga, part),
    )
    return made.map(lambda op: ops.saga(op) if Chain(op).execution.plan.undoes_from is not None else op)


def undoing(behind: st.SearchStrategy[Any]) -> st.SearchStrategy[Chain[Any, Any]]:
    """What may have to be undone, and behind it steps that give one result at most."""
    one = st.lists(
        policies(True, undo=True) | policies(True) | st.builds(ops.filter, colours(FUNCTIONS, True)), max_size=3
    )
    return st.builds(lambda before, one, rest: Chain(*before, one, *rest), behind, policies(True, undo=True), one)


def operators(asynchronous: bool, inside: bool = False) -> st.SearchStrategy[Any]:
    plain = plain_operators(asynchronous) | policies(asynchronous)
    if inside:
        return plain
    inner = st.lists(operators(asynchronous, inside=True), max_size=2)
    part = inner.map(lambda steps: Chain(*steps, name="part"))
    if asynchronous:
        part |= undoing(inner)
    return plain | plain | around(part, st.just(-1) | colours([instead], asynchronous) | part)


def plain_operators(asynchronous: bool) -> st.SearchStrategy[Any]:
    fn, many, two = (colours(fns, asynchronous) for fns in (FUNCTIONS, TAKEN_APART, [total]))
    few = st.integers(0, 3)
    refuse: Any = st.sampled_from(["drop", "pass", "fail"])
    return st.one_of(
        st.builds(ops.map, fn),
        fn,
        many,
        st.builds(ops.filter, fn),
        st.builds(ops.concat_map, many),
        st.builds(ops.flat_map, st.sampled_from(TAKEN_APART)),
        st.builds(ops.scan, two, few),
        st.builds(ops.scan, two),
        st.builds(ops.reduce, two, few),
        st.builds(ops.reduce, two),
        st.builds(ops.take, few),
        st.builds(ops.take_while, fn, inclusive=st.booleans()),
        st.builds(ops.skip, few),
        st.builds(ops.skip_while, fn),
        st.builds(ops.distinct),
        st.builds(ops.distinct, fn, memory=st.none() | st.integers(1, 2)),
        st.builds(ops.distinct_until_changed, fn),
        st.builds(ops.pairwise),
        st.builds(ops.enumerate, few),
        st.builds(ops.tap, fn),
        st.builds(ops.batch, st.integers(1, 3)),
        st.lists(few, max_size=2).map(lambda values: ops.start_with(*values)),
        st.builds(ops.default_if_empty, few),
        st.builds(ops.first),
        st.builds(ops.first, fn),
        st.builds(ops.last, fn),
        st.builds(ops.count),
        st.builds(ops.count, fn),
        st.builds(lambda f, w, t, r: node(when=w, then=t, refuse=r)(f), fn, fn, st.none() | two, refuse),
        st.builds(lambda f, w, r: node(when=w, refuse=r)(f), many, fn, refuse),
    )


def chains(asynchronous: bool = True, undoes: bool = True) -> st.SearchStrategy[Chain[Any, Any]]:
    steps = st.lists(operators(asynchronous), max_size=5)
    nested = st.builds(lambda steps: Chain(*steps, name="inner"), st.lists(operators(asynchronous), max_size=2))
    end = nested.map(lambda chain: [chain])
    if asynchronous and undoes:
        end |= undoing(st.just([])).map(lambda chain: [chain])
    return st.builds(lambda a, b: Chain(*a, *b, name="c"), steps, st.just([]) | end)


ITEMS = st.lists(st.integers(0, 9) | st.just(SourceFailure("source")), max_size=8)
MOST = st.none() | st.integers(0, 3)


@given(chains(), ITEMS, st.booleans(), MOST)
def test_every_runner_gives_what_the_interpreter_gives(
    chain: Chain[Any, Any], items: list[Any], skip: bool, most: int | None
) -> None:
    expected = interpreted(chain, items, skip, most)
    assert streamed(chain, items, skip, most) == expected
    assert streamed_async(chain, items, skip, most) == expected
    if not chain.is_async:
        assert iterated(chain, items, skip, most) == expected
    if most is None:
        found = collected(chain, items, skip)
        assert found == expected if expected.error is None else found.error == expected.error


def in_parts() -> st.SearchStrategy[Chain[Any, Any]]:
    """Steps that give several results and steps that wait, in turn: workers behind workers."""
    few = st.lists(colours([fails_on_odd], True).map(ops.map), max_size=2)
    several = (colours([fails_in_the_end], True) | colours([repeated], True)).map(ops.concat_map)
    pieces = st.lists(st.builds(lambda several, few: [several, *few], several, few), min_size=1, max_size=3)
    return st.builds(lambda few, pieces: Chain(*few, *(s for piece in pieces for s in piece), name="c"), few, pieces)


@given(in_parts(), st.lists(st.integers(0, 9), max_size=4), st.booleans(), MOST)
def test_where_items_come_apart_failures_are_told_in_their_order_too(
    chain: Chain[Any, Any], items: list[Any], skip: bool, most: int | None
) -> None:
    expected = interpreted(chain, items, skip, most)
    assert streamed(chain, items, skip, most) == expected
    assert streamed_async(chain, items, skip, most) == expected


@given(chains(asynchronous=False), ITEMS)
def test_an_observable_gets_what_the_interpreter_gives(chain: Chain[Any, Any], items: list[Any]) -> None:
    expected = interpreted(chain, items)
    found = observed(chain, items)
    assert found.outputs == expected.outputs + ([] if expected.error else ["|"])
    assert found.error == expected.error
    if "in the source" not in "".join(expected.notes):
        assert found.notes == expected.notes


@given(chains(), ITEMS, MOST)
def test_the_source_is_closed_exactly_once(chain: Chain[Any, Any], items: list[Any], most: int | None) -> None:
    outcome = streamed(chain, items, False, most)
    assert outcome.closed == (most != 0)  # a stream nobody asked for an item has not been opened
    assert streamed_async(chain, items, True, most).closed == (most != 0)


@given(chains(), ITEMS)
def test_a_second_subscription_starts_afresh(chain: Chain[Any, Any], items: list[Any]) -> None:
    assert streamed(chain, items) == streamed(chain, items)
    assert collected(chain, items) == collected(chain, items)


@given(chains(), st.integers(0, 9))
def test_one_item_gives_its_one_result_or_says_why_not(chain: Chain[Any, Any], item: int) -> None:
    expected = interpreted(chain, [item])
    runs: list[Callable[[], Any]] = [lambda: asyncio.run(chain.run(item)), lambda: chain.run_sync(item)]
    for run in runs:
        try:
            result = run()
        except NoResult:
            assert expected.error is None
            assert not expected.outputs
        except ManyResults:
            assert len(expected.outputs) > 1
        except Exception as error:
            failed = Outcome()
            failed.failed(error)
            assert (failed.error, failed.notes) == (expected.error, expected.notes)
        else:
            assert expected.error is None
            assert expected.outputs == [result]


@given(chains(undoes=False), chains(), ITEMS)
def test_composing_is_associative(one: Chain[Any, Any], other: Chain[Any, Any], items: list[Any]) -> None:
    apart = (one | other).execution.operators
    together = Chain(*one.steps, *other.steps).execution.operators
    assert len(apart) == len(together)
    assert streamed(one | other, items).outputs == streamed(Chain(*one.steps, *other.steps), items).outputs
    assert Chain(Chain(one, other), is_even) == Chain(one, Chain(other, is_even))


# --- the oracle


def inner(item: Any) -> reactivex.Observable[Any]:
    """At once: reactivex's own default delivers the parts only when the source has ended."""
    return reactivex.from_iterable(repeated(item), scheduler=ImmediateScheduler.singleton())


PAIRS: st.SearchStrategy[tuple[Any, Any]] = st.one_of(
    st.sampled_from(FUNCTIONS).map(lambda fn: (ops.map(fn), rx.map(fn))),
    st.sampled_from(FUNCTIONS).map(lambda fn: (ops.filter(fn), rx.filter(fn))),
    st.sampled_from(FUNCTIONS).map(lambda fn: (ops.take_while(fn), rx.take_while(fn))),
    st.sampled_from(FUNCTIONS).map(lambda fn: (ops.skip_while(fn), rx.skip_while(fn))),
    st.just((ops.concat_map(repeated), rx.flat_map(inner))),
    st.just((ops.concat_map(repeated), rx.concat_map(inner))),
    st.integers(0, 3).map(lambda n: (ops.scan(total, n), rx.scan(total, n))),
    st.integers(0, 3).map(lambda n: (ops.reduce(total, n), rx.reduce(total, n))),
    st.integers(0, 3).map(lambda n: (ops.take(n), rx.take(n))),
    st.integers(0, 3).map(lambda n: (ops.skip(n), rx.skip(n))),
    st.integers(1, 3).map(lambda n: (ops.batch(n), rx.buffer_with_count(n))),
    st.just((ops.distinct(key), rx.distinct(key))),
    st.just((ops.distinct_until_changed(key), rx.distinct_until_changed(key))),
    st.just((ops.pairwise(), rx.pairwise())),
    st.just((ops.count(), rx.count())),
    st.just((ops.default_if_empty(3), rx.default_if_empty(3))),
    st.just((ops.start_with(1, 2), rx.start_with(1, 2))),
)


@given(st.lists(PAIRS, max_size=5), ITEMS)
def test_a_chain_gives_what_reactivex_gives(pairs: list[tuple[Any, Any]], items: list[Any]) -> None:
    expected = Outcome()

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        for item in items:
            if isinstance(item, SourceFailure):
                observer.on_error(item)
                break
            observer.on_next(item)
        else:
            observer.on_completed()

    theirs = reactivex.create(subscribe).pipe(*[theirs for _, theirs in pairs])
    theirs.subscribe(expected.outputs.append, expected.failed)
    found = iterated(Chain(*[ours for ours, _ in pairs]), items)
    assert found.outputs == expected.outputs
    assert found.error == expected.error


# --- parts


@given(operators(True).map(Chain) | undoing(st.just([])), operators(True).map(Chain), ITEMS)
def test_a_part_is_run_for_each_item_alone(part: Chain[Any, Any], to: Chain[Any, Any], items: list[Any]) -> None:
    made = {"retry": ops.retry(part, AT_ONCE), "catch": ops.catch(part, to, on=ValueError), "saga": ops.saga(part)}
    for name, around_it in made.items():
        found = streamed(Chain(around_it), items, skip=True)
        expected: list[Any] = []
        failed: list[Any] = []
        for item in itertools.takewhile(lambda item: not isinstance(item, SourceFailure), items):
            outcome = collected(part, [item])
            stands = any(note.startswith("the undo of") for note in outcome.notes)
            if name == "catch" and not stands and str(outcome.error).startswith("ValueError"):
                outcome = collected(to, [item])
            expected += [] if outcome.error is not None else outcome.outputs
            failed += [] if outcome.error is None else [(item, outcome.error)]
        assert found.outputs == expected
        assert [(item, shown.split(" (")[0]) for shown, _, item, _ in found.failures] == failed


# --- ends


def test_an_infinite_source_is_asked_for_three_items_when_three_are_taken() -> None:
    asked = []

    def naturals() -> Any:
        n = 0
        while True:
            asked.append(n)
            yield n
            n += 1

    assert list(Chain(ops.map(str), ops.take(3)).iterate(naturals())) == ["0", "1", "2"]
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("end", ["break", "cancel", "collect"])
def test_however_a_stream_ends_its_source_is_closed_and_no_task_remains(end: str) -> None:
    outcome = Outcome()
    waiting = asyncio.Event()

    async def blocks(item: int) -> int:
        if item == 2:
            waiting.set()
            await asyncio.Event().wait()
        return item

    chain = Chain(blocks, ops.batch(1))

    async def consume() -> None:
        async for _ in chain.stream(Source([1, 2, 3], outcome)):
            if end != "cancel":
                break

    async def main() -> None:
        task = asyncio.ensure_future(consume())
        if end == "cancel":
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
            if end == "collect":
                gc.collect()
            for _ in range(3):  # the event loop closes a forgotten generator in a task of its own
                await asyncio.sleep(0)
        assert outcome.closed == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_cancelling_is_not_an_items_failure() -> None:
    failures: list[Any] = []

    async def cancelled(item: int) -> int:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Chain(cancelled).collect([1], on_error=failures.append)

    asyncio.run(main())
    assert failures == []


def test_a_chain_that_never_suspends_lets_the_event_loop_run() -> None:
    ticks = 0

    def spin(item: int) -> list[int]:
        return [item] * 200

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    def until_ten_ticks() -> Any:
        for _ in range(1_000_000):
            if ticks >= 10:
                return
            yield 1

    async def main() -> None:
        ticking = asyncio.ensure_future(tick())
        chain = Chain(spin, ops.unbatch(), ops.filter(lambda item: False))
        assert await chain.collect(until_ten_ticks()) == []
        ticking.cancel()

    asyncio.run(main())
    assert ticks == 10


def test_a_refused_item_is_named_in_the_error() -> None:
    chain = Chain(node(when=is_even, refuse="fail")(fails_now_and_then), name="c")
    with pytest.raises(PreconditionFailed) as caught:
        chain.run_sync(5)
    assert caught.value.item == 5
    assert caught.value.__notes__ == ["in node 'fails_now_and_then' of chain 'c', with item 5"]
