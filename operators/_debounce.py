"""debounce: an item, when no other has come for a while."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from rxchain.engine import Step, operator
from rxchain.operators._feed import Feeds
from rxchain.operators._seconds import is_seconds, wrong_seconds
from rxchain.operators._unset import Unset
from rxchain.types import T


@operator
def debounce(seconds: float) -> Step[T, T]:
    """Pass an item on when no other has come for *seconds*; one that is followed sooner is dropped.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> Marbles().play("-ab-c----d|", ops.debounce(3))
    '-------c--(d|)'

    :Emits:     what came last before each pause, *seconds* after it; the last item of all at once at the end.
    :Buffers:   the latest item, and one that has outlasted its pause and waits to be taken: then the source waits too.
    :Fails:     with the source, behind its last item.
    :Completes: with the source, behind its last item.
    :Disposes:  of the source, and of its task, which is cancelled and awaited.
    """
    if not is_seconds(seconds):
        raise wrong_seconds("debounce", "seconds", seconds)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        latest: Any = Unset.UNSET
        due = 0.0
        settled: deque[Any] = deque()

        def put(item: Any) -> None:
            nonlocal latest, due
            if latest is Unset.UNSET:
                feeds.ring()
            elif loop.time() >= due:
                settled.append(latest)
                feeds.ring()
            latest, due = item, loop.time() + seconds

        async with Feeds() as feeds:
            feed = feeds.take(source, put, lambda: not settled)
            while True:
                if not settled and latest is not Unset.UNSET and (feed.ended or loop.time() >= due):
                    settled.append(latest)
                    latest = Unset.UNSET
                if settled:
                    item = settled.popleft()
                    feed.resume()
                    yield item
                elif not feed.ended:
                    await feeds.wait(due if latest is not Unset.UNSET else None)
                elif feed.error is not None:
                    raise feed.error
                else:
                    break

    return over
