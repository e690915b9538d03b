"""share: one run of a stream for several consumers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Generic

from rxchain.engine import parts, shorten
from rxchain.operators._counts import is_count, wrong_count
from rxchain.operators._feed import Feed, stop
from rxchain.operators._others import Other, is_stream, wrong_stream
from rxchain.types import T


def share(source: Other[T], *, consumers: int = 1, max_buffer: int = 16) -> "Shared[T]":
    """Let several consumers take from one run of *source*: each gets all items from when it came on.

    It is no operator but a stream: an async iterable that may be iterated over, ``chain.stream(shared)``, several times
    at once. *source* is opened for the first consumer and closed when the last has left; after that the next one begins
    a new run, of a source that can be iterated over again.

    >>> import asyncio
    >>> from rxchain import Chain, operators as ops
    >>> async def main():
    ...     letters = ops.share("abc", consumers=2)
    ...     return await asyncio.gather(Chain(str.upper).collect(letters), Chain(ops.count()).collect(letters))
    >>> asyncio.run(main())
    [['A', 'B', 'C'], [3]]

    Args:
        consumers: how many must be there before *source* is opened; who comes later misses what has been.
        max_buffer: how many items the quickest consumer may be ahead of the slowest: then it waits.

    :Emits:     to each consumer the items that came since it has been there, in source order.
    :Buffers:   up to *max_buffer* items for each consumer, the same ones.
    :Fails:     with the source: each consumer gets that error, behind the items before.
    :Completes: with the source; each consumer behind its last item.
    :Disposes:  of the source, and of its task, when the last consumer leaves.
    """
    if not is_stream(source):
        raise wrong_stream("share", (source,))
    if not is_count(consumers, at_least=1):
        raise wrong_count("share", "consumers", consumers, at_least=1)
    if not is_count(max_buffer, at_least=1):
        raise wrong_count("share", "max_buffer", max_buffer, at_least=1)
    return Shared(source, consumers, max_buffer)


class Shared(Generic[T]):
    """What `share` gives: each iteration is a consumer."""

    def __init__(self, source: Other[T], consumers: int, max_buffer: int) -> None:
        self._source, self._needed, self._max_buffer = source, consumers, max_buffer
        self._run: _Run[T] | None = None

    def __repr__(self) -> str:
        return f"share({shorten(self._source, 40)})"

    async def __aiter__(self) -> AsyncIterator[T]:
        if self._run is None or self._run.left:
            self._run = _Run(self._source, self._needed, self._max_buffer, before=self._run)
        run = self._run
        consumer = run.enter()
        raised: BaseException | None = None
        try:
            while True:
                if consumer.waiting:
                    item = consumer.waiting.popleft()
                    run.resume()
                    yield item
                elif not run.ended:
                    await consumer.arrival()
                elif run.error is not None:
                    raise run.error
                else:
                    break
        except BaseException as error:
            raised = error
            raise
        finally:
            await run.leave(consumer, raised)


class _Consumer(Generic[T]):
    """One iteration: the items that wait for it, or its waiting for one."""

    def __init__(self) -> None:
        self.waiting: deque[T] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def arrival(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Run(Generic[T]):
    """From when the first consumer comes until the last has left."""

    def __init__(self, source: Other[T], needed: int, max_buffer: int, before: "_Run[T] | None") -> None:
        self.left = False
        """Whether all consumers have left: who comes now begins a new run."""
        self._source, self._needed, self._max_buffer = source, needed, max_buffer
        self._before = before._feed if before is not None else None
        self._consumers: list[_Consumer[T]] = []
        self._feed: Feed[T] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def ended(self) -> bool:
        return self._feed is not None and self._feed.ended

    @property
    def error(self) -> BaseException | None:
        return self._feed.error if self._feed is not None else None

    def enter(self) -> _Consumer[T]:
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "share: its consumers are on different event loops; they must be on one, as tasks\n"
                "    chain.iterate(shared)  # incorrect, from several threads\n"
                "    await asyncio.gather(chain.collect(shared), other.collect(shared))  # correct"
            )
        consumer: _Consumer[T] = _Consumer()
        self._consumers.append(consumer)
        if self._feed is None and len(self._consumers) >= self._needed:
            self._feed = Feed(self._opened(), self._put, self._room, self._wake)
        return consumer

    async def leave(self, consumer: _Consumer[T], raised: BaseException | None) -> None:
        self._consumers.remove(consumer)
        if self._consumers:
            self.resume()  # it may have been the slowest
            return
        self.left = True
        if self._feed is not None:
            await stop([self._feed], raised)

    def resume(self) -> None:
        if self._feed is not None:
            self._feed.resume()

    async def _opened(self) -> AsyncIterator[T]:
        """The source, as soon as the run before has closed it."""
        if self._before is not None and not self._before.task.done():
            await asyncio.wait([self._before.task])
        self._before = None
        items: Any = parts(self._source)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    def _put(self, item: T) -> None:
        for consumer in self._consumers:
            consumer.waiting.append(item)
            consumer.wake()

    def _room(self) -> bool:
        return all(len(consumer.waiting) < self._max_buffer for consumer in self._consumers)

    def _wake(self) -> None:
        for consumer in self._consumers:
            consumer.wake()
