"""interval: a source that gives a number every so many seconds."""

import asyncio
from collections.abc import AsyncIterator

from rxchain.operators._feed import until
from rxchain.operators._seconds import is_seconds, passed, wrong_seconds


class Interval:
    """What `interval` gives: iterated over, its time begins."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __repr__(self) -> str:
        return f"interval({self.seconds!r})"

    async def __aiter__(self) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        tick = 0
        while True:
            # Counted from the start, so that nothing adds up; of those that have passed meanwhile, the last.
            tick = max(tick + 1, passed(self.seconds, loop.time() - start))
            await until(start + tick * self.seconds)
            yield tick - 1


def interval(seconds: float) -> Interval:
    """Make a source that gives 0, 1, 2, ...: a number every *seconds*, the first one after *seconds*.

    It is no operator but a stream: ``chain.stream(ops.interval(60))``. Each iteration counts from its own beginning.

    >>> from rxchain import Chain, operators as ops
    >>> from rxchain.testing import run
    >>> run(Chain(ops.take(3)).collect(ops.interval(60)))
    [0, 1, 2]

    :Emits:     the number of each tick, at a multiple of *seconds* since it was first asked: it does not drift. Ticks
                that pass while nobody asks do not pile up: the last of them is there at once, those before are left
                out, and their numbers are missing.
    :Buffers:   nothing.
    :Fails:     never.
    :Completes: never.
    :Disposes:  of its timer.
    """
    if not is_seconds(seconds):
        raise wrong_seconds("interval", "seconds", seconds)
    return Interval(seconds)
