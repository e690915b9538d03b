"""``parts``: whatever a function returned for an item, as the parts that follow from it.

An Observable cannot be asked to wait: what it delivers before it is taken is held here, at most `PARTS_LIMIT` parts of
it, then `Overflow` is raised. An AsyncObservable waits. Both are known by protocol; neither library is imported.
"""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from rxchain.engine._call import name_of
from rxchain.errors import Overflow, RxChainError
from rxchain.types import T

PARTS_LIMIT = 65_536
"""How many parts of one Observable may wait to be taken."""

PLAIN = frozenset({list, tuple, set, frozenset, dict, range, str})
"""Types that are taken apart by a plain ``for`` and need no closing; asking for them costs less than a call."""

T_co = TypeVar("T_co", covariant=True)


class ObservableLike(Protocol[T_co]):
    """What is asked of a reactivex Observable."""

    def subscribe(self, *args: Any, **kwargs: Any) -> Any: ...


class AsyncObservableLike(Protocol[T_co]):
    """What is asked of an aioreactive AsyncObservable."""

    async def subscribe_async(self, *args: Any, **kwargs: Any) -> Any: ...


Parts: TypeAlias = Iterable[T] | AsyncIterable[T] | Awaitable[T] | ObservableLike[T] | AsyncObservableLike[T]
"""What a function may return where its result is taken apart; an awaitable is one part: what it gives."""


def is_iterable(value: object) -> bool:
    """Whether *value* is taken apart by a plain ``for``."""
    return hasattr(type(value), "__iter__")


def parts(value: Parts[T]) -> "_Ready[T] | AsyncGenerator[T, None]":
    """Take *value* apart: an iterable, an async iterable, an Observable of either library, or an awaitable."""
    return _Ready(iter(value)) if isinstance(value, Iterable) else _awaited(value)


class _Ready(AsyncIterator[T]):
    """What needs no waiting: no generator, which nobody would close at once."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator

    async def __anext__(self) -> T:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


async def _awaited(value: Parts[T]) -> AsyncGenerator[T, None]:
    if hasattr(value, "subscribe_async"):
        source: AsyncIterable[T] = _of_async_observable(cast("AsyncObservableLike[T]", value))
    elif isinstance(value, AsyncIterable):
        source = value
    elif hasattr(value, "subscribe"):
        source = _of_observable(cast("ObservableLike[T]", value))
    elif inspect.isawaitable(value):
        yield await value
        return
    else:
        raise TypeError(
            f"the function must return an iterable, an async iterable, an awaitable or an Observable,"
            f" and returned {type(value).__name__}: to pass one result on, use map"
        )
    iterator = source.__aiter__()
    try:
        async for part in iterator:
            yield part
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def iterable_parts(value: Parts[T]) -> Iterable[T]:
    """The same in a synchronous program: what is asynchronous is waited for on a loop thread of its own."""
    if is_iterable(value):
        return cast("Iterable[T]", value)
    if not any(hasattr(value, name) for name in ("subscribe_async", "subscribe", "__aiter__", "__await__")):
        next(driven(parts(value)))  # says what is wrong
    from rxchain.engine._loop_thread import iterate_on_loop_thread

    return iterate_on_loop_thread(lambda: _awaited(value))


def driven(generator: AsyncIterator[T]) -> Iterator[T]:
    """Run an async generator that never suspends without an event loop."""
    try:
        while True:
            step: Any = generator.__anext__()
            try:
                step.send(None)
            except StopIteration as done:
                yield done.value
            except StopAsyncIteration:
                return
            else:
                # Thrown where it waits: it ends there, and can then be closed.
                step.throw(
                    RxChainError(f"{name_of(generator)} suspended where only synchronous functions were declared")
                )
    finally:
        close = getattr(generator, "aclose", None)
        if close is not None:
            with suppress(StopIteration):
                close().send(None)


class _End:
    """Put behind the last part; holds the error if there is one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


async def _of_observable(observable: ObservableLike[T]) -> AsyncGenerator[T, None]:
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    waiting: deque[Any] = deque()
    arrived = asyncio.Event()

    def put(part: Any) -> None:
        if len(waiting) > PARTS_LIMIT:
            return  # the overflow is in there already
        if len(waiting) == PARTS_LIMIT and not isinstance(part, _End):
            part = _End(
                Overflow(
                    f"an Observable cannot be asked to wait, and {PARTS_LIMIT} of its parts have not been taken yet:"
                    " bound it (take, buffer_with_count, throttle) or return an iterable"
                )
            )
        waiting.append(part)
        if threading.get_ident() == here:
            arrived.set()
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(arrived.set)

    subscription = observable.subscribe(put, lambda error: put(_End(error)), lambda: put(_End(None)))
    try:
        while True:
            while waiting:
                part = waiting.popleft()
                if isinstance(part, _End):
                    if part.error is not None:
                        raise part.error
                    return
                yield part
            arrived.clear()
            await arrived.wait()
    finally:
        subscription.dispose()


async def _of_async_observable(observable: AsyncObservableLike[T]) -> AsyncGenerator[T, None]:
    waiting: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)

    async def throw(error: BaseException) -> None:
        await waiting.put(_End(error))

    async def close() -> None:
        await waiting.put(_End(None))

    async def subscribe() -> Any:
        try:
            return await observable.subscribe_async(waiting.put, throw, close)
        except Exception as error:
            await waiting.put(_End(error))

    # In a task of its own: a cold source may deliver, and so wait for us, before it returns its subscription.
    subscribing = asyncio.ensure_future(subscribe())
    try:
        while not isinstance(part := await waiting.get(), _End):
            yield part
        if part.error is not None:
            raise part.error
    finally:
        subscribing.cancel()
        await asyncio.wait([subscribing])
        if not subscribing.cancelled() and subscribing.result() is not None:
            await subscribing.result().dispose_async()


__all__ = ["PARTS_LIMIT", "PLAIN", "Parts", "driven", "is_iterable", "iterable_parts", "parts"]
