"""timeout: an error, when an item is too long in coming."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from rxchain.engine import Step, operator
from rxchain.operators._seconds import is_seconds, wrong_seconds
from rxchain.operators._unset import Unset
from rxchain.types import T


@operator
def timeout(seconds: float) -> Step[T, T]:
    """Fail with `TimeoutError` when the source, asked for an item, has not given one for *seconds*.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> m = Marbles()
    >>> m.play("-a--b-----c|", ops.timeout(4))
    '-a--b---#---'
    >>> m.error
    TimeoutError('timeout: the source has given no item for 4 s')

    That holds for the first item and for the end, too. While the consumer is busy the source is not asked, and no time
    is counted.

    :Emits:     each item, in source order.
    :Buffers:   nothing.
    :Fails:     with the source, or with `TimeoutError`.
    :Completes: with the source.
    :Disposes:  of the source, which on a timeout is cancelled where it waits.
    """
    if not is_seconds(seconds):
        raise wrong_seconds("timeout", "seconds", seconds)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        asking: asyncio.Task[Any] | None = None
        since = 0.0
        expired = False
        timer: asyncio.TimerHandle | None = None  # one for many items: asyncio.timeout sets one for each

        def look() -> None:
            nonlocal timer, expired
            timer = None
            if asking is None:
                return
            if loop.time() < since + seconds:
                timer = loop.call_at(since + seconds, look)
                return
            expired = True
            asking.cancel()  # that ends the source, and it is to end here

        def too_late() -> TimeoutError:
            return TimeoutError(f"timeout: the source has given no item for {seconds:g} s")

        try:
            async with aclosing(source):
                items = aiter(source)
                while True:
                    since, asking = loop.time(), asyncio.current_task()
                    assert asking is not None
                    task, before = asking, asking.cancelling()
                    if timer is None:
                        timer = loop.call_at(since + seconds, look)
                    try:
                        item = await anext(items, Unset.UNSET)
                    except BaseException as error:
                        if not expired or task.uncancel() > before or not isinstance(error, asyncio.CancelledError):
                            raise  # the source's own, or somebody else's cancellation, be it at the same time
                        raise too_late() from error
                    finally:
                        asking = None
                    if expired:  # the source has passed over its cancellation
                        task.uncancel()
                        raise too_late()
                    if item is Unset.UNSET:
                        break
                    yield item
        finally:
            if timer is not None:
                timer.cancel()

    return over
