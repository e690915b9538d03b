"""A second attempt beside a slow one: what most calls take decides how long, not what the slowest takes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from rxchain.policies._settings import check_count, check_seconds


@dataclass(frozen=True, slots=True, repr=False)
class Hedge:
    """Begin another attempt when the last one has not answered for *after* seconds; the first result is the result.

    >>> import asyncio
    >>> from rxchain.policies import Hedge
    >>> from rxchain.testing import run
    >>> answers = iter([60, 1])
    >>> async def price(product):
    ...     await asyncio.sleep(next(answers))
    ...     return 3
    >>> async def main():
    ...     return await Hedge(after=2).around(price, "price")("tea"), asyncio.get_running_loop().time()
    >>> run(main())
    (3, 3.0)

    Only for functions that may run twice for one item: those that read, and those whose effect is the same the second
    time. The attempts that have lost are cancelled, and waited for. Hedging is for slowness: an attempt that fails
    while no other runs is the end, and `Retry` goes around it; one that fails beside others is waited out, and if all
    fail, the last error is raised with the others in its notes.

    Each attempt is a task with a copy of the item's context: what it sets in a ``ContextVar`` stays there.

    Args:
        after: seconds after which another attempt is begun beside those that run.
        attempts: how many there may be at once, the first included.

    Raises:
        CompositionError: *after* is no number of seconds above 0, *attempts* no whole number from 2 on.
    """

    after: float
    attempts: int = 2

    def __post_init__(self) -> None:
        check_seconds("Hedge", "after", self.after, "Hedge(after=0.1)")
        check_count("Hedge", "attempts", self.attempts, "Hedge(after=0.1, attempts=2)", least=2)

    def __repr__(self) -> str:
        more = f", attempts={self.attempts}" if self.attempts != 2 else ""
        return f"Hedge(after={self.after:g}{more})"

    def around(self, fn: Callable[[Any], Awaitable[Any]], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """An async function that does what *fn* does, by the quickest of several attempts."""
        after, most = self.after, self.attempts

        async def attempt(item: Any) -> Any:
            return await fn(item)

        async def hedged(item: Any) -> Any:
            loop = asyncio.get_running_loop()
            next_at = loop.time()
            begun = 0
            running: list[asyncio.Task[Any]] = []  # in the order of their beginning
            failed: list[Exception] = []
            try:
                while True:
                    if begun < most and loop.time() >= next_at:
                        begun += 1
                        next_at = loop.time() + after
                        running.append(asyncio.create_task(attempt(item), name=f"{node}, attempt {begun}"))
                    left = None if begun == most else max(next_at - loop.time(), 0)
                    done, _ = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                    for task in [task for task in running if task in done]:
                        running.remove(task)
                        try:
                            return task.result()
                        except Exception as error:
                            failed.append(error)
                    if not running:
                        raise _last_of(failed)
            finally:
                failed.clear()  # else they and this frame would keep one another
                await _ended(running)

        return hedged


def _last_of(failed: list[Exception]) -> Exception:
    *others, last = failed
    for number, error in enumerate(others, start=1):
        if error is not last:
            last.add_note(f"attempt {number} of {len(failed)} beside one another failed with {error!r}")
    return last


async def _ended(tasks: list["asyncio.Task[Any]"]) -> None:
    """Cancel *tasks* and wait for them, however often this is itself cancelled meanwhile."""
    if not tasks:
        return
    cancelled: asyncio.CancelledError | None = None
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        try:
            _, running = await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
            running = {task for task in running if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it has lost: nobody will ask for it
    if cancelled is not None:
        raise cancelled
