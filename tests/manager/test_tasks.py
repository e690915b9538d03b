"""The vocabulary of tasks: `ChainManager.add_task`, `execute`, `ChainNode(name, dependencies)`, `task_result`."""

import asyncio
from typing import Any

import pytest

from rxchain import Chain, ChainManager, ChainNode, CompositionError, Graph, node
from rxchain.testing import no_leaks, run


def test_three_tasks_in_a_row_give_the_list_of_their_results() -> None:
    manager = ChainManager()
    a = ChainNode("A")
    b = ChainNode("B", ["A"])
    c = ChainNode("C", dependencies=["B"])
    manager.add_task(a)
    manager.add_task(b)
    manager.add_task(c)
    assert manager.execute() == ["Result of A", "Result of B", "Result of C"]


class Named(ChainNode[Any, Any, Any]):
    def task_result(self) -> str:
        return self.name.lower()


@pytest.mark.parametrize("order", ["ABC", "CBA", "BCA"])
def test_tasks_are_added_in_any_order_and_done_behind_those_they_depend_on(order: str) -> None:
    after: dict[str, list[str]] = {"A": [], "B": ["A"], "C": ["B"]}
    manager = ChainManager()
    for name in order:
        manager.add_task(Named(name, after[name]))
    assert manager.execute() == ["a", "b", "c"]


def test_dependencies_are_names_or_the_nodes_themselves() -> None:
    a = Named("A")
    b = Named(name="B", dependencies=a)
    c = Named("C", [a, "B"])
    manager = ChainManager()
    for task in (c, b, a):
        manager.add_task(task)
    assert manager.execute() == ["a", "b", "c"]
    assert (a.dependencies, b.dependencies, c.dependencies) == ((), ("A",), ("A", "B"))


def test_a_task_that_takes_arguments_gets_what_its_dependencies_gave_in_their_order() -> None:
    class Joined(ChainNode[Any, Any, Any]):
        def task_result(self, *results: Any) -> str:
            return f"{self.name}({', '.join(map(str, results))})"

    class Root(ChainNode[Any, Any, Any]):
        def task_result(self, item: Any) -> Any:
            return item

    manager = ChainManager()
    manager.add_task(Root("A"))
    manager.add_task(Named("B"))
    manager.add_task(Joined("C", ["B", "A"]))
    assert manager.execute(7) == [7, "b", "C(b, 7)"]


def test_ties_stand_in_the_order_in_which_they_were_added() -> None:
    manager = ChainManager()
    for task in (Named("Z"), Named("Y"), Named("M", ["Y", "Z"]), Named("A")):
        manager.add_task(task)
    assert manager.execute() == ["z", "y", "m", "a"]


def test_async_tasks_that_do_not_depend_on_each_other_go_on_side_by_side() -> None:
    async def main() -> None:
        manager = ChainManager()
        for task in (Slow("A"), Slow("B", ["A"]), Slow("C", ["A"]), Slow("D", ["B", "C"])):
            manager.add_task(task)
        async with no_leaks():
            assert await manager.execute_async() == ["A", "BA", "CA", "DBACA"]
        assert asyncio.get_running_loop().time() == 3

    class Slow(ChainNode[Any, Any, Any]):
        async def task_result(self, *results: Any) -> str:
            await asyncio.sleep(1)
            return f"{self.name}{''.join(map(str, results))}"

    run(main())


def test_async_tasks_are_executed_from_synchronous_code_and_inside_a_running_loop() -> None:
    class Quick(ChainNode[Any, Any, Any]):
        async def task_result(self) -> str:
            await asyncio.sleep(0)
            return self.name

    manager = ChainManager()
    manager.add_task(Quick("B", ["A"]))
    manager.add_task(Quick("A"))
    with no_leaks():
        assert manager.execute() == ["A", "B"]

    async def inside() -> list[Any]:
        return manager.execute()

    assert asyncio.run(inside()) == ["A", "B"]


def test_execute_does_all_tasks_again() -> None:
    done: list[str] = []

    class Counted(ChainNode[Any, Any, Any]):
        def task_result(self) -> int:
            done.append(self.name)
            return len(done)

    manager = ChainManager()
    manager.add_task(Counted("A"))
    assert (manager.execute(), manager.execute()) == ([1], [2])
    manager.add_task(Counted("B", ["A"]))
    assert manager.execute() == [3, 4]


def test_functions_and_nodes_are_tasks_too_with_their_policies() -> None:
    tries = iter([ConnectionError("down"), "up"])

    @node(after=["A"], retry=2)
    def ask(a: str) -> str:
        answer = next(tries)
        if isinstance(answer, Exception):
            raise answer
        return f"{a} {answer}"

    manager = ChainManager()
    manager.add_task(ask)
    manager.add_task("A")
    assert manager.execute() == ["Result of A", "Result of A up"]
    assert ChainNode("B", ["A"], retry=2).declared["retry"] == 2


def test_a_task_has_its_own_state_and_its_own_constructor() -> None:
    class Adds(ChainNode[Any, Any, Any]):
        def __init__(self, name: str, amount: int, dependencies: Any = None) -> None:
            super().__init__(name, dependencies)
            self.amount = amount

        def task_result(self, before: int = 0) -> int:
            return before + self.amount

    manager = ChainManager()
    manager.add_task(Adds("one", 1))
    manager.add_task(Adds("two", 2, ["one"]))
    assert manager.execute() == [1, 3]


def test_a_task_stands_in_a_chain_and_in_a_graph_as_well() -> None:
    class Doubled(ChainNode[Any, Any, Any]):
        def task_result(self, item: int) -> int:
            return item * 2

    assert Chain(Doubled("double"), Doubled("again")).run_sync(3) == 12
    assert Graph(Doubled("a"), Doubled("b", ["a"]), output="b").run_sync(3) == 12


def test_a_circle_an_unknown_task_and_a_doubled_name_are_refused() -> None:
    manager = ChainManager()
    manager.add_task(ChainNode("A", ["C"]))
    with pytest.raises(CompositionError, match="there is no such node"):
        manager.execute()
    manager.add_task(ChainNode("B", ["A"]))
    manager.add_task(ChainNode("C", ["B"]))
    with pytest.raises(CompositionError, match="nodes depend on one another: A -> C -> B -> A"):
        manager.execute()
    with pytest.raises(CompositionError, match="has a node 'A' already"):
        manager.add_task(ChainNode("A"))


def test_what_is_no_task_says_what_one_is() -> None:
    with pytest.raises(CompositionError, match=r"ChainNode\('charge', \['fetch'\]\)  # correct"):
        ChainNode("A", [3])  # type: ignore[list-item]
    with pytest.raises(CompositionError, match="a task its name"):
        ChainNode()  # type: ignore[call-overload]
    with pytest.raises(CompositionError, match="dependencies are those of a task"):
        ChainNode(str.strip, ["A"])  # type: ignore[call-overload]

    class Wrong(ChainNode[Any, Any, Any]):
        def task_result(self, one: int, two: int) -> int:
            return one + two

    with pytest.raises(CompositionError, match="takes neither"):
        Wrong("A", ["B"])


def test_a_task_that_fails_says_which_it_was() -> None:
    class Fails(ChainNode[Any, Any, Any]):
        def task_result(self) -> str:
            raise ValueError("no")

    manager = ChainManager()
    manager.add_task(Fails("A"))
    with pytest.raises(ValueError, match="no") as found:
        manager.execute()
    assert "in node 'tasks/A'" in "\n".join(found.value.__notes__)


def test_no_tasks_give_no_results() -> None:
    assert ChainManager().execute() == []
