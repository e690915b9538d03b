"""Branches side by side: what is done about an item whose first node has been found waiting.

Until then its nodes run one after the other in the item's own task, at the price of plain calls. From then on each that
has all it needs runs in a task of its own, the item's task going on with one of them; all are awaited, however it ends.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any

PENDING: Any = type("PENDING", (), {"__repr__": lambda self: "<not there yet>"})()
"""What stands in the place of a result that is not there."""

Work = Callable[..., Coroutine[Any, Any, None]]
"""Runs one node: given the results so far, the item, the scope of its effects."""


class Side:
    """One item's nodes, side by side."""

    def __init__(
        self,
        works: Sequence[Work],
        after: Sequence[Sequence[int]],
        results: list[Any],
        given: Sequence[Any],
        at: int,
        task: Any,
        context: Context,
    ) -> None:
        self._works, self._after = works, after
        self._results, self._given = results, given
        self._started = {k for k in range(len(works)) if results[k] is not PENDING} | {at}
        self._task = task
        """The item's own."""
        self._context = context
        """Likewise; that of whoever finds it waiting is another item's."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._others: list[BaseException] = []
        self._interrupted = False
        self._idle: asyncio.Future[None] | None = None
        self.start()

    def start(self) -> None:
        """Begin on all that have what they need."""
        while self._error is None and (k := self._next()) is not None:
            task = asyncio.get_running_loop().create_task(self._work(k), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _next(self) -> int | None:
        results = self._results
        for k, after in enumerate(self._after):
            if k not in self._started and all(results[j] is not PENDING for j in after):
                self._started.add(k)
                return k
        return None

    async def _work(self, k: int | None) -> None:
        while k is not None:
            await self._works[k](self._results, *self._given)
            k = self._next() if self._error is None else None
            self.start()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fails(error)
        if not self._tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _fails(self, error: BaseException) -> None:
        if self._error is not None:
            self._others.append(error)
            return
        self._error = error
        for task in self._tasks:
            task.cancel()
        if self._idle is None and not self._task.done():  # the item's own is inside a node
            self._interrupted = True
            self._task.cancel()

    async def finish(self) -> None:
        """Go on, in the item's own task, until all is done."""
        mine = self._next() if self._error is None else None
        self.start()
        await self._work(mine)
        await self._wait()
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        while self._tasks:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._idle = None

    async def abandon(self, error: BaseException) -> BaseException:
        """End all that runs still, because of *error* in the item's own task; gives the error to be raised."""
        cancelled: BaseException | None = error if isinstance(error, asyncio.CancelledError) else None
        if self._interrupted:
            self._interrupted = False
            if self._task.uncancel() == 0:  # nobody but us wanted that
                cancelled = None
        if self._error is None:
            self._error = error
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            try:
                await self._wait()
            except asyncio.CancelledError as again:
                cancelled = again
        first = cancelled if cancelled is not None else self._error
        for other in self._others:
            if other is not first:
                first.add_note(f"another branch failed, too: {other!r}")
        return first
