"""What every queue can be asked, be it in this process, on a disk or at a broker: `TaskQueue` is the first of them.

Methods that a broker has to be asked for are async; a task that was taken is settled through the source that gave it,
several at a time where that is cheaper.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from rxchain.types import In_contra, Out_co, T


@runtime_checkable
class Received(Protocol[Out_co]):
    """A task, or a message, that was taken, and of which something has to be said."""

    @property
    def item(self) -> Out_co:
        """What it is about."""
        ...

    @property
    def attempt(self) -> int:
        """How often it has been taken, this time included, as far as is known."""
        ...


@runtime_checkable
class Source(Protocol[Out_co]):
    """Where items come from that have to be settled: one worker's end of a queue. At least once.

    `Consumer` is one.
    """

    async def open(self) -> None:
        """Begin; before the first `pull`."""

    async def pull(self, most: int) -> Sequence[Received[Out_co]]:
        """Take up to *most*, waiting for the first; none at all when nothing more will come."""
        ...

    async def settle(
        self,
        acks: "Sequence[Any]" = (),
        nacks: "Sequence[Any]" = (),
        *,
        delay: float = 0.0,
        error: Exception | None = None,
    ) -> int:
        """Say what became of some that it gave: *acks* are done, and how many of them were in time; *nacks* go back.

        Args:
            acks: what is done; more than once makes no difference.
            nacks: what is not.
            delay: seconds before the nacks can be taken again; whoever cannot wait for that gives them at once.
            error: why they are not done.
        """
        ...

    def pause(self) -> None:
        """Give nothing more, whatever there is; what was taken stays taken."""

    def resume(self) -> None:
        """Go on."""

    def on_revoke(self, told: "Callable[[Sequence[Any]], object]") -> None:
        """Have *told* called with what was taken and is this worker's no more, from whatever thread finds out."""

    async def close(self) -> None:
        """End: what was taken and not settled goes back."""


@runtime_checkable
class Sink(Protocol[In_contra]):
    """Where items go to. `TaskQueue` is one."""

    async def write(self, batch: Iterable[In_contra]) -> None:
        """Hand over all of *batch*, waiting as long as there is no room."""

    async def flush(self) -> None:
        """Wait until what was written is safe."""


@runtime_checkable
class Queue(Protocol[T]):
    """What `rxchain.queues.work` needs: tasks go in, and workers take them, each at an end of its own."""

    async def put(self, item: T, *, priority: float = 0.0, delay: float = 0.0) -> T:
        """Put a task in; waits as long as there is no room."""
        ...

    def consumer(self, name: str = "") -> Source[T]:
        """A worker's own end."""
        ...
