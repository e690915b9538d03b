"""Times at which something is to happen to a task, unless it is dropped before."""

import heapq
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rxchain.queues._delivery import Delivery

SPARE = 64
"""How many entries of no use are kept, however few tasks there are."""


class Dues(dict["Delivery[Any]", float]):
    """A time for each of some tasks; the earliest is known at once. Changed by its own methods only."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Delivery[Any]]] = []
        """An entry at least for each task, at its time or before; others are passed over, and now and then removed."""
        self._seeds = count()

    def set(self, task: "Delivery[Any]", due: float) -> None:
        """Give *task* a time, or another one."""
        before = self.get(task)
        self[task] = due
        if before is not None and before <= due:
            return  # its entry comes up before, and is put back then
        heapq.heappush(self._heap, (due, next(self._seeds), task))
        if len(self._heap) > 2 * len(self) + SPARE:
            self._heap = [(at, next(self._seeds), task) for task, at in self.items()]
            heapq.heapify(self._heap)

    def drop(self, task: "Delivery[Any]") -> None:
        """Forget *task*, if it is here."""
        self.pop(task, None)

    def first(self) -> float | None:
        """The earliest time; None if there is no task."""
        heap = self._heap
        while heap:
            at, number, task = heap[0]
            due = self.get(task)
            if due == at:
                return at
            if due is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (due, number, task))
        return None

    def due(self, now: float) -> "Iterator[Delivery[Any]]":
        """Remove those whose time has come, the earliest first."""
        while (first := self.first()) is not None and first <= now:
            task = heapq.heappop(self._heap)[2]
            del self[task]
            yield task
