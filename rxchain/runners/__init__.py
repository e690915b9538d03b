"""What drives a chain."""

from rxchain.runners._execution import Execution, OnError
from rxchain.runners._reactivex import is_observable, on_observable

__all__ = ["Execution", "OnError", "is_observable", "on_observable"]
