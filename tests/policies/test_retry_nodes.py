"""Retry on nodes: each item again by itself, in its place; whatever runs beside it keeps to the chain's laws."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, Failure, node
from rxchain import operators as ops
from rxchain.policies import Retry, RetryBudget, attempts_of, fixed
from rxchain.testing import Marbles, run


class Busy(Exception):
    """Worth another attempt."""


@dataclass
class Service:
    """Fails so often with an item, and takes so long with it each time; `delays` and `failures` again and again."""

    delays: tuple[int, ...]
    failures: tuple[int, ...]
    asked: list[int] = field(default_factory=list)
    """The item of each attempt, in the order in which they began."""
    inside: set[int] = field(default_factory=set)
    most: int = 0
    keys: int = 1_000_000

    async def ask(self, item: int) -> int:
        attempt = self.asked.count(item)
        assert item not in self.inside, "two attempts of one item at once"
        assert all(other % self.keys != item % self.keys for other in self.inside), "two items of one key at once"
        self.asked.append(item)
        self.inside.add(item)
        self.most = max(self.most, len(self.inside))
        try:
            if delay := self.delays[(item + attempt) % len(self.delays)]:
                await asyncio.sleep(delay)
            if attempt < self.failures[item % len(self.failures)]:
                raise Busy(item)
            return item
        finally:
            self.inside.discard(item)

    def lasting(self, items: int, attempts: int) -> list[int]:
        """The items that fail each time."""
        return [item for item in range(items) if self.failures[item % len(self.failures)] >= attempts]


services = st.builds(
    Service,
    delays=st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple),
    failures=st.lists(st.sampled_from([0, 0, 0, 1, 2, 3]), min_size=1, max_size=5).map(tuple),
)
policies = st.builds(
    lambda wait, total: Retry(3, wait=wait, on=Busy, total=total),
    st.sampled_from([fixed(0), fixed(1), fixed(2.5)]),
    st.sampled_from([None, 1e6]),  # inlined, and not
)
ITEMS = 9


async def collected(chain: Chain[int, int]) -> tuple[list[int], list[Failure]]:
    failures: list[Failure] = []
    results = await chain.collect(range(ITEMS), on_error=failures.append)
    return results, failures


def hold(service: Service, results: list[int], failures: list[Failure], ordered: bool = True) -> None:
    """Each item was tried until it came through or had used up its attempts, and came to exactly one end."""
    lasting = service.lasting(ITEMS, 3)
    told = [failure.item for failure in failures]
    assert sorted(told) == lasting
    assert sorted(results) == [item for item in range(ITEMS) if item not in lasting]
    if ordered:
        assert told == sorted(told)
        assert results == sorted(results)
    for item in range(ITEMS):
        assert service.asked.count(item) == min(service.failures[item % len(service.failures)] + 1, 3)
    assert all(failure.attempts == len(attempts_of(failure.error)) == 3 for failure in failures)
    assert not service.inside


@given(services, policies, st.integers(1, 6))
def test_one_at_a_time_an_item_is_done_with_before_the_next(service: Service, retry: Retry, window: int) -> None:
    chain = Chain(node(retry=retry)(service.ask), window=window)
    hold(service, *run(collected(chain)))
    assert service.most == 1
    assert [item for item, _ in groupby(service.asked)] == list(range(ITEMS))


@given(services, policies, st.integers(2, 4), st.integers(1, 8))
def test_side_by_side_results_keep_the_order_of_their_items(
    service: Service, retry: Retry, concurrency: int, window: int
) -> None:
    chain = Chain(node(retry=retry, concurrency=concurrency)(service.ask), window=window)
    hold(service, *run(collected(chain)))
    assert service.most <= min(concurrency, window)
    firsts = [item for place, item in enumerate(service.asked) if item not in service.asked[:place]]
    assert firsts == list(range(ITEMS))


@given(services, policies, st.integers(1, 3), st.integers(2, 8))
def test_by_key_no_item_overtakes_one_of_its_key(service: Service, retry: Retry, keys: int, window: int) -> None:
    service.keys = keys
    chain = Chain(node(retry=retry, concurrency=4, by=lambda item: item % keys)(service.ask), window=window)
    results, failures = run(collected(chain))
    hold(service, results, failures, ordered=False)
    attempts: dict[int, list[int]] = defaultdict(list)
    for item in service.asked:
        attempts[item % keys].append(item)
    for key, asked in attempts.items():
        # an item's attempts stand together, and items in their order: also while one of them waits for its next
        assert [item for item, _ in groupby(asked)] == list(range(key, ITEMS, keys))
        assert [item for item in results if item % keys == key] == sorted(
            item for item in results if item % keys == key
        )


@given(services, policies, st.integers(2, 4))
def test_unordered_nothing_is_lost_and_nothing_comes_twice(service: Service, retry: Retry, concurrency: int) -> None:
    chain = Chain(node(retry=retry, concurrency=concurrency, ordered=False)(service.ask), window=8)
    hold(service, *run(collected(chain)), ordered=False)


@given(services, policies, st.integers(1, 3), st.integers(0, 40))
def test_whoever_leaves_in_the_middle_leaves_nothing_behind(
    service: Service, retry: Retry, concurrency: int, quarters: int
) -> None:
    chain = Chain(node(retry=retry, concurrency=concurrency)(service.ask))

    async def main() -> None:
        task = asyncio.create_task(chain.collect(range(ITEMS), on_error=lambda failure: None))
        await asyncio.sleep(quarters / 4 + 1 / 8)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not service.inside
        asked = len(service.asked)
        await asyncio.sleep(1000)
        assert len(service.asked) == asked
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_wait_holds_back_those_behind_and_no_others() -> None:
    m = Marbles()
    failed: set[str] = set()

    @node(retry=Retry(2, wait=3))
    async def ask(item: str) -> str:
        if item == "b" and item not in failed:
            failed.add(item)
            raise Busy
        return item

    assert m.play("abcd|", ask) == "a---(bcd|)"
    failed.clear()
    side_by_side = node(retry=Retry(2, wait=3), concurrency=4, ordered=False)(ask.logic)
    assert m.play("abcd|", side_by_side) == "a-cd(b|)"


def test_the_error_of_a_stream_tells_of_the_attempts_and_of_the_place() -> None:
    @node(retry=Retry(2, wait=1))
    async def ask(item: int) -> int:
        raise Busy("too many orders")

    with pytest.raises(Busy) as caught:
        run(Chain(ask, name="orders").collect([7]))
    assert caught.value.__notes__ == [
        "attempt 1 of 2: Busy('too many orders')",
        "attempt 2 of 2, 1 s later: this error",
        "in node 'ask' of chain 'orders', with item 7",
    ]


@pytest.mark.parametrize("total", [None, 60.0])
def test_it_makes_no_difference_whether_a_retry_is_woven_in(total: float | None) -> None:
    async def ask(item: int) -> int:
        raise Busy(item)

    chain = Chain(node(retry=Retry(3, wait=1, total=total))(ask))
    with pytest.raises(Busy) as caught:
        run(chain.collect([7]))
    assert [str(note)[:14] for note in caught.value.__notes__] == [
        "attempt 1 of 3",
        "attempt 2 of 3",
        "attempt 3 of 3",
        "in node 'ask',",
    ]
    assert caught.value.__context__ is attempts_of(caught.value)[0]


def flaky(answers: dict[int, int]) -> Any:
    """A plain function that fails so often with an item."""
    left = dict(answers)

    def ask(item: int) -> int:
        if left.get(item, 0):
            left[item] -= 1
            raise Busy(item)
        return item

    return ask


def test_a_plain_node_that_does_not_wait_stays_plain() -> None:
    chain = Chain(node(retry=Retry(3, wait=0))(flaky({1: 2, 2: 1})), ops.map(str))
    assert not chain.is_async
    assert list(chain.iterate([1, 2, 3])) == ["1", "2", "3"]


def test_a_plain_node_that_waits_needs_an_event_loop() -> None:
    chain = Chain(node(retry=Retry(3, wait=2))(flaky({1: 2, 2: 1})))
    assert chain.is_async

    async def main() -> tuple[list[int], float]:
        return await chain.collect([1, 2, 3]), asyncio.get_running_loop().time()

    assert run(main()) == ([1, 2, 3], 6)


def test_one_item_is_retried_too() -> None:
    assert Chain(node(retry=Retry(3, wait=0))(flaky({1: 2}))).run_sync(1) == 1
    assert run(Chain(node(retry=Retry(3, wait=5))(flaky({1: 2}))).run(1)) == 1


def test_a_node_in_threads_is_retried_on_the_loop() -> None:
    budget = RetryBudget()
    for retry in (Retry(3, wait=0), Retry(3, wait=0, budget=budget)):
        chain = Chain(node(retry=retry, on="threads", concurrency=2)(flaky({1: 2, 4: 1})))
        assert asyncio.run(chain.collect(range(6))) == list(range(6))
    assert budget.statistics(0).retries == 3


def test_an_observable_s_items_are_retried() -> None:
    import reactivex

    results: list[int] = []
    chain = Chain(node(retry=Retry(3, wait=0))(flaky({1: 2, 2: 1})))
    reactivex.from_iterable([1, 2, 3]).pipe(chain).subscribe(results.append)
    assert results == [1, 2, 3]


def test_timeouts_are_retried_as_other_failures_are() -> None:
    asked: list[float] = []

    @node(retry=Retry(3, wait=1), timeout=2)
    async def ask(item: int) -> int:
        asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(60 if len(asked) < 3 else 0)
        return item

    assert run(Chain(ask).collect([7])) == [7]
    assert asked == [0, 3, 6]


def test_a_budget_is_shared_by_nodes() -> None:
    budget = RetryBudget(0.1, at_least=2)
    asked: list[str] = []

    def failing(name: str) -> Any:
        async def ask(item: int) -> int:
            asked.append(name)
            raise Busy

        return node(retry=Retry(3, wait=0, budget=budget), name=name)(ask)

    async def main() -> None:
        for part in ("a", "b"):
            await Chain(failing(part)).collect([1, 2], on_error=lambda failure: None)

    run(main())
    assert asked == ["a", "a", "a", "a", "b", "b"]  # two retries, then none for anybody
