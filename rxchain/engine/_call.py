"""Calling a function whose colour the caller does not know.

An operator is written once, for sync and async functions alike: ``await call(fn, item)``. The interpreter runs that as
it stands; the compiler, which knows the function, writes ``fn(item)`` or ``await fn(item)``.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from enum import Enum
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeVar

R = TypeVar("R")


class Colour(Enum):
    """How a function answers a call; its value says so in an error message."""

    SYNC = "a function"
    ASYNC = "an async function"
    GENERATOR = "a generator function"
    ASYNC_GENERATOR = "an async generator function"

    __hash__ = object.__hash__  # Enum's own is a Python function, and shapes are hashed for each chain that is built


_FLAGS = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_BY_FLAG = {
    0: Colour.SYNC,
    inspect.CO_COROUTINE: Colour.ASYNC,
    inspect.CO_ITERABLE_COROUTINE | inspect.CO_GENERATOR: Colour.ASYNC,
    inspect.CO_GENERATOR: Colour.GENERATOR,
    inspect.CO_ASYNC_GENERATOR: Colour.ASYNC_GENERATOR,
}


def colour(fn: Callable[..., object]) -> Colour:
    """Tell how *fn* answers: decided when a chain is composed, so that no item pays for the question."""
    if type(fn) is FunctionType:
        found = _BY_FLAG[fn.__code__.co_flags & _FLAGS]
        if found is not Colour.SYNC or not fn.__dict__:
            return found
        return Colour.ASYNC if inspect.iscoroutinefunction(fn) else found  # inspect.markcoroutinefunction
    if isinstance(fn, functools.partial):
        return colour(fn.func)
    if isinstance(fn, MethodType):
        return colour(fn.__func__)
    if isinstance(fn, type):
        return Colour.SYNC
    if inspect.iscoroutinefunction(fn):
        return Colour.ASYNC
    own = getattr(type(fn), "__call__", None)  # noqa: B004 (not whether, but how)
    return colour(own) if type(own) is FunctionType else Colour.SYNC


async def call(fn: Callable[..., Awaitable[R] | R], /, *args: Any) -> R:
    """Call *fn*, and await what it returns if it is an async function. For use inside an operator's step."""
    result: Any = fn(*args)
    return await result if colour(fn) is Colour.ASYNC else result  # type: ignore[no-any-return]


def takes(fn: Callable[..., object], count: int) -> bool:
    """Whether *fn* can be called with *count* positional arguments; True where nobody can tell."""
    bound = 0
    plain: object = fn
    if isinstance(fn, MethodType):
        plain, bound = fn.__func__, 1
    if type(plain) is FunctionType:
        code: CodeType = plain.__code__
        most = code.co_argcount - bound
        least = most - len(plain.__defaults__ or ())
        if code.co_flags & inspect.CO_VARARGS:
            most = count
        required = code.co_kwonlyargcount - len(plain.__kwdefaults__ or ())
        return least <= count <= most and required <= 0
    try:
        return _slow_takes(fn, count)
    except TypeError:  # unhashable
        return True


@functools.lru_cache(maxsize=1024)
def _slow_takes(fn: Callable[..., object], count: int) -> bool:
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def name_of(fn: object) -> str:
    """The name under which a person knows *fn*."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__name__", None) or getattr(fn, "name", None)
    return name if isinstance(name, str) else type(fn).__name__
