"""catch: something else in the place of what a part could not give."""

from collections.abc import Callable, Hashable
from typing import Any

from rxchain.engine import Operator
from rxchain.operators._nested import Around, of_a_part, part_of, recovering, undoes


def catch(
    part: Any,
    to: Any,
    *,
    on: type[Exception] | tuple[type[Exception], ...] = Exception,
    concurrency: int = 1,
    ordered: bool | None = None,
    by: Callable[[Any], Hashable] | None = None,
) -> Operator[Any, Any]:
    """Run *part* for each item; if it fails there, go on with *to* in its place.

    Nothing of what *part* gave before it failed goes on, and what its nodes did is undone first; an item for which that
    fails is not caught.

    >>> from rxchain import Chain, operators as ops
    >>> def read(text: str) -> int:
    ...     return int(text)
    >>> list(Chain(ops.catch(read, 0, on=ValueError)).iterate(["1", "x"]))
    [1, 0]
    >>> list(Chain(ops.catch(read, lambda text, error: len(text))).iterate(["1", "xy"]))
    [1, 2]

    Args:
        part: a chain, an operator or a function. It is run afresh for each item: it keeps nothing from one to the next.
        to: a result; a function, sync or async, of the item, or of the item and the error; or a chain that the item
            goes through, each of whose results goes on. `Fallback` objects in a list: the first that is for the error.
        on: the exceptions it is for.
        concurrency: how many items it may work on at once; *ordered*, *by*: as in ``@node``.

    :Emits:     the results of *part*, when it has come through, or those of *to*.
    :Buffers:   one item's results.
    :Fails:     with the source, with an error that *to* is not for, or with that of *to*, whose cause is the first.
    :Completes: when the source has.
    :Disposes:  of the source and of the part that is being run.
    """
    from rxchain.policies import recovered

    chain = part_of(part, "catch")
    scoped = undoes(chain)
    instead = recovered(to, on, scoped=scoped)
    if instead.undoes and not scoped:
        scoped, instead = True, recovered(to, on, scoped=True)
    run = chain.execution.each(scoped=scoped)
    return Around(
        catch,
        {"part": chain, "to": to, "on": on},
        run,
        recovering(instead.recover, run),
        [chain, *instead.chains],
        single=chain.execution.plan.gives_one and instead.single,
        scoped=scoped,
        concurrency=concurrency,
        ordered=ordered,
        by=by,
    )


of_a_part(catch)
