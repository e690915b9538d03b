"""The same graph, with each of its nodes changed."""

import functools
from collections.abc import Callable
from typing import Any

from rxchain.engine import Colour, Operator, colour
from rxchain.graph import Graph
from rxchain.graph._graph import GraphStep
from rxchain.node import ChainNode

Node = ChainNode[Any, Any, Any]


def changed(
    step: GraphStep, change: Callable[[str, Node, tuple[str, ...]], Node]
) -> tuple[Operator[Any, Any], tuple[str, ...]]:
    """The graph, with what *change* makes of each node; and the nodes that no other depends on."""
    program, gate = step.program, step.gate
    made = Graph(
        name=program.name,
        output=program.output,
        sequential=not program.side_by_side,
        concurrency=gate.concurrency if gate is not None else 1,
        ordered=gate.ordered if gate is not None else None,
        by=gate.by if gate is not None else None,
    )
    last = dict.fromkeys(placed.name for placed in program.nodes)
    for placed in program.nodes:
        after = placed.inputs.after
        for other in after:
            last.pop(other, None)
        node = change(placed.name, placed.node, after)
        fn = placed.fn
        if node is not placed.node:
            fn = _of_inputs(node.logic, fn, len(placed.inputs.arguments))
        declared = {key: value for key, value in node.declared.items() if key not in ("name", "after")}
        made.add(placed.name, fn, after=after or None, **declared)
    return made.snapshot(), tuple(last)


def _of_inputs(logic: Callable[[Any], Any], fn: Callable[..., Any], count: int) -> Callable[..., Any]:
    """*logic*, which takes all inputs of a node in one, as a function of as many as *fn* has."""
    if colour(logic) is Colour.ASYNC:

        @functools.wraps(fn)
        async def awaited(*inputs: Any) -> Any:
            return await logic(inputs[0] if count == 1 else inputs)

        return awaited

    @functools.wraps(fn)
    def called(*inputs: Any) -> Any:
        return logic(inputs[0] if count == 1 else inputs)

    return called
