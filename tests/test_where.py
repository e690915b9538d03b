"""Nodes with ``on=``, ``concurrency=``, ``by=`` in a chain: where they run, what shares a hop, what an error names."""

import asyncio
import io
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rxchain import Chain, CompositionError, Failure, node
from rxchain import operators as ops
from rxchain.schedulers import Threads

wrong: Any = SimpleNamespace(node=node, map=ops.map, Chain=Chain)
"""What follows is wrong on purpose, and a type checker would say so first."""


def here(item: int) -> tuple[int, str]:
    return item, threading.current_thread().name


def number(text: str) -> int:
    return int(text)


def below(limit: int) -> Callable[[int], int]:
    def check(item: int) -> int:
        if item >= limit:
            raise ValueError(f"{item} is not below {limit}")
        return item

    return check


def explained(chain: Chain[Any, Any]) -> str:
    text = io.StringIO()
    chain.explain(text)
    return text.getvalue()


def test_a_node_runs_where_it_says_and_called_itself_it_is_the_function() -> None:
    with Threads(2, name="mine") as pool:
        placed = node(on=pool)(here)
        assert placed(1) == (1, threading.current_thread().name)
        chain: Chain[int, Any] = Chain(placed)
        assert chain.is_async
        for found in (asyncio.run(chain.collect([1, 2])), list(chain.iterate([1, 2])), [chain.run_sync(1)]):
            assert [item for item, _ in found] == [1, 2][: len(found)]
            assert all("mine" in name for _, name in found)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_in_threads_the_order_holds_and_no_more_run_than_declared(concurrency: int) -> None:
    running = most = 0
    begun: list[int] = []
    lock = threading.Lock()
    met = threading.Barrier(concurrency)

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            begun.append(item)
        met.wait(5)  # passes only when as many run at once as are declared
        with lock:
            running -= 1
        return item

    with Threads(8) as pool:
        chain = Chain(node(on=pool, concurrency=concurrency)(work))
        assert asyncio.run(chain.collect(range(16))) == list(range(16))
    assert most == concurrency
    assert sorted(begun) == list(range(16))
    if concurrency == 1:
        assert begun == list(range(16))


def test_nodes_in_a_row_on_one_pool_share_a_hop_and_an_error_names_the_one_that_failed() -> None:
    with Threads(2) as pool:
        first, second = node(on=pool)(number), node(on=pool, name="small")(below(3))
        chain = Chain(first, second, name="c")
        assert "# number and small share one hop" in explained(chain)
        with pytest.raises(ValueError, match="3 is not below 3") as caught:
            asyncio.run(chain.collect("13"))
        assert "in node 'small' of chain 'c', with item 3" in caught.value.__notes__
        with pytest.raises(ValueError, match="invalid literal") as caught:
            chain.run_sync("x")
        assert "in node 'number' of chain 'c', with item 'x'" in caught.value.__notes__
        failures: list[Failure] = []
        assert asyncio.run(chain.collect("1x52", on_error=failures.append)) == [1, 2]
        assert [(f.node, f.item, f.value) for f in failures] == [("number", "x", "x"), ("small", "5", 5)]


def test_the_next_item_is_there_when_a_thread_is_done_with_one_however_busy_the_loop_is() -> None:
    held, begun = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item == 0:
            held.wait(5)
        else:
            begun.set()
        return item

    async def main() -> list[int]:
        def hold() -> None:
            held.set()
            assert begun.wait(5), "the second item has not been handed over with the first"

        collecting = asyncio.ensure_future(Chain(node(on=pool)(work)).collect(range(2)))
        for _ in range(20):  # by now both have been handed over
            await asyncio.sleep(0)
        hold()
        return await collecting

    with Threads(1) as pool:
        assert asyncio.run(main()) == [0, 1]


def test_only_bare_nodes_on_the_same_pool_share_one() -> None:
    with Threads(1) as pool, Threads(1) as other:
        plain = node(on=pool)(number)
        for behind in (
            node(on=other)(below(3)),
            node(on=pool, when=bool)(below(3)),
            node(on=pool, concurrency=2)(below(3)),
            node(below(3)),
        ):
            chain = Chain(plain, behind)
            assert "share one hop" not in explained(chain)
            assert asyncio.run(chain.collect("12")) == [1, 2]


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: wrong.node(on="thread")(number), ["'number'", "'thread'", "'threads'  "]),
        (lambda: wrong.node(on="processes")(lambda item: item), ["'<lambda>'", "incorrect"]),
        (lambda: wrong.node(concurrency=0)(asyncio.sleep), ["concurrency is a number of items", "got 0", "# correct"]),
        (lambda: wrong.node(concurrency=True)(asyncio.sleep), ["got True"]),
        (lambda: wrong.node(concurrency=2)(number), ["node 'number'", "no async function"]),
        (lambda: wrong.map(number, concurrency=2), ["ops.map", "no async function"]),
        (lambda: wrong.map(asyncio.sleep, concurrency=2, by="customer"), ["by is a plain function", "'customer'"]),
        (lambda: wrong.map(asyncio.sleep, by=abs), ["concurrency is 1", "by=key, concurrency=8"]),
        (lambda: wrong.map(asyncio.sleep, concurrency=2, ordered="no"), ["ordered is True or False"]),
        (lambda: wrong.Chain(number, window=0), ["window is a number of items", "window=16"]),
        (lambda: wrong.Chain(number, overflow="drop"), ["overflow is one of 'error', 'block'", "got 'drop'"]),
    ],
)
def test_a_wrong_declaration_fails_at_once_and_shows_the_right_line(declare: Any, says: list[str]) -> None:
    with pytest.raises(CompositionError) as caught:
        declare()
    for text in says:
        assert text.strip() in str(caught.value)


def test_explain_says_what_may_be_held_back_by_what() -> None:
    chain = Chain(
        ops.map(asyncio.sleep, concurrency=8),
        ops.map(asyncio.sleep, concurrency=4, by=repr),
        ops.map(asyncio.sleep, ordered=True),
    )
    text = explained(chain)
    assert "# window 24: so many items at most are in flight" in text
    assert (
        "# map works on up to 8 at once; results keep the items' order: a slow one holds back those behind it" in text
    )
    assert "# map works on up to 4 at once, one of each key (repr); results go on as they are ready" in text
    assert text.count("works on") == 3, "and what is said of all"
    assert "# window 1: one item after the other" in explained(Chain(asyncio.sleep, window=1))


def test_the_window_of_the_whole_is_its_own_or_the_smallest_that_was_promised() -> None:
    inner = Chain(asyncio.sleep, window=3)
    assert Chain(inner, Chain(asyncio.sleep, window=5)).execution.window == 3
    assert Chain(inner, asyncio.sleep, window=9).execution.window == 9
    assert Chain(asyncio.sleep).execution.window == 16
    assert Chain(ops.map(asyncio.sleep, concurrency=20)).execution.window == 40
    assert inner != Chain(asyncio.sleep)
    assert repr(inner) == "Chain(sleep, window=3)"
