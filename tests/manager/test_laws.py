"""Live edits under load lose nothing, double nothing and reorder nothing; each item belongs to one plan."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rxchain import Chain, ChainManager, CompositionError, Failure, node
from rxchain.manager import ManagedChain, State
from rxchain.testing import no_leaks, run

Item = tuple[int, tuple[int, ...]]
"""A number, and which nodes it has passed."""


class Refused(Exception):
    """What a node fails with; ``stamps`` says what the item had passed, the node itself included."""

    def __init__(self, number: int, stamps: tuple[int, ...]) -> None:
        super().__init__(number)
        self.number, self.stamps = number, stamps


@dataclass
class Source:
    """Counts up, with delays; notes who asks and how often it was opened and closed."""

    delays: list[float]
    given: list[tuple[int, int]] = field(default_factory=list)
    """Each number with the count of edits that there had been."""
    edits: Callable[[], int] = lambda: 0
    opened: int = 0
    closed: int = 0
    tasks: set[Any] = field(default_factory=set)

    def note(self, number: int) -> Item:
        self.given.append((number, self.edits()))
        return number, ()

    def plain(self) -> Iterator[Item]:
        self.opened += 1
        try:
            for number in range(len(self.delays)):
                yield self.note(number)
        finally:
            self.closed += 1

    async def waited(self) -> AsyncIterator[Item]:
        self.opened += 1
        try:
            for number, delay in enumerate(self.delays):
                self.tasks.add(asyncio.current_task())
                if delay:
                    await asyncio.sleep(delay)
                yield self.note(number)
        finally:
            self.closed += 1


class Nodes:
    """Makes nodes that stamp what passes them, each with a number of its own."""

    def __init__(self, delays: list[float]) -> None:
        self.delays, self.made = delays, 0

    def another(self, how: int) -> tuple[Any, int]:
        stamp = self.made
        self.made += 1
        fails = how % 5 == 4

        def passed(item: Item) -> Item:
            number, stamps = item
            if fails and number % 3 == 1:
                raise Refused(number, (*stamps, stamp))
            return number, (*stamps, stamp)

        if how % 2:

            async def slow(item: Item) -> Item:
                await asyncio.sleep(self.delays[(item[0] + stamp) % len(self.delays)])
                return passed(item)

            return node(name=f"n{stamp}")(slow), stamp
        if how % 3 == 2:

            async def several(item: Item) -> Item:
                await asyncio.sleep(self.delays[(item[0] * 7 + stamp) % len(self.delays)])
                return passed(item)

            return node(name=f"n{stamp}", concurrency=3)(several), stamp
        return node(name=f"n{stamp}")(passed), stamp


seconds = st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0])
WHAT = ("add", "nest", "before", "after", "remove", "replace", "rename", "bad", "pause", "resume", "canary", "promote")
operations = st.lists(st.tuples(seconds, st.sampled_from(WHAT), st.integers(0, 30)), max_size=12)


def change(managed: ManagedChain, nodes: Nodes, stamps: dict[str, Any], what: str, how: int) -> None:
    """Do one of the operations; *stamps* says which stamps each node, by its own name, may leave."""
    paths = managed.paths
    at = paths[how % len(paths)] if paths else None
    own = at.rsplit("/")[-1] if at is not None else ""
    outer = at[: -len(own)] if at is not None else ""
    first = paths.index(at) if at is not None else 0
    behind = first + 1 + sum(path.startswith(f"{at}/") for path in paths)
    expected = paths
    if what == "pause":
        managed.pause()
    elif what == "resume":
        managed.resume()
    elif what == "add" or at is None:
        made, stamp = nodes.another(how)
        managed.add(made)
        stamps[f"n{stamp}"] = {stamp}
        expected = (*paths, f"n{stamp}")
    elif what in ("before", "after", "nest"):
        made, stamp = nodes.another(how)
        new = [f"{outer}n{stamp}"]
        if what == "nest":
            made = Chain(made, name=f"c{stamp}")
            new = [f"{outer}c{stamp}", f"{outer}c{stamp}/n{stamp}"]
        (managed.insert_after if what == "after" else managed.insert_before)(at, made)
        stamps[f"n{stamp}"] = {stamp}
        there = behind if what == "after" else first
        expected = (*paths[:there], *new, *paths[there:])
    elif what == "remove":
        managed.remove(at)
        expected = (*paths[:first], *paths[behind:])
    elif what == "rename":
        name = f"r{nodes.made}_{how}_{own}"
        if own in stamps:
            stamps[name] = stamps[own]
        managed.rename(at, name)
        renamed = tuple([f"{outer}{name}{path[len(at) :]}" for path in paths[first:behind]])
        expected = (*paths[:first], *renamed, *paths[behind:])
    elif what == "bad":
        before = managed.chain
        with pytest.raises(CompositionError):
            managed.replace(at, 3)
        with pytest.raises(CompositionError):
            managed.remove("nobody")
        with pytest.raises(CompositionError):
            managed.insert_before(f"{at}/nobody", str)
        assert managed.chain is before
    elif what == "promote":
        if len(stamps.get(own, ())) == 2:
            managed.promote(at)
            stamps[own] = {max(stamps[own])}
    elif what == "canary" and len(stamps.get(own, ())) == 1:
        made, stamp = nodes.another(how)
        managed.replace(at, made, canary=0.5)
        stamps[own] = stamps[own] | {stamp}
    elif what in ("replace", "canary"):
        made, stamp = nodes.another(how)
        managed.replace(at, made)
        stamps[own] = {stamp}
        expected = (*paths[: first + 1], *paths[behind:])
    assert managed.paths == expected


@settings(max_examples=120)
@given(
    first=st.lists(st.integers(0, 30), max_size=3),
    nested=st.booleans(),
    ops=operations,
    source_delays=st.lists(seconds, max_size=25),
    node_delays=st.lists(seconds, min_size=1, max_size=5),
    waited=st.booleans(),
    window=st.sampled_from([None, 1, 2]),
    end=st.sampled_from(["join", "drain", "stop"]),
    sink_delay=seconds,
)
@example([1], False, [(0.5, "replace", 1)], [1.0] * 5, [3.0], True, None, "join", 0.0)
def test_live_edits_lose_double_and_reorder_nothing(
    first: list[int],
    nested: bool,
    ops: list[tuple[float, str, int]],
    source_delays: list[float],
    node_delays: list[float],
    waited: bool,
    window: int | None,
    end: Literal["join", "drain", "stop"],
    sink_delay: float,
) -> None:
    outputs: list[Item] = []
    failures: list[Refused] = []
    nodes = Nodes(node_delays)
    source = Source(source_delays)
    plans: list[tuple[int, list[set[int]]]] = []
    """By the number of items taken before: which stamps the nodes of the plan leave, in order."""

    async def sink(item: Item) -> None:
        outputs.append(item)
        await asyncio.sleep(sink_delay)

    def on_error(failure: Failure) -> None:
        assert isinstance(failure.error, Refused)
        failures.append(failure.error)

    async def main() -> None:
        manager = ChainManager()
        made = [nodes.another(how) for how in first]
        managed = manager.chain("chain", window=window)
        stamps: dict[str, Any] = {}
        for one, stamp in made:
            managed.add(Chain(one, name=f"c{stamp}") if nested else one)
            stamps[f"n{stamp}"] = {stamp}

        def plan() -> tuple[int, list[set[int]]]:
            names = [path.rsplit("/")[-1] for path in managed.paths]
            return managed.statistics().taken, [set(stamps[name]) for name in names if name in stamps]

        source.edits = lambda: len(plans)
        plans.append(plan())
        managed.start(source.waited() if waited else source.plain(), sink, on_error=on_error)
        for wait, what, how in ops:
            await asyncio.sleep(wait)
            before = managed.chain
            change(managed, nodes, stamps, what, how)
            if managed.chain is not before:
                plans.append(plan())
                assert managed.statistics().edits[-1].item == plans[-1][0]
        if end == "join":
            managed.resume()
            await managed.join()
        elif end == "drain":
            await managed.drain()
        else:
            await managed.stop()
        statistics = managed.statistics()
        assert statistics.state in (State.DONE, State.STOPPED)
        assert (statistics.state is State.DONE) >= (end != "stop")
        assert statistics.in_flight == 0
        if end != "stop":
            assert statistics.taken == len(outputs) + len(failures)
            assert (statistics.results, statistics.failed) == (len(outputs), len(failures))
        taken.append(statistics.taken)

    taken: list[int] = []
    with no_leaks():
        run(main())

    numbers = [number for number, _ in outputs]
    failed = [error.number for error in failures]
    assert numbers == sorted(numbers)
    assert failed == sorted(failed)
    assert len({*numbers, *failed}) == len(numbers) + len(failed)
    if end != "stop":
        assert sorted(numbers + failed) == list(range(taken[0]))
        assert [number for number, _ in source.given] == list(range(taken[0])), "an item was taken and lost"
    if end == "join":
        assert taken[0] == len(source_delays)
    assert source.opened == source.closed <= 1
    assert len(source.tasks) <= 1

    def plan_of(number: int) -> int:
        return max(k for k, (item, _) in enumerate(plans) if item <= number)

    for number, passed in outputs:
        of = plans[plan_of(number)][1]
        assert len(passed) == len(of)
        assert all(stamp in may for stamp, may in zip(passed, of))
    for error in failures:
        of = plans[plan_of(error.number)][1]
        assert all(stamp in may for stamp, may in zip(error.stamps, of))
    ahead: dict[int, int] = {}
    for number, edits in source.given:
        # What came when an edit had been made is never worked on by an older plan. The other way round one item may
        # have come and not have been taken.
        assert plan_of(number) >= edits - 1
        if plan_of(number) > edits - 1:
            ahead[edits] = ahead.get(edits, 0) + 1
    assert all(count <= 1 for count in ahead.values())


@settings(max_examples=40)
@given(
    ops=operations,
    source_delays=st.lists(seconds, max_size=15),
    node_delays=st.lists(seconds, min_size=1, max_size=5),
    most=st.integers(0, 10),
    waited=st.booleans(),
)
def test_a_stream_that_is_left_ends_whatever_was_changed(
    ops: list[tuple[float, str, int]], source_delays: list[float], node_delays: list[float], most: int, waited: bool
) -> None:
    nodes = Nodes(node_delays)
    source = Source(source_delays)

    async def edit(managed: ManagedChain) -> None:
        stamps: dict[str, Any] = {}
        for wait, what, how in ops:
            await asyncio.sleep(wait)
            change(managed, nodes, stamps, what, how)
        managed.resume()

    async def main() -> None:
        managed = ChainManager().chain("chain")
        outputs: list[Item] = []
        editing = asyncio.create_task(edit(managed))
        stream = managed.stream(source.waited() if waited else source.plain(), on_error="skip")
        async for output in stream:
            outputs.append(output)
            if len(outputs) >= most:
                break
        await stream.aclose()
        await editing
        assert [number for number, _ in outputs] == sorted(number for number, _ in outputs)
        assert managed.statistics().runs == 0

    with no_leaks():
        run(main())
    assert source.opened == source.closed <= 1
