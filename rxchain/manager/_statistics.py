"""What a manager tells of its chains: states and numbers, as they stood when they were asked for."""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What a managed chain is doing."""

    IDLE = "idle"
    """It has not run yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is taken from its sources; what is in flight goes on."""
    DRAINING = "draining"
    """Nothing more will be taken; what is in flight goes on, and then it is done."""
    STOPPING = "stopping"
    """What is in flight is being cancelled."""
    DONE = "done"
    """It came to the end of its source, or was drained."""
    STOPPED = "stopped"
    """It was cancelled."""
    FAILED = "failed"
    """An error ended it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a running or idle chain."""

    what: str
    """``add``, ``insert``, ``remove``, ``replace``, ``canary``, ``promote``, ``roll back`` or ``rename``."""
    node: str
    """The node's name."""
    item: int
    """How many items had been taken before: those are worked on by the old plan, all others by the new one."""
    at: float
    """When, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class ArmStatistics:
    """What became of the items that went one of the two ways of a canary."""

    count: int
    """Items that it is done with, those that failed among them."""
    failures: int
    mean: float
    """Seconds for an item, with its policies: waits and further attempts count."""
    p95: float
    """Seconds that 95 of 100 did not take longer than, of the last 1000 items."""


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """An old node and its successor, side by side."""

    node: str
    declared: float
    """The share of keys, or of items where no key is declared, that is to go through the new one; from 0 to 1."""
    share: float
    """The share of the items that has."""
    old: ArmStatistics
    new: ArmStatistics


@dataclass(frozen=True, slots=True)
class ChainStatistics:
    """One managed chain; all of its runs together."""

    name: str
    state: State
    since: float
    """When it came into that state, in seconds since the epoch."""
    runs: int
    """Streams that are open."""
    taken: int
    """Items that were taken from its sources."""
    results: int
    failed: int
    """Items that failed."""
    in_flight: int | None
    """Items that were taken and have not come to an end. None while nobody can tell: in an asynchronous chain with
    steps that give more or fewer results than items."""
    edits: tuple[Edit, ...]
    """The last 100."""
    last_error: BaseException | None


@dataclass(frozen=True, slots=True)
class SubscriberStatistics:
    """Who is told of events."""

    event: str
    """The event's name, or the pattern."""
    subscriber: str
    """The name of the chain or function."""
    events: int
    """Events that were handed to it."""
    failed: int
    waiting: int
    """Events that it has not taken yet."""
    last_error: BaseException | None


@dataclass(frozen=True, slots=True)
class ManagerStatistics:
    """All that a manager owns."""

    chains: tuple[ChainStatistics, ...]
    subscribers: tuple[SubscriberStatistics, ...]


__all__ = [
    "ArmStatistics",
    "CanaryReport",
    "ChainStatistics",
    "Edit",
    "ManagerStatistics",
    "State",
    "SubscriberStatistics",
]
