"""A service of five small endpoints that does what services do: it fails, stalls, refuses, hangs up, goes away.

HTTP/1.1 on a real socket, on an event loop in a thread of its own. What goes wrong with a request is drawn from the
seed, the endpoint, the order and how often that has been asked: the same whatever the timing. What has really happened
is in its books; nobody tells them what the answer was.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from random import Random
from typing import Literal, NamedTuple

EFFECTS = {"reserve": "release", "charge": "refund", "ship": "recall"}
"""What an order does here, and what takes that back."""
_TAKES_BACK = {back: what for what, back in EFFECTS.items()}

Trouble = Literal[
    "none",
    "500 before",
    "500 after",
    "stall before",
    "stall after",
    "429 number",
    "429 date",
    "hang up before",
    "hang up after",
    "hang up in the body",
    "declined",
]
"""What is wrong with a request: before or after it has been done."""


@dataclass(frozen=True)
class Weather:
    """How likely each trouble is, in parts; and how long things take, in seconds."""

    troubles: dict[Trouble, float] = field(default_factory=dict)
    """Their parts. The first orders meet one each when they first come, so that there is some of all."""
    at: dict[str, Trouble] = field(default_factory=dict)
    """Endpoints that have always the same one."""
    first: dict[str, Trouble] = field(default_factory=dict)
    """Endpoints that have one at the first request of each order."""
    stall: float = 0.3
    busy: dict[Trouble, float] = field(default_factory=lambda: {"429 number": 0.03, "429 date": 1})
    """Seconds that a 429 asks for; a date knows whole ones only."""
    away_each: int = 0
    """After so many requests nobody is at home for a while; 0 for never."""
    away: float = 0.06

    def draw(self, endpoint: str, order: str, time: int, chance: Random) -> Trouble:
        """The trouble with a request that comes for the *time*-th time, from 1."""
        if endpoint in self.at:
            return self.at[endpoint]
        if endpoint in self.first:
            return self.first[endpoint] if time == 1 else "none"
        if not self.troubles:
            return "none"
        kinds = list(self.troubles)
        trouble = chance.choices(kinds, list(self.troubles.values()))[0]
        if endpoint == "reserve" and time == 1 and int(order) < len(kinds):
            trouble = kinds[int(order)]
        return "none" if trouble == "declined" and endpoint != "charge" else trouble


FAIR = Weather()
STORMY = Weather(
    {
        "none": 60,
        "500 before": 6,
        "500 after": 5,
        "stall before": 1,
        "stall after": 1,
        "429 number": 6,
        "hang up before": 4,
        "hang up after": 4,
        "hang up in the body": 4,
        "declined": 1,
    },
    away_each=100,
)


class Entry(NamedTuple):
    """A line of the books."""

    at: float
    order: str
    key: str
    what: str
    """An endpoint whose effect came about just then."""


class Asked(NamedTuple):
    """A request that came in, whatever became of it."""

    at: float
    endpoint: str
    order: str
    key: str
    trouble: Trouble


class Books:
    """What has happened, by idempotency key: each effect once, and none behind what takes it back."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.asked: list[Asked] = []
        self.repeated = 0
        """Requests whose effect was there already: done before an answer that nobody got."""
        self.too_late = 0
        """Requests whose effect had been taken back before they got to it."""
        self.changed = threading.Condition()
        self._done: set[tuple[str, str]] = set()
        self._void: set[tuple[str, str]] = set()

    def do(self, what: str, order: str, key: str) -> bool:
        """Do it if it was not done; whether its key is still good."""
        if (what, key) in self._void:
            self.too_late += 1
            return False
        if (what, key) in self._done:
            self.repeated += 1
        else:
            self._done.add((what, key))
            self._enter(order, key, what)
        return True

    def take_back(self, what: str, order: str, key: str) -> None:
        """Take it back if it was done; and see to it that it will not be."""
        if (what, key) in self._done and (what, key) not in self._void:
            self._enter(order, key, EFFECTS[what])
        self._void.add((what, key))

    def _enter(self, order: str, key: str, what: str) -> None:
        with self.changed:
            self.entries.append(Entry(time.monotonic(), order, key, what))
            self.changed.notify_all()

    # --- questions

    def standing(self) -> dict[str, set[str]]:
        """Which effects of each order stand.

        Raises:
            AssertionError: one of them was done twice over.
        """
        stands: dict[str, set[str]] = {}
        for entry in self.entries:
            mine = stands.setdefault(entry.order, set())
            if entry.what in EFFECTS:
                assert entry.what not in mine, f"{entry.what} of order {entry.order} twice: {self.of(entry.order)}"
                mine.add(entry.what)
            else:
                mine.remove(_TAKES_BACK[entry.what])
        return stands

    def of(self, order: str) -> list[str]:
        return [entry.what for entry in self.entries if entry.order == order]

    def count(self, what: str) -> int:
        return sum(entry.what == what for entry in self.entries)


class Service:
    """The server; its `url`, its `books`, and the weather, which may change."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.seed = seed
        self.weather = weather
        self.books = Books()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._requests = 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._away: asyncio.Task[None] | None = None
        self._answering: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._idle: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # --- at home, or not

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections from now on, and end those that nobody uses; requests that are here go on."""
        assert self._server is not None
        self._server.close()
        for task in self._idle:
            task.cancel()

    async def stop(self) -> None:
        """End when all that is going on has come to its end, so that the books are closed."""
        if self._away is not None:
            await self._away
        await self.close()
        while self._answering:
            await asyncio.wait(self._answering)

    async def quiet(self) -> None:
        """Wait until no request is being answered."""
        while busy := self._answering.keys() - self._idle:
            await asyncio.wait(busy, timeout=0.01)

    async def _be_away(self, seconds: float) -> None:
        await self.close()
        await asyncio.sleep(seconds)
        await self.open()

    # --- connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering[task] = writer
        try:
            while True:
                self._idle.add(task)
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                finally:
                    self._idle.discard(task)
                if not await self._answer(head.decode(), reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            del self._answering[task]
            writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can be used again."""
        request, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        endpoint = request.split()[1].strip("/")
        order, key = str(body["order"]), headers["idempotency-key"]
        trouble = self._trouble(endpoint, order)
        self.books.asked.append(Asked(time.monotonic(), endpoint, order, key, trouble))

        if trouble == "stall before":
            await asyncio.sleep(self.weather.stall)
        if trouble == "500 before":
            return await _send(writer, 500, {"error": "not today"})
        if trouble.startswith("429"):
            return await _send(writer, 429, {"error": "too many requests"}, retry_after=self._later(trouble))
        if trouble == "declined":
            return await _send(writer, 402, {"error": "the card was declined"})
        if trouble == "hang up before":
            return False

        if endpoint in EFFECTS:
            good = self.books.do(endpoint, order, key)
        else:
            self.books.take_back(_TAKES_BACK[endpoint], order, key)
            good = True

        if trouble == "stall after":
            await asyncio.sleep(self.weather.stall)
        if trouble == "500 after":
            return await _send(writer, 500, {"error": "something broke"})
        if trouble == "hang up after":
            return False
        if not good:
            return await _send(writer, 409, {"error": f"{key} was taken back"})
        return await _send(writer, 200, {"order": order, endpoint: "done"}, cut=trouble == "hang up in the body")

    def _later(self, trouble: Trouble) -> Callable[[float], str]:
        """What ``Retry-After`` says, by the time of the answer."""
        seconds = self.weather.busy[trouble]
        return lambda now: f"{seconds:g}" if trouble == "429 number" else formatdate(now + seconds, usegmt=True)

    def _trouble(self, endpoint: str, order: str) -> Trouble:
        self._requests += 1
        if self.weather.away_each and self._requests % self.weather.away_each == 0:
            self._away = asyncio.create_task(self._be_away(self.weather.away))
        self._counts[endpoint, order] += 1
        time = self._counts[endpoint, order]
        return self.weather.draw(endpoint, order, time, Random(f"{self.seed} {endpoint} {order} {time}"))


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    answer: dict[str, str],
    *,
    retry_after: Callable[[float], str] | None = None,
    cut: bool = False,
) -> bool:
    now = time.time()
    headers = {"Date": formatdate(now, usegmt=True), "Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after(now)
    body = json.dumps(answer).encode()
    headers["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} .\r\n{head}\r\n".encode() + (body[: len(body) // 2] if cut else body))
    await writer.drain()
    return not cut


class Running:
    """A service in its thread, as the test sees it."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service, self._loop = service, loop

    @property
    def url(self) -> str:
        return self._service.url

    @property
    def books(self) -> Books:
        return self._service.books

    def become(self, weather: Weather) -> None:
        self._loop.call_soon_threadsafe(setattr, self._service, "weather", weather)

    def go_away(self) -> None:
        asyncio.run_coroutine_threadsafe(self._service.close(), self._loop).result()

    def come_back(self) -> None:
        asyncio.run_coroutine_threadsafe(self._service.open(), self._loop).result()

    def settle(self) -> None:
        """Wait until no request is being answered: those that were given up on go on here."""
        asyncio.run_coroutine_threadsafe(self._service.quiet(), self._loop).result()

    def has_done(self, what: str, times: int) -> None:
        """Wait until *what* has come about so often; from another thread than that of the requests."""
        with self.books.changed:
            self.books.changed.wait_for(lambda: self.books.count(what) >= times)


@contextmanager
def running(seed: int = 0, weather: Weather = STORMY) -> Iterator[Running]:
    """A service on a port of this machine, until the end of the block."""
    service = Service(seed, weather)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(service.open())
    thread = threading.Thread(target=loop.run_forever, name=f"service {seed}")
    thread.start()
    try:
        yield Running(service, loop)
    finally:
        asyncio.run_coroutine_threadsafe(service.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
