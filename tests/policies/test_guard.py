"""A node's policies go around its function in one fixed order, and say so when they cannot."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rxchain import Chain, CircuitBreaker, CompositionError, Fallback, Retry, node
from rxchain import operators as ops
from rxchain.policies import Bulkhead, Hedge, RateLimit, Timeout, guarded
from rxchain.testing import no_leaks, run


def traced(kind: type, key: str, log: list[str], **made: Any) -> Any:
    """A policy of its kind that only says when it is entered and left."""

    class Traced(kind):  # type: ignore[misc]
        inlined = False

        def __init__(self) -> None:
            """Nothing of what it really is."""

        def around(self, fn: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
            async def call(item: Any) -> Any:
                log.append(f"{key}(")
                try:
                    return await fn(item)
                finally:
                    log.append(f"){key}")

            return call

    return Traced()


LAYERS = {
    "timeout": Timeout,
    "rate_limit": RateLimit,
    "hedge": Hedge,
    "retry": None,
    "item_timeout": Timeout,
    "breaker": CircuitBreaker,
    "bulkhead": Bulkhead,
}
"""From the innermost."""


def test_the_layers_stand_in_one_order_whatever_order_they_are_declared_in() -> None:
    log: list[str] = []
    tries = iter([True, False])

    async def fetch(item: int) -> int:
        log.append("fetch")
        if next(tries):
            raise ConnectionError
        return item

    policies: dict[str, Any] = {key: traced(kind, key, log) for key, kind in LAYERS.items() if kind is not None}
    retry = Retry(2, wait=0)
    for given in (policies, dict(reversed(policies.items()))):
        log.clear()
        tries = iter([True, False])
        assert run(Chain(node(retry=retry, **given)(fetch)).run(7)) == 7
        inside = ["hedge(", "rate_limit(", "timeout(", "fetch", ")timeout", ")rate_limit", ")hedge"]
        outside = ["bulkhead(", "breaker(", "item_timeout("]
        assert log == [*outside, *inside, *inside, ")item_timeout", ")breaker", ")bulkhead"]


def test_the_fallback_is_outermost_and_is_for_what_any_layer_raises() -> None:
    log: list[str] = []

    async def fetch(item: int) -> int:
        await asyncio.sleep(10)
        return item

    def instead(item: int, error: Exception) -> str:
        log.append(type(error).__name__)
        return "late"

    given: dict[str, Any] = {"timeout": 1, "retry": Retry(5, wait=0), "item_timeout": 3, "fallback": instead}
    guarded_fetch = node(bulkhead=Bulkhead("of a fallback", 1), **given)(fetch)

    async def main() -> None:
        async with no_leaks():
            assert await Chain(guarded_fetch).run(1) == "late"
            assert asyncio.get_running_loop().time() == 3

    run(main())
    assert log == ["TimeoutError"]


def test_a_timeout_is_for_each_attempt_and_item_timeout_for_all() -> None:
    starts: list[float] = []

    async def fetch(item: int) -> int:
        starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(10 if len(starts) < 3 else 0)
        return item

    assert run(Chain(node(retry=Retry(3, wait=1), timeout=2)(fetch)).run(1)) == 1
    assert starts == [0, 3, 6]
    starts.clear()
    with pytest.raises(TimeoutError):
        run(Chain(node(retry=Retry(3, wait=1), timeout=2, item_timeout=5)(fetch)).run(1))
    assert starts == [0, 3]


def test_a_breaker_counts_items_not_attempts() -> None:
    breaker = CircuitBreaker("service of test_guard", failures=2)
    calls: list[int] = []

    async def fetch(item: int) -> int:
        calls.append(item)
        raise ConnectionError

    chain = Chain(node(breaker=breaker, retry=Retry(3, wait=0))(fetch), window=1)
    assert run(chain.collect([1, 2, 3], on_error="skip")) == []
    assert calls == [1, 1, 1, 2, 2, 2]  # for the third it is open


@pytest.mark.parametrize("refuse", ["drop", "pass"])
def test_they_guard_the_logic_not_what_stands_around_it(refuse: Any) -> None:
    calls: list[str] = []

    def when(item: int) -> bool:
        calls.append("when")
        raise ValueError("when")

    chain = Chain(node(when=when, refuse=refuse, retry=Retry(3, wait=0), fallback=0)(lambda item: item))
    with pytest.raises(ValueError, match="when"):
        chain.run_sync(1)

    def then(item: int, result: int) -> int:
        calls.append("then")
        raise ValueError("then")

    with pytest.raises(ValueError, match="then"):
        Chain(node(then=then, retry=Retry(3, wait=0), fallback=0)(lambda item: item)).run_sync(1)
    assert calls == ["when", "then"]


def test_retry_and_fallback_alone_leave_a_plain_chain_plain() -> None:
    chain = Chain(node(retry=Retry(2, wait=0), fallback=0)(int))
    assert not chain.is_async
    assert list(chain.iterate(["1", "x"])) == [1, 0]
    assert chain.program().count("try:") == 3
    bare = Chain(ops.map(int)).program()
    assert "recover" not in bare


def test_a_wait_makes_it_asynchronous() -> None:
    assert Chain(node(retry=Retry(2, wait=1))(int)).is_async
    assert Chain(node(retry=2)(int)).is_async


def test_what_a_policy_of_a_plain_function_is_lifted_over() -> None:
    chain = Chain(node(bulkhead=Bulkhead("of plain functions", 2), breaker=CircuitBreaker("of plain functions"))(int))
    assert run(chain.collect(["1", "2"])) == [1, 2]


# --- what cannot be declared


@pytest.mark.parametrize("key", ["timeout", "item_timeout", "hedge"])
def test_what_interrupts_is_for_what_waits(key: str) -> None:
    given: dict[str, Any] = {key: 1}
    with pytest.raises(CompositionError, match=f'{key} is for functions that wait(?s:.*)on="threads"'):
        node(**given)(int)
    assert Chain(node(**given, on="threads")(int)).is_async


@pytest.mark.parametrize("key", ["retry", "timeout", "hedge", "breaker", "bulkhead", "fallback"])
def test_a_generators_items_cannot_be_taken_back(key: str) -> None:
    made: dict[str, Any] = {"breaker": CircuitBreaker("of generators"), "bulkhead": Bulkhead("of generators", 1)}
    given: dict[str, Any] = {key: made.get(key, 1)}

    async def several(item: int) -> Any:
        yield item

    with pytest.raises(CompositionError, match=rf"a generator takes no {key}(?s:.*)ops.retry\(several, 3\)"):
        node(**given)(several)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("retry", "3"),
        ("retry", True),
        ("timeout", "soon"),
        ("timeout", True),
        ("item_timeout", object()),
        ("hedge", "x"),
        ("rate_limit", 100),
        ("breaker", "service"),
        ("bulkhead", 8),
    ],
)
def test_a_policy_that_is_none_shows_one_that_is(key: str, value: Any) -> None:
    given: dict[str, Any] = {key: value}
    with pytest.raises(CompositionError, match=rf"node 'fetch': {key} is a (?s:.*)\n    @node\({key}=.*# correct"):

        @node(**given)
        async def fetch(item: int) -> int:
            return item


def test_a_parameter_that_there_is_not() -> None:
    given: dict[str, Any] = {"retries": 3}
    with pytest.raises(CompositionError, match="node has no parameter 'retries'; it takes name, when"):
        node(**given)(int)


def test_none_is_nothing_but_for_a_fallback_whose_result_it_is() -> None:
    plain = node(retry=None, timeout=None, breaker=None, undo=None)(int)
    assert guarded(int, "int", False, {"retry": None}) == (int, None)
    assert list(Chain(plain).iterate(["1"])) == [1]
    assert list(Chain(node(fallback=None)(int)).iterate(["x"])) == [None]


# --- on threads


def test_on_threads_with_policies_it_is_one_at_a_time_in_order() -> None:
    inside: list[int] = []
    most: list[int] = []
    tries: dict[int, int] = {}

    def render(item: int) -> int:
        inside.append(item)
        most.append(len(inside))
        tries[item] = tries.get(item, 0) + 1
        try:
            if item % 3 == 0 and tries[item] == 1:
                raise ConnectionError(item)
            return item * 10
        finally:
            inside.remove(item)

    chain = Chain(node(on="threads", retry=Retry(2, wait=0), timeout=30, fallback=-1)(render))
    assert asyncio.run(chain.collect(range(12))) == [item * 10 for item in range(12)]
    assert max(most) == 1
    assert [tries[item] for item in range(4)] == [2, 1, 1, 2]


def test_on_threads_with_concurrency_several_at_once() -> None:
    chain = Chain(node(on="threads", retry=Retry(2, wait=0), fallback=-1, concurrency=4)(int))
    assert asyncio.run(chain.collect(["1", "x", "3", "4"])) == [1, -1, 3, 4]


# --- as values


def test_nodes_with_equal_declarations_are_equal() -> None:
    async def fetch(item: int) -> int:
        return item

    def made(**given: Any) -> Any:
        return node(**given)(fetch)

    assert made(retry=Retry(3)) == made(retry=Retry(3))
    assert hash(made(retry=Retry(3))) == hash(made(retry=Retry(3)))
    assert made(retry=Retry(3)) != made(retry=Retry(4)) != made(timeout=1)
    assert made(fallback=Fallback(0, on=OSError)) == made(fallback=Fallback(0, on=OSError))
    assert made(fallback=Fallback(0, on=OSError)) != made(fallback=Fallback(0))
    assert Chain(made(retry=2)) == Chain(made(retry=2)) != Chain(made())


def test_having_adds_what_is_not_declared_and_keeps_what_the_function_says_of_itself() -> None:
    @node(retry=Retry(7), name="get", concurrency=3)
    async def fetch(item: int) -> int:
        """Get it."""
        return item

    more = fetch.having(retry=Retry(2), timeout=1.0)
    assert dict(more.declared) == {"retry": Retry(7), "name": "get", "concurrency": 3, "timeout": 1.0}
    assert more.name == "get"
    assert more.__doc__ == "Get it."
    assert more.__name__ == "fetch"  # type: ignore[attr-defined]
    assert more.gate == fetch.gate
    assert fetch.having(retry=1) is fetch
    assert more.without("timeout") == fetch
    assert fetch.without("timeout") is fetch
    assert run(Chain(more).run(1)) == 1
    assert more(3).close() is None  # called itself it is the function


def test_a_chains_nodes_have_it_all_those_of_chains_in_it_and_of_parts_too() -> None:
    calls: list[str] = []

    def failing(name: str) -> Any:
        def work(item: int) -> int:
            calls.append(name)
            if calls.count(name) % 2:
                raise ConnectionError(name)
            return item

        work.__name__ = name
        return work

    chain = Chain(
        failing("a"),
        Chain(failing("b"), name="inner"),
        Chain(ops.map(abs), name="without"),
        ops.catch(Chain(failing("c")), -1),
        ops.saga(failing("d")),
        node(retry=1)(failing("e")),
    )
    retried = chain.retry(Retry(2, wait=0))
    with pytest.raises(ConnectionError, match="e"):
        retried.run_sync(1)
    assert calls == ["a", "a", "b", "b", "c", "c", "d", "d", "e"]
    assert chain != retried
    assert chain.retry(Retry(2, wait=0)) == retried
    assert [repr(step) for step in retried] == [repr(step) for step in chain]


def test_a_chain_without_nodes_cannot_have_it() -> None:
    with pytest.raises(CompositionError, match="has no node that could have retry"):
        Chain(ops.map(int), ops.saga(ops.map(str))).retry(3)


def test_a_generator_in_the_chain_cannot_have_it_and_says_so() -> None:
    def several(item: int) -> Any:
        yield item

    with pytest.raises(CompositionError, match="node 'several': its items cannot be taken back"):
        Chain(several).retry(3)


# --- what is seen of it


def test_explain_shows_a_try_and_a_traceback_the_node() -> None:
    @node(retry=Retry(2, wait=0), fallback=Fallback(0, on=KeyError))
    def parse(text: str) -> int:
        return int(text)

    chain = Chain(parse, name="lines")
    program = chain.program()
    assert "node0_result = parse(x0)" in program
    assert "except Exception as node0_error:" in program
    with pytest.raises(ValueError, match="'x'") as raised:
        chain.run_sync("x")
    assert raised.value.__notes__[-1] == "in node 'parse' of chain 'lines', with item 'x'"
    assert [note[:14] for note in raised.value.__notes__[:2]] == ["attempt 1 of 2", "attempt 2 of 2"]
