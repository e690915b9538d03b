"""sample: what came last, at regular times."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from rxchain.engine import Step, operator
from rxchain.operators._feed import Feeds
from rxchain.operators._seconds import is_seconds, passed, wrong_seconds
from rxchain.operators._unset import Unset
from rxchain.types import T


@operator
def sample(seconds: float) -> Step[T, T]:
    """Every *seconds*, emit the item that came last; nothing, if none has come since.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> Marbles().play("-ab-c-----d|", ops.sample(3))
    '---b--c----(d|)'

    Times are counted from when the first item is asked for, and do not drift. A consumer that is busy at one of them
    gets what is the latest at the next.

    :Emits:     the latest item, at multiples of *seconds*; what came last, at once at the end.
    :Buffers:   one item, the latest; the source is never made to wait.
    :Fails:     with the source, behind its last item.
    :Completes: with the source, behind its last item.
    :Disposes:  of the source, and of its task, which is cancelled and awaited.
    """
    if not is_seconds(seconds):
        raise wrong_seconds("sample", "seconds", seconds)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        latest: Any = Unset.UNSET

        def put(item: Any) -> None:
            nonlocal latest
            if latest is Unset.UNSET:
                feeds.ring()
            latest = item

        async with Feeds() as feeds:
            feed = feeds.take(source, put)
            while True:
                if latest is Unset.UNSET:
                    if feed.ended:
                        break
                    await feeds.wait()
                    continue
                tick = start + (passed(seconds, loop.time() - start) + 1) * seconds
                while not feed.ended and loop.time() < tick:
                    await feeds.wait(tick)
                item, latest = latest, Unset.UNSET
                yield item
            if feed.error is not None:
                raise feed.error

    return over
