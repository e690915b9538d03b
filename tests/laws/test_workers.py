"""The laws of workers: random chains of asynchronous nodes, in virtual time, watched from inside the nodes.

Each run leaves a trace: who was entered by which item, when, and how that ended. The laws are read off the trace; what
came out is held to the reference interpreter.
"""

import asyncio
import contextvars
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain, Failure
from rxchain import operators as ops
from rxchain.engine import interpret
from rxchain.testing import run

# --- what chains are made of


class Item(NamedTuple):
    """An item and what became of it on its way; `id` is its place in the source, then among the parts of an item."""

    id: tuple[int, ...]
    trail: tuple[Any, ...] = ()

    def by(self, *what: Any) -> "Item":
        return Item(self.id, (*self.trail, *what))


class Node(NamedTuple):
    """An asynchronous node. `delays`: seconds, by item, again and again; None does not suspend at all."""

    delays: tuple[float | None, ...] = (1,)
    concurrency: int = 1
    ordered: bool | None = None
    keys: int | None = None
    fails: int | None = None
    """The item that fails there."""
    swallows: bool = False
    """Whether it goes on once when it is cancelled."""
    cancels: int | None = None
    """The item with which it raises CancelledError by itself."""

    @property
    def keeps_order(self) -> bool:
        return (self.keys is None if self.ordered is None else self.ordered) or (
            self.keys is None and self.concurrency == 1
        )


class Plain(NamedTuple):
    """A synchronous step; its state is there for all items."""

    kind: str
    n: int = 1


@dataclass
class Trace:
    """What happened in one run."""

    chain: tuple[Node | Plain, ...]
    window: int
    events: list[tuple[str, int, tuple[int, ...], float]] = field(default_factory=list)
    """(enter, leave, fail, cancel; the step; the item; the time)"""
    given: list[Item] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    failures: list[tuple[str, str, Any, Any]] = field(default_factory=list)
    error: BaseException | None = None
    completed: bool = False
    taken: int = 0
    done: set[int] = field(default_factory=set)
    most_held: int = 0
    opened: list[Any] = field(default_factory=list)
    closed: list[Any] = field(default_factory=list)
    left: int = 0
    """Calls that had not ended when the stream was closed."""

    def of(self, step: int, *kinds: str) -> list[tuple[int, ...]]:
        return [item for kind, k, item, _ in self.events if k == step and kind in kinds]

    @property
    def notes(self) -> list[str]:
        return [note for note in getattr(self.error, "__notes__", ()) if not note.startswith(("abandoned", "another"))]

    @property
    def outcome(self) -> Any:
        """What a user can tell from another run's, but for how far it was ahead."""
        return self.given, self.failures, repr(self.error), self.notes, self.completed


class World:
    """Makes the chain, runs it, and watches."""

    def __init__(self, steps: tuple[Node | Plain, ...], window: int) -> None:
        self.steps, self.window = steps, window
        self.chain: Chain[Any, Any] = Chain(
            *itertools.chain.from_iterable(self._made(k, step) for k, step in enumerate(steps)), window=window, name="c"
        )
        self.trace = Trace(steps, window)

    def _made(self, k: int, step: Node | Plain) -> list[Any]:
        if isinstance(step, Plain):
            return self._plain(k, step)
        by = (lambda item: item.id[0] % step.keys) if step.keys is not None else None
        fn = partial(self._work, k, step)

        async def work(item: Item) -> Item:
            return await fn(item)

        work.__name__ = f"node{k}"
        return [ops.map(work, concurrency=step.concurrency, ordered=step.ordered, by=by)]

    def _plain(self, k: int, step: Plain) -> list[Any]:
        def numbered(pair: Any) -> Item:
            return pair[1].by(f"{k}:{pair[0]}")  # type: ignore[no-any-return]

        def counted(seen: Any, item: Item) -> Item:
            return item.by(f"{k}:{seen.id}")

        def kept(item: Item) -> bool:
            if item.id[0] % (step.n + 1) == step.n:
                self.trace.done.add(item.id[0])
                return False
            return True

        def joined(items: list[Item]) -> Item:
            for item in items[:-1]:
                self.trace.done.add(item.id[0])
            return items[-1].by(*[item.id for item in items])

        def torn(item: Item) -> list[Item]:
            if not step.n:
                self.trace.done.add(item.id[0])
            return [Item((*item.id, part), item.trail) for part in range(step.n)]

        async def kept_later(item: Item) -> bool:
            await asyncio.sleep(0.3 * (item.id[0] % 2))
            return kept(item)

        async def counted_later(seen: Any, item: Item) -> Item:
            await asyncio.sleep(0.7 * (item.id[0] % 2))
            return counted(seen, item)

        async def torn_later(item: Item) -> AsyncIterator[Item]:
            for part in torn(item):
                await asyncio.sleep(0.2)
                yield part

        def is_before(item: Item) -> bool:
            return item.id[0] < step.n * 2

        async def is_before_later(item: Item) -> bool:
            await asyncio.sleep(0.4 * (item.id[0] % 3))
            return is_before(item)

        def fails(item: Item) -> Item:
            if item.id[0] == step.n:
                raise LookupError(f"{k} {item.id}")
            return item

        made: dict[str, list[Any]] = {
            "enumerate": [ops.enumerate(), ops.map(numbered)],
            "scan": [ops.scan(counted, Item((-1,)))],
            "filter": [ops.filter(kept)],
            "take": [ops.take(step.n)],
            "concat_map": [ops.concat_map(torn)],
            "fails": [ops.map(fails)],
            "take_while": [ops.take_while(is_before, inclusive=step.n % 2 == 0)],
            "filter later": [ops.filter(kept_later)],
            "scan later": [ops.scan(counted_later, Item((-1,)))],
            "concat_map later": [ops.concat_map(torn_later)],
            "take_while later": [ops.take_while(is_before_later)],
        }
        return made[step.kind] if step.kind != "batch" else [ops.batch(step.n), ops.map(joined)]

    async def _work(self, k: int, node: Node, item: Item) -> Item:
        trace = self.trace
        now = asyncio.get_running_loop().time
        trace.events.append(("enter", k, item.id, now()))
        trace.left += 1
        try:
            delay = node.delays[sum(item.id) % len(node.delays)]
            if delay is not None:
                try:
                    await asyncio.sleep(delay)
                except asyncio.CancelledError:
                    if not node.swallows:
                        raise
            if item.id[0] == node.fails:
                raise ValueError(f"{k} {item.id}")
            if item.id[0] == node.cancels:
                raise asyncio.CancelledError("by itself")
        except ValueError:
            trace.events.append(("fail", k, item.id, now()))
            raise
        except asyncio.CancelledError:
            trace.events.append(("cancel", k, item.id, now()))
            raise
        finally:
            trace.left -= 1
        trace.events.append(("leave", k, item.id, now()))
        return item.by(k)

    # --- running

    def source(self, source: "Source") -> Any:
        trace = self.trace

        def taken(i: int) -> Item:
            if i == source.fails:
                raise OSError("source")
            trace.taken += 1
            trace.most_held = max(trace.most_held, trace.taken - len(trace.done))
            return Item((i,))

        def generated() -> Iterator[Item]:
            trace.opened.append(None)
            try:
                for i in range(source.size):
                    yield taken(i)
            finally:
                trace.closed.append(None)

        async def generated_later() -> AsyncIterator[Item]:
            trace.opened.append(asyncio.current_task())
            try:
                for i in range(source.size):
                    delay = source.delays[i % len(source.delays)]
                    if delay is not None:
                        await asyncio.sleep(delay)
                    yield taken(i)
            finally:
                trace.closed.append(asyncio.current_task())

        if source.kind == "list":
            return [Item((i,)) for i in range(source.size)]
        return generated() if source.kind == "generator" else generated_later()

    def report(self, kind: str | None) -> Any:
        trace = self.trace

        def report(failure: Failure) -> None:
            item: Any = failure.item
            if kind is not None and "fails" in kind and len(trace.failures) == 2:
                raise RuntimeError("told too often")
            if isinstance(item, Item):
                trace.done.add(item.id[0])
            trace.failures.append((repr(failure.error), failure.node, failure.item, failure.value))

        async def report_later(failure: Failure) -> None:
            await asyncio.sleep(0.3)
            report(failure)

        return None if kind is None else report if "sync" in kind.split() else report_later

    def play(self, source: "Source", consumer: "Consumer", on_error: str | None) -> Trace:
        trace = self.trace = Trace(self.steps, self.window)
        run(self._play(trace, source, consumer, on_error), max_seconds=10_000)
        return trace

    async def _play(self, trace: Trace, source: "Source", consumer: "Consumer", on_error: str | None) -> None:
        now = asyncio.get_running_loop().time

        def took(item: Item) -> None:
            trace.given.append(item)
            trace.times.append(now())
            trace.done.add(item.id[0])

        def is_cancelled() -> bool:
            task = asyncio.current_task()
            return task is not None and task.cancelling() > 0

        async def consume() -> None:
            reported = self.report(on_error)
            if consumer.collects:
                try:
                    items = self.source(source)
                    trace.given = await self.chain.collect(items, on_error=reported)
                    trace.completed = True
                except (Exception, asyncio.CancelledError) as error:
                    if is_cancelled() and isinstance(error, asyncio.CancelledError):
                        raise
                    trace.error = error
                return
            stream = self.chain.stream(self.source(source), on_error=reported)
            try:
                async for item in stream:
                    took(item)
                    if consumer.pauses:
                        await asyncio.sleep(consumer.pauses[len(trace.given) % len(consumer.pauses)])
                    if len(trace.given) == consumer.most:
                        return
                trace.completed = True
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled() and isinstance(error, asyncio.CancelledError):
                    raise
                trace.error = error
            finally:
                try:
                    await stream.aclose()
                except Exception as error:  # of a node that went on when it was cancelled, and failed then
                    assert any(isinstance(step, Node) and step.swallows for step in self.steps)
                    trace.error = error
                assert trace.left == 0, "closed, and a call goes on"

        consuming = asyncio.ensure_future(consume())
        await asyncio.wait([consuming], timeout=consumer.until)
        consuming.cancel()
        await asyncio.wait([consuming])
        if not consuming.cancelled():
            consuming.result()
        assert trace.left == 0, "a call goes on"
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left behind"

    def interpreted(self, source: "Source", on_error: str | None) -> Trace:
        """What the reference gives."""
        trace = self.trace = Trace(self.steps, self.window)
        execution = self.chain.execution
        report = self.report("sync fails" if on_error and "fails" in on_error else "sync")

        async def told(error: Exception, step: int, item: object, value: object) -> None:
            name, value = execution.label.whose(step, error, value)
            report(Failure(error, "", name, item, value))

        async def main() -> None:
            stream = interpret(execution.operators, self.source(source), execution.label, told if on_error else None)
            try:
                async for item in stream:
                    trace.given.append(item)
                trace.completed = True
            except (Exception, asyncio.CancelledError) as error:
                trace.error = error
            finally:
                await stream.aclose()

        run(main(), max_seconds=10_000)
        return trace


class Source(NamedTuple):
    kind: str = "list"
    size: int = 3
    delays: tuple[float | None, ...] = (None,)
    fails: int | None = None


class Consumer(NamedTuple):
    pauses: tuple[float, ...] = ()
    most: int | None = None
    until: float | None = None
    """When it is cancelled."""
    collects: bool = False


# --- strategies

DELAYS = st.lists(st.sampled_from([None, None, 0, 0.1, 0.5, 1, 1, 2, 5]), min_size=1, max_size=5).map(tuple)
ITEMS = 14


def nodes(ordered: st.SearchStrategy[bool | None], swallows: bool = False) -> st.SearchStrategy[Node]:
    fails = st.none() | st.integers(0, ITEMS)
    swallow = st.booleans() if swallows else st.just(False)
    cancels = st.sampled_from([None, None, None, *range(8)])
    several = st.builds(Node, DELAYS, st.integers(1, 5), ordered, st.none(), fails, swallow, cancels)
    by_key = st.builds(Node, DELAYS, st.integers(2, 5), ordered, st.integers(1, 4), fails, swallow, cancels)
    return several | by_key


PLAIN = st.one_of(
    st.just(Plain("enumerate")),
    st.just(Plain("scan")),
    st.builds(Plain, st.just("filter"), st.integers(1, 3)),
    st.builds(Plain, st.just("fails"), st.integers(0, ITEMS)),
)
LATER = st.builds(Plain, st.sampled_from(["filter later", "scan later"]), st.integers(1, 3))
ENDING = st.one_of(
    PLAIN,
    LATER,
    st.builds(Plain, st.sampled_from(["batch", "take", "take_while", "take_while later"]), st.integers(1, 6)),
)
TEARING = ENDING | st.builds(Plain, st.sampled_from(["concat_map", "concat_map later"]), st.integers(0, 3))
IN_ORDER = st.just(True)


def chains(node: st.SearchStrategy[Node], plain: st.SearchStrategy[Plain] = PLAIN) -> Any:
    rows = st.lists(node | node | plain, min_size=1, max_size=6)
    return rows.filter(lambda row: any(isinstance(step, Node) for step in row)).map(tuple)


SOURCES = st.builds(
    Source,
    st.sampled_from(["list", "generator", "async"]),
    st.integers(0, ITEMS),
    DELAYS,
    st.none() | st.none() | st.integers(0, ITEMS),
)
WINDOWS = st.integers(2, 20) | st.integers(2, 4)
PAUSES = st.lists(st.sampled_from([0, 0.1, 1, 3]), max_size=3).map(tuple)
TO_THE_END = PAUSES.map(Consumer) | st.just(Consumer(collects=True))
ANY_CONSUMER = st.builds(
    Consumer,
    PAUSES,
    st.none() | st.integers(1, 6),
    st.none() | st.floats(0, 12, width=16),
    st.sampled_from([False, False, True]),
)
ON_ERROR = st.sampled_from([None, "sync", "async", "sync fails", "async fails"])


# --- what is read off a trace


def nodes_of(trace: Trace) -> Iterator[tuple[int, Node]]:
    return ((k, step) for k, step in enumerate(trace.chain) if isinstance(step, Node))


def check_one_at_a_time(trace: Trace) -> None:
    """Never more inside a node than it declares, never a key twice."""
    inside: dict[int, Counter[Any]] = defaultdict(Counter)
    declared = dict(nodes_of(trace))
    for kind, k, item, _ in trace.events:
        node = declared[k]
        key = item[0] % node.keys if node.keys is not None else None
        inside[k][key] += 1 if kind == "enter" else -1
        assert inside[k].total() <= node.concurrency
        if node.keys is not None:
            assert inside[k][key] <= 1, "a key is inside twice"


def check_order(trace: Trace) -> None:
    """As far as all nodes before keep the order, each node sees the items in order; by key, those of each key."""
    for k, node in nodes_of(trace):
        entered = trace.of(k, "enter")
        if node.keys is None:
            assert entered == sorted(set(entered))
        else:
            by_key: dict[int, list[Any]] = defaultdict(list)
            for item in entered:
                by_key[item[0] % node.keys].append(item)
            for items in by_key.values():
                assert items == sorted(set(items))
        if not node.keeps_order:
            return
    ids = [item.id for item in trace.given]
    assert ids == sorted(set(ids))


def check_once(trace: Trace) -> None:
    """No item is in a node twice, and each call ends once."""
    for k, _ in nodes_of(trace):
        entered, ended = trace.of(k, "enter"), trace.of(k, "leave", "fail", "cancel")
        assert len(entered) == len(set(entered))
        assert sorted(entered) == sorted(ended)
    outputs = [item.id for item in trace.given]
    assert len(outputs) == len(set(outputs))
    failed = [item for _, _, item, value in trace.failures if isinstance(value, Item) and len(value.id) == 1]
    assert len(failed) == len(set(failed))


def check_closed(trace: Trace, source: Source) -> None:
    assert len(trace.opened) <= 1
    assert trace.closed == trace.opened, "closed once, in the task that opened it"
    assert trace.left == 0


def check_all(trace: Trace, source: Source) -> None:
    check_one_at_a_time(trace)
    check_order(trace)
    check_once(trace)
    check_closed(trace, source)


# --- the laws


@given(chains(nodes(IN_ORDER), TEARING), SOURCES, TO_THE_END, ON_ERROR, WINDOWS)
def test_in_order_it_gives_what_the_interpreter_gives(
    steps: Any, source: Source, consumer: Consumer, on_error: str | None, window: int
) -> None:
    world = World(steps, window)
    expected = world.interpreted(source, on_error)
    trace = world.play(source, consumer, on_error)
    check_all(trace, source)
    if consumer.collects and expected.error is not None:
        expected.given.clear()
    assert trace.outcome == expected.outcome
    again = world.play(source, consumer, on_error)
    assert again.outcome == trace.outcome


@given(chains(nodes(IN_ORDER), TEARING), SOURCES, ANY_CONSUMER, ON_ERROR, WINDOWS)
def test_left_early_it_has_given_the_first_of_what_the_interpreter_gives(
    steps: Any, source: Source, consumer: Consumer, on_error: str | None, window: int
) -> None:
    world = World(steps, window)
    expected = world.interpreted(source, on_error)
    trace = world.play(source, consumer, on_error)
    check_all(trace, source)
    assert trace.given == expected.given[: len(trace.given)]
    assert trace.failures == expected.failures[: len(trace.failures)]
    if trace.completed or (trace.error is not None and not consumer.collects):
        assert trace.outcome == expected.outcome


@given(chains(nodes(st.booleans() | st.none())), SOURCES, ANY_CONSUMER, ON_ERROR, WINDOWS)
def test_whatever_the_order_each_item_has_one_outcome(
    steps: Any, source: Source, consumer: Consumer, on_error: str | None, window: int
) -> None:
    world = World(steps, window)
    trace = world.play(source, consumer, on_error)
    check_all(trace, source)
    assert trace.most_held <= window or consumer.collects
    outcomes = [item.id for item in trace.given] + [item.id for _, _, item, _ in trace.failures]
    assert len(outcomes) == len(set(outcomes))
    if trace.completed:
        everything = {(i,) for i in range(source.size)}
        dropped = {(i,) for i in trace.done} if not consumer.collects else everything
        assert {*outcomes, *dropped} == everything
        assert on_error is not None or not any(kind == "fail" for kind, *_ in trace.events)
        assert not any(kind == "cancel" for kind, *_ in trace.events)


@given(chains(nodes(st.booleans() | st.none(), swallows=True)), SOURCES, ANY_CONSUMER, ON_ERROR, WINDOWS)
def test_a_node_may_swallow_its_cancellation_once(
    steps: Any, source: Source, consumer: Consumer, on_error: str | None, window: int
) -> None:
    check_all(World(steps, window).play(source, consumer, on_error), source)


@given(chains(nodes(IN_ORDER)), SOURCES, PAUSES, WINDOWS)
def test_the_window_holds(steps: Any, source: Source, pauses: Any, window: int) -> None:
    for consumer in (Consumer(pauses), Consumer((*pauses, 50))):
        assert World(steps, window).play(source, consumer, "async").most_held <= window


# --- contexts


OF_SOURCE: contextvars.ContextVar[Any] = contextvars.ContextVar("of_source", default="nobody")
OF_NODES = [contextvars.ContextVar[Any](f"of_node_{k}", default="nobody") for k in range(4)]


class Settler(NamedTuple):
    """A node that may set a variable."""

    sets: bool
    delay: float | None
    concurrency: int
    ordered: bool


@given(
    st.lists(
        st.builds(Settler, st.booleans(), st.sampled_from([None, 0, 0.1, 1]), st.integers(1, 4), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
    st.sampled_from(["list", "async"]),
    WINDOWS,
)
def test_what_an_item_sets_its_later_nodes_see_and_no_other_items(
    settlers: list[Settler], source_sets: bool, source: str, window: int
) -> None:
    async def main() -> None:
        consumer = asyncio.current_task()

        def node(k: int, settler: Settler) -> Any:
            async def work(item: int) -> int:
                alone = asyncio.current_task() is consumer  # in the consumer's own context, with what is left there
                if not alone:
                    assert OF_SOURCE.get() == (item if source_sets and source == "async" else "nobody")
                    for j, before in enumerate(settlers):
                        assert OF_NODES[j].get() == (item if j < k and before.sets else "nobody")
                if settler.sets and not alone:
                    OF_NODES[k].set(item)
                if settler.delay is not None:
                    await asyncio.sleep(settler.delay * (item % 3))
                assert not (settler.sets and not alone) or OF_NODES[k].get() == item
                return item

            return ops.map(work, concurrency=settler.concurrency, ordered=settler.ordered)

        async def items() -> AsyncIterator[int]:
            for item in range(10):
                if source_sets:
                    OF_SOURCE.set(item)
                await asyncio.sleep(0.1 * (item % 2))
                yield item
                assert OF_SOURCE.get() == (item if source_sets else "nobody")

        chain = Chain(*[node(k, settler) for k, settler in enumerate(settlers)], window=window)
        given = [item async for item in chain.stream(items() if source == "async" else range(10))]
        assert sorted(given) == list(range(10))
        assert [variable.get() for variable in (OF_SOURCE, *OF_NODES)] == ["nobody"] * 5

    run(main())


# --- keys


@given(st.integers(1, 1000), st.integers(2, 8), st.integers(2, 70), st.booleans())
@settings(max_examples=20)
def test_any_number_of_keys_is_worked_through(keys: int, concurrency: int, window: int, ordered: bool) -> None:
    world = World((Node((0.1, None, 0, 2, 1), concurrency, ordered, keys), Node((None, 0.3))), window)
    source = Source("generator", 300)
    trace = world.play(source, Consumer(), None)
    check_all(trace, source)
    assert len(trace.given) == 300
