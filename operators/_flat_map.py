"""flat_map: many items of one, those of several items side by side.

Parts that come one by one anyway, from plain functions, are taken in turn: that fuses, and nothing could be gained. For
async functions each item has a task; a task holds one part at most, and waits until it is taken.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, overload

from rxchain.engine import Colour, ItemFailed, Operator, Parts, Step, call, colour, operator, parts
from rxchain.operators._counts import is_count, wrong_count
from rxchain.types import T, U

SIDE_BY_SIDE = 16
"""How many items' parts are taken side by side where nothing else is said."""


@overload
def flat_map(
    mapper: Callable[[T], Coroutine[Any, Any, Parts[U]]], concurrency: int | None = None
) -> Operator[T, U]: ...
@overload
def flat_map(mapper: Callable[[T], Parts[U]], concurrency: int | None = None) -> Operator[T, U]: ...
def flat_map(mapper: Callable[[Any], Any], concurrency: int | None = None) -> Operator[Any, Any]:
    """Take apart what *mapper* returns for each item; parts of different items may interleave.

    *mapper* is what it is in `concat_map`. If it is an async function or an async generator function, or if
    *concurrency* is given, items are worked on side by side, each in an asyncio task of its own; otherwise one after
    the other.

    >>> import asyncio
    >>> from rxchain import Chain, operators as ops
    >>> async def countdown(start):
    ...     for number in range(start, 0, -1):
    ...         await asyncio.sleep(0)
    ...         yield number
    >>> sorted(Chain(ops.flat_map(countdown)).iterate([3, 2]))
    [1, 1, 2, 2, 3]

    Args:
        concurrency: how many items may be worked on side by side, 1 or more; 16 if not given.

    :Emits:     the parts of each item, in their order; those of different items as they come.
    :Buffers:   one part an item, of up to *concurrency* items; and what `concat_map` says of Observables.
    :Fails:     with the source, with *mapper* or with what it returned; the other items are cancelled first.
    :Completes: when the source has and all items' parts are out.
    :Disposes:  of all tasks, cancelled and awaited, of the items' parts that are being taken, and of the source.
    """
    if concurrency is None and colour(mapper) in (Colour.SYNC, Colour.GENERATOR):
        return _flat_map(mapper, concurrency)
    return _flat_map_(mapper, concurrency)


@operator
def _flat_map(mapper: Callable[[Any], Any], concurrency: int | None = None) -> Step[Any, Any]:
    """One item after the other."""

    async def step(item: Any) -> AsyncIterator[Any]:
        async for part in parts(await call(mapper, item)):
            yield part

    return step


@operator
def _flat_map_(mapper: Callable[[Any], Any], concurrency: int | None = None) -> Step[Any, Any]:
    """Items side by side."""
    if concurrency is not None and not is_count(concurrency, at_least=1):
        raise wrong_count("flat_map", "concurrency", concurrency, at_least=1)

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(SIDE_BY_SIDE if concurrency is None else concurrency)
        tasks: set[asyncio.Task[None]] = set()
        ready: deque[Any] = deque()  # (part, what its task waits for), an item's failure, or an error that ends it all
        arrived = asyncio.Event()
        unfinished = 0
        closing = False
        raised: BaseException | None = None
        too_late: list[BaseException] = []

        def begin(work: Coroutine[Any, Any, None]) -> None:
            nonlocal unfinished
            unfinished += 1
            task = loop.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def end(error: BaseException | None, outcome: Any) -> None:
            nonlocal unfinished
            unfinished -= 1
            if error is not None:
                if not closing:
                    ready.append(outcome if isinstance(error, Exception) else error)
                elif not isinstance(error, asyncio.CancelledError):
                    too_late.append(error)
            arrived.set()

        async def feed() -> None:
            """Take items while there is room. Opens and closes the source: in one task, as it may insist on."""
            failed: BaseException | None = None
            try:
                async with aclosing(source):
                    items = aiter(source)
                    while not closing:
                        await room.acquire()
                        try:
                            item = await anext(items)
                        except StopAsyncIteration:
                            break
                        begin(follow(item))
            except BaseException as error:
                failed = error
            end(failed, failed)

        async def follow(item: Any) -> None:
            """Take one item's parts, handing over each before the next is asked for."""
            outcome: ItemFailed | None = None
            failed: BaseException | None = None
            try:
                async with aclosing(parts(await call(mapper, item))) as made:
                    async for part in made:
                        if closing:
                            break  # somebody swallowed the cancellation
                        taken = loop.create_future()
                        ready.append((part, taken))
                        arrived.set()
                        await taken
            except Exception as error:
                failed, outcome = error, ItemFailed(error, item)
            except BaseException as error:
                failed = error
            room.release()
            end(failed, outcome)

        begin(feed())
        try:
            while unfinished or ready:
                if not ready:
                    arrived.clear()
                    await arrived.wait()
                    continue
                outcome = ready.popleft()
                if isinstance(outcome, BaseException):
                    raised = outcome
                    raise outcome
                if isinstance(outcome, ItemFailed):
                    raised = outcome.error
                    yield outcome
                    raised = None
                else:
                    part, taken = outcome
                    taken.set_result(None)
                    yield part
        finally:
            closing = True
            await _cancelled(tasks)
            _report(too_late, raised)

    return over


async def _cancelled(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel *tasks* and wait for them all, whatever happens meanwhile."""
    interrupted: asyncio.CancelledError | None = None
    for task in tasks:
        task.cancel()
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _report(too_late: list[BaseException], raised: BaseException | None) -> None:
    """Errors that came while the tasks were being cancelled: noted on the one that caused it, or raised."""
    if raised is None and too_late:
        raised = too_late.pop(0)
        _report(too_late, raised)
        raise raised
    for error in too_late:
        assert raised is not None
        raised.add_note(f"while the other items were being cancelled, one failed too: {error!r}")


# Not called yet, it is an operator all the same: a chain says so, where it would otherwise call it as a function.
flat_map.__rxchain_definition__ = _flat_map.__rxchain_definition__  # type: ignore[attr-defined]
