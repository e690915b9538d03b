"""What a compiled program calls by name: opening and closing, breathing, driving."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from rxchain.engine._effects import Effects, take_back
from rxchain.engine._operator import Atom
from rxchain.engine._parts import PLAIN, driven, is_iterable, iterable_parts, parts

BREATHE_EVERY = 0.005
"""Seconds that a program may keep the event loop to itself; with one item's own time it stays under 10 ms."""

clock = time.monotonic


class Completed(BaseException):
    """Thrown into a program that items are pushed into: there are no more."""


def breathing() -> tuple[Callable[[], float], float]:
    """The clock that a program breathes by, and when it does first.

    An event loop may have one of its own, `breathing_clock`: in virtual time all that happens is to happen again.
    """
    try:
        measured: Callable[[], float] = getattr(asyncio.get_running_loop(), "breathing_clock", clock)
    except RuntimeError:
        measured = clock
    return measured, measured() + BREATHE_EVERY


async def breathe(measured: Callable[[], float]) -> float:
    """Let the event loop run once; returns when to do so next."""
    await asyncio.sleep(0)
    return measured() + BREATHE_EVERY


def opened(source: Any) -> Iterator[Any]:
    """Start on a source."""
    return iter(source)


def aopened(source: Any) -> AsyncIterator[Any]:
    """Start on an asynchronous source."""
    return aiter(source)


def close(items: Any) -> None:
    """Close what can be closed: a generator, a file. A list is nobody's to close."""
    if hasattr(items, "__next__") and hasattr(items, "close"):
        items.close()


async def aclose(items: Any) -> None:
    """Close an asynchronous iterator that can be closed."""
    if hasattr(items, "aclose"):
        await items.aclose()


class Upstream:
    """What one part of a chain gives to the next. Where that never asks, its own source is closed all the same.

    A generator that has not begun does nothing when it is closed.
    """

    def __init__(self, generator: Any, source: Any) -> None:
        self._generator, self._source, self._begun = generator, source, False

    def __iter__(self) -> Iterator[Any]:
        self._begun = True
        return iter(self._generator)

    def __next__(self) -> Any:
        return next(self._generator)

    def close(self) -> None:
        self._generator.close()
        if not self._begun:
            close(self._source)


class AsyncUpstream:
    """The same, asynchronous."""

    def __init__(self, generator: Any, source: Any) -> None:
        self._generator, self._source, self._begun = generator, source, False

    def __aiter__(self) -> AsyncIterator[Any]:
        self._begun = True
        return aiter(self._generator)

    async def aclose(self) -> None:
        await self._generator.aclose()
        if self._begun:
            return
        if hasattr(self._source, "aclose"):
            await aclose(self._source)
        else:
            close(self._source)


def upstream(generator: Any, source: Any) -> Any:
    """What *generator*, which takes from *source*, gives to the next part of the chain."""
    return AsyncUpstream(generator, source) if hasattr(generator, "__aiter__") else Upstream(generator, source)


def has_part(op: Atom, role: str) -> bool:
    """Whether an operator without readable source has a start or a flush."""
    return getattr(op.definition.open(op.values), role) is not None


def is_async_generator(op: Atom, role: str) -> bool:
    """Whether a part of an operator without readable source is an async generator function."""
    return inspect.isasyncgenfunction(getattr(op.definition.open(op.values), role))


__all__ = [
    "BREATHE_EVERY",
    "PLAIN",
    "Completed",
    "Effects",
    "aclose",
    "aopened",
    "breathe",
    "breathing",
    "close",
    "driven",
    "has_part",
    "is_async_generator",
    "is_iterable",
    "iterable_parts",
    "opened",
    "parts",
    "take_back",
]
