"""Functions for worker processes, which import this module and nothing heavy with it."""

import os
import sys
import threading
import time
from typing import Any

from rxchain import node


def double(x: int) -> int:
    return x * 2


def where(_: object) -> int:
    return os.getpid()


def divide(x: int) -> int:
    return 1 // x


def lock(_: object) -> Any:
    return threading.Lock()


def die(code: int) -> None:
    sys.stderr.flush()
    os._exit(code)


def leave_a_trace(file: str) -> None:
    with open(file, "x"):
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


class TwoArguments(Exception):
    """Pickled well, and not to be read again: its `args` are one string."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")


def fails_strangely(x: int) -> None:
    raise TwoArguments(x, "why not")


class Local:
    """Can be pickled, and not read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("nobody reads me")


def unreadable(_: object) -> Local:
    return Local()


@node()
def decorated(x: int) -> int:
    return x + 1


class Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return x + self.by

    def method(self, x: int) -> int:
        return x - self.by
