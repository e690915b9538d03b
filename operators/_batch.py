"""batch: items in lists of so many, of so much, or of so long.

Without a time it is a step like any other, and fuses; with one it takes the stream as a whole.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from rxchain.engine import ItemFailed, Operator, Stage, Step, call, operator
from rxchain.operators._counts import is_count, wrong_count
from rxchain.operators._feed import Feeds
from rxchain.operators._seconds import is_seconds, wrong_seconds
from rxchain.types import T


def batch(
    size: int,
    within: float | None = None,
    *,
    weight: Callable[[T], Awaitable[float] | float] | None = None,
    max_weight: float | None = None,
) -> Operator[T, list[T]]:
    """Collect the items in lists: of *size* items, of *max_weight* together, or of what came *within* some seconds.

    A list leaves as soon as one of these holds, and somebody asks for it:

    - it has *size* items;
    - its items weigh *max_weight* or more, or the next one would make it heavier than that, and begins another; an
      item heavier than *max_weight* is a list of its own;
    - *within* seconds have passed since its first item came.

    Nobody asks: then items are collected on, until one of the first two holds, and the source waits from there on.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.batch(2)).iterate("abc"))
    [['a', 'b'], ['c']]
    >>> list(Chain(ops.batch(100, weight=len, max_weight=3)).iterate(["a", "bc", "de", "fghij", "k"]))
    [['a', 'bc'], ['de'], ['fghij'], ['k']]

    reactivex calls it ``buffer_with_count``, ``buffer_with_time_or_count``.

    Args:
        within: seconds. The source is then taken from in a task of its own.
        weight: a function of one item, sync or async; goes with *max_weight*.

    :Emits:     lists, each a new one, never empty, in source order; at the end those items that are left.
    :Buffers:   up to *size* items, and one that *max_weight* left out.
    :Fails:     with the source, or with *weight*. Given *within*, items collected so far leave before the error does;
                without it they are dropped.
    :Completes: with the source, behind the last list.
    :Disposes:  of the source, and of its task, which is cancelled and awaited.
    """
    if within is not None:
        return _batch_(size, within, weight, max_weight)
    return _batch(size, weight, max_weight)


@operator
def _batch(size: int, weight: Any = None, max_weight: Any = None) -> Stage[Any, list[Any]]:
    """By count, and by weight if it is given."""
    if not is_count(size, at_least=1):
        raise wrong_count("batch", "size", size, at_least=1)
    if (weight is not None or max_weight is not None) and not is_weighed(weight, max_weight):
        raise wrong_weight(weight, max_weight)
    collected: list[Any] = []
    total = 0.0

    async def step(item: Any) -> AsyncIterator[list[Any]]:
        nonlocal collected, total
        if weight is None:
            collected.append(item)
        else:
            heavy = await call(weight, item)
            full = collected
            if full and total + heavy > max_weight:
                collected, total = [item], heavy  # kept already: the list may fail further down
                yield full
            else:
                collected.append(item)
                total += heavy
        if len(collected) >= size or (max_weight is not None and total >= max_weight):
            full, collected, total = collected, [], 0.0
            yield full

    def flush() -> Iterator[list[Any]]:
        if collected:
            yield collected

    return Stage(step, flush=flush)


@operator
def _batch_(size: int, within: float, weight: Any = None, max_weight: float | None = None) -> Step[Any, list[Any]]:
    """By count and time, and by weight if it is given."""
    if not is_count(size, at_least=1):
        raise wrong_count("batch", "size", size, at_least=1)
    if not is_seconds(within):
        raise wrong_seconds("batch", "within", within, others="..., ")
    if (weight is not None or max_weight is not None) and not is_weighed(weight, max_weight):
        raise wrong_weight(weight, max_weight)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        most = math.inf if max_weight is None else max_weight
        collected: list[Any] = []
        total = 0.0
        due = 0.0
        full: deque[Any] = deque()  # lists that nothing is added to any more, and what could not be weighed

        def close() -> None:
            nonlocal collected, total
            full.append(collected)
            collected, total = [], 0.0
            feeds.ring()

        def add(item: Any, heavy: float = 0.0) -> None:
            nonlocal total, due
            if collected and total + heavy > most:
                close()
            if not collected:
                due = loop.time() + within
                feeds.ring()
            collected.append(item)
            total += heavy
            if len(collected) >= size or total >= most:
                close()

        async def weigh(item: Any, weight: Any = weight) -> None:
            try:
                add(item, await call(weight, item))
            except Exception as error:
                if collected:
                    close()
                full.append(ItemFailed(error, item))
                feeds.ring()

        async with Feeds() as feeds:
            feed = feeds.take(source, add if max_weight is None else weigh, lambda: not full)
            while True:
                if not full and collected and (feed.ended or loop.time() >= due):
                    close()
                if full:
                    leaving = full.popleft()
                    feed.resume()
                    yield leaving
                elif not feed.ended:
                    await feeds.wait(due if collected else None)
                elif feed.error is not None:
                    raise feed.error
                else:
                    break

    return over


def is_weighed(weight: object, max_weight: object) -> bool:
    """Whether there is a function that weighs, and a weight above 0 that it is held to."""
    return callable(weight) and isinstance(max_weight, (int, float)) and max_weight > 0


def wrong_weight(weight: object, max_weight: object) -> ValueError:
    """The error that says so."""
    return ValueError(
        f"batch: weight= is a function of one item, and max_weight= the number above 0 that a list is held to:"
        f" both or neither; got weight={weight!r}, max_weight={max_weight!r}\n"
        f"    ops.batch(1000, weight=len)  # incorrect\n"
        f"    ops.batch(1000, weight=len, max_weight=1_000_000)  # correct"
    )


# Not called yet, it is an operator all the same: a chain says so, where it would otherwise call it as a function.
batch.__rxchain_definition__ = _batch.__rxchain_definition__  # type: ignore[attr-defined]
