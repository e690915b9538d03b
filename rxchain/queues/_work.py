"""Workers on a queue, whatever it is kept in: each takes a task, runs a chain for it, and says what became of it."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Literal

from rxchain.engine import Operator, a_kind_of, shorten
from rxchain.errors import CompositionError
from rxchain.queues._protocols import Queue
from rxchain.types import T

OnError = Literal["stop", "retry"] | Callable[[T, Exception], object]


async def work(
    queue: Queue[T],
    chain: Any,
    *,
    workers: int = 1,
    delay: float | Callable[[int], float] = 0.0,
    on_error: OnError[T] = "stop",
) -> int:
    """Work on the tasks of *queue* until it is closed and all are done; gives how many were.

    A task is acknowledged when *chain* has run for it: to its end, or with an ``on_error`` of its own that has dealt
    with the item. However this ends, each task that is worked on then goes back. At least once.

    Args:
        queue: a `TaskQueue`, or another `Queue`.
        chain: a chain, an operator, or a function, which runs for one item at a time.
        workers: how many items are worked on at once; each worker has an end of its own.
        delay: seconds after which a task that failed can be taken again, or a function that gives them, of how often
            it has been taken.
        on_error: what happens when *chain* fails. The task goes back, always; with ``"stop"`` the workers end then, and
            the error is raised; with ``"retry"`` they go on: see ``attempts=`` of the queue for how often. A function
            is called with the item and the error before they go on; what it raises ends them.

    Raises:
        CompositionError: an argument is not what it must be.
    """
    if type(workers) is not int or workers < 1:
        raise CompositionError(
            f"work: workers is a number, 1 or more, got {a_kind_of(workers)}: {shorten(workers, 40)}\n"
            f"    await queue.work(chain, workers={shorten(workers, 30)})  # incorrect\n"
            "    await queue.work(chain, workers=4)  # correct"
        )
    if on_error not in ("stop", "retry") and not callable(on_error):
        raise CompositionError(
            f"work: on_error is 'stop', 'retry' or a function, got {a_kind_of(on_error)}: {shorten(on_error, 40)}\n"
            f"    await queue.work(chain, on_error={shorten(on_error, 30)})  # incorrect\n"
            "    await queue.work(chain, on_error='retry')  # correct"
        )
    run, done = _runner(chain), 0

    async def worker(name: str) -> None:
        nonlocal done
        source = queue.consumer(name)
        await source.open()
        try:
            while found := await source.pull(1):
                task = found[0]
                try:
                    await run(task.item)
                except Exception as error:
                    wait = delay(task.attempt) if callable(delay) else delay
                    await source.settle(nacks=found, delay=wait, error=error)
                    if on_error == "stop":
                        raise
                    if callable(on_error):
                        told = on_error(task.item, error)
                        if isawaitable(told):
                            await told
                else:
                    done += await source.settle(found)
        finally:
            await source.close()

    failures: tuple[BaseException, ...] = ()
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(1, workers + 1):
                group.create_task(worker(f"worker {number}"), name=f"queue: worker {number}")
    except BaseExceptionGroup as error:
        failures = error.exceptions
        if len(failures) > 1:
            raise
    if failures:
        raise failures[0]
    return done


def _runner(chain: Any) -> Callable[[Any], Awaitable[object]]:
    if isinstance(chain, Operator):
        # One item may be dropped by a chain, or become several: its results are whatever they are.
        whole: Any = chain if hasattr(chain, "collect") else Operator.composed(chain)
        return lambda item: whole.collect((item,))
    if not callable(chain):
        raise CompositionError(
            f"work: what is run is a chain or a function, got {a_kind_of(chain)}: {shorten(chain, 40)}\n"
            f"    await queue.work({shorten(chain, 30)})  # incorrect\n"
            "    await queue.work(Chain(check, charge), workers=4)  # correct"
        )

    async def run(item: Any) -> object:
        made = chain(item)
        return await made if isawaitable(made) else made

    return run
