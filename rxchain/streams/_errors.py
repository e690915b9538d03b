"""What goes wrong between publishers and subscribers, and how those are told whom no rule says how to tell."""

import asyncio
import threading
from typing import Any, TypeVar

from rxchain.errors import RxChainError

T = TypeVar("T")


class RuleViolated(RxChainError):
    """Given to whoever takes a publisher's items when that publisher breaks a rule of Reactive Streams.

    The subscription is cancelled then; what it had delivered before is still given. ``rule`` is the rule's number.
    """

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{what} (rule {rule} of Reactive Streams)")
        self.rule = rule


class Interrupted(RxChainError):
    """Signalled by `on_error` when the task that ran a subscription was cancelled, and not by its subscriber.

    So it is when the event loop shuts down. Subscribing again starts afresh.
    """


def given(value: T | None, rule: str, what: str) -> T:
    """*value*, which must not be None."""
    if value is None:
        raise TypeError(f"{what} must not be None (rule {rule} of Reactive Streams)")
    return value


def report(message: str, error: BaseException) -> None:
    """Tell of an *error* that no caller and no subscriber can be told of: as asyncio does, or as threads do."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        error.add_note(message)
        arguments: Any = (type(error), error, error.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(arguments))
    else:
        loop.call_exception_handler({"message": message, "exception": error})
