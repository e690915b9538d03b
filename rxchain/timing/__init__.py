"""How long a chain or a graph takes: predicted from its nodes' times, measured in a run, and both side by side."""

from rxchain.timing._compare import Compared, Comparison
from rxchain.timing._measure import Measurement
from rxchain.timing._measured import Measured, NodeTimes, Times
from rxchain.timing._plan import CriticalPath, TimePlan
from rxchain.timing._predict import Prediction, TaskPrediction
from rxchain.timing._schedule import Schedule, Slot
from rxchain.timing._task import Task, task
from rxchain.timing._times import Empirical, Exponential, Fixed, LogNormal, Seconds, Time, Uniform

__all__ = [
    "Compared",
    "Comparison",
    "CriticalPath",
    "Empirical",
    "Exponential",
    "Fixed",
    "LogNormal",
    "Measured",
    "Measurement",
    "NodeTimes",
    "Prediction",
    "Schedule",
    "Seconds",
    "Slot",
    "Task",
    "TaskPrediction",
    "Time",
    "TimePlan",
    "Times",
    "Uniform",
    "task",
]
