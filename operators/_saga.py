"""saga: a part whose effects are undone together, or stand together."""

from typing import Any, TypeVar

from rxchain.engine import Operator
from rxchain.operators._nested import Around, of_a_part, part_of

T = TypeVar("T")
U = TypeVar("U")


def saga(part: Any) -> Operator[Any, Any]:
    """Run *part* for each item; what its nodes did is undone if it fails, and stands once it has come through.

    Without it the undo of a node reaches to the end of the chain.

    >>> import asyncio
    >>> from rxchain import Chain, node, operators as ops
    >>> stock = {"tea": 1}
    >>> async def put_back(name: str) -> None:
    ...     stock[name] += 1
    >>> @node(undo=put_back)
    ... async def take(name: str) -> str:
    ...     stock[name] -= 1
    ...     return name
    >>> asyncio.run(Chain(ops.saga(take), ops.batch(10)).collect(["tea"])), stock
    ([['tea']], {'tea': 0})

    Args:
        part: a chain, an operator or a function. It is run afresh for each item: it keeps nothing from one to the next.

    :Emits:     the results of *part*, when it has come through.
    :Buffers:   one item's results.
    :Fails:     with the source or with *part*, when all that its nodes did has been undone.
    :Completes: when the source has.
    :Disposes:  of the source; what the item did so far is undone first.
    """
    chain = part_of(part, "saga")
    execution = chain.execution
    return Around(saga, {"part": chain}, execution.each(), None, [chain], single=execution.plan.gives_one, scoped=False)


of_a_part(saga)
