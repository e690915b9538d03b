"""delay: the same stream, later."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from rxchain.engine import Step, operator
from rxchain.operators._counts import is_count, wrong_count
from rxchain.operators._feed import Feeds
from rxchain.operators._seconds import is_seconds, wrong_seconds
from rxchain.types import T


@operator
def delay(seconds: float, *, max_buffer: int = 1024) -> Step[T, T]:
    """Shift the stream by *seconds*: each item leaves so much after it came, the distances between them kept.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> Marbles().play("-a-bc-|", ops.delay(3))
    '----a-bc-|'

    Args:
        max_buffer: how many items may be on their way; when so many are, the source waits, and distances grow.

    :Emits:     each item, *seconds* after it came, or as soon after that as it is asked for; in order.
    :Buffers:   up to *max_buffer* items.
    :Fails:     *seconds* after the source, behind the items before.
    :Completes: *seconds* after the source.
    :Disposes:  of the source, and of its task, which is cancelled and awaited.
    """
    if not is_seconds(seconds):
        raise wrong_seconds("delay", "seconds", seconds)
    if not is_count(max_buffer, at_least=1):
        raise wrong_count("delay", "max_buffer", max_buffer, at_least=1)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[float, Any]] = deque()

        def put(item: Any) -> None:
            waiting.append((loop.time() + seconds, item))
            if len(waiting) == 1:
                feeds.ring()

        async with Feeds() as feeds:
            feed = feeds.take(source, put, lambda: len(waiting) < max_buffer)
            while True:
                due = waiting[0][0] if waiting else feed.ended_at + seconds if feed.ended else None
                if due is None or loop.time() < due:
                    await feeds.wait(due)
                elif waiting:
                    item = waiting.popleft()[1]
                    feed.resume()
                    yield item
                elif feed.error is not None:
                    raise feed.error
                else:
                    break

    return over
