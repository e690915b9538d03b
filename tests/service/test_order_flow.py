"""A chain of service calls against a service that fails: what became of each order is what its books say."""

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rxchain import Bulkhead, Chain, CircuitBreaker, CircuitOpen, DeadLetters, Retry, TooManyDeadLetters
from rxchain import operators as ops
from rxchain.policies import DeadLetter, DeadLetterFile
from rxchain.testing import no_leaks
from tests.cli.processes import COMMAND
from tests.needs import need
from tests.service.server import FAIR, STORMY, Running, Trouble, Weather, running
from tests.service.shop import PATIENCE, WINDOW, Order, Run, order_flow, passing

ROOT = Path(__file__).parents[2]
ALL = {"reserve", "charge", "ship"}
ORDERS = 30


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """Names of breakers and bulkheads are the process's."""
    yield
    CircuitBreaker.forget()
    Bulkhead.forget()


def client(service: Running) -> httpx.AsyncClient:
    # Certificates take longer to load than most of these tests; the timeout is for what has no patience of its own.
    return httpx.AsyncClient(base_url=service.url, timeout=10, verify=False)


async def through(service: Running, orders: list[Order], letters: Path, patience: float = PATIENCE) -> list[Run]:
    """All orders through the chain, to the end."""
    async with no_leaks(), client(service) as http:
        flow = order_flow(http, patience=patience)
        return await flow.collect(orders, on_error=DeadLetters(letters, key=lambda order: order.number))


def replayed(service: Running, letters: Path, force: bool = False) -> list[str]:
    """What becomes of each letter when they are run again from the start."""

    async def main() -> list[str]:
        async with no_leaks(), client(service) as http:
            flow = order_flow(http, patience=10)
            return [done.outcome for done in await DeadLetterFile(letters).replay(flow, from_="start", force=force)]

    return asyncio.run(main()) if letters.exists() else []


def opened(letters: Path) -> list[DeadLetter]:
    return list(DeadLetterFile(letters)) if letters.exists() else []


def the_books_agree(service: Running, orders: list[Order], settled: list[Run], dead: list[DeadLetter]) -> None:
    """Every order is settled or dead, not both; what was done for it stands, or was undone."""
    service.settle()
    standing = service.books.standing()
    numbers = [run.order.number for run in settled]
    assert numbers == sorted(numbers), "results come in the order of the orders"
    assert sorted(numbers + [letter.item.number for letter in dead]) == [order.number for order in orders]
    for number in numbers:
        assert standing[str(number)] == ALL, f"order {number} is settled"
    for letter in dead:
        assert letter.position == letter.key == letter.item.number
        # A refund whose answer was lost each time was made all the same: what stands is at most what the letter says.
        left = standing.get(str(letter.item.number), set())
        assert left <= set(letter.stands), f"order {letter.item.number} is dead, and {left} of it stands"
        assert set(letter.undone) | set(letter.stands) <= ALL


@pytest.mark.parametrize("seed", range(3))
def test_every_order_is_settled_or_dead_and_nobody_is_charged_twice(seed: int, tmp_path: Path) -> None:
    orders = [Order(number) for number in range(ORDERS)]
    letters = tmp_path / "orders.dead.jsonl"
    with running(seed, STORMY) as service:
        settled = asyncio.run(through(service, orders, letters))
        dead = opened(letters)
        the_books_agree(service, orders, settled, dead)
        troubles = {asked.trouble for asked in service.books.asked}
        assert troubles >= STORMY.troubles.keys() - {"declined"}
        assert service.books.repeated, "somebody was asked twice for what was done"

        service.become(FAIR)
        CircuitBreaker.forget()  # as the next day's process would
        assert replayed(service, letters) == ["settled"] * len(dead)
        assert opened(letters) == []
        assert service.books.standing() == {str(order.number): ALL for order in orders}


def test_letters_are_replayed_by_the_command(tmp_path: Path) -> None:
    need("the command line", "click", "rich")
    orders = [Order(number) for number in range(ORDERS)]
    letters = tmp_path / "orders.dead.jsonl"
    with running(weather=replace(STORMY, at={"ship": "500 after"})) as service:
        asyncio.run(through(service, orders[:5], letters))
        dead = opened(letters)
        assert len(dead) == 5
        service.become(FAIR)
        command = [*COMMAND, "dead", "replay", str(letters), "tests.service.shop:from_environment"]
        environment = os.environ | {"SHOP_URL": service.url, "PYTHONPATH": str(ROOT)}

        # What was undone is not there for the node that failed: from there nothing is run.
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert len(opened(letters)) == 5

        done = subprocess.run([*command, "--from", "start"], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["order"]["number"] for line in done.stdout.splitlines()] == list(range(5))
        assert opened(letters) == []
        assert service.books.standing() == {str(order.number): ALL for order in orders[:5]}


# --- what the service asks for


@pytest.mark.parametrize("trouble", ["429 number", "429 date"])
def test_what_a_429_asks_for_is_waited_for(trouble: Trouble, tmp_path: Path) -> None:
    orders = [Order(number) for number in range(8)]
    weather = Weather(first={"charge": trouble}, busy={"429 number": 0.2, "429 date": 1})
    with running(weather=weather) as service:
        settled = asyncio.run(through(service, orders, tmp_path / "letters", 10))
        assert [run.order for run in settled] == orders
        for order in orders:
            first, second = [a for a in service.books.asked if a.order == str(order.number) and a.endpoint == "charge"]
            assert first.key == second.key
            assert second.at - first.at >= weather.busy[trouble] * 0.99


# --- an outage


def test_an_outage_stops_the_run_and_what_was_not_begun_goes_through_later(tmp_path: Path) -> None:
    orders = [Order(number) for number in range(ORDERS)]
    letters = tmp_path / "orders.dead.jsonl"
    source = iter(orders)
    with running(weather=FAIR) as service:
        service.go_away()

        async def stopped() -> None:
            async with no_leaks(), client(service) as http:
                flow = order_flow(http, patience=10, undo_for=0.01)
                await flow.collect(source, on_error=DeadLetters(letters, streak=16))

        with pytest.raises(TooManyDeadLetters):
            asyncio.run(stopped())
        dead = list(DeadLetterFile(letters))
        assert [letter.position for letter in dead] == list(range(16))
        assert {letter.error for letter in dead} == {"httpx.ConnectError", "rxchain.errors.CircuitOpen"}
        assert service.books.asked == []

        service.come_back()
        CircuitBreaker.forget()
        # Who could not be asked could not be asked to undo it either, so nobody knows that nothing stands.
        assert replayed(service, letters) == ["refused" if letter.stands else "settled" for letter in dead]
        assert replayed(service, letters, force=True) == ["settled"] * len([letter for letter in dead if letter.stands])
        settled = asyncio.run(through(service, orders[len(dead) :], letters, 10))
        assert opened(letters) == []
        assert [run.order for run in settled] == orders[16:]
        assert service.books.standing() == {str(order.number): ALL for order in orders}


def test_an_outage_is_waited_out_where_a_retry_stands_around_the_breaker(tmp_path: Path) -> None:
    orders = [Order(number) for number in range(ORDERS)]
    patient = Retry(None, total=10, wait=0.01, on=lambda e: isinstance(e, CircuitOpen) or passing(e))

    async def outlasting(service: Running) -> list[Run]:
        async with no_leaks(), client(service) as http:
            loop = asyncio.get_running_loop()
            loop.call_later(0.3, service.come_back)
            return await Chain(ops.retry(order_flow(http, patience=10), patient, concurrency=8)).collect(orders)

    with running(weather=FAIR) as service:
        service.go_away()
        settled = asyncio.run(outlasting(service))
        assert [run.order for run in settled] == orders
        assert service.books.standing() == {str(order.number): ALL for order in orders}
        assert CircuitBreaker("shop", failures=6, open_for=0.15, on=passing).state == "closed"


# --- what is not to end well


def test_a_letter_says_which_effects_stand_when_they_cannot_be_undone(tmp_path: Path) -> None:
    orders = [Order(number) for number in range(6)]
    with running(weather=Weather(at={"charge": "declined", "release": "500 before"})) as service:

        async def declined() -> list[Run]:
            async with no_leaks(), client(service) as http:
                return await order_flow(http, patience=10, undo_for=0.01).collect(
                    orders, on_error=DeadLetters(tmp_path / "dead")
                )

        assert asyncio.run(declined()) == []
        dead = list(DeadLetterFile(tmp_path / "dead"))
        assert [(letter.item, letter.undone, letter.stands) for letter in dead] == [
            (order, ("charge",), ("reserve",)) for order in orders
        ]
        assert service.books.standing() == {str(order.number): {"reserve"} for order in orders}
        assert {asked.endpoint for asked in service.books.asked if asked.endpoint == "charge"} == {"charge"}
        assert len([asked for asked in service.books.asked if asked.endpoint == "charge"]) == 6, "402 is not retried"


def test_what_is_on_its_way_when_the_run_is_cancelled_is_undone() -> None:
    # Without an end: while the breaker is open, which on a busy machine is often, orders go by in no time.
    orders = map(Order, itertools.count())

    async def cancelled(service: Running) -> None:
        async with no_leaks(), client(service) as http:
            run = asyncio.create_task(order_flow(http).collect(orders, on_error="skip"))
            await asyncio.to_thread(service.has_done, "ship", 2 * WINDOW)  # so that some are no longer on their way
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

    with running(7, replace(STORMY, away_each=0)) as service:
        asyncio.run(cancelled(service))
        service.settle()
        standing = service.books.standing()
        assert {frozenset(effects) for effects in standing.values()} == {frozenset(), frozenset(ALL)}


def test_whoever_leaves_early_leaves_no_half_order() -> None:
    orders = [Order(number) for number in range(ORDERS)]

    async def leaving(service: Running) -> list[Run]:
        taken: list[Run] = []
        async with no_leaks(), client(service) as http, aclosing(order_flow(http).stream(orders, on_error="skip")) as s:
            async for run in s:
                taken.append(run)
                if len(taken) == 10:
                    break
        return taken

    with running(7, replace(STORMY, away_each=0)) as service:
        taken = asyncio.run(leaving(service))
        service.settle()
        standing = service.books.standing()
        whole = [int(number) for number, effects in standing.items() if effects == ALL]
        assert all(effects in (set(), ALL) for effects in standing.values())
        mine = [run.order.number for run in taken]
        # What had come through the chain when the consumer left stands, too, though nobody got it.
        assert sorted(whole)[: len(mine)] == mine
        assert len(whole) - len(mine) <= WINDOW
