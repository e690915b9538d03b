"""throttle: at most one item in so long; the others are dropped. reactivex's ``throttle_first``."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from rxchain.engine import Step, operator
from rxchain.operators._seconds import is_seconds, wrong_seconds
from rxchain.types import T


@operator
def throttle(seconds: float) -> Step[T, T]:
    """Pass an item on, then drop all that come within *seconds* of it. reactivex calls it ``throttle_first``.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> Marbles().play("-ab-c-de|", ops.throttle(3))
    '-a--c--e|'

    An item's time is that at which it is taken: the source waits while the consumer is busy. To slow a stream down
    without losing an item, see the page on time.

    :Emits:     the first item, and each that comes *seconds* or more after the last one that was emitted.
    :Buffers:   nothing.
    :Fails:     with the source.
    :Completes: with the source.
    :Disposes:  of the source only.
    """
    if not is_seconds(seconds):
        raise wrong_seconds("throttle", "seconds", seconds)

    async def over(source: Any) -> AsyncIterator[Any]:
        now = asyncio.get_running_loop().time
        until = -math.inf
        async with aclosing(source):
            async for item in source:
                if (taken := now()) >= until:
                    until = taken + seconds
                    yield item

    return over
