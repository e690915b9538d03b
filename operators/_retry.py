"""retry: a part run again for an item that failed in it."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from rxchain.engine import Operator, Scoped, a_kind_of, shorten, take_back, taken_back
from rxchain.errors import CompositionError, RxChainError
from rxchain.operators._nested import Around, Run, attempt, last, of_a_part, part_of, recovering, undoes

if TYPE_CHECKING:
    from rxchain.policies import Retry


def retry(
    part: Any,
    policy: "Retry | int",
    *,
    concurrency: int = 1,
    ordered: bool | None = None,
    by: Callable[[Any], Hashable] | None = None,
) -> Operator[Any, Any]:
    """Run *part* for each item, and again if it fails there: the whole part, for that item alone.

    Nothing of an attempt that failed goes on, and what its nodes did is undone before the next one begins; where that
    fails there is no next one. Where one node is what fails, ``@node(retry=...)`` costs less.

    >>> from rxchain import Chain, operators as ops
    >>> tries = iter([ValueError("busy"), None])
    >>> def ask(item: int) -> int:
    ...     if error := next(tries):
    ...         raise error
    ...     return item
    >>> list(Chain(ops.retry(Chain(ask, ops.map(str)), 3)).iterate([1]))
    ['1']

    Args:
        part: a chain, an operator or a function. It is run afresh for each item: it keeps nothing from one to the next.
        policy: a `Retry`, or the number of attempts. Its ``on_result`` is asked about the list of the part's results.
        concurrency: how many items it may work on at once; *ordered*, *by*: as in ``@node``.

    :Emits:     the results of *part*, when it has come through.
    :Buffers:   one item's results.
    :Fails:     with the source, or with the last error of an item that has used up its attempts.
    :Completes: when the source has.
    :Disposes:  of the source and of the attempt that is being made.
    """
    from rxchain.policies import Retry, lifted

    if isinstance(policy, int) and not isinstance(policy, bool):
        policy = Retry(policy)
    if not isinstance(policy, Retry):
        raise CompositionError(
            f"ops.retry: policy is a Retry or a number of attempts, got {a_kind_of(policy)}: {shorten(policy, 40)}\n"
            f"    ops.retry(part, {shorten(policy, 30)})  # incorrect\n"
            "    ops.retry(part, 3)  # correct"
        )
    chain = part_of(part, "retry")
    scoped = undoes(chain)
    run = chain.execution.each(scoped=scoped)
    name = chain.name or "retry"
    recover = None
    if policy.inlined:
        recover = recovering(policy.recover(attempt(run), name), run)
    else:
        run = last(policy.around(attempt(_afresh(lifted(run)) if scoped else lifted(run)), name))
    return Around(
        retry,
        {"part": chain, "policy": policy},
        run,
        recover,
        [chain],
        single=chain.execution.plan.gives_one,
        scoped=scoped,
        concurrency=concurrency,
        ordered=ordered,
        by=by,
    )


of_a_part(retry)


def _afresh(run: Run) -> Run:
    """*run*, which first undoes what the attempt before it did, where that came through and its result was refused."""

    async def attempted(given: Scoped) -> Any:
        if len(given.effects.standing) > given.since:
            refused = RxChainError("the result of an attempt was refused")
            await take_back(given.effects, refused, given.since)
            if taken_back(refused).stands:
                raise refused
        return await run(given)

    return attempted
