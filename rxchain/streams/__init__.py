"""Reactive Streams: publishers, subscribers and processors in the standard's terms, for chains.

The protocols are those of the Reactive Streams specification 1.0.4, written as Python writes them: `on_next` for
`onNext`, `ValueError` and `TypeError` for `IllegalArgumentException` and `NullPointerException`.
"""

from rxchain.streams._errors import Interrupted, RuleViolated
from rxchain.streams._iterable import to_async_iterable
from rxchain.streams._protocols import Processor, Publisher, Subscriber, Subscription

__all__ = [
    "Interrupted",
    "Processor",
    "Publisher",
    "RuleViolated",
    "Subscriber",
    "Subscription",
    "to_async_iterable",
]
