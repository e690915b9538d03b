"""Each operator over the stream as a whole, with arguments, for the tests that ask all of them."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple

from rxchain import Operator
from rxchain import operators as ops


async def whole(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


async def each(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


async def nothing(items: AsyncIterator[Any]) -> list[Any]:
    return []


async def weight(item: Any) -> int:
    return 2


class Whole(NamedTuple):
    """An operator, and what it promises.

    ``held`` is how many items may have been taken from the source and not been passed on or dropped.
    """

    name: str
    make: Callable[[], Operator[Any, Any]]
    held: int
    loses: bool = False

    @property
    def folds(self) -> bool:
        """Whether a source that fails takes with it what has come of the items so far: a window's function fails."""
        return "whole" in repr(self.make())

    def items(self, outputs: Iterable[Any]) -> list[Any]:
        """The source's items that are in *outputs*."""
        if self.name in ("batch", "window", "zip"):
            return [item for output in outputs for item in (output if isinstance(output, (list, tuple)) else [output])]
        return list(outputs)


WHOLE = [
    # a list that is full while the one before is with the consumer; by weight one more may have been left out of it
    Whole("batch", lambda: ops.batch(3, 2), 3),
    Whole("batch", lambda: ops.batch(1, 0.5), 1),
    Whole("batch", lambda: ops.batch(9, 1.5, weight=weight, max_weight=5), 3),
    Whole("buffer", lambda: ops.buffer(1), 1),
    Whole("buffer", lambda: ops.buffer(3, "block"), 3),
    Whole("buffer", lambda: ops.buffer(3, "drop_oldest"), 3, loses=True),
    Whole("buffer", lambda: ops.buffer(3, "drop_newest"), 3, loses=True),
    Whole("buffer", lambda: ops.buffer(3, "latest"), 3, loses=True),
    Whole("buffer", lambda: ops.buffer(1000, "error"), 1000),
    Whole("debounce", lambda: ops.debounce(1.5), 2, loses=True),
    Whole("delay", lambda: ops.delay(2), 1024),
    Whole("delay", lambda: ops.delay(2.5, max_buffer=2), 2),
    Whole("merge", lambda: ops.merge(), 1),
    Whole("rx", lambda: ops.rx(), 2),
    Whole("sample", lambda: ops.sample(1.5), 1, loses=True),
    Whole("throttle", lambda: ops.throttle(1.5), 0, loses=True),
    Whole("timeout", lambda: ops.timeout(1000), 0),
    Whole("window", lambda: ops.window(whole, count=3), 18),
    Whole("window", lambda: ops.window(each, count=3), 16),
    Whole("window", lambda: ops.window(each, seconds=2), 16),
    Whole("window", lambda: ops.window(whole, seconds=2), 1000),
    Whole("window", lambda: ops.window(nothing, seconds=2), 1, loses=True),
    Whole("window", lambda: ops.window(nothing, count=3), 1, loses=True),
    Whole("zip", lambda: ops.zip(), 0),
]

SOURCES = {"interval", "share"}
"""What is in the catalogue and no operator: streams."""


def shown(example: Whole) -> str:
    """The example as a test's name."""
    return repr(example.make())
