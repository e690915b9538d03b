"""Predictions beside what a run measures: nodes that really sleep, fail now and then, and are tried again."""

import asyncio
from random import Random
from typing import Any

from rxchain import Chain, Retry, node
from rxchain.graph import Graph
from rxchain.policies import exponential
from rxchain.timing import Exponential, Fixed, LogNormal, Measurement, Time, TimePlan, Uniform

from ._measure import Bar, Report, Row, Settings, report_of

TIMES: dict[str, Time] = {
    "fetch": LogNormal(median=0.04, p95=0.12),
    "price": Uniform(0.02, 0.1),
    "stock": Exponential(0.04),
    "offer": Fixed(0.02),
}
FAILURES = {"fetch": 0.2, "stock": 0.1}
AT_ONCE = 16
"""Items in flight, each node works on as many: none waits for another, and all are done in some seconds."""
RETRY = Retry(3, wait=exponential(0.04, max=0.2))


def _sleeping(name: str, **declared: Any) -> Any:
    """A node that sleeps as long as its time says, and fails as often."""
    chance = Random(name)
    time, failure = TIMES[name], FAILURES.get(name, 0.0)

    async def work(item: Any) -> Any:
        await asyncio.sleep(time.sample(chance))
        if chance.random() < failure:
            raise ConnectionError(name)
        return item

    return node(name=name, retry=RETRY, **declared)(work)


def row_predicted(settings: Settings) -> Report:
    """How far is what is predicted of a row of four nodes from what a run of it measures?"""
    nodes = [_sleeping(name, concurrency=AT_ONCE, ordered=False) for name in TIMES]
    chain = Chain(*nodes, window=AT_ONCE)
    return _predicted(report_of(row_predicted, "s"), chain, settings.items or 1000)


def graph_predicted(settings: Settings) -> Report:
    """The same of a graph: price and stock side by side behind fetch, and offer behind both."""

    async def offer(price: Any, stock: Any) -> Any:
        return await _offer.logic(price)

    _offer = _sleeping("offer")
    graph = Graph(name="offer", concurrency=AT_ONCE, ordered=False)
    graph.add(_sleeping("fetch")).add(_sleeping("price"), after=["fetch"]).add(_sleeping("stock"), after=["fetch"])
    graph.add("offer", offer)
    return _predicted(report_of(graph_predicted, "s"), graph, settings.items or 1000)


def _predicted(report: Report, what: Any, items: int) -> Report:
    prediction = TimePlan.of(what, TIMES, failures=FAILURES).predict()
    measured = asyncio.run(Measurement(what, range(items), "skip").finish())
    comparison = measured.compare(prediction)
    for figure, limit in (("mean", 10.0), ("p95", 20.0)):
        row = comparison["worked", figure]
        report.rows += [
            Row(f"predicted: {figure} of an item", row.predicted),
            Row(f"measured: {figure} of {measured.total.count} items", row.measured),
        ]
        report.bars.append(Bar(f"{figure}, error", abs(row.error) * 100, limit, "%"))
    share = measured.total.count / items
    if abs(share - prediction.success) > 0.05:
        report.wrong.append(f"{share:.1%} of the items came through, predicted were {prediction.success:.1%}")
    return report
