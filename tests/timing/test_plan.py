"""Plans: sums, critical paths, schedules, what-if; the laws between them on random graphs of up to 50 tasks."""

import asyncio
import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain, CompositionError, Retry, node
from rxchain import operators as ops
from rxchain.graph import Graph
from rxchain.policies import fixed
from rxchain.testing import run
from rxchain.timing import Empirical, Fixed, Seconds, TimePlan, Uniform, task

SECONDS = st.integers(0, 20).map(float)


@st.composite
def plans(draw: st.DrawFn, most: int = 50) -> TimePlan:
    count = draw(st.integers(1, most))
    tasks = []
    for k in range(count):
        after = draw(st.sets(st.integers(0, k - 1), max_size=3)) if k else set()
        tasks.append(task(f"t{k}", draw(SECONDS), after=[f"t{other}" for other in after]))
    return TimePlan(*draw(st.permutations(tasks)))


@settings(max_examples=50)
@given(plans(), st.integers(1, 6))
def test_the_critical_path_is_no_longer_than_the_makespan_and_that_no_longer_than_the_sum(
    plan: TimePlan, workers: int
) -> None:
    critical, schedule = plan.critical_path().length, plan.makespan(workers)
    assert critical <= schedule.length <= plan.sequential
    assert schedule.at_best <= schedule.length <= schedule.at_most * schedule.at_best + 1e-9
    assert schedule.length <= plan.sequential / workers + (1 - 1 / workers) * critical + 1e-9  # Graham's bound
    assert plan.makespan(1).length == plan.sequential
    assert plan.makespan(len(plan)).length == critical == plan.makespan().length


@settings(max_examples=50)
@given(plans(), st.integers(1, 4))
def test_a_schedule_does_each_task_once_after_those_it_needs_and_a_worker_one_at_a_time(
    plan: TimePlan, workers: int
) -> None:
    slots = {slot.task: slot for slot in plan.makespan(workers).slots}
    assert slots.keys() == plan.after.keys() and len(plan.makespan(workers).slots) == len(plan)  # noqa: PT018
    for name, slot in slots.items():
        assert slot.end == slot.start + plan.times[name]
        assert all(slots[other].end <= slot.start for other in plan.after[name])
    for worker in range(workers):
        mine = sorted((slot.start, slot.end) for slot in slots.values() if slot.worker == worker)
        assert all(before[1] <= behind[0] for before, behind in itertools.pairwise(mine))


@settings(max_examples=40)
@given(plans())
def test_slack_is_what_a_task_may_take_longer_and_there_is_none_on_the_path(plan: TimePlan) -> None:
    found = plan.critical_path()
    assert all(slack >= 0 for slack in found.slack.values())
    assert all(found.slack[name] == 0 for name in found.path)
    assert sum(plan.times[name] for name in found.path) == found.length
    assert all(before in plan.after[behind] for before, behind in zip(found.path, found.path[1:]))
    for name, slack in list(found.slack.items())[:5]:
        assert plan.with_time(name, plan.times[name] + slack).critical_path().length == found.length
        assert plan.with_time(name, plan.times[name] + slack + 3).critical_path().length == found.length + 3


@given(plans(most=8), st.integers(0, 3))
def test_where_all_is_fixed_the_prediction_is_exact_and_no_dice_are_thrown(plan: TimePlan, seed: int) -> None:
    found = plan.predict(runs=3, seed=seed)
    length = plan.critical_path().length
    assert (found.mean, found.p50, found.p95, found.p99) == (length,) * 4
    assert (found.exact, found.runs, found.success) == (True, 0, 1.0)
    as_measured = TimePlan(*[task(t.name, Empirical([t.time.mean]), after=t.after) for t in plan])
    thrown = as_measured.predict(runs=3, seed=seed)
    assert (thrown.mean, thrown.p50, thrown.p95, thrown.p99, thrown.runs) == (*(length,) * 4, 3)


@settings(max_examples=30)
@given(plans(most=10))
def test_a_graph_takes_as_long_as_its_critical_path(plan: TimePlan) -> None:
    def sleeps(seconds: float) -> Any:
        async def work(*inputs: Any) -> None:
            await asyncio.sleep(seconds)

        async def root(item: Any) -> None:
            await asyncio.sleep(seconds)

        return work, root

    async def main() -> None:
        graph = Graph()
        for one in plan:
            work, root = sleeps(one.time.mean)

            if one.after:
                parameters = ", ".join(f"a{k}" for k in range(len(one.after)))
                scope: dict[str, Any] = {"work": work}
                exec(f"async def fn({parameters}):\n    await work()", scope)
                graph.add(one.name, scope["fn"], after=list(one.after))
            else:
                graph.add(one.name, root)
        await graph.run(1)
        assert asyncio.get_running_loop().time() == pytest.approx(plan.critical_path().length)
        of_graph = TimePlan.of(graph, {one.name: one.time for one in plan})
        assert of_graph.critical_path().length == plan.critical_path().length
        assert of_graph.makespan().length == plan.critical_path().length

    run(main())


@settings(max_examples=40)
@given(st.lists(st.tuples(SECONDS.map(lambda s: s + 1), st.integers(1, 3)), min_size=1, max_size=4), st.integers(1, 12))
def test_a_chain_of_fixed_times_takes_what_its_plan_says_for_many_items(
    nodes: list[tuple[float, int]], items: int
) -> None:
    """The first item's way, then one more each 1 / throughput; with rounds of several where a node takes several."""

    def sleeps(seconds: float, k: int) -> Any:
        async def work(item: int) -> int:
            await asyncio.sleep(seconds)
            return item

        return node(name=f"n{k}", concurrency=1)(work)

    chain = Chain(*[sleeps(seconds, k) for k, (seconds, _) in enumerate(nodes)], window=100)
    times = {f"n{k}": seconds for k, (seconds, _) in enumerate(nodes)}
    plan = TimePlan.of(chain, times)

    async def main() -> None:
        await chain.collect(range(items))
        assert asyncio.get_running_loop().time() == pytest.approx(plan.stream(items))

    run(main())
    assert plan.throughput == pytest.approx(1 / max(times.values()))
    assert times[plan.bottleneck] == max(times.values())


def test_the_throughput_is_that_of_the_slowest_for_as_many_as_it_works_on_and_of_the_window() -> None:
    fast, slow = task("fast", 1.0), task("slow", 4.0, after="fast", concurrency=2)
    assert (TimePlan(fast, slow).throughput, TimePlan(fast, slow).bottleneck) == (0.5, "slow")
    narrow = TimePlan(fast, slow, window=2)
    assert (narrow.throughput, narrow.bottleneck) == (0.4, "window")
    whole = TimePlan(fast, slow, at_once=3)
    assert (whole.throughput, whole.bottleneck) == (3 / 5, "slow")
    assert TimePlan().throughput == math.inf
    assert TimePlan(task("nothing", 0)).throughput == math.inf


def test_items_that_fail_are_no_load_on_what_comes_behind() -> None:
    plan = TimePlan(task("check", 1.0, failure=0.5), task("work", 1.5, after="check"))
    assert (plan.throughput, plan.bottleneck) == (1.0, "check")
    assert plan.success == 0.5


def test_what_has_the_longest_way_to_the_end_is_begun_first() -> None:
    plan = TimePlan(*(task(name, seconds) for name, seconds in zip("abcd", (1, 1, 1, 4))))
    assert plan.makespan(2).length == 4
    behind = TimePlan(task("a", 2), task("b", 2), task("c", 1), task("d", 5, after="c"))
    assert [slot.task for slot in behind.makespan(1).slots] == ["c", "d", "a", "b"]


def test_who_decides_is_counted() -> None:
    plan = TimePlan(task("a", 1), task("b", Uniform(0, 2)), task("c", 1, after=["a", "b"]))
    found = plan.predict(runs=4000, seed=1)
    assert (found["c"].critical, found["a"].critical + found["b"].critical) == (1.0, 1.0)
    assert found["a"].critical == pytest.approx(0.5, abs=0.03)
    assert found.mean == pytest.approx(1.25 + 1, abs=0.02)  # the mean of max(1, uniform from 0 to 2)
    assert plan.predict(runs=100, seed=3) == plan.predict(runs=100, seed=3) != plan.predict(runs=100, seed=4)


def test_with_workers_the_dice_are_thrown_for_a_schedule() -> None:
    plan = TimePlan(task("a", Uniform(1, 3)), task("b", Uniform(1, 3)), task("c", 1.0, failure=0.5, retry=2))
    alone = plan.predict(workers=1, runs=200)
    assert alone.exact
    assert alone.mean == plan.sequential
    two, many = plan.predict(workers=2, runs=2000), plan.predict(runs=2000)
    assert many.mean < two.mean < alone.mean
    assert not two.exact
    assert two.success == plan.success == 0.75


def test_what_if() -> None:
    plan = TimePlan(task("A", 2), task("B", 4, after="A"), task("C", 1, after="A"), window=3, workers=2)
    assert plan.sequential == 7
    assert plan.with_time("B", 0.5).critical_path().length == 3
    assert plan.with_time("B", Uniform(0, 1))["B"].time == Uniform(0, 1)
    assert plan.with_retries("C", 1).sequential == 8
    assert plan.with_retry("C", Retry(3, wait=fixed(1))).with_retries("C", 2).times["C"] == 5
    assert plan.with_failure("C", 0.5).with_retry("C", 2).attempts["C"] == 1.5
    changed = plan.with_time("B", 4)
    assert changed == plan and hash(changed) == hash(plan)  # noqa: PT018
    assert (changed.window, changed.workers) == (3, 2)
    with pytest.raises(KeyError, match="no task called 'X'; there are 'A'"):
        plan.with_time("X", 1)


def test_a_plan_that_is_none_is_refused_with_the_way_out() -> None:
    with pytest.raises(CompositionError, match=r"depend on one another: A -> C -> B -> A|A -> B|B -> |C -> "):
        TimePlan(task("A", 2, after="B"), task("B", 4, after="C"), task("C", 1, after="A"))
    for tasks in ([task("A", 1), task("A", 2)], [task("A", 1, after="B")], ["A"]):
        with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
            TimePlan(*tasks)
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        TimePlan(task("A", 1)).makespan(0)
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        TimePlan(task("A", 1)).predict(runs=0)


async def fetch(item: int) -> int:
    return item


@node(retry=Retry(3, wait=0), concurrency=4)
async def price(item: int) -> int:
    return item


def test_the_plan_of_a_chain_has_its_nodes_in_a_row_and_what_they_declare() -> None:
    inner = Chain(price, fetch, name="pricing")
    chain = Chain(fetch, ops.map(abs), inner, ops.retry(Chain(fetch), 2), window=5)
    times: dict[str, Seconds] = {"fetch": 1, "pricing/price": Uniform(1, 3), "pricing/fetch": 0.5, "fetch 2": 2}
    plan = TimePlan.of(chain, times, failures={"pricing/price": 0.1})
    assert plan.after == {
        "fetch": (),
        "pricing/price": ("fetch",),
        "pricing/fetch": ("pricing/price",),
        "fetch 2": ("pricing/fetch",),
    }
    assert plan.window == 5
    found = plan["pricing/price"]
    assert (found.retry, found.failure, found.concurrency, found.time) == (Retry(3, wait=0), 0.1, 4, Uniform(1, 3))
    assert plan["fetch"].time == Fixed(1)
    assert chain.predict(times).sequential == 1 + 2 + 0.5 + 2
    assert TimePlan.of(price, {"price": 1}).sequential == 1


def test_a_retry_of_the_whole_chains_is_that_of_each_node() -> None:
    from rxchain.policies import ErrorHandler

    chain = Chain(fetch, price, on_error=ErrorHandler(retry=5))
    plan = TimePlan.of(chain, {"fetch": 1, "price": 1})
    assert [one.retry and one.retry.attempts for one in plan] == [5, 3]


def test_a_graph_in_a_chain_comes_between_what_is_before_and_behind_it() -> None:
    async def left(first: int) -> int:
        return first

    async def right(first: int) -> int:
        return first

    graph = Graph(name="g").add("first", fetch).add("left", left).add("right", right)
    plan = TimePlan.of(Chain(fetch, graph, price), {"fetch": 1, "g/first": 1, "g/left": 2, "g/right": 3, "price": 1})
    assert plan.after["g/first"] == ("fetch",)
    assert set(plan.after["price"]) == {"g/left", "g/right"}
    assert plan.critical_path().length == 6
    alone = TimePlan.of(Graph(name="g", sequential=True).add("first", fetch).add("left", left), {"first": 1, "left": 2})
    assert (alone.at_once, alone.workers, alone.throughput) == (1, 1, 1 / 3)


def test_what_only_takes_the_place_of_something_that_failed_is_not_in_the_plan() -> None:
    chain = Chain(ops.catch(Chain(fetch), Chain(price)))
    assert TimePlan.of(chain, {"fetch": 1}).sequential == 1


@pytest.mark.parametrize("times", [{"fetch": 1}, {"fetch": 1, "prize": 2}, {"fetch": 1, "price": "2"}])
def test_times_that_do_not_fit_the_nodes_are_refused(times: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        TimePlan.of(Chain(fetch, price), times)


def test_only_what_has_nodes_has_a_plan() -> None:
    with pytest.raises(CompositionError, match="a chain, a graph or a node has times, got a function"):
        TimePlan.of(fetch, {})
