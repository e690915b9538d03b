"""A task: while it waits in a queue, and in the hands of a worker, until that says what became of it.

One object is both, as an object for each was a quarter of what a task costs; which is why it is made without an
``__init__``, too. A task that goes back goes on as another object, and who had it has a dead one.
"""

from collections.abc import Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Generic

from rxchain.types import T

if TYPE_CHECKING:
    from rxchain.queues._consumer import Consumer
    from rxchain.queues._core import Core


class Delivery(Generic[T]):
    """A task that was taken: `ack` it when it is done, `nack` it when it is not.

    As a context manager, sync or async, it does that itself: what raises in its block is a nack, and goes on.

    >>> from rxchain import TaskQueue
    >>> queue = TaskQueue()
    >>> queue.put_nowait("letter")
    >>> with queue.get_nowait() as letter:
    ...     print(letter)
    letter
    >>> queue.statistics().done
    1
    """

    __slots__ = ("_consumer", "_key", "_number", "_queue", "_rank", "attempt", "item")

    item: T
    """What was put in."""
    attempt: int
    """How often it has been taken, this time included."""
    _queue: "Core[T]"
    """Where it was taken from; not set while it waits."""
    _number: int
    """Its place in the order of putting."""
    _rank: float
    """Its place by priority, the smallest first."""
    _consumer: "Consumer[T] | None"
    """Whom it is meant for, or who has it."""
    _key: Hashable
    """Set in queues whose consumers have keys."""

    def __repr__(self) -> str:
        return f"<delivery of {self.item!r:.60}, attempt {self.attempt}>"

    def ack(self) -> bool:
        """It is done. False if it is this worker's no more: it has gone back, and may be worked on by another."""
        queue = self._queue
        try:
            queue._held.remove(self)  # one step, also for threads
        except KeyError:
            return False
        if queue._joiners or queue._closed or not queue._direct or self._consumer is not None:
            queue._acked(self)
        return True

    def nack(self, *, delay: float = 0.0, error: Exception | None = None) -> bool:
        """It is not done, and goes back, to be taken again. False as for `ack`.

        Args:
            delay: seconds before it can be taken again.
            error: why; what ``given_up=`` is told if this was the last attempt.
        """
        return self._queue._nack(self, delay, error)

    def extend(self, seconds: float) -> bool:
        """It goes back *seconds* from now, if nothing is said of it until then, and not before. False as for `ack`."""
        return self._queue._extend(self, seconds)

    def __enter__(self) -> T:
        return self.item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.ack()
        else:
            self.nack(error=error if isinstance(error, Exception) else None)

    async def __aenter__(self) -> T:
        return self.item

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
