"""Graphs, beside the same calls by hand, and beside branches in a task group."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from rxchain import Graph

from ._measure import BY_HAND, Bar, Report, Settings, Variant, race, report_of

AFTER = [(), (0,), (0,), (1,), (1, 2), (2,), (3, 4), (4, 5), (6,), (7, 8)]
"""For each of ten nodes those that it depends on."""


def _plain_one(a: int) -> int:
    return a + 1


def _plain_two(a: int, b: int) -> int:
    return a + b


async def _one(a: int) -> int:
    return a + 1


async def _two(a: int, b: int) -> int:
    return a + b


def _graph(one: Callable[[int], object], two: Callable[[int, int], object]) -> Graph:
    graph = Graph(output="n9")
    for k, after in enumerate(AFTER):
        graph.add(f"n{k}", two if len(after) == 2 else one, after=[f"n{j}" for j in after] or None)
    return graph


def _by_hand(count: int) -> list[int]:
    one, two, out = _plain_one, _plain_two, []
    for x in range(count):
        a = one(x)
        b, c = one(a), one(a)
        d, e, f = one(b), two(b, c), one(c)
        g, h = two(d, e), two(e, f)
        out.append(two(h, one(g)))
    return out


async def _async_by_hand(count: int) -> list[int]:
    one, two, out = _one, _two, []
    for x in range(count):
        a = await one(x)
        b, c = await one(a), await one(a)
        d, e, f = await one(b), await two(b, c), await one(c)
        g, h = await two(d, e), await two(e, f)
        out.append(await two(h, await one(g)))
    return out


def graph_calls(settings: Settings) -> Report:
    """What does a graph of ten plain functions cost, beside the same calls by hand?"""
    graph = _graph(_plain_one, _plain_two)
    report = report_of(graph_calls, "s")
    variants = [Variant(BY_HAND, _by_hand), Variant("rxchain: Graph", lambda count: list(graph.iterate(range(count))))]
    race(report, settings, variants, items=10_000)
    report.bars.append(Bar("plain functions", report.ratio("rxchain: Graph"), 2.0, "x"))
    return report


def graph_async_calls(settings: Settings) -> Report:
    """What does a graph of ten async functions that never wait cost, beside the same calls by hand?"""
    graph = _graph(_one, _two)
    report = report_of(graph_async_calls, "s")
    variants = [Variant(BY_HAND, _async_by_hand), Variant("rxchain: Graph", lambda count: graph.collect(range(count)))]
    race(report, settings, variants, items=10_000)
    report.bars.append(Bar("async functions", report.ratio("rxchain: Graph"), 2.0, "x"))
    return report


def graph_branches(settings: Settings) -> Report:
    """What do three branches that sleep 1 ms cost, beside the same three in a task group?"""

    def sleeping(add: int) -> Callable[[int], Coroutine[Any, Any, int]]:
        async def branch(x: int) -> int:
            await asyncio.sleep(0.001)
            return x + add

        return branch

    branches = [sleeping(add) for add in range(3)]

    def join(a: int, b: int, c: int) -> int:
        return a + b + c

    graph = Graph(output="join")
    for name, branch in zip("abc", branches):
        graph.add(name, branch)
    graph.add(join)

    async def in_task_group(count: int) -> list[int]:
        out = []
        for x in range(count):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(branch(x)) for branch in branches]
            out.append(join(*[task.result() for task in tasks]))
        return out

    report = report_of(graph_branches, "s")
    variants = [
        Variant(BY_HAND, in_task_group),
        Variant("rxchain: Graph", lambda count: graph.collect(range(count))),
    ]
    race(report, settings, variants, items=100)
    report.bars.append(Bar("branches that sleep", report.ratio("rxchain: Graph"), 1.2, "x"))
    return report
