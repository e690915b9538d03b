"""Runs that are tasks: each has an owner from its first step to its last, also when nobody waits for it."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

_running: set["asyncio.Task[Any]"] = set()
"""An event loop alone would let go of a task that waits for nobody else."""
_ending: set["asyncio.Task[Any]"] = set()
"""Those that have been told to end by somebody who could not wait for it."""


def owned_task(
    work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: Context, name: str
) -> "asyncio.Task[None]":
    """Begin a task, held until it is done."""
    task = loop.create_task(work, name=name, context=context)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def is_ending(task: "asyncio.Task[Any]") -> None:
    """Note that *task* has been told to end, and that nobody waits for it."""
    if not task.done():
        _ending.add(task)
        task.add_done_callback(_ending.discard)


async def disposed() -> None:
    """Wait until every subscription that was disposed of on this event loop has let go of all it held.

    ``dispose`` cannot wait where it is called on the event loop that the chain runs on: it tells the chain to end, and
    returns. The work is cancelled and awaited all the same; this is how to know that it has been.

    >>> import asyncio
    >>> from reactivex.subject import Subject
    >>> from rxchain import Chain
    >>> from rxchain.runners import disposed
    >>> async def waits(item):
    ...     try:
    ...         await asyncio.sleep(3600)
    ...     finally:
    ...         print("let go of", item)
    >>> async def main():
    ...     subject = Subject()
    ...     subscription = subject.pipe(Chain(waits)).subscribe()
    ...     subject.on_next("tea")
    ...     await asyncio.sleep(0.01)
    ...     subscription.dispose()
    ...     await disposed()
    >>> asyncio.run(main())
    let go of tea

    Cancelled, it no longer waits; what it waited for goes on ending.
    """
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    while left := [task for task in list(_ending) if task is not me and task.get_loop() is loop]:
        await asyncio.wait(left)


__all__ = ["disposed", "is_ending", "owned_task"]
