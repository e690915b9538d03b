"""What drives a chain."""

from rxchain.runners._aioreactive import (
    is_async_observable,
    on_async_observable,
    to_async_iterable,
    to_async_observable,
)
from rxchain.runners._ending import disposed
from rxchain.runners._execution import Execution
from rxchain.runners._on_error import OnError
from rxchain.runners._reactivex import is_observable, on_observable

__all__ = [
    "Execution",
    "OnError",
    "disposed",
    "is_async_observable",
    "is_observable",
    "on_async_observable",
    "on_observable",
    "to_async_iterable",
    "to_async_observable",
]
