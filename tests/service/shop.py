"""An order flow over a service that fails, written as one would for work: each node with what it needs, no more."""

import os
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from rxchain import Bulkhead, Chain, CircuitBreaker, RateLimit, Retry, Undo, exponential, node
from rxchain.policies import retry_after

PATIENCE = 0.2
"""Seconds for each request."""
WINDOW = 24
"""Orders on their way at once."""


@dataclass(frozen=True)
class Order:
    number: int
    amount: float = 4.0


@dataclass(frozen=True)
class Run:
    """An order on its way: one that was undone and comes again is a new run, with a key of its own."""

    order: Order
    key: str


def begin(order: Order) -> Run:
    return Run(order, uuid4().hex)


def passing(error: Exception) -> bool:
    """Whether the service may answer otherwise when it is asked again."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, (httpx.TransportError, TimeoutError))


def order_flow(http: httpx.AsyncClient, *, patience: float = PATIENCE, undo_for: float = 30) -> Chain[Order, Run]:
    """Reserve, charge, ship: what was done is taken back where the order does not come through.

    That is tried for *undo_for* seconds: the order has failed, and nobody waits for it any more.
    """
    calls: dict[str, Any] = {
        "timeout": patience,
        "rate_limit": RateLimit(500, per=1.0),
        "retry": Retry(5, wait=exponential(0.005, max=0.02), on=passing, hint=retry_after),
        "breaker": CircuitBreaker("shop", failures=6, open_for=0.15, on=passing),
        "bulkhead": Bulkhead("shop", 16, queue=64),
    }
    taking_back = Retry(None, total=undo_for, wait=exponential(0.01, max=0.1), on=passing, hint=retry_after)

    async def post(endpoint: str, run: Run) -> Run:
        order = {"order": run.order.number, "amount": run.order.amount}
        answer = await http.post(f"/{endpoint}", json=order, headers={"Idempotency-Key": run.key})
        answer.raise_for_status()
        answer.json()
        return run

    async def release(run: Run) -> None:
        await post("release", run)

    async def refund(run: Run) -> None:
        await post("refund", run)

    async def recall(run: Run) -> None:
        await post("recall", run)

    @node(**calls, undo=Undo(release, retry=taking_back), concurrency=8)
    async def reserve(run: Run) -> Run:
        return await post("reserve", run)

    @node(**calls, undo=Undo(refund, retry=taking_back), concurrency=8)
    async def charge(run: Run) -> Run:
        return await post("charge", run)

    @node(**calls, undo=Undo(recall, retry=taking_back), concurrency=8)
    async def ship(run: Run) -> Run:
        return await post("ship", run)

    return Chain(begin, reserve, charge, ship, name="orders", window=WINDOW)


def from_environment() -> Chain[Order, Run]:
    """The flow against the service at ``SHOP_URL``, for the command line."""
    return order_flow(httpx.AsyncClient(base_url=os.environ["SHOP_URL"], timeout=10), patience=10)
