"""The mutable owner: chains that change while they run, events that start them, tasks that depend on one another."""

from rxchain.manager._events import Subscription
from rxchain.manager._managed import ManagedChain
from rxchain.manager._manager import ChainManager
from rxchain.manager._statistics import (
    ArmStatistics,
    CanaryReport,
    ChainStatistics,
    Edit,
    ManagerStatistics,
    State,
    SubscriberStatistics,
)

__all__ = [
    "ArmStatistics",
    "CanaryReport",
    "ChainManager",
    "ChainStatistics",
    "Edit",
    "ManagedChain",
    "ManagerStatistics",
    "State",
    "SubscriberStatistics",
    "Subscription",
]
