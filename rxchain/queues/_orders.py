"""In which order tasks leave a queue: three stores with the same methods.

A task's place is its number, which grows with each that is put in; one that has been taken and comes back finds its old
place. So the order of those that wait is always that of their numbers (and ranks), however often they come and go.
"""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rxchain.queues._delivery import Delivery


class Store(Protocol):
    """Tasks that wait to be taken."""

    @property
    def put(self) -> "Callable[[Delivery[Any]], None]":
        """Adds one whose number is above all others': what a queue does most, and so without a detour."""
        ...

    @property
    def take(self) -> "Callable[[], Delivery[Any]]":
        """Takes the next, as long as `mixed` is false."""
        ...

    @property
    def mixed(self) -> bool:
        """Whether some that have come back are kept apart."""
        ...

    def push(self, task: "Delivery[Any]") -> None:
        """Add one, whatever its number."""

    def pop(self) -> "Delivery[Any]":
        """Take the next."""
        ...

    def first(self) -> tuple[float, int]:
        """The place of the next: of two stores' the smaller one comes first."""
        ...

    def __len__(self) -> int: ...


class Fifo:
    """First in, first out."""

    def __init__(self) -> None:
        self._tasks: deque[Delivery[Any]] = deque()
        """By their numbers."""
        self._back: list[tuple[int, Delivery[Any]]] = []
        """Those that came back and belong further to the front: a heap."""
        self.put = self._tasks.append
        self.take = self._tasks.popleft

    @property
    def mixed(self) -> bool:
        return bool(self._back)

    def push(self, task: "Delivery[Any]") -> None:
        if self._tasks and task._number < self._tasks[-1]._number:
            heappush(self._back, (task._number, task))
        else:
            self._tasks.append(task)

    def pop(self) -> "Delivery[Any]":
        if self._back and (not self._tasks or self._back[0][0] < self._tasks[0]._number):
            return heappop(self._back)[1]
        return self._tasks.popleft()

    def first(self) -> tuple[float, int]:
        numbers = [self._tasks[0]._number] if self._tasks else []
        return 0.0, min(numbers + [number for number, _ in self._back[:1]])

    def __len__(self) -> int:
        return len(self._tasks) + len(self._back)


class Lifo:
    """Last in, first out."""

    def __init__(self) -> None:
        self._tasks: list[Delivery[Any]] = []
        """By their numbers."""
        self._back: list[tuple[int, Delivery[Any]]] = []
        """Those that came back and belong further down: a heap, of minus their numbers."""
        self.put = self._tasks.append
        self.take = self._tasks.pop

    @property
    def mixed(self) -> bool:
        return bool(self._back)

    def push(self, task: "Delivery[Any]") -> None:
        if self._tasks and task._number < self._tasks[-1]._number:
            heappush(self._back, (-task._number, task))
        else:
            self._tasks.append(task)

    def pop(self) -> "Delivery[Any]":
        if self._back and (not self._tasks or -self._back[0][0] > self._tasks[-1]._number):
            return heappop(self._back)[1]
        return self._tasks.pop()

    def first(self) -> tuple[float, int]:
        numbers = [-self._tasks[-1]._number] if self._tasks else []
        return 0.0, min(numbers + [number for number, _ in self._back[:1]])

    def __len__(self) -> int:
        return len(self._tasks) + len(self._back)


class Priority:
    """The smallest rank first; those of the same in the order in which they were put.

    With ageing a waiting task's priority falls by so much a second. All fall alike, so the order of two never changes:
    it is that of the moments at which they reach nought, which is what a rank is then, and nothing has to be touched.
    """

    mixed = False

    def __init__(self) -> None:
        self._tasks: list[tuple[float, int, Delivery[Any]]] = []
        """A heap; compared by C, as tuples."""
        self.put = self.push = partial(_push, self._tasks)
        self.take = self.pop = partial(_pop, self._tasks)

    def first(self) -> tuple[float, int]:
        return self._tasks[0][:2]

    def __len__(self) -> int:
        return len(self._tasks)


def _push(heap: "list[tuple[float, int, Delivery[Any]]]", task: "Delivery[Any]") -> None:
    if task._rank - task._rank != 0.0:
        check_rank(task._rank)
    heappush(heap, (task._rank, task._number, task))


def _pop(heap: "list[tuple[float, int, Delivery[Any]]]") -> "Delivery[Any]":
    return heappop(heap)[2]


def check_rank(rank: object) -> None:
    """Raise a `ValueError` if *rank* is not a finite number: a heap that has another one in it is none."""
    if not isinstance(rank, (int, float)) or not math.isfinite(rank):
        raise ValueError(f"a priority is a finite number, got {rank!r}")
