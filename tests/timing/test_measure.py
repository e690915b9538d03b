"""Measuring a run: what each node took, attempts and waits apart, and nothing else is different."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Bulkhead, Chain, Retry, node
from rxchain import operators as ops
from rxchain.graph import Graph
from rxchain.policies import ErrorHandler, Keys, Lock
from rxchain.schedulers import Processes, Threads
from rxchain.testing import no_leaks, run
from rxchain.timing import Measured, Measurement, TimePlan, Uniform
from rxchain.timing._measured import KEPT, Samples


def sleeps(name: str, seconds: float, **declared: Any) -> Any:
    async def work(item: Any) -> Any:
        await asyncio.sleep(seconds)
        return item

    return node(name=name, **declared)(work)


def failing_first(name: str, times: int, seconds: float, **declared: Any) -> Any:
    """A node that fails so often for each item before it succeeds."""
    tried: dict[Any, int] = {}

    async def work(item: Any) -> Any:
        await asyncio.sleep(seconds)
        tried[item] = tried.get(item, 0) + 1
        if tried[item] <= times:
            raise ConnectionError("busy")
        return item

    return node(name=name, **declared)(work)


def measured(chain: Any, items: Any, on_error: Any = None) -> Measured:
    return run(Measurement(chain, items, on_error).finish())


def test_attempts_and_waits_are_told_apart_from_what_succeeds() -> None:
    found = measured(Chain(failing_first("fetch", 2, 1.0, retry=Retry(3, wait=0.5)), sleeps("price", 2.0)), [1, 2])
    fetch = found["fetch"]
    assert (fetch.count, fetch.failures, fetch.mean, fetch.p50, fetch.p99) == (2, 0, 4.0, 4.0, 4.0)
    assert (fetch.attempt.count, fetch.failed_attempt.count, fetch.waited) == (2, 4, 1.0)
    assert (fetch.attempt.mean, fetch.failed_attempt.mean) == (1.0, 1.0)
    assert (found["price"].mean, found["price"].waited) == (2.0, 0.0)
    assert [one.name for one in found.nodes] == ["fetch", "price"]
    assert found.failures == {"fetch": 4 / 6, "price": 0}


@pytest.mark.parametrize("retry", [Retry(3, wait=0), Retry(3, wait=0, total=60)])  # woven in, and around
def test_a_plain_function_is_measured_as_it_is(retry: Retry) -> None:
    tried: list[int] = []

    def work(item: int) -> int:
        tried.append(item)
        if len(tried) % 3:
            raise ValueError(item)
        return item

    chain = Chain(node(retry=retry)(work), abs)
    found = measured(chain, [1, 2])
    assert (found["work"].attempt.count, found["work"].failed_attempt.count) == (2, 4)
    assert found["abs"].count == found.total.count == 2
    if retry.total is None:
        assert not Measurement(chain, [1]).chain.is_async


def test_items_that_fail_for_good_are_counted_and_not_in_the_mean() -> None:
    chain = Chain(failing_first("fetch", 1, 1.0), sleeps("price", 2.0), window=1)
    found = measured(chain, [1, 2, 1], "skip")
    assert (found["fetch"].count, found["fetch"].failures, found["fetch"].mean) == (1, 2, 1.0)
    assert (found["price"].count, found.total.count, found.total.mean) == (1, 1, 3.0)
    assert found.failures["fetch"] == 2 / 3


def test_a_retry_that_is_declared_for_all_nodes_is_seen_inside_of_them() -> None:
    chain = Chain(failing_first("fetch", 1, 1.0), on_error=ErrorHandler(retry=Retry(2, wait=0), record=None))
    found = measured(chain, [1, 2])
    assert (found["fetch"].count, found["fetch"].attempt.count, found["fetch"].failed_attempt.count) == (2, 2, 2)
    never = Chain(failing_first("fetch", 9, 1.0), on_error=ErrorHandler(retry=Retry(2, wait=0), record=None))
    assert measured(never, [1])["fetch"].failed_attempt.count == 2


def test_waiting_for_a_lock_or_a_place_is_no_attempt() -> None:
    try:
        locked = sleeps("locked", 1.0, lock=Lock("measured", lambda item: Keys("one")), concurrency=3)
        bounded = sleeps("bounded", 1.0, bulkhead=Bulkhead("measured", 1), concurrency=3)
        for chain in (Chain(locked), Chain(bounded)):
            found = measured(chain, [1, 2, 3]).nodes[0]
            assert (found.attempt.mean, found.mean, found.waited) == (1.0, 2.0, 1.0)
    finally:
        Lock.forget()
        Bulkhead.forget()


def test_attempts_beside_one_another_are_not_counted_twice_as_time() -> None:
    found = measured(Chain(sleeps("slow", 4.0, hedge=1.0)), [1])["slow"]
    assert (found.mean, found.attempt.count, found.failed_attempt.count, found.waited) == (4.0, 1, 1, 0.0)
    again = failing_first("again", 2, 2.0, hedge=1.0, retry=Retry(2, wait=3))
    found = measured(Chain(again), [1])["again"]  # from 0 and 1 to 3; from 6 and 7 to 8
    assert (found.mean, found.failed_attempt.count, found.waited) == (8.0, 3, 3.0)


def test_a_generators_time_is_its_own_and_not_that_of_what_comes_behind() -> None:
    async def parts(item: int) -> AsyncIterator[int]:
        for part in range(item):
            await asyncio.sleep(1)
            yield part

    def plain(item: int) -> Iterator[int]:
        yield item
        yield item

    async def last(item: int) -> int:
        await asyncio.sleep(10)
        return item

    found = measured(Chain(parts, plain, last), [3])
    assert found["parts"].mean == 3.0
    assert (found["plain"].count, found["plain"].mean) == (3, 0.0)
    assert found["last"].count == 6


def test_a_generator_that_fails_or_is_left_is_closed() -> None:
    closed: list[int] = []

    def parts(item: int) -> Iterator[int]:
        try:
            yield item
            if item == 2:
                raise ValueError(item)
            yield item
        finally:
            closed.append(item)

    found = measured(Chain(parts), [1, 2, 3], "skip")
    assert (found["parts"].count, found["parts"].failures, closed) == (2, 1, [1, 2, 3])
    assert measured(Chain(parts, ops.take(1)), [7])["parts"].count == 0
    assert closed[-1] == 7


def test_the_total_is_from_coming_in_to_coming_out_with_the_waits_for_those_ahead() -> None:
    chain = Chain(sleeps("a", 1.0), sleeps("b", 3.0))
    found = measured(chain, range(3))
    assert found.total.count == 3
    assert found.total.mean == pytest.approx((4 + 6 + 8) / 3)  # they come in one second after the other
    alone = measured(Chain(*chain, window=1), range(3))
    assert (alone.total.mean, alone.total.p99) == (4.0, 4.0)


def test_what_an_item_was_worked_on_is_told_apart_from_its_wait_for_those_ahead() -> None:
    chain = Chain(sleeps("a", 1.0), sleeps("b", 3.0))
    found = measured(chain, range(4))
    assert (found.worked.mean, found.worked.p99, found.total.mean) == (4.0, 4.0, 7.0)
    assert found.between == pytest.approx((0 + 2 + 4 + 6) / 4)
    assert found.throughput == pytest.approx(1 / 3)
    comparison = found.compare(chain.predict({"a": 1.0, "b": 3.0}))
    assert [round(row.error, 9) for row in comparison.rows] == [0.0] * 7
    assert comparison.between == found.between
    assert str(comparison).splitlines()[-2:] == [
        "throughput  items/s      0.333     0.333  +0.0%",
        "on average an item was 3 s between nodes",
    ]


def test_branches_beside_one_another_are_worked_on_once() -> None:
    graph = Graph(name="offer", output="both").add(sleeps("left", 1.0)).add(sleeps("right", 2.0))
    graph.add("both", lambda left, right: (left, right))
    found = measured(Chain(graph, sleeps("store", 3.0)), range(3))
    assert (found.worked.mean, found.worked.p99) == (5.0, 5.0)
    assert found.throughput == pytest.approx(1 / 3)


def test_a_generator_works_while_it_makes_its_results_and_not_while_they_go_on() -> None:
    async def parts(item: int) -> AsyncIterator[int]:
        await asyncio.sleep(1)
        yield item

    found = measured(Chain(parts, ops.map(sleeps("no node", 2.0).logic), sleeps("last", 4.0)), [1])
    assert (found.worked.mean, found.total.mean, found.between) == (5.0, 7.0, 2.0)


def test_items_that_fail_or_are_dropped_take_their_share_of_the_throughput() -> None:
    async def second(item: int) -> int:
        await asyncio.sleep(1)
        if item % 3 == 1:
            raise ValueError(item)
        return item

    chain = Chain(second, node(when=lambda item: item % 3 == 0, refuse="drop")(abs))
    found = measured(chain, range(10), "skip")
    assert (found.total.count, found.throughput) == (4, 1.0)


def test_an_item_that_failed_is_not_who_comes_out_behind_it() -> None:
    async def second(item: int) -> int:
        await asyncio.sleep(1)
        if item == 1:
            raise ValueError(item)
        return item

    found = measured(Chain(second, ops.concat_map(lambda item: [item, item]), window=1), [1, 2], "skip")
    assert (found.total.count, found.total.mean, found.worked.mean) == (1, 1.0, 1.0)


def test_a_measured_run_inside_of_a_node_is_apart_from_that_of_the_chain() -> None:
    inner: list[Measured] = []

    async def outer(item: int) -> int:
        run_: Measurement[int] = Measurement(
            Chain(sleeps("a", 1.0), failing_first("b", 1, 1.0), window=1), [item], "skip"
        )
        inner.append(await run_.finish())
        await asyncio.sleep(1)
        return item

    found = measured(Chain(outer), [1, 2])
    assert (found.total.count, found.total.mean, found.worked.mean) == (2, 3.0, 3.0)
    assert [one.total.count for one in inner] == [0, 0]


def test_one_result_has_no_throughput_and_results_at_once_have_no_bound() -> None:
    one, many = measured(Chain(abs), [1]), measured(Chain(abs), [1, 2])
    assert str(one).splitlines()[-1].startswith("- items a second")
    assert many.throughput == float("inf")
    prediction = Chain(sleeps("abs", 1.0)).predict({"abs": 1.0})
    assert many.compare(prediction)["throughput", "items/s"].error == -1.0
    assert "nan" not in str(one.compare(prediction))


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["map", "sync", "async", "retried", "filtered", "nested", "graph", "many"]), max_size=5),
    st.lists(st.integers(-3, 9), max_size=6),
    st.integers(1, 4),
)
def test_what_comes_out_is_the_same_as_without_measuring(kinds: list[str], items: list[int], window: int) -> None:
    def make() -> Chain[Any, Any]:
        async def doubled(item: int) -> int:
            await asyncio.sleep(item % 3)
            if item % 5 == 4:
                raise ValueError(item)
            return item * 2

        def many(item: int) -> Iterator[int]:
            yield item
            yield item + 1

        steps = {
            "map": ops.map(abs),
            "sync": node(then=lambda item, result: result + item)(abs),
            "async": doubled,
            "retried": node(name="retried", retry=Retry(2, wait=1))(doubled),
            "filtered": node(when=lambda item: item > 0)(abs),
            "nested": Chain(doubled, abs, name="inner"),
            "graph": Graph(output="last").add("first", doubled).add("last", lambda first: first + 1),
            "many": many,
        }
        return Chain(*[steps[kind] for kind in kinds], window=window)

    async def main() -> None:
        failures: list[list[tuple[str, str, int]]] = [[], []]

        def told(k: int) -> Any:
            return lambda failure: failures[k].append((failure.node, repr(failure.error), failure.item))

        plain = await make().collect(items, on_error=told(0))
        async with no_leaks():
            run_: Measurement[Any] = Measurement(make(), items, told(1))
            assert [result async for result in run_] == plain
        assert [failure[1:] for failure in failures[1]] == [failure[1:] for failure in failures[0]]
        found = run_.measured()
        assert found.worked.count == found.total.count <= len(items) * 32
        assert found.worked.mean <= found.total.mean or not found.total.count
        if window == 1 and "many" not in kinds:  # results of one item wait for each other
            assert repr(found.worked) == repr(found.total)  # where there is nothing, each is nan

    run(main())


def test_leaving_a_run_ends_it() -> None:
    async def main() -> None:
        async with no_leaks():
            run_ = Chain(sleeps("a", 1.0), sleeps("b", 1.0)).measure(range(100))
            async for result in run_:
                assert result == 0
                break
            await run_.aclose()
            await asyncio.sleep(0)
        assert run_.measured()["b"].count == 1

    run(main())


@pytest.mark.parametrize("pool", [Threads, Processes])
def test_a_node_that_runs_elsewhere_is_measured_with_the_way_there(pool: Any) -> None:
    with pool(1) as on:
        found = asyncio.run(Measurement(Chain(node(on=on)(abs), node(on=on, name="again")(abs)), [1, -2]).finish())
    assert (found["abs"].count, found["again"].count) == (2, 2)
    assert found["abs"].mean > 0


def test_the_plain_chain_is_left_as_it_is() -> None:
    chain = Chain(sleeps("a", 1.0))
    before = chain.program()
    Measurement(chain, [1])
    assert chain.program() == before


def test_an_undo_and_a_precondition_stay_where_they_are() -> None:
    undone: list[int] = []
    fetch = sleeps("fetch", 1.0, undo=undone.append, when=lambda item: item > 0, refuse="pass")

    async def fails(item: int) -> int:
        raise ValueError(item)

    found = measured(Chain(fetch, fails), [0, 1], "skip")
    assert (found["fetch"].count, undone) == (1, [1])


def test_what_is_measured_becomes_a_plan_that_predicts_it() -> None:
    chance = Random(5)

    @node(retry=Retry(3, wait=0.25))
    async def fetch(item: int) -> int:
        await asyncio.sleep(chance.uniform(0.1, 0.3))
        if chance.random() < 0.2:
            raise ConnectionError
        return item

    async def left(fetch: int) -> int:
        await asyncio.sleep(chance.uniform(0, 1))
        return fetch

    async def right(fetch: int) -> int:
        await asyncio.sleep(chance.expovariate(2))
        return fetch

    for what in (Chain(fetch, left, right, window=1), Graph().add(fetch).add(left).add(right)):
        found = measured(what, range(1500), "skip")
        comparison = found.compare(TimePlan.of(what, found).predict())
        assert abs(comparison["worked", "mean"].error) < 0.03
        assert abs(comparison["worked", "p95"].error) < 0.05
        assert comparison["throughput", "items/s"].error > -0.03, "it is a bound"
        assert [row.of for row in comparison.rows][-5:] == ["worked"] * 4 + ["throughput"]
        with pytest.raises(KeyError):
            comparison["worked", "p42"]


def test_tables() -> None:
    chain = Chain(sleeps("fetch", 1.0), sleeps("price", 0.02), window=1)
    found = measured(chain, [1])
    prediction = chain.predict({"fetch": 2, "price": Uniform(0.01, 0.03)}, runs=1)
    assert str(found).splitlines()[1] == "fetch       1       0     1 s     1 s     1 s     1 s         1     0 s"
    comparison = found.compare(prediction)
    assert str(comparison).splitlines()[:2] == [
        "                     predicted  measured    error",
        "fetch       mean           2 s       1 s  +100.0%",
    ]
    assert str(prediction).startswith("       ")
    assert comparison.__rich__().row_count == len(comparison.rows)


def test_more_times_than_are_kept_are_sampled_and_the_mean_is_of_all() -> None:
    samples = Samples()
    for k in range(3 * KEPT):
        samples.add(float(k))
    assert (samples.count, len(samples.kept), samples.mean) == (3 * KEPT, KEPT, (3 * KEPT - 1) / 2)
    assert sum(samples.kept) / KEPT == pytest.approx(samples.mean, rel=0.05)
