"""The plan of a chain or a graph, from the times of its nodes and what they declare themselves."""

import difflib
from collections.abc import Mapping
from typing import Any

from rxchain.errors import CompositionError
from rxchain.node import ChainNode
from rxchain.timing._measured import Measured
from rxchain.timing._plan import TimePlan
from rxchain.timing._steps import Walk, as_chain, is_graph
from rxchain.timing._task import Task, task
from rxchain.timing._times import Seconds, Time


def plan_of(what: Any, times: "Mapping[str, Seconds] | Measured", failures: Mapping[str, float] | None) -> TimePlan:
    """The plan of *what*; see `TimePlan.of`."""
    chain = as_chain(what)
    given: Mapping[str, Seconds] = times.times if isinstance(times, Measured) else times
    failed: Mapping[str, Time] = times.failed_times if isinstance(times, Measured) else {}
    likely: Mapping[str, float] = {**(times.failures if isinstance(times, Measured) else {}), **(failures or {})}
    tasks: list[Task] = []
    known: set[str] = set()
    without: list[str] = []

    def found(name: str, node: ChainNode[Any, Any, Any], after: tuple[str, ...]) -> ChainNode[Any, Any, Any]:
        known.add(name)
        if walk.alternative:
            return node
        if name not in given:
            without.append(name)
            return node
        made = task(
            name,
            given[name],
            after=after,
            failure=likely.get(name, 0.0),
            failed_time=failed.get(name),
            retry=node.declared.get("retry"),
            concurrency=node.gate.concurrency if node.gate is not None else 1,
        )
        tasks.append(made)
        return node

    walk = Walk(found)
    walk.chain(chain)
    _check(known, without, given, likely)
    alone = chain.steps[0] if len(chain.steps) == 1 else None
    if is_graph(alone):
        at_once = alone.gate.concurrency if alone.gate is not None else 1
        return TimePlan(*tasks, at_once=at_once, workers=None if alone.program.side_by_side else 1)
    return TimePlan(*tasks, window=chain.execution.window if chain.is_async else None)


def _check(known: set[str], without: list[str], given: Mapping[str, object], likely: Mapping[str, object]) -> None:
    for name in (*given, *likely):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise CompositionError(
                f"a time is given for {name!r}, and there is no such node; there are"
                f" {', '.join(map(repr, sorted(known)))}\n"
                f"    {{{name!r}: ...}}  # incorrect\n"
                f"    {{{(close or sorted(known) or ['fetch'])[0]!r}: ...}}  # correct"
            )
    if without:
        raise CompositionError(
            f"no time is given for {', '.join(map(repr, without))}\n"
            f"    {{{', '.join(f'{name!r}: ...' for name in given)}}}  # incorrect\n"
            f"    {{{', '.join(f'{name!r}: 0.1' for name in (*given, *without))}}}  # correct: seconds of an attempt"
        )
