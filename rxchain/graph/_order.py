"""The order in which the nodes of a graph run; a cycle is shown as the path that it is."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from rxchain.errors import CompositionError


def in_order(after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The nodes, each behind those it depends on; where that leaves a choice, in the order in which they were added.

    Raises:
        CompositionError: they depend on one another.
    """
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        raise CompositionError(
            f"nodes depend on one another: {' -> '.join(cycle)}\n"
            f"    graph.add({cycle[0]!r}, ..., after=[{cycle[1]!r}])  # incorrect: that comes after {cycle[0]!r} itself"
        ) from None
    done: dict[str, None] = {}
    left = list(after)
    while left:
        name = next(name for name in left if all(other in done for other in after[name]))
        left.remove(name)
        done[name] = None
    return tuple(done)
