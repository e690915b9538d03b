"""What a compiled program calls by name: opening and closing, breathing, driving."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from rxchain.engine._operator import Atom
from rxchain.engine._parts import PLAIN, driven, is_iterable, iterable_parts, parts

BREATHE_EVERY = 0.005
"""Seconds that a program may keep the event loop to itself; with one item's own time it stays under 10 ms."""

clock = time.monotonic


class Completed(BaseException):
    """Thrown into a program that items are pushed into: there are no more."""


async def breathe() -> float:
    """Let the event loop run once; returns when to do so next."""
    await asyncio.sleep(0)
    return clock() + BREATHE_EVERY


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
    "aclose",
    "aopened",
    "breathe",
    "clock",
    "close",
    "driven",
    "has_part",
    "is_async_generator",
    "is_iterable",
    "iterable_parts",
    "opened",
    "parts",
]
