"""The laws of a graph, on random ones: each node once, behind those it depends on, whatever waits and fails."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Graph
from rxchain.testing import no_leaks, run


class Task(NamedTuple):
    """A node of a random graph."""

    after: list[int]
    seconds: int | None
    """How long it waits; None for a plain function."""
    fails: bool = False


@st.composite
def graphs(draw: st.DrawFn, most: int = 50, fails: bool = False) -> list[Task]:
    count = draw(st.integers(1, most))
    tasks: list[Task] = []
    for k in range(count):
        after = draw(st.lists(st.integers(0, k - 1), unique=True, max_size=4)) if k else []
        seconds = draw(st.none() | st.integers(0, 3))
        tasks.append(Task(after, seconds, fails and draw(st.integers(0, 9)) == 0))
    return tasks


class Failed(Exception):
    pass


class Log:
    """What the nodes have done."""

    def __init__(self) -> None:
        self.begun: dict[tuple[int, int], int] = {}
        self.done: set[tuple[int, int]] = set()
        self.cancelled: set[tuple[int, int]] = set()


def graph_of(tasks: list[Task], log: Log, **given: Any) -> Graph:
    graph = Graph(**given)

    def begin(k: int, inputs: tuple[Any, ...]) -> int:
        item = int(inputs[0]) // 1_000_000
        log.begun[item, k] = log.begun.get((item, k), 0) + 1
        for other in tasks[k].after:
            assert (item, other) in log.done, "it runs before what it depends on"
        return item

    def end(k: int, item: int, inputs: tuple[Any, ...]) -> int:
        if tasks[k].fails:
            raise Failed(item, k)
        log.done.add((item, k))
        return result(k, item, inputs)

    def plain(k: int) -> Callable[..., Any]:
        def work(*inputs: Any) -> Any:
            return end(k, begin(k, inputs), inputs)

        return named(work, k)

    def waiting(k: int, seconds: int) -> Callable[..., Any]:
        async def work(*inputs: Any) -> Any:
            item = begin(k, inputs)
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                log.cancelled.add((item, k))
                raise
            return end(k, item, inputs)

        return named(work, k)

    def named(work: Callable[..., Any], k: int) -> Callable[..., Any]:
        # Functions of as many parameters as they have inputs, called what these are.
        parameters = ", ".join(f"n{other}" for other in tasks[k].after) or "item"
        scope: dict[str, Any] = {"work": work}
        head = "async def" if asyncio.iscoroutinefunction(work) else "def"
        call = f"{'await ' if head != 'def' else ''}work({parameters})"
        exec(f"{head} n{k}({parameters}): return {call}", scope)
        return scope[f"n{k}"]  # type: ignore[no-any-return]

    for k, task in enumerate(tasks):
        graph.add(f"n{k}", plain(k) if task.seconds is None else waiting(k, task.seconds))
    return graph


def result(k: int, item: int, inputs: tuple[Any, ...]) -> int:
    return item * 1_000_000 + (k + sum(int(value) % 1_000_000 for value in inputs)) % 1_000_000


def expected(tasks: list[Task], item: int) -> dict[str, int] | tuple[int, ...]:
    """What the nodes give, one after the other."""
    results: list[int] = []
    for k, task in enumerate(tasks):
        results.append(result(k, item, tuple(results[j] for j in task.after) or (item * 1_000_000,)))
    return {f"n{k}": value for k, value in enumerate(results)}


def critical_path(tasks: list[Task]) -> int:
    ends: list[int] = []
    for task in tasks:
        ends.append(max((ends[j] for j in task.after), default=0) + (task.seconds or 0))
    return max(ends)


@settings(max_examples=40)
@given(graphs(), st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_each_node_runs_once_behind_what_it_depends_on(
    tasks: list[Task], concurrency: int, count: int, sequential: bool
) -> None:
    log = Log()
    concurrency = 1 if all(task.seconds is None for task in tasks) else concurrency
    graph = graph_of(tasks, log, concurrency=concurrency, sequential=sequential)

    async def main() -> float:
        async with no_leaks():
            found = await graph.collect([item * 1_000_000 for item in range(count)])
        assert found == [expected(tasks, item) for item in range(count)]
        return asyncio.get_running_loop().time()

    seconds = run(main())
    assert log.begun == {(item, k): 1 for item in range(count) for k in range(len(tasks))}
    if concurrency == 1:
        one = sum(task.seconds or 0 for task in tasks) if sequential else critical_path(tasks)
        assert seconds == count * one, "it takes as long as its longest path"


@settings(max_examples=50)
@given(graphs(most=20, fails=True), st.integers(1, 3))
def test_a_failure_ends_its_item_alone_and_all_that_it_began(tasks: list[Task], concurrency: int) -> None:
    log = Log()
    concurrency = 1 if all(task.seconds is None for task in tasks) else concurrency
    graph = graph_of(tasks, log, concurrency=concurrency, name="g")
    failing = [k for k, task in enumerate(tasks) if task.fails]

    async def main() -> None:
        failures: list[Any] = []
        async with no_leaks():
            found = await graph.collect([0, 1_000_000], on_error=failures.append)
        if not failing:
            assert found == [expected(tasks, 0), expected(tasks, 1)]
            return
        assert found == []
        assert [(type(f.error), f.error.args[0], f.node == f"g/n{f.error.args[1]}") for f in failures] == [
            (Failed, item, True) for item in range(2)
        ]

    run(main())
    assert all(times == 1 for times in log.begun.values())
    failed = {(item, k) for item in range(2) for k in failing}
    assert set(log.begun) - log.done - log.cancelled <= failed, "what has begun has ended"


@settings(max_examples=50)
@given(graphs(most=20), st.integers(0, 60))
def test_cancelled_at_any_time_nothing_is_left(tasks: list[Task], after: int) -> None:
    log = Log()
    graph = graph_of(tasks, log)

    async def main() -> None:
        async with no_leaks():
            running = asyncio.ensure_future(graph.collect([0, 1_000_000, 2_000_000]))
            for _ in range(after):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])

    run(main())
    assert set(log.begun) == log.done | log.cancelled
