"""Graphs: nodes with named dependencies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Hashable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Unpack

from rxchain.engine import (
    Applied,
    Colour,
    Operator,
    SharedHop,
    Step,
    a_kind_of,
    colour,
    declared_gate,
    effects,
    name_of,
    operator,
    shorten,
)
from rxchain.errors import CompositionError
from rxchain.graph._inputs import inputs_of
from rxchain.graph._order import in_order
from rxchain.graph._program import SKIPPED, GraphProgram, Placed
from rxchain.node import ChainNode
from rxchain.types import AnyIterable

if TYPE_CHECKING:
    from rxchain.chain import Chain
    from rxchain.policies import Declared


class Graph(Operator[Any, Any]):
    """Nodes with dependencies, run for each item: each node once, behind those that it depends on.

    What a node depends on is what its parameters are called: ``def score(price, stock)`` comes after the nodes
    ``price`` and ``stock``, and is called with their results. Or it says so, ``after=["price", "stock"]``, and gets
    them in that order. A parameter called ``item`` is the item itself, as is the only one of a node that depends on
    nothing.

    >>> from rxchain import Graph
    >>> graph = Graph(name="offer", output="offer")
    >>> graph.add("price", lambda order: order["pieces"] * 3)
    Graph(price, name='offer', output='offer')
    >>> @graph.node
    ... def discount(price):
    ...     return price // 10
    >>> @graph.node
    ... def offer(price, discount, item):
    ...     return f"{item['name']}: {price - discount}"
    >>> graph.run_sync({"name": "tea", "pieces": 10})
    'tea: 27'

    Async nodes that depend neither way on each other go on side by side, when one is found waiting. If one fails, its
    siblings are cancelled and awaited, and what the nodes did is undone, the last first. A node whose ``when=`` drops
    the item is skipped, and with it all that only it feeds: what depends on others besides takes the default of its
    parameter; without one it is skipped, too.

    Args:
        nodes: functions or nodes, as `add` takes them, in any order.
        name: the graph's name, in error notes and drawings.
        output: the node whose result is the graph's, and comes after all others; without it that is a dict of all
            results by node, without those that were skipped. An item whose output was skipped is dropped.
        sequential: whether nodes run one after the other, also where they need not.
        concurrency: how many items it may work on at once; *ordered*, *by*: as in ``@node``.
    """

    __slots__ = ("_chain", "_nodes", "by", "concurrency", "name", "ordered", "output", "sequential")

    def __init__(
        self,
        *nodes: Callable[..., Any],
        name: str | None = None,
        output: str | None = None,
        sequential: bool = False,
        concurrency: int = 1,
        ordered: bool | None = None,
        by: Callable[[Any], Hashable] | None = None,
    ) -> None:
        self.name, self.output, self.sequential = name, output, sequential
        self.concurrency, self.ordered, self.by = concurrency, ordered, by
        self._nodes: dict[str, tuple[Callable[..., Any], tuple[str, ...] | None, dict[str, Any]]] = {}
        self._chain: Chain[Any, Any] | None = None
        for node in nodes:
            self.add(node)

    # --- making it

    def add(
        self,
        name: str | Callable[..., Any],
        fn: Callable[..., Any] | None = None,
        *,
        after: Sequence[str] | str | None = None,
        **declared: Any,
    ) -> Graph:
        """Add a node; gives the graph itself.

        What already uses the graph goes on with the nodes that there were.

        Args:
            name: the node's; or its function or `ChainNode`, whose name it then has.
            fn: its function, sync or async, or a `ChainNode`.
            after: the nodes that it depends on, if its parameters' names do not say that.
            declared: what ``@node`` takes. With several inputs, what is said of *the item* there is the tuple of them.

        Raises:
            CompositionError: the name is taken, or the function is none that a node may have.
        """
        if fn is None:
            if not callable(name):
                raise CompositionError(
                    f"a node is added with its function, got {a_kind_of(name)}: {shorten(name, 40)}\n"
                    f"    graph.add({shorten(name, 30)})  # incorrect\n"
                    f"    graph.add({shorten(name, 30)}, function)  # correct"
                )
            fn, name = name, name.name if isinstance(name, ChainNode) else name_of(name)
        if not isinstance(name, str) or not callable(fn):
            raise CompositionError(
                f"graph.add is given a name and a function, got {shorten(name, 40)} and {shorten(fn, 40)}\n"
                "    graph.add(price, after=['fetch'])  # correct; or graph.add('price', function, after=['fetch'])"
            )
        if name in self._nodes:
            raise CompositionError(
                f"{self._shown} has a node {name!r} already\n"
                f"    graph.add({name!r}, ...)  # incorrect, twice\n"
                f"    graph.add({name + '_again'!r}, {name_of(fn)})  # correct"
            )
        if isinstance(fn, ChainNode):
            declared = {**fn.declared, **declared}
            after = after if after is not None else declared.get("after")
            fn = fn.logic
        declared.pop("after", None)
        declared.pop("name", None)
        others = None if after is None else (after,) if isinstance(after, str) else tuple(after)
        self._nodes[name] = (fn, others, declared)
        self._chain = None
        return self

    def node(self, fn: Callable[..., Any] | None = None, /, *, name: str | None = None, **declared: Any) -> Any:
        """Add the function that stands below: ``@graph.node`` or ``@graph.node(after=[...], retry=3)``."""
        if fn is None:
            return lambda fn: self.node(fn, name=name, **declared)
        self.add(name or name_of(fn), fn, **declared)
        return fn

    @property
    def _shown(self) -> str:
        return f"graph {self.name!r}" if self.name else "the graph"

    # --- as a value

    def __repr__(self) -> str:
        inside = list(self._nodes)
        if self.name is not None:
            inside.append(f"name={self.name!r}")
        if self.output is not None:
            inside.append(f"output={self.output!r}")
        return f"Graph({', '.join(inside)})"

    def __len__(self) -> int:
        return len(self._nodes)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    @property
    def after(self) -> dict[str, tuple[str, ...]]:
        """For each node those that it depends on; in an order in which they can run."""
        placed = self._placed()
        return {one.name: one.inputs.after for one in placed}

    # --- what runs it

    def _placed(self) -> tuple[Placed, ...]:
        if not self._nodes:
            raise CompositionError(
                f"{self._shown} has no nodes\n    Graph()  # incorrect\n    Graph().add('fetch', fetch)  # correct"
            )
        inputs = {name: inputs_of(name, fn, after, self._nodes) for name, (fn, after, _) in self._nodes.items()}
        order = in_order({name: found.after for name, found in inputs.items()})
        if self.output is not None and self.output not in inputs:
            known = ", ".join(map(repr, inputs))
            raise CompositionError(
                f"{self._shown}: its output is {self.output!r}, and its nodes are {known}\n"
                f"    Graph(output={self.output!r})  # incorrect\n"
                f"    Graph(output={order[-1]!r})  # correct"
            )
        if self.output is not None:
            self._check_reached({name: found.after for name, found in inputs.items()}, self.output)
        placed: list[Placed] = []
        for name in order:
            fn, _, declared = self._nodes[name]
            one = len(inputs[name].arguments) == 1
            node: ChainNode[Any, Any, Any] = ChainNode(fn if one else _spread(fn), name=name, **declared)
            if node.values[1]:
                raise CompositionError(
                    f"node {name!r} of {self._shown} is a generator, and in a graph each node has one result an item\n"
                    f"    graph.add({name!r}, {name_of(fn)})  # incorrect\n"
                    f"    graph.add({name!r}, lambda item: list({name_of(fn)}(item)))  # correct"
                )
            if node.gate is not None and not node.gate.elsewhere:
                raise CompositionError(
                    f"node {name!r} of {self._shown} declares concurrency, and items go through the graph as a whole\n"
                    f"    graph.add({name!r}, ..., concurrency={node.gate.concurrency})  # incorrect\n"
                    f"    Graph(concurrency={node.gate.concurrency})  # correct"
                )
            placed.append(Placed(name, node, fn, inputs[name]))
        return tuple(placed)

    def _check_reached(self, after: dict[str, tuple[str, ...]], output: str) -> None:
        reached, more = {output}, [output]
        while more:
            more = [other for name in more for other in after[name] if other not in reached]
            reached.update(more)
        if lost := [name for name in after if name not in reached]:
            waits = [*after[output], *lost]
            raise CompositionError(
                f"{self._shown}: its output {output!r} does not come after {', '.join(map(repr, lost))}, whose results"
                " would reach nobody\n"
                f"    graph.add({output!r}, ..., after={list(after[output])!r})  # incorrect\n"
                f"    graph.add({output!r}, ..., after={waits!r})  # correct, if they are run for what they do;"
                " or no output=, and all results"
            )

    def program(self) -> GraphProgram:
        """What the graph is compiled to, as it stands now."""
        return GraphProgram(self.name or "graph", self._placed(), self.sequential, self.output)

    def snapshot(self) -> Operator[Any, Any]:
        """The graph as it stands now, as a step of a chain."""
        program = self.program()
        kind = _graph_async if program.asynchronous else _graph
        functions = [placed.node.values[0] for placed in program.nodes]
        gate = declared_gate(self._shown, functions, self.concurrency, self.ordered, self.by)
        values = (program.make, program.undoes, program.drops)
        return GraphStep(kind.__rxchain_definition__, values, self.name or "graph", gate, program)  # type: ignore[attr-defined]

    @property
    def chain(self) -> Chain[Any, Any]:
        """The chain of nothing but the graph, as it stands now."""
        chain = self._chain
        if chain is None:
            chain = self._chain = Operator.composed(self.snapshot())
        return chain

    def run(self, item: Any) -> Coroutine[Any, Any, Any]:
        """Run the graph over one item; see `Chain.run`."""
        return self.chain.run(item)

    def run_sync(self, item: Any) -> Any:
        """The same from synchronous code."""
        return self.chain.run_sync(item)

    def stream(self, source: AnyIterable[Any], *, on_error: Any = None) -> AsyncGenerator[Any, None]:
        """Run the graph over each of *source*; see `Chain.stream`."""
        return self.chain.stream(source, on_error=on_error)

    def iterate(self, source: AnyIterable[Any], *, on_error: Any = None) -> Generator[Any, None, None]:
        """The same from synchronous code."""
        return self.chain.iterate(source, on_error=on_error)

    def collect(self, source: AnyIterable[Any], *, on_error: Any = None) -> Coroutine[Any, Any, list[Any]]:
        """Run the graph over all of *source*; the results in a list."""
        return self.chain.collect(source, on_error=on_error)

    def having(self, **policies: Unpack[Declared]) -> Graph:
        """The same graph, each of its nodes with these policies, unless it declares them itself; see `node`."""
        made = Graph(
            name=self.name,
            output=self.output,
            sequential=self.sequential,
            concurrency=self.concurrency,
            ordered=self.ordered,
            by=self.by,
        )
        for name, (fn, after, declared) in self._nodes.items():
            made._nodes[name] = (fn, after, {**policies, **declared})
        return made

    def explain(self, file: IO[str] | None = None) -> None:
        """Print the program that the graph is compiled to."""
        program = self.program()
        how = "side by side where they wait" if program.side_by_side else "one after the other"
        print(f"# {self._shown}: {', '.join(placed.name for placed in program.nodes)}; {how}", file=file)
        print(program.text, file=file, end="")

    def to_mermaid(self) -> str:
        """Draw the graph: a Mermaid flowchart."""
        placed = self._placed()
        number = {one.name: k for k, one in enumerate(placed)}
        lines = ["flowchart LR"]
        lines += [f'    n{k}(["{_quoted(one.name)}"])' for k, one in enumerate(placed)]
        lines += [f"    n{number[other]} --> n{k}" for k, one in enumerate(placed) for other in one.inputs.after]
        return "\n".join(lines) + "\n"


class GraphStep(Applied[Any, Any]):
    """A graph as a step of a chain."""

    __slots__ = ("inside", "program")

    inside: SharedHop
    """Its nodes, for what is told of an error."""

    def __init__(self, definition: Any, values: tuple[Any, ...], name: str, gate: Any, program: GraphProgram) -> None:
        super().__init__(definition, values, name, gate)
        self.program = program
        self.inside = SharedHop(tuple(one.name for one in program.nodes), program.failed_at, hops=False)

    def __repr__(self) -> str:
        return f"Graph({', '.join(placed.name for placed in self.program.nodes)})"


@operator
def _graph(make: Callable[[], Any], undoes: bool, drops: bool) -> Step[Any, Any]:
    run = make()

    def step(item: Any) -> Iterator[Any]:
        result = run(item)
        if not drops or result is not SKIPPED:
            yield result

    return step


@operator
def _graph_async(make: Callable[[], Any], undoes: bool, drops: bool) -> Step[Any, Any]:
    run = make()

    async def step(item: Any) -> AsyncIterator[Any]:
        if undoes:
            result = await run(item, effects())
        else:
            result = await run(item)
        if not drops or result is not SKIPPED:
            yield result

    return step


class Spread:
    """Calls a function of several arguments with a tuple of them."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__ = name_of(fn)

    def __call__(self, given: tuple[Any, ...]) -> Any:
        return self.fn(*given)


class AsyncSpread(Spread):
    """The same of an async function."""

    async def __call__(self, given: tuple[Any, ...]) -> Any:
        return await self.fn(*given)


def _spread(fn: Callable[..., Any]) -> Spread:
    return AsyncSpread(fn) if colour(fn) is Colour.ASYNC else Spread(fn)


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;").replace("\n", " ")


__all__ = ["Graph", "GraphStep"]
