"""Stopping: a signal asks the run to take no more items; a second Ctrl-C ends the process where it stands.

Python's own handlers, not the event loop's: they also run while the loop is busy, inside a long synchronous step.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self

STATUS_OF_CLOSED_PIPE = 128 + 13
"""What a shell shows for a program that SIGPIPE ended."""


class Stop:
    """Whether the run is to stop, and by which signal.

    Args:
        told: called at the first signal.
        at_once: called before the process ends at a second SIGINT; must not wait for anything.
    """

    def __init__(self, told: Callable[[], None], at_once: Callable[[], None]) -> None:
        self.signal: int | None = None
        self.wake: Callable[[], None] | None = None
        """Called when the run is to stop, if somebody waits for input."""
        self._told, self._at_once = told, at_once
        self._previous: dict[int, object] = {}

    @property
    def status(self) -> int | None:
        """The conventional exit status, if a signal came."""
        return None if self.signal is None else 128 + self.signal

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            self._told()
            if self.wake is not None:
                self.wake()
        elif number == signal.SIGINT:
            # Not by an exception: user code may hold it up, and so may threads that the interpreter waits for.
            self._at_once()
            os._exit(128 + number)
