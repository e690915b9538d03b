"""The Python end of the bridge to the TCK: hands rxchain's publishers, processors and subscribers to `Bridge.java`.

Calls go both ways over one connection; whoever calls waits until the call has returned over there, so that a test sees
what it would see in one process: what overlaps, what is serial, what is let go of.
"""

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from rxchain import Chain
from rxchain import operators as ops
from rxchain.streams import Subscriber, to_async_iterable

INFINITE = 2**63 - 1

ANSWER_MS = 500
"""How long a test of the TCK waits for a signal, and, next, for none to come."""
SILENCE_MS = 50

Words = list[str]


class JavaError(Exception):
    """An error of Java's: goes back there as the object it was."""

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(unquote_plus(word.partition(":")[2]))


class Wire:
    """One connection to the TCK, and the objects that it knows by name."""

    def __init__(self, connection: socket.socket, factory: object) -> None:
        self._connection = connection
        self._objects: dict[str, Any] = {"factory": factory}
        self._calls: dict[str, Future[None]] = {}
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Answer calls, each in a thread of its own, until the other side hangs up."""
        threads: list[threading.Thread] = []
        with self._connection.makefile("r", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                kind, number, *words = line.rstrip("\n").split("\t")
                if kind == "call":
                    thread = threading.Thread(target=self._answer, args=(number, words))
                    thread.start()
                    threads = [t for t in threads if t.is_alive()]
                    threads.append(thread)
                elif kind == "raised":
                    self._calls.pop(number).set_exception(JavaError(words[0]))
                else:
                    self._calls.pop(number).set_result(None)
        for call in self._calls.values():
            call.set_exception(ConnectionResetError("the TCK hung up"))
        for thread in threads:
            thread.join()

    def call(self, name: str, method: str, *words: str) -> None:
        """Call a method over there, and wait for its return."""
        number = str(next(self._numbers))
        answer = self._calls[number] = Future()
        self._send("call", number, name, method, *words)
        answer.result(timeout=30)

    def drop(self, name: str) -> None:
        """Say that nobody here refers to an object over there any more."""
        self._send("drop", name)

    def keep(self, kind: str, thing: object) -> str:
        """A name for an object of this side."""
        name = f"{kind}{next(self._numbers)}"
        self._objects[name] = thing
        return name

    def _send(self, *words: str) -> None:
        try:
            with self._sending:
                self._connection.sendall(("\t".join(words) + "\n").encode())
        except OSError:
            pass  # it hung up; whoever waits for an answer is told by `serve`

    def _answer(self, number: str, words: Words) -> None:
        try:
            value = self._called(*words)
        except Exception as error:
            self._send("raised", number, word_of(error))
        else:
            self._send("ret", number, "null" if value is None else self.keep(type(value).__name__, value))

    def _called(self, name: str, method: str, *words: str) -> object:
        thing = self._objects[name]
        argument: Any
        if not words:
            return getattr(thing, method)()
        (word,) = words
        if word == "null":
            argument = None
        elif method == "subscribe":
            argument = JavaSubscriber(self, word)
        elif method == "on_subscribe":
            argument = JavaSubscription(self, word)
        elif method == "on_error":
            argument = JavaError(word)
        else:
            argument = int(word)
        return getattr(thing, method)(argument)


def word_of(error: Exception) -> str:
    return error.word if isinstance(error, JavaError) else f"{type(error).__name__}:{quote_plus(str(error))}"


class JavaSubscriber:
    """A subscriber of the TCK's; when this is let go of here, it is over there."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name
        weakref.finalize(self, wire.drop, name).atexit = False

    def on_subscribe(self, subscription: object) -> None:
        self._wire.call(self._name, "on_subscribe", self._wire.keep("subscription", subscription))

    def on_next(self, item: object) -> None:
        self._wire.call(self._name, "on_next", str(item))

    def on_error(self, error: Exception) -> None:
        self._wire.call(self._name, "on_error", word_of(error))

    def on_complete(self) -> None:
        self._wire.call(self._name, "on_complete")


class JavaSubscription:
    """A subscription of one of the TCK's publishers."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name

    def request(self, n: int) -> None:
        self._wire.call(self._name, "request", str(n))

    def cancel(self) -> None:
        self._wire.call(self._name, "cancel")


# --- what is verified


class Factory:
    """Makes what the TCK asks for: from *chain*, an identity; subscribed to on *loop* if there is one."""

    def __init__(self, chain: Chain[int, int], loop: asyncio.AbstractEventLoop | None) -> None:
        self._chain = chain
        self._loop = loop

    def publisher(self, elements: int) -> "Place":
        def source() -> Iterable[int]:
            return itertools.count(1) if elements == INFINITE else range(1, elements + 1)

        return Place(self._chain.publisher(source), self._loop)

    def failed_publisher(self) -> "Place":
        """One that refuses every subscription: its iterator is taken."""
        publisher = self._chain.publisher(iter(range(3)))
        publisher.subscribe(Ignoring())
        return Place(publisher, self._loop)

    def processor(self, buffer_size: int) -> "Place":
        chain: Chain[int, int] = Chain(self._chain, window=buffer_size)
        return Place(chain.processor(), self._loop)

    def subscriber(self, takes: int) -> "Consumer":
        return Consumer(takes)


class Place:
    """A publisher or processor, subscribed to in the place that is to be tested."""

    def __init__(self, thing: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self._thing = thing
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)

    def subscribe(self, subscriber: Subscriber[int]) -> None:
        if self._loop is None:
            self._thing.subscribe(subscriber)
        else:
            on(self._loop, lambda: self._thing.subscribe(subscriber))


class Consumer:
    """What `to_async_iterable` subscribes, and a consumer in an event loop of its own that takes as many as it may."""

    def __init__(self, takes: int) -> None:
        subscribed: Future[Subscriber[int]] = Future()
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._allowed = asyncio.Semaphore(takes)
        threading.Thread(target=asyncio.run, args=(self._consume(subscribed),), daemon=True).start()
        self._subscriber = subscribed.result()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscriber, name)

    def take(self, n: int) -> None:
        """Let the consumer take *n* items more."""
        for _ in range(n):
            self._soon(self._allowed.release)

    def leave(self) -> None:
        """End the iteration."""
        self._soon(self._task.cancel)

    def _soon(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the consumer has ended, and its loop with it
            self._loop.result().call_soon_threadsafe(call)

    async def _consume(self, subscribed: "Future[Subscriber[int]]") -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop.set_result(asyncio.get_running_loop())
        publisher: Any = Handing(subscribed.set_result)
        items: AsyncIterable[int] = to_async_iterable(publisher, prefetch=4)
        try:
            async for _ in items:
                await self._allowed.acquire()
        except (asyncio.CancelledError, JavaError):
            pass


class Handing:
    """A publisher that hands on its subscriber."""

    def __init__(self, hand: Callable[[Any], None]) -> None:
        self._hand = hand

    def subscribe(self, subscriber: Any) -> None:
        self._hand(subscriber)


class Ignoring:
    """A subscriber that wants nothing."""

    def on_subscribe(self, subscription: Any) -> None:
        subscription.cancel()

    def on_next(self, item: object) -> None: ...

    def on_error(self, error: Exception) -> None: ...

    def on_complete(self) -> None: ...


def on(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Make *call* on *loop*, and wait for its return."""
    done: Future[None] = Future()

    def make() -> None:
        try:
            call()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    loop.call_soon_threadsafe(make)
    done.result()


def verify(command: list[str], chain: Chain[int, int], loop: asyncio.AbstractEventLoop | None) -> int:
    """Open the bridge, start the TCK with its port, and answer it until it is done; its exit status."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        with subprocess.Popen([*command, str(port), str(ANSWER_MS), str(SILENCE_MS)]) as tck:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Wire(connection, Factory(chain, loop)).serve()
        return tck.returncode


async def same(number: int) -> int:
    """An identity that takes its time."""
    await asyncio.sleep(0)
    return number


def main(place: str, *command: str) -> int:
    """Verify a synchronous chain on threads of their own, or an asynchronous one on one running loop."""
    if place == "threads":
        return verify(list(command), Chain(ops.map(int)), None)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return verify(list(command), Chain(same), loop)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
