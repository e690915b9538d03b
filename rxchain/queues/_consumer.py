"""One worker's end of a queue."""

from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from rxchain.errors import QueueClosed
from rxchain.queues._delivery import Delivery
from rxchain.queues._waiters import Waiters
from rxchain.types import T

if TYPE_CHECKING:
    from rxchain.queues._queue import TaskQueue


class Consumer(Generic[T]):
    """One worker's end of a queue, inside a ``with``: when that ends, what it holds goes back. A `Source`.

    >>> from rxchain import TaskQueue
    >>> queue = TaskQueue()
    >>> queue.put_nowait("letter")
    >>> with queue.consumer("ann") as ann:
    ...     ann.get_nowait()
    <delivery of 'letter', attempt 1>
    >>> queue.get_nowait()
    <delivery of 'letter', attempt 2>
    """

    def __init__(self, queue: "TaskQueue[T]", name: str) -> None:
        self._queue, self.name = queue, name
        # All of these under the queue's lock.
        self.store = queue._store()
        """What is meant for it, and waits."""
        self.taken: dict[Delivery[T], None] = {}
        """What is in its hands, in the order of taking."""
        self.keys: dict[Hashable, int] = {}
        """How much of each key it has, waiting or in its hands."""
        self.kept: dict[Delivery[T], None] = {}
        """What has gone back for a while and is kept for it, for the sake of its key."""
        self.waiters, self.held = Waiters(), Waiters()
        """Those who wait for a task at this end, and those who wait for `resume`."""
        self.paused = self.lost = False
        """Lost: time ran out on something that it held, and since then it has not asked for more."""
        self.ended = True
        """Or has not begun."""
        self.told: Callable[[Sequence[Delivery[T]]], object] | None = None

    def __repr__(self) -> str:
        return f"<consumer {self.name!r} of {self._queue!r}>"

    @property
    def away(self) -> bool:
        """Whether nothing is to be meant for it."""
        return self.paused or self.lost

    def __enter__(self) -> Self:
        self._queue._join_in(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._queue._part(self, error if isinstance(error, Exception) else None)

    async def get(self) -> Delivery[T]:
        """Take a task that is meant for it; see `TaskQueue.get`."""
        return await self._queue._get(self)

    def get_sync(self, timeout: float | None = None) -> Delivery[T]:
        """The same from a thread; see `TaskQueue.get_sync`."""
        return self._queue._get_sync(self, timeout)

    def get_nowait(self) -> Delivery[T]:
        """The same without waiting; see `TaskQueue.get_nowait`."""
        return self._queue._get_nowait(self)

    async def __aiter__(self) -> AsyncIterator[Delivery[T]]:
        while True:
            try:
                delivery = await self.get()
            except QueueClosed:
                return
            yield delivery

    def __iter__(self) -> Iterator[Delivery[T]]:
        while True:
            try:
                delivery = self.get_sync()
            except QueueClosed:
                return
            yield delivery

    # --- as a source

    async def open(self) -> None:
        """Begin, as ``with`` does."""
        self.__enter__()

    async def close(self) -> None:
        """End, as ``with`` does."""
        self.__exit__(None, None, None)

    async def pull(self, most: int) -> list[Delivery[T]]:
        """Take up to *most* tasks, waiting for the first; none at all when nothing more will come."""
        try:
            found = [await self.get()]
        except QueueClosed:
            return []
        while len(found) < most and (more := self._queue._take_now(self)) is not None:
            found.append(more)
        return found

    async def settle(
        self,
        acks: Sequence[Delivery[T]] = (),
        nacks: Sequence[Delivery[T]] = (),
        *,
        delay: float = 0.0,
        error: Exception | None = None,
    ) -> int:
        """Say what became of some: *acks* are done, and how many of them were in time; *nacks* go back."""
        for delivery in nacks:
            delivery.nack(delay=delay, error=error)
        return sum(delivery.ack() for delivery in acks)

    def pause(self) -> None:
        """Take nothing more, whatever there is; what was meant for it goes to others, what it holds it keeps."""
        self._queue._pause(self, True)

    def resume(self) -> None:
        """Go on."""
        self._queue._pause(self, False)

    def on_revoke(self, told: Callable[[Sequence[Delivery[T]]], object]) -> None:
        """Have *told* called with what has gone back as its time ran out, from whatever thread finds out."""
        self.told = told
