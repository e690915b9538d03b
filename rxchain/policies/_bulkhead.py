"""At most so many at once in something that several nodes and chains use; a few may wait, more are refused."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from rxchain.errors import BulkheadFull
from rxchain.policies._gate import Gate, NoRoom
from rxchain.policies._named import Named
from rxchain.policies._settings import check_count, check_name


@dataclass(frozen=True, slots=True)
class BulkheadSnapshot:
    """How a bulkhead is doing."""

    inside: int
    """Calls that run, of all nodes and chains."""
    waiting: int
    """Calls that wait for one of those to end."""
    refused: int
    """Calls that were refused with `BulkheadFull`, ever."""


class Bulkhead:
    """Let at most so many calls at once into something named, from all nodes, chains and threads together.

    >>> import asyncio
    >>> from rxchain.policies import Bulkhead
    >>> from rxchain.testing import run
    >>> async def query(number):
    ...     await asyncio.sleep(1)
    ...     return number
    >>> async def main():
    ...     database = Bulkhead("database", 1, queue=1).around(query, "query")
    ...     return await asyncio.gather(database(1), database(2), database(3), return_exceptions=True)
    >>> for result in run(main()):
    ...     print(result)
    1
    2
    node 'query': bulkhead 'database' is full: 1 inside, 1 waiting, and no more may wait
    >>> Bulkhead.forget("database")

    Those that wait are let in first come, first served; one that is cancelled meanwhile leaves its place in the queue.
    Two bulkheads with the same name are the same one.

    Args:
        name: what it stands for; two with this name and the same settings are one.
        at_once: how many calls may be inside.
        queue: how many may wait; 0 refuses as soon as it is full.

    Raises:
        CompositionError: an argument is not what it must be, or *name* is there already with other settings.
    """

    __slots__ = ("_gate", "at_once", "name", "queue")

    def __init__(self, name: str, at_once: int, *, queue: int = 100) -> None:
        correct = "Bulkhead('database', 8, queue=100)"
        check_name("Bulkhead", name, correct)
        check_count("Bulkhead", "at_once", at_once, correct)
        check_count("Bulkhead", "queue", queue, correct, least=0)
        self.name = name
        self.at_once = at_once
        self.queue = queue
        self._gate = _named.get(name, (at_once, queue), repr(self), lambda: Gate(at_once, queue))

    def __repr__(self) -> str:
        return f"Bulkhead({self.name!r}, {self.at_once}, queue={self.queue})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bulkhead) and self._gate is other._gate

    def __hash__(self) -> int:
        return hash(self._gate)

    def snapshot(self) -> BulkheadSnapshot:
        """How many are inside, wait, and were refused; from any thread."""
        gate = self._gate
        return BulkheadSnapshot(gate.inside, len(gate.waiting), gate.refused)

    @staticmethod
    def forget(name: str | None = None) -> None:
        """Begin afresh, as a test does: the next bulkhead called *name*, or any name if it is None, is a new one.

        Calls that are inside an old one, and nodes that were given it, keep it.
        """
        _named.forget(name)

    def around(self, fn: Callable[[Any], Awaitable[Any]], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """An async function that does what *fn* does, once it has been let in."""
        gate = self._gate

        async def inside(item: Any) -> Any:
            try:
                waiter = gate.enter()
            except NoRoom:
                raise BulkheadFull(self.name, self.at_once, self.queue, node=node) from None
            if waiter is not None:
                await gate.let_in(waiter)
            try:
                return await fn(item)
            finally:
                gate.leave()

        return inside


_named: Named[Gate] = Named("Bulkhead")
