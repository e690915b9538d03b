"""Timeouts, hedges, breakers, rate limits and bulkheads on nodes, in chains: together, side by side, on real loops."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import BulkheadFull, Chain, ChainNode, CircuitOpen, CompositionError, Failure, node
from rxchain.policies import Bulkhead, CircuitBreaker, Hedge, RateLimit, Retry, Timeout
from rxchain.testing import Marbles, no_leaks, run


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    yield
    CircuitBreaker.forget()
    Bulkhead.forget()


def test_a_slow_item_fails_and_the_others_go_on() -> None:
    m = Marbles()

    @node(timeout=3)
    async def price(product: str) -> str:
        await asyncio.sleep(60 if product == "x" else 1)
        return product.upper()

    told = m.probe()
    assert m.play("-a-x---c-|", Chain(price), on_error=told) == "--A-----C|"
    assert told.marbles == "------x---"
    failure: Any = told.items[0]
    assert str(failure.error) == "node 'price' has not answered within 3 s, and was cancelled"
    assert isinstance(failure.error, TimeoutError)


def test_a_timeout_is_for_each_attempt_and_an_item_timeout_for_all_of_them() -> None:
    began: list[float] = []

    async def silent(_: str) -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(60)

    attempts: Any = ChainNode(silent, retry=Retry(3, wait=1), timeout=2)
    with pytest.raises(TimeoutError, match="within 2 s"):
        run(Chain(attempts).run("tea"))
    assert began == [0, 3, 6]

    began.clear()
    item: Any = ChainNode(silent, retry=Retry(3, wait=1), timeout=2, item_timeout=4)
    with pytest.raises(TimeoutError, match="within 4 s"):
        run(Chain(item).run("tea"))
    assert began == [0, 3]


def test_a_hedged_node_gives_the_first_result_in_the_order_of_the_items() -> None:
    m = Marbles()
    slow = {"a": [9, 1], "b": [1], "c": [1]}

    @node(hedge=Hedge(after=2), concurrency=3)
    async def price(product: str) -> str:
        await asyncio.sleep(slow[product].pop(0))
        return product.upper()

    assert m.play("-abc----|", Chain(price)) == "----(ABC)---|"
    assert slow == {"a": [], "b": [], "c": []}


def test_a_breaker_refuses_what_would_fail_and_lets_the_chain_recover() -> None:
    asked: list[int] = []
    down = True

    @node(breaker=CircuitBreaker("service", failures=3, open_for=10))
    async def ask(number: int) -> int:
        asked.append(number)
        if down:
            raise ConnectionError
        return number

    async def main() -> list[int]:
        nonlocal down
        failures: list[Failure] = []
        chain = Chain(ask, window=1)
        assert await chain.collect(range(6), on_error=failures.append) == []
        assert [type(failure.error) for failure in failures] == [ConnectionError] * 3 + [CircuitOpen] * 3
        assert asked == [0, 1, 2]
        down = False
        await asyncio.sleep(10)
        return await chain.collect(range(6))

    assert run(main()) == list(range(6))


def test_a_retry_inside_a_breaker_counts_as_one_call() -> None:
    breaker = CircuitBreaker("service", failures=2)

    async def fails(_: int) -> None:
        raise ConnectionError

    chain: Chain[int, None] = Chain(ChainNode(fails, retry=3, breaker=breaker))
    run(chain.collect([1], on_error=lambda failure: None))
    assert breaker.snapshot().failures == 1


def test_a_rate_limit_spaces_the_attempts_and_not_the_items() -> None:
    began: list[float] = []

    @node(rate_limit=RateLimit(1, per=2), retry=2)
    async def ask(number: int) -> int:
        began.append(asyncio.get_running_loop().time())
        if len(began) % 2:
            raise ConnectionError
        return number

    assert run(Chain(ask).collect(range(3))) == [0, 1, 2]
    assert began == [0, 2, 4, 6, 8, 10]


def test_run_sync_for_each_item_keeps_to_the_rate() -> None:
    """Each call has an event loop of its own."""

    limit = RateLimit(2, per=3600)

    async def ask(number: int) -> int:
        return number

    patient: Chain[int, int] = Chain(ChainNode(ask, rate_limit=limit))
    hasty: Chain[int, int] = Chain(ChainNode(ask, rate_limit=limit, item_timeout=0.05))
    assert [patient.run_sync(number) for number in range(2)] == [0, 1]
    with no_leaks(), pytest.raises(TimeoutError):
        hasty.run_sync(2)


def test_a_bulkhead_holds_for_chains_side_by_side() -> None:
    inside = most = 0

    async def query(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(1)
        inside -= 1
        return number

    def chain() -> Chain[int, int]:
        guarded: Any = ChainNode(query, bulkhead=Bulkhead("database", 3), concurrency=5)
        return Chain(guarded)

    async def main() -> None:
        async with no_leaks():
            results = await asyncio.gather(*[chain().collect(range(10)) for _ in range(3)])
        assert results == [list(range(10))] * 3
        assert asyncio.get_running_loop().time() == 10

    run(main())
    assert most == 3


def test_a_full_bulkhead_is_a_failure_of_the_item_that_is_one_too_many() -> None:
    @node(bulkhead=Bulkhead("database", 1, queue=1), concurrency=3)
    async def query(number: int) -> int:
        await asyncio.sleep(1)
        return number

    failures: list[Failure] = []
    assert run(Chain(query).collect(range(3), on_error=failures.append)) == [0, 1]
    assert [(type(failure.error), failure.item) for failure in failures] == [(BulkheadFull, 2)]


def test_a_bulkhead_holds_for_chains_in_threads() -> None:
    lock = threading.Lock()
    inside = most = 0

    async def query(number: int) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        await asyncio.sleep(0.001)
        with lock:
            inside -= 1
        return number

    guarded: Any = ChainNode(query, bulkhead=Bulkhead("database", 2), concurrency=4)
    chain: Chain[int, int] = Chain(guarded)
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(list(chain.iterate(range(20))))) for _ in range(4)]
    with no_leaks():
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert results == [list(range(20))] * 4
    assert most <= 2


calls = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["", "", "fails", "own timeout"])), max_size=25)


@given(calls, st.integers(1, 4), st.one_of(st.none(), st.integers(0, 20)))
def test_all_of_them_together_lose_no_item_and_leave_nothing(
    planned: list[tuple[int, str]], concurrency: int, leaves_after: int | None
) -> None:
    CircuitBreaker.forget()
    Bulkhead.forget()
    breaker, bulkhead = CircuitBreaker("service", failures=3, open_for=2), Bulkhead("service", 2, queue=1)
    inside = most = 0

    async def work(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            takes, how = planned[number]
            await asyncio.sleep(takes)
            if how == "fails":
                raise ConnectionError
            if how == "own timeout":
                raise TimeoutError
            return number
        finally:
            inside -= 1

    policies: Any = {"timeout": 4, "item_timeout": 9, "rate_limit": RateLimit(2, per=1), "hedge": 1.5, "retry": 2}
    guarded: Any = ChainNode(work, breaker=breaker, bulkhead=bulkhead, concurrency=concurrency, **policies)

    async def main() -> None:
        failures: list[Failure] = []
        done: list[int] = []
        stream = Chain(guarded).stream(range(len(planned)), on_error=failures.append)
        try:
            async with asyncio.timeout(leaves_after):
                async for result in stream:
                    done.append(result)
        except TimeoutError:
            pass
        else:
            assert sorted([*done, *(failure.item for failure in failures)]) == list(range(len(planned)))
            for failure in failures:
                assert isinstance(failure.error, (ConnectionError, TimeoutError, CircuitOpen, BulkheadFull))
        finally:
            await stream.aclose()
        assert done == sorted(done)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (inside, bulkhead.snapshot().inside, bulkhead.snapshot().waiting) == (0, 0, 0)
        assert most <= 2 * 2  # two places, each hedged once
        assert breaker.state != "half-open" or breaker.snapshot().retry_after == 0  # no probe is out

    run(main())


def test_what_cannot_be_interrupted_takes_no_timeout_unless_it_runs_elsewhere() -> None:
    for policies in ({"timeout": 1}, {"item_timeout": Timeout(1)}, {"hedge": 1}):
        with pytest.raises(CompositionError, match="no async function"):
            ChainNode(len, **policies)

    release = threading.Event()

    @node(timeout=0.01, on="threads")
    def blocks(number: int) -> int:
        release.wait(5)
        return number

    async def main() -> None:
        with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
            await Chain(blocks).run(1)
        release.set()

    asyncio.run(main())
