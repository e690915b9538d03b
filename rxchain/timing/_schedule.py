"""Tasks on workers: which worker does which, and when, if whoever is free takes the most urgent task that is ready.

List scheduling. The rule: of the tasks that are ready, the one with the longest way to the end. It is never more than
2 - 1/k times as long as the best there is with k workers (Graham 1969); to find that one is NP-hard.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """A task's place in a schedule."""

    task: str
    worker: int
    start: float
    """Seconds from the beginning."""
    end: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """What each of several workers does; `TimePlan.makespan` makes it."""

    workers: int
    slots: tuple[Slot, ...]
    """By their start."""
    length: float
    """The makespan: seconds until all is done."""
    at_best: float
    """No schedule is shorter: the critical path, or the sum shared out evenly."""

    @property
    def at_most(self) -> float:
        """How many times as long as the best schedule it may be: 2 - 1/k."""
        return 2 - 1 / self.workers


def scheduled(
    times: Mapping[str, float], after: Mapping[str, Sequence[str]], urgency: Mapping[str, float], workers: int
) -> tuple[Slot, ...]:
    """The slots of the tasks, which *times* has in an order in which they can run."""
    place = {name: k for k, name in enumerate(times)}
    waits = {name: len(after[name]) for name in times}
    behind: dict[str, list[str]] = {name: [] for name in times}
    for name in times:
        for other in after[name]:
            behind[other].append(name)
    ready = [(-urgency[name], place[name], name) for name in times if not waits[name]]
    heapq.heapify(ready)
    free = list(range(workers))
    running: list[tuple[float, int, str, int]] = []
    slots: list[Slot] = []
    now = 0.0
    while ready or running:
        while ready and free:
            _, k, name = heapq.heappop(ready)
            worker = heapq.heappop(free)
            slots.append(Slot(name, worker, now, now + times[name]))
            heapq.heappush(running, (now + times[name], k, name, worker))
        now = running[0][0]
        while running and running[0][0] == now:  # all that end now, so that the most urgent of what follows comes first
            _, _, name, worker = heapq.heappop(running)
            heapq.heappush(free, worker)
            for other in behind[name]:
                waits[other] -= 1
                if not waits[other]:
                    heapq.heappush(ready, (-urgency[other], place[other], other))
    return tuple(slots)
