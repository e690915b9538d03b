"""Graphs: what nodes are called with, in which order they run, what is skipped, what a wrong one says."""

import asyncio
import io
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
import reactivex

from rxchain import Chain, CompositionError, DeadLetters, Graph, PreconditionFailed, Retry, node
from rxchain import operators as ops
from rxchain.testing import no_leaks, run

# --- what a node is called with


def test_parameters_name_what_a_node_depends_on_and_item_is_the_item() -> None:
    graph = Graph(name="offer")

    @graph.node
    def offer(price: int, discount: int, item: str) -> str:
        return f"{item}: {price - discount}"

    @graph.node
    def discount(price: int) -> int:
        return price // 10

    graph.add("price", lambda text: len(text) * 10)
    assert graph.run_sync("tea") == {"price": 30, "discount": 3, "offer": "tea: 27"}
    assert graph.after == {"price": (), "discount": ("price",), "offer": ("price", "discount")}


def test_after_gives_the_results_in_its_order_whatever_the_parameters_are_called() -> None:
    graph = Graph(output="c").add("a", lambda x: x + 1).add("b", lambda x: x * 2, after="a")
    graph.add("c", lambda x, y: (x, y), after=["b", "a"])
    assert graph.run_sync(1) == (4, 2)


def test_after_may_be_no_more_than_an_order() -> None:
    seen: list[str] = []

    def store(item: int) -> None:
        seen.append(f"store {item}")

    def tell(item: int) -> int:
        seen.append(f"tell {item}")
        return item

    assert Graph(output="tell").add(tell, after=["store"]).add(store).run_sync(7) == 7
    assert seen == ["store 7", "tell 7"]


def test_a_name_in_after_that_is_a_parameter_too_is_that_parameter() -> None:
    graph = Graph(output="c").add("a", lambda x: "a").add("b", lambda x: "b")
    graph.add("c", lambda b, a: b + a, after=["a", "b"])
    assert graph.run_sync(0) == "ba"


def test_nodes_keep_what_they_declare() -> None:
    tries: Any = iter([ConnectionError("down"), 3])

    @node(retry=Retry(2, wait=0), after=["number"], name="asked")
    def ask(x: int) -> int:
        answer: int | Exception = next(tries)
        if isinstance(answer, Exception):
            raise answer
        return answer + x

    graph = Graph(ask, output="asked").add("number", int)
    assert graph.run_sync("4") == 7


def test_what_is_added_later_is_not_in_a_chain_that_was_made_before() -> None:
    graph = Graph(output="a").add("a", lambda x: x + 1)
    before = Chain(graph)
    graph.add("b", lambda a: a * 10)
    graph.output = "b"
    assert (before.run_sync(1), Chain(graph).run_sync(1), graph.run_sync(1)) == (2, 20, 20)


# --- skipping


def small(x: int) -> bool:
    return x < 10


def test_a_skipped_branch_skips_what_only_it_feeds_and_a_default_stands_in_for_it() -> None:
    graph = Graph()
    graph.add("x", lambda item: item)
    graph.add("cheap", lambda x: -x, when=small)
    graph.add("behind", lambda cheap: cheap * 2)
    graph.add("needs", lambda x, behind: (x, behind))
    graph.add("takes", lambda x, behind=None: (x, behind))
    graph.add("fed_by_it", lambda cheap=0, behind=0: cheap + behind)
    assert graph.run_sync(1) == {
        "x": 1,
        "cheap": -1,
        "behind": -2,
        "needs": (1, -2),
        "takes": (1, -2),
        "fed_by_it": -3,
    }
    assert graph.run_sync(10) == {"x": 10, "takes": (10, None)}


def test_an_item_whose_output_is_skipped_is_dropped() -> None:
    graph = Graph(output="small").add("small", lambda x: x, when=small)
    assert list(graph.iterate([1, 20, 3])) == [1, 3]


def test_refusing_may_pass_or_fail() -> None:
    passes = Graph(output="a").add("a", lambda x: -x, when=small, refuse="pass")
    assert list(passes.iterate([1, 20])) == [-1, 20]
    with pytest.raises(PreconditionFailed, match="node 'a'"):
        Graph().add("a", lambda x: -x, when=small, refuse="fail").run_sync(10)


def test_postprocessing_comes_before_anybody_sees_the_result() -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(1)
        return x

    async def tenfold(_: object, result: Any) -> Any:
        await asyncio.sleep(1)
        return result * 10

    graph = Graph(output="c").add("a", later, then=tenfold).add("b", later).add("c", lambda a, b: (a, b))
    assert run(graph.run(1)) == (10, 1)


# --- as an operator


def test_a_graph_stands_in_a_chain_and_on_an_observable() -> None:
    graph = Graph(output="b").add("a", lambda x: x + 1).add("b", lambda a: a * 2)
    assert list(Chain(str.strip, ops.map(int), graph, repr).iterate([" 1"])) == ["4"]
    assert (ops.map(int) | graph).run_sync("1") == 4
    seen: list[int] = []
    reactivex.from_iterable([1, 2]).pipe(Chain(graph)).subscribe(seen.append)
    assert seen == [4, 6]


def test_several_items_go_through_it_at_once_if_it_says_so() -> None:
    async def main(concurrency: int) -> float:
        async def slow(x: int) -> int:
            await asyncio.sleep(1)
            return x

        graph = Graph(concurrency=concurrency, output="b").add("a", slow).add("b", lambda a: a)
        assert await graph.collect(range(8)) == list(range(8))
        return asyncio.get_running_loop().time()

    assert [run(main(n)) for n in (1, 4, 8)] == [8, 2, 1]


def test_a_failure_names_the_node_and_the_graph() -> None:
    def fails(price: int) -> int:
        raise ValueError("no")

    graph = Graph(name="offer").add("price", int).add("discount", fails)
    letters: list[Any] = []
    with pytest.raises(ValueError, match="no") as caught:
        graph.run_sync("3")
    assert caught.value.__notes__ == ["in node 'offer/discount', with item '3'"]
    assert list(Chain(graph, name="orders").iterate("3", on_error=DeadLetters(letters))) == []
    assert [(letter.node, letter.item, letter.value) for letter in letters] == [("offer/discount", "3", "3")]


# --- side by side

current: ContextVar[int] = ContextVar("current", default=-1)


def waits(seconds: float, log: list[str], name: str, fails: bool = False) -> Callable[[Any], Any]:
    async def work(item: Any) -> Any:
        log.append(f"+{name}")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            log.append(f"!{name}")
            raise
        log.append(f"-{name}")
        if fails:
            raise ValueError(name)
        return name

    return work


def test_branches_go_side_by_side_when_one_waits() -> None:
    async def main(sequential: bool) -> tuple[list[str], float]:
        log: list[str] = []
        graph = Graph(sequential=sequential)
        graph.add("a", waits(1, log, "a")).add("b", waits(2, log, "b")).add("c", waits(3, log, "c"))
        graph.add("d", waits(1, log, "d"), after=["a"]).add("e", lambda b, c, d: b + c + d)
        async with no_leaks():
            assert (await graph.run(0))["e"] == "bcd"
        return log, asyncio.get_running_loop().time()

    log, seconds = run(main(False))
    assert seconds == 3
    assert log[:3] == ["+a", "+b", "+c"]
    assert log.index("+d") > log.index("-a")
    assert run(main(True))[1] == 7


@pytest.mark.parametrize("failing", ["a", "b", "c"])
def test_when_one_branch_fails_its_siblings_are_cancelled_and_awaited(failing: str) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        graph = Graph(name="g")
        for name in "abc":
            graph.add(name, waits(1 if name == failing else 5, log, name, fails=name == failing))
        graph.add("last", lambda a, b, c: None)
        async with no_leaks():
            with pytest.raises(ValueError, match=failing) as caught:
                await graph.run(0)
        assert caught.value.__notes__ == [f"in node 'g/{failing}', with item 0"]
        assert asyncio.get_running_loop().time() == 1
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return log

    log = run(main())
    assert sorted(entry for entry in log if entry[0] == "!") == sorted(f"!{n}" for n in "abc" if n != failing)


def test_cancelling_the_item_cancels_all_branches() -> None:
    async def main() -> list[str]:
        log: list[str] = []
        graph = Graph().add("a", waits(5, log, "a")).add("b", waits(5, log, "b"))
        async with no_leaks():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await graph.run(0)
        return log

    assert sorted(run(main())) == ["!a", "!b", "+a", "+b"]


def test_each_branch_has_the_context_of_its_own_item() -> None:
    @node(concurrency=4)
    async def mark(item: int) -> int:
        await asyncio.sleep(1)
        current.set(item)
        return item

    async def read(item: int) -> tuple[int, int]:
        found = current.get()
        await asyncio.sleep(1)
        return found, current.get()

    chain = Chain(mark, Graph(concurrency=4).add("a", read).add("b", read))
    assert run(chain.collect(range(8))) == [{"a": (n, n), "b": (n, n)} for n in range(8)]


def test_what_the_nodes_did_is_undone_the_last_first_when_one_fails() -> None:
    async def main() -> list[str]:
        undone: list[str] = []
        log: list[str] = []

        def undo(name: str) -> Callable[[Any], None]:
            return lambda item: undone.append(name)

        graph = Graph()
        graph.add("a", waits(1, log, "a"), undo=undo("a")).add("b", waits(2, log, "b"), undo=undo("b"))
        graph.add("c", waits(1, log, "c"), after=["a"], undo=undo("c"))

        async def fails(b: str, c: str) -> None:
            await asyncio.sleep(1)
            raise ValueError(b + c)

        graph.add("d", fails, undo=undo("d"))
        with pytest.raises(ValueError, match="bc") as caught:
            await graph.run(0)
        assert "undone: 'd', 'c', 'b', 'a'" in caught.value.__notes__
        return undone

    assert run(main()) == ["d", "c", "b", "a"]


def test_what_they_did_is_undone_when_a_step_behind_the_graph_fails() -> None:
    undone: list[int] = []

    async def take(x: int) -> int:
        return x + 1

    def refuse(results: dict[str, int]) -> None:
        raise ValueError(f"no {results}")

    graph = Graph().add("a", take, undo=undone.append).add("b", take, after=["a"], undo=undone.append)
    with pytest.raises(ValueError, match=r"no .'a': 2, 'b': 3"):
        run(Chain(graph, refuse).run(1))
    assert undone == [2, 1]


# --- what is wrong

WRONG: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: Graph().after, ["has no nodes", "Graph().add("]),
    (
        lambda: Graph().add("a", lambda c: 1).add("b", lambda a: 1).add("c", lambda b: 1).after,
        ["a -> c -> b -> a", "# incorrect"],
    ),
    (lambda: Graph().add("a", lambda item, a: 1).after, ["'a' depends on 'a'"]),
    (lambda: Graph().add("price", int).add("b", lambda price, stok: 1).add("stock", int).after, ["'stok'", "stock"]),
    (lambda: Graph().add("a", int).add("b", int, after=["aa"]).after, ["'b' depends on 'aa'", "after=['a']"]),
    (lambda: Graph().add("a", int).add("b", lambda x, y: 1, after=["a"]).after, ["1 others", "takes 2"]),
    (lambda: Graph().add("a", int).add("a", str), ["has a node 'a' already"]),
    (lambda: Graph().add("a"), ["with its function, got a str"]),
    (lambda: Graph().add("a", 3), ["a name and a function"]),  # type: ignore[arg-type]
    (lambda: Graph(output="b").add("a", int).after, ["its output is 'b'", "'a'", "output='a'"]),
    (
        lambda: Graph(output="b").add("a", int).add("b", int, after=["a"]).add("c", int).after,
        ["'b' does not come after 'c'", "after=['a', 'c']"],
    ),
    (lambda: Graph().add("a", lambda x: 1, concurrency=2).after, ["no async function"]),
    (lambda: Graph().add("a", asyncio.sleep, concurrency=2).after, ["as a whole", "Graph(concurrency=2)"]),
]


@pytest.mark.parametrize(("make", "says"), WRONG)
def test_a_wrong_graph_says_what_is_right(make: Callable[[], Any], says: list[str]) -> None:
    with pytest.raises(CompositionError) as caught:
        make()
    for text in says:
        assert text in str(caught.value)


def test_a_generator_is_no_node_of_a_graph() -> None:
    def many(x: int) -> Any:
        yield x

    with pytest.raises(CompositionError, match="is a generator"):
        Graph(many).run_sync(1)


def test_it_is_drawn_and_explained() -> None:
    graph = Graph(name="g").add("a", asyncio.sleep).add("b", asyncio.sleep).add("c", lambda a, b: 1)
    assert graph.to_mermaid() == (
        'flowchart LR\n    n0(["a"])\n    n1(["b"])\n    n2(["c"])\n    n0 --> n2\n    n1 --> n2\n'
    )
    text = io.StringIO()
    graph.explain(text)
    assert text.getvalue().startswith("# graph 'g': a, b, c; side by side where they wait\n")
    assert repr(graph) == "Graph(a, b, c, name='g')"
    assert (list(graph), "a" in graph, len(graph)) == (["a", "b", "c"], True, 3)
