"""The nodes of a chain or a graph: what each comes after, and the same chain with each of them changed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from rxchain.chain import Chain, _handled
from rxchain.engine import Atom, Operator, a_kind_of, shorten
from rxchain.errors import CompositionError
from rxchain.node import ChainNode

if TYPE_CHECKING:
    from rxchain.graph._graph import GraphStep

Node: TypeAlias = ChainNode[Any, Any, Any]
Change: TypeAlias = Callable[[str, Node, tuple[str, ...]], Node]
"""Makes another of a node, given its name among all nodes, itself, and those that it comes directly after."""


def is_graph(step: object) -> "TypeGuard[GraphStep]":
    """Whether *step* is a graph as it stands in a chain; known by what it has, so that chains do without."""
    return isinstance(step, Atom) and hasattr(step, "program")


def as_chain(what: Any) -> "Chain[Any, Any]":
    """*what* as a chain, its nodes with all that is declared for them.

    Raises:
        CompositionError: it is no chain, graph or node.
    """
    if isinstance(what, Chain):
        return what._with(_handled(what))
    if isinstance(what, Operator):
        return Chain(what)
    raise CompositionError(
        f"a chain, a graph or a node has times, got {a_kind_of(what)}: {shorten(what, 40)}\n"
        f"    TimePlan.of({shorten(what, 30)}, ...)  # incorrect\n"
        "    TimePlan.of(Chain(fetch, price), {'fetch': 0.2, 'price': 0.1})  # correct"
    )


class Walk:
    """Goes through a chain once; names are as in its errors, ``pricing/tax``, and a second one is ``tax 2``.

    The nodes of a graph that is alone are called what they are, without the graph's name.
    """

    def __init__(self, change: Change) -> None:
        self._change = change
        self._names: dict[str, int] = {}
        self._after: tuple[str, ...] = ()
        self._alone = False
        """Whether there is but a graph, whose nodes are then called what they are."""
        self.alternative = 0
        """Whether it is inside of what only takes the place of something that failed."""

    def chain(self, chain: "Chain[Any, Any]", prefix: str = "") -> "Chain[Any, Any]":
        """The same chain, each of its nodes changed."""
        self._alone = not self._names and len(chain.steps) == 1
        return chain._with(tuple([self._step(step, prefix) for step in chain.steps]))

    def _step(self, step: Operator[Any, Any], prefix: str) -> Operator[Any, Any]:
        if isinstance(step, ChainNode):
            name = self._name(prefix + step.name)
            made = self._change(name, step, self._after)
            self._after = (name,)
            return made
        if isinstance(step, Chain):
            return self.chain(step, f"{prefix}{step.name}/" if step.name is not None else prefix)
        if is_graph(step):
            return self._graph(step, prefix)
        changed = getattr(step, "changed", None)
        if changed is not None:
            made_of_part = self._parts(prefix)
            return changed(made_of_part)  # type: ignore[no-any-return]
        return step

    def _parts(self, prefix: str) -> Callable[[Any], Any]:
        """Changes what an operator stands around: first its part, then what takes the place of that."""
        first = True

        def change(part: Any) -> Any:
            nonlocal first
            if first:
                first = False
                return self.chain(Chain(part), prefix)
            after = self._after
            self.alternative += 1
            made = self.chain(Chain(part), prefix)
            self.alternative -= 1
            self._after = after
            return made

        return change

    def _graph(self, graph: "GraphStep", prefix: str) -> Operator[Any, Any]:
        from rxchain.timing._graphs import changed

        inside = prefix if self._alone else f"{prefix}{graph.name}/"
        names: dict[str, str] = {}
        before = self._after

        def change(name: str, node: Node, after: tuple[str, ...]) -> Node:
            names[name] = self._name(inside + name)
            return self._change(names[name], node, tuple([names[other] for other in after]) or before)

        made, last = changed(graph, change)
        self._after = tuple([names[name] for name in last])
        return made

    def _name(self, name: str) -> str:
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name} {count}"
