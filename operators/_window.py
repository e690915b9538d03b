"""window: a stream for each so many items, or for each so many seconds.

reactivex emits the windows as Observables. Emitted, a window would be read where this operator cannot see it, and while
the next one is being asked for; so here each goes through a function, and what comes of it is emitted. The operator
knows when a window has been read, nothing is held, and no window can be forgotten.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, overload

from rxchain.engine import ItemFailed, Operator, Step, a_kind_of, operator, parts, shorten
from rxchain.errors import CompositionError
from rxchain.operators._counts import is_count, wrong_count
from rxchain.operators._feed import Feeds
from rxchain.operators._seconds import is_seconds, passed, wrong_seconds
from rxchain.types import T, U

AHEAD = 16
"""How many items are taken before they are read: one by one, each would cost two turns of the event loop."""


@overload
def window(
    each: Callable[[AsyncIterator[T]], AsyncIterator[U]],
    *,
    seconds: float | None = None,
    count: int | None = None,
) -> Operator[T, U]: ...
@overload
def window(
    each: Callable[[AsyncIterator[T]], Coroutine[Any, Any, U]],
    *,
    seconds: float | None = None,
    count: int | None = None,
) -> Operator[T, U]: ...
@operator
def window(each: Callable[[Any], Any], *, seconds: float | None = None, count: int | None = None) -> Step[Any, Any]:
    """Cut the stream into windows of *seconds* or of *count* items; call *each* with each of them.

    *each* is given the window's items, an async iterator. It is an async function, whose result is emitted, or an async
    generator function, all of whose items are; ``chain.stream`` is one.

    >>> from rxchain import Chain, operators as ops
    >>> from rxchain.testing import Marbles
    >>> async def joined(letters):
    ...     return "".join([letter async for letter in letters])
    >>> list(Chain(ops.window(joined, count=2)).iterate("abcde"))
    ['ab', 'cd', 'e']
    >>> Marbles().play("-ab--c--|", ops.window(Chain(ops.count()).stream, seconds=3))
    '---2--1-(0|)'

    Windows of *seconds* follow one another without a gap, counted from when the first item is asked for, and are there
    though nothing came; those that pass while nobody asks are left out. An item is in the window in which it comes.

    :Emits:     what comes of each window, in order. What *each* leaves unread is skipped.
    :Buffers:   up to 16 items.
    :Fails:     with the source, after what came of the window until then; with *each*, and, of a window that failed,
                the other windows go on where ``on_error=`` says so.
    :Completes: with the source, behind what comes of the last window.
    :Disposes:  of what *each* returned, of the source, and of its task, which is cancelled and awaited.
    """
    if not callable(each):
        raise no_function(each)
    if (seconds is None) == (count is None):
        raise no_end(each)
    if seconds is not None and not is_seconds(seconds):
        raise wrong_seconds("window", "seconds", seconds, others="..., ")
    if count is not None and not is_count(count, at_least=1):
        raise wrong_count("window", "count", count, at_least=1)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        number = 0  # of the window, from 1 on
        end = math.inf
        left = 0.0  # of the window's count
        held: deque[tuple[float, Any]] = deque()  # when it came, what

        def put(item: Any) -> None:
            held.append((loop.time(), item))
            feeds.ring()

        async def arrival(until: float) -> bool:
            """Wait for an item; False if the source or the time is over."""
            while not held:
                if feed.ended:
                    if feed.error is not None:
                        raise feed.error
                    return False
                if loop.time() >= until:
                    return False
                await feeds.wait(until if until < math.inf else None)
            return held[0][0] < until

        async def items() -> AsyncGenerator[Any, None]:
            nonlocal left
            while left > 0 and await arrival(end):
                left -= 1
                item = held.popleft()[1]
                if len(held) < AHEAD // 2:
                    feed.resume()
                yield item

        async with Feeds() as feeds:
            feed = feeds.take(source, put, lambda: len(held) < AHEAD)
            while not feed.ended or held:
                if seconds is not None:
                    number = max(number, passed(seconds, loop.time() - start)) + 1
                    end = start + number * seconds
                elif await arrival(end):  # no window of a count is empty
                    number += 1
                else:
                    break
                left = count if count is not None else math.inf
                failed: ItemFailed | None = None
                async with aclosing(items()) as opened:
                    try:
                        async with aclosing(parts(each(opened))) as results:
                            async for result in results:
                                yield result
                    except Exception as error:
                        if error is feed.error:
                            raise
                        failed = ItemFailed(error, f"window {number}")
                if failed is not None:
                    yield failed
                async for _ in items():
                    pass  # what *each* has not read
            if feed.error is not None:
                raise feed.error

    return over


def no_function(found: object) -> CompositionError:
    """The error of what is no function of a window."""
    return CompositionError(
        f"window: each must be a function of a window's items, got {a_kind_of(found)}: {shorten(found, 30)}\n"
        f"    ops.window({shorten(found, 30)})  # incorrect\n"
        "    ops.window(function, seconds=60)  # correct; or chain.stream"
    )


def no_end(each: object) -> ValueError:
    """The error of a window of which nobody says how long it is."""
    shown = getattr(each, "__name__", "function")
    return ValueError(
        "window: say after how many seconds, or after how many items, a window is over: one of the two\n"
        f"    ops.window({shown})  # incorrect\n"
        f"    ops.window({shown}, seconds=60)  # correct; or count=100"
    )
