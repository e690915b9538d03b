"""Where a node runs: on the event loop, in threads, in processes; on what others have made for that."""

from rxchain.schedulers._blocked import watching
from rxchain.schedulers._errors import PoolClosed, Unpicklable, WorkerDied
from rxchain.schedulers._lane import Lane
from rxchain.schedulers._placed import Placed, failed_at
from rxchain.schedulers._processes import Processes, ProcessesStatistics
from rxchain.schedulers._threads import Threads, ThreadsStatistics
from rxchain.schedulers._where import On, joinable, joined, placed

__all__ = [
    "Lane",
    "On",
    "Placed",
    "PoolClosed",
    "Processes",
    "ProcessesStatistics",
    "Threads",
    "ThreadsStatistics",
    "Unpicklable",
    "WorkerDied",
    "failed_at",
    "joinable",
    "joined",
    "placed",
    "watching",
]
