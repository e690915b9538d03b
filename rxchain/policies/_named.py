"""What is shared by name: made once, found again by whoever says the same name.

A breaker or a bulkhead stands for something outside (a service, a database) that many nodes and chains use; handing one
object to all of them would tie their modules together.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from rxchain.errors import CompositionError

S = TypeVar("S")


class Named(Generic[S]):
    """States by name; from any thread."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._known: dict[str, tuple[object, str, S]] = {}

    def get(self, name: str, settings: object, shown: str, make: Callable[[], S]) -> S:
        """The state called *name*; made, if there is none.

        Raises:
            CompositionError: there is one, with other *settings*.
        """
        with self._lock:
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = (settings, shown, make())
        if known[0] != settings:
            raise CompositionError(
                f"{self._policy} {name!r} is there already, with other settings, and a name stands for one\n"
                f"    {known[1]}  # the first\n"
                f"    {shown}  # incorrect: the same name; hand the first around, or choose another name"
            )
        return known[2]

    def forget(self, name: str | None) -> list[S]:
        """Take *name*, or all names, out; the states that they stood for."""
        with self._lock:
            if name is None:
                forgotten = [state for _, _, state in self._known.values()]
                self._known.clear()
                return forgotten
            known = self._known.pop(name, None)
            return [known[2]] if known is not None else []
