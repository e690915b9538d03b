"""Canaries: who goes through the new node, what is told of both, what becomes of their policies."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, ChainManager, Failure, Graph, node
from rxchain import operators as ops
from rxchain.manager import ManagedChain
from rxchain.manager._canary import position
from rxchain.testing import run


def old(item: int) -> str:
    return f"old {item}"


def new(item: int) -> str:
    return f"new {item}"


async def each_second(count: int) -> AsyncIterator[int]:
    for item in range(count):
        await asyncio.sleep(1)
        yield item


def scored(step: Any = old) -> ManagedChain:
    chain = ChainManager().chain("c")
    chain.add(step, name="score")
    return chain


def test_without_a_key_every_so_many_th_item_goes_through_the_new_node() -> None:
    chain = scored()
    chain.replace("score", new, canary=0.25)
    assert list(chain.iterate(range(8))) == ["old 0", "old 1", "old 2", "new 3", "old 4", "old 5", "old 6", "new 7"]
    report = chain.canary("score")
    assert (report.node, report.declared, report.share) == ("score", 0.25, 0.25)
    assert (report.old.count, report.new.count) == (6, 2)


def test_a_node_of_a_chain_in_it_has_a_canary_as_any_other() -> None:
    chain = ChainManager().chain("c", Chain(node(name="score")(old), name="inner"), str.upper)
    chain.replace("inner/score", new, canary=0.5)
    assert list(chain.iterate(range(4))) == ["OLD 0", "NEW 1", "OLD 2", "NEW 3"]
    assert chain.canary("inner/score").node == "inner/score"
    chain.rename("inner", "outer")
    assert chain.promote("outer/score").new.count == 2
    assert list(chain.iterate(range(2))) == ["NEW 0", "NEW 1"]
    assert chain.paths == ("outer", "outer/score", "upper")


@given(st.floats(0.01, 0.99), st.integers(0, 300))
def test_the_share_of_items_is_what_was_declared_to_one_item(share: float, count: int) -> None:
    chain = scored()
    chain.replace("score", new, canary=share)
    list(chain.iterate(range(count)))
    assert abs(chain.canary("score").new.count - share * count) <= 1


def test_items_of_one_key_go_the_same_way_and_the_share_of_keys_is_about_what_was_declared() -> None:
    chain = scored()
    chain.replace("score", new, canary=0.2, key=lambda item: f"customer {item % 1000}")
    results = list(chain.iterate(range(3000)))
    ways = [result.split()[0] for result in results]
    assert ways[:1000] == ways[1000:2000] == ways[2000:]
    assert 140 < ways[:1000].count("new") < 260
    assert list(scored_again(chain).iterate(range(1000))) == results[:1000]


def scored_again(chain: ManagedChain) -> ManagedChain:
    again = scored()
    again.replace("score", new, canary=0.2, key=lambda item: f"customer {item % 1000}")
    return again


def test_a_key_goes_the_same_way_in_each_process() -> None:
    ask = "from rxchain.manager._canary import position; print(position('score', ('ann', 1)))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) == position("score", ("ann", 1))
    assert position("price", ("ann", 1)) != position("score", ("ann", 1))


def test_a_key_that_is_written_differently_in_each_process_is_an_error_of_its_item() -> None:
    chain = scored()
    chain.replace("score", new, canary=0.5, key=lambda item: object())
    with pytest.raises(TypeError, match="written differently in each process"):
        chain.run_sync(1)


def test_promote_and_roll_back_end_it_and_give_the_last_report() -> None:
    for end, left in (("promote", "new 5"), ("roll_back", "old 5")):
        chain = scored()
        chain.replace("score", new, canary=0.5)
        list(chain.iterate(range(4)))
        report = getattr(chain, end)("score")
        assert (report.old.count, report.new.count) == (2, 2)
        assert chain.run_sync(5) == left
        assert chain.names == ("score",)
        assert chain.chain["score"].name == "score"  # type: ignore[attr-defined]
        assert chain.statistics().edits[-1].what == end.replace("_", " ")


def test_a_canary_that_is_renamed_goes_on_under_its_new_name() -> None:
    chain = scored()
    chain.replace("score", new, canary=0.5)
    list(chain.iterate(range(4)))
    chain.rename("score", "value")
    list(chain.iterate(range(4)))
    report = chain.promote("value")
    assert (report.node, report.old.count, report.new.count) == ("value", 4, 4)
    assert chain.names == ("value",)


def test_a_canary_begins_and_ends_under_load_and_its_numbers_outlive_other_edits() -> None:
    async def slow_old(item: int) -> str:
        await asyncio.sleep(1)
        return f"old {item}"

    async def slow_new(item: int) -> str:
        await asyncio.sleep(3)
        return f"new {item}"

    async def main() -> None:
        chain = scored(slow_old)
        got: list[str] = []
        chain.start(each_second(12), got.append)
        await asyncio.sleep(2.5)
        chain.replace("score", slow_new, canary=0.5)
        await asyncio.sleep(8)
        chain.add(str.upper)
        assert chain.canary("score").new.count
        await chain.join()
        report = chain.canary("score")
        assert [int(one.split()[1]) for one in got] == list(range(12))
        assert (report.old.mean, report.old.p95, report.new.mean, report.new.p95) == (1, 1, 3, 3)
        assert chain.statistics().edits[1].item == 2
        assert (report.old.count, report.new.count) == (5, 5)

    run(main())


def test_both_keep_their_policies_and_failures_are_counted_behind_them() -> None:
    tries: list[int] = []

    @node(retry=3)
    def flaky(item: int) -> str:
        tries.append(item)
        raise ConnectionError("down")

    told: list[Failure] = []
    chain = scored(node(fallback="instead")(flaky.logic))
    chain.replace("score", flaky, canary=0.5)
    assert list(chain.iterate(range(4), on_error=told.append)) == ["instead", "instead"]
    assert tries == [0, 1, 1, 1, 2, 3, 3, 3]
    report = chain.canary("score")
    assert (report.old.count, report.old.failures, report.new.count, report.new.failures) == (2, 0, 2, 2)
    assert [(failure.node, failure.attempts) for failure in told] == [("score", 3), ("score", 3)]
    notes = "\n".join(told[0].error.__notes__)
    assert "in node 'score (canary)'" in notes


def test_what_either_did_is_undone_when_the_item_fails_further_down() -> None:
    undone: list[tuple[str, int]] = []

    async def refund_old(item: int, result: object) -> None:
        undone.append(("old", item))

    async def refund_new(item: int, result: object) -> None:
        undone.append(("new", item))

    def fails(item: object) -> None:
        raise ValueError(item)

    for first, second in ((refund_old, refund_new), (None, refund_new), (refund_old, None)):
        undone.clear()
        chain = scored(node(undo=first)(old) if first else old)
        chain.replace("score", node(undo=second)(new) if second else new, canary=0.5)
        chain.add(fails)
        assert list(chain.iterate(range(4), on_error="skip")) == []
        expected = [("old" if k % 2 == 0 else "new", k) for k in range(4)]
        assert undone == [e for e in expected if (first if e[0] == "old" else second)]


def test_drops_and_chains_and_graphs_may_be_canaries() -> None:
    chain = scored(node(when=lambda item: item % 4 == 0)(old))
    chain.replace("score", Chain(new, ops.flat_map(lambda text: [text, text]), name="twice"), canary=0.5)
    assert list(chain.iterate(range(6))) == ["old 0", "new 1", "new 1", "new 3", "new 3", "old 4", "new 5", "new 5"]
    chain = scored()
    chain.replace("score", Graph(output="b").add("a", new).add("b", lambda a: a + "!"), canary=0.5)
    assert list(chain.iterate(range(2))) == ["old 0", "new 1!"]


@pytest.mark.parametrize(
    ("concurrency", "most"),
    [((4, 4), 4), ((4, 2), 2), ((1, 8), 1)],
)
def test_together_they_work_on_as_many_as_the_more_careful_declares(concurrency: tuple[int, int], most: int) -> None:
    working = 0
    seen: list[int] = []

    async def work(item: int) -> int:
        nonlocal working
        working += 1
        seen.append(working)
        await asyncio.sleep(1)
        working -= 1
        return item

    chain = scored(node(concurrency=concurrency[0])(work))
    chain.replace("score", node(concurrency=concurrency[1])(work), canary=0.5)
    assert run(chain.collect(range(12))) == list(range(12))
    assert max(seen) == most


def test_an_error_handler_declares_for_both() -> None:
    from rxchain import ErrorHandler

    tries: list[int] = []

    def fails(item: int) -> str:
        tries.append(item)
        raise ConnectionError

    chain = scored(fails)
    chain.replace("score", fails, canary=0.5)
    assert list(chain.iterate([1, 2], on_error=ErrorHandler(retry=3))) == []
    assert tries == [1, 1, 1, 2, 2, 2]
    assert chain.canary("score").new.failures == 1
