"""ops.retry: a part run again for an item that failed in it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from rxchain import Chain, CircuitBreaker, CompositionError, Failure, Retry, node
from rxchain import operators as ops
from rxchain.policies import attempts_of
from rxchain.testing import run
from tests.policies.shop import Shop, fails_on

AT_ONCE = Retry(3, wait=0)


class Flaky:
    """Fails so many times for each item; keeps who was asked for."""

    def __init__(self, times: int = 1, *items: Any) -> None:
        self.times, self.items = times, items
        self.calls: list[Any] = []

    def __call__(self, item: Any) -> Any:
        self.calls.append(item)
        if self.calls.count(item) <= self.times and (not self.items or item in self.items):
            raise ConnectionError(item)
        return item

    async def later(self, item: Any) -> Any:
        await asyncio.sleep(1)
        return self(item)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("behind", "outputs"),
    [
        (ops.map(str), ["1", "2"]),
        (ops.filter(lambda item: item > 1), [2]),
        (ops.concat_map(lambda item: [item] * item), [1, 2, 2]),
        (ops.batch(10), [[1], [2]]),
        (ops.take(1), [1, 2]),
    ],
)
def test_whatever_the_part_gives_goes_on_when_it_has_come_through(
    asynchronous: bool, behind: Any, outputs: Any
) -> None:
    flaky = Flaky()
    part = Chain(flaky.later if asynchronous else flaky.__call__, behind)
    chain = Chain(ops.retry(part, AT_ONCE))
    assert chain.is_async is asynchronous
    assert run(chain.collect([1, 2])) == outputs
    assert flaky.calls == [1, 1, 2, 2]


def test_nothing_of_an_attempt_that_failed_goes_on() -> None:
    flaky = Flaky(1, 2)
    seen: list[int] = []
    chain = Chain(ops.retry(Chain(ops.unbatch(), ops.tap(seen.append), flaky.__call__), AT_ONCE))
    assert list(chain.iterate([[1, 2, 3]])) == [1, 2, 3]
    assert seen == [1, 2, 1, 2, 3]


def test_each_item_finds_the_part_fresh() -> None:
    chain = Chain(ops.retry(Chain(ops.scan(lambda a, b: a + b, 0), ops.enumerate()), AT_ONCE))
    assert list(chain.iterate([1, 2, 3])) == [(0, 1), (0, 2), (0, 3)]


def test_the_last_error_tells_of_all_attempts_and_of_the_node_in_the_part() -> None:
    failures: list[Failure] = []
    flaky = Flaky(9, 2)
    chain = Chain(ops.retry(Chain(node(name="ask")(flaky.__call__), name="part"), AT_ONCE), name="c")
    assert list(chain.iterate([1, 2, 3], on_error=failures.append)) == [1, 3]
    (failure,) = failures
    assert (failure.node, failure.item, failure.attempts) == ("retry/part/ask", 2, 3)
    assert len(attempts_of(failure.error)) == 3
    assert failure.error.__notes__[0] == "in node 'part/ask', with item 2"
    assert failure.error.__notes__[-1] == "in node 'retry/part/ask' of chain 'c', with item 2"


def test_waits_are_the_policys_and_items_behind_wait_too() -> None:
    times: list[float] = []

    async def ask(item: int) -> int:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            raise ConnectionError
        return item

    assert run(Chain(ops.retry(ask, Retry(3, wait=2))).collect([1, 2])) == [1, 2]
    assert times == [0, 2, 4, 4]


@pytest.fixture
def breaker() -> Iterator[CircuitBreaker]:
    yield CircuitBreaker("bank", failures=1, open_for=30)
    CircuitBreaker.forget()


@pytest.mark.parametrize("nested", [False, True])
def test_around_a_breaker_it_waits_until_that_lets_calls_through(nested: bool, breaker: CircuitBreaker) -> None:
    tried: list[float] = []

    @node(breaker=breaker)
    async def pay(item: int) -> str:
        now = asyncio.get_running_loop().time()
        tried.append(now)
        if now < 40:
            raise ConnectionError("refused")
        return f"{item} paid"

    inner: Chain[int, str] = Chain(pay)

    @node(retry=Retry(5, wait=1))
    async def order(item: int) -> str:
        paid: str = await inner.run(item)
        return paid

    chain: Chain[int, str] = Chain(order) if nested else Chain(ops.retry(inner, Retry(5, wait=1)))
    assert run(chain.collect([1, 2])) == ["1 paid", "2 paid"]
    assert tried == [0, 30, 60, 60]


def test_a_policy_that_looks_at_results_sees_the_list_of_them() -> None:
    answers: Iterator[Any] = iter([0, 0, 5])
    chain = Chain(ops.retry(lambda item: next(answers), Retry(3, wait=0, on_result=lambda results: results == [0])))
    assert run(chain.collect([1])) == [5]


@pytest.mark.parametrize("ordered", [True, False])
def test_concurrency_is_of_items_each_with_its_attempts(ordered: bool) -> None:
    flaky = Flaky(1, 1)
    chain = Chain(ops.retry(flaky.later, AT_ONCE, concurrency=3, ordered=ordered))
    assert run(chain.collect([1, 2, 3])) == ([1, 2, 3] if ordered else [2, 3, 1])


def test_by_key_an_item_does_not_overtake_one_of_its_key_that_is_tried_again() -> None:
    flaky = Flaky(2, "a1")
    chain = Chain(ops.retry(flaky.later, Retry(3, wait=5), concurrency=4, by=lambda item: item[0]))
    assert run(chain.collect(["a1", "a2", "b1", "b2"])) == ["b1", "b2", "a1", "a2"]


def test_a_cancellation_is_not_tried_again() -> None:
    calls: list[int] = []

    async def gives_up(item: int) -> int:
        calls.append(item)
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Chain(ops.retry(gives_up, AT_ONCE)).run(1)

    run(main())
    assert calls == [1]


# --- and what is undone


def test_what_a_failed_attempt_did_is_undone_before_the_next() -> None:
    shop = Shop()
    flaky = Flaky(1)
    chain = Chain(ops.retry(Chain(shop.does("a"), shop.does("b"), flaky.__call__), AT_ONCE), fails_on(2))
    assert run(chain.collect([1, 2], on_error="skip")) == [1]
    of = {item: [entry for entry in shop.log if entry.endswith(str(item))] for item in (1, 2)}
    assert of[1] == ["a1", "b1", "unb1", "una1", "a1", "b1"]
    assert of[2] == ["a2", "b2", "unb2", "una2", "a2", "b2", "unb2", "una2"]  # the scope outside has the second


def test_of_a_part_with_several_items_all_that_it_did_is_undone() -> None:
    shop = Shop()
    chain = Chain(ops.retry(Chain(ops.unbatch(), shop.does("a", 2)), Retry(2, wait=0)))
    assert run(chain.collect([[1, 2], [3]], on_error="skip")) == [3]
    assert shop.log == ["a1", "a2", "una2", "una1"] * 2 + ["a3"]


def test_what_an_attempt_did_whose_result_is_refused_is_undone_too() -> None:
    shop = Shop()
    answers = iter([False, True])

    def unwanted(results: list[int]) -> bool:
        return not next(answers)

    chain = Chain(ops.retry(shop.does("a"), Retry(3, wait=0, on_result=unwanted)))
    assert run(chain.collect([1])) == [1]
    assert shop.log == ["a1", "una1", "a1"]


@pytest.mark.parametrize(
    "policy", [AT_ONCE, Retry(3, wait=0, total=100), Retry(3, wait=0, on_result=lambda results: True)]
)
def test_what_cannot_be_undone_is_not_tried_again(policy: Retry) -> None:
    shop = Shop()
    failures: list[Failure] = []
    last = [] if policy.on_result else [fails_on(1)]
    chain = Chain(ops.retry(Chain(shop.does("a", not_undone=(1,)), *last), policy), ops.map(str))
    assert run(chain.collect([1], on_error=failures.append)) == []
    assert shop.log == ["a1"]
    assert [failure.stands for failure in failures] == [("a",)]


def test_nor_if_that_happened_in_a_later_attempt() -> None:
    tries: list[int] = []

    async def undo(item: int) -> None:
        if len(tries) == 2:
            raise OSError("stands")

    async def charge(item: int) -> int:
        tries.append(item)
        raise ValueError(item)

    for policy in (Retry(5, wait=0), Retry(5, wait=0, total=100)):
        tries.clear()
        failures: list[Failure] = []
        chain = Chain(ops.retry(node(undo=undo)(charge), policy))
        assert run(chain.collect([1], on_error=failures.append)) == []
        assert tries == [1, 1]
        assert [failure.stands for failure in failures] == [("charge",)]


# --- as it is written


@pytest.mark.parametrize("policy", ["3", True, None, 3.0])
def test_a_policy_is_a_retry_or_a_number(policy: Any) -> None:
    with pytest.raises(CompositionError, match=r"ops.retry: policy is a Retry or a number of attempts(?s:.*)# correct"):
        ops.retry(repr, policy)


def test_behind_what_waits_for_other_items_nothing_could_be_undone() -> None:
    shop = Shop()
    with pytest.raises(CompositionError, match="would have to stand in one program with 'delay'"):
        ops.retry(Chain(ops.delay(1), shop.does("a")), 3)
    assert run(Chain(ops.retry(Chain(ops.delay(1), fails_on()), 3)).collect([1])) == [1]


def test_it_is_known_by_what_it_was_made_of() -> None:
    assert ops.retry(repr, 3) == ops.retry(repr, Retry(3)) != ops.retry(repr, 4)
    assert ops.retry(repr, 3) != ops.saga(repr)
    assert hash(ops.retry(repr, 3)) == hash(ops.retry(repr, 3))
    assert repr(ops.retry(abs, AT_ONCE)) == "retry(Chain(abs), Retry(3, wait=fixed(0)))"
    assert "concurrency=4" in repr(ops.retry(fails_on(), 3, concurrency=4))
