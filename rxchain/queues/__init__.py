"""Task queues: sources and sinks that several workers take from, each task settled when it is really done."""

from rxchain.queues._consumer import Consumer
from rxchain.queues._delivery import Delivery
from rxchain.queues._protocols import Queue, Received, Sink, Source
from rxchain.queues._queue import QueueStatistics, TaskQueue
from rxchain.queues._work import work

__all__ = ["Consumer", "Delivery", "Queue", "QueueStatistics", "Received", "Sink", "Source", "TaskQueue", "work"]
