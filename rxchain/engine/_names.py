"""The names of a program: each means one thing, and reads like what it stands for."""

import builtins
import itertools
import keyword
import re
import unicodedata
from collections.abc import Callable, Collection
from typing import Any

from rxchain.engine._operator import Atom

BUILTINS = frozenset(dir(builtins))
RESERVED = frozenset(
    (
        *("many", "unwatched"),
        *("make", "run", "source", "items", "emit", "ended", "error", "stop", "stopped_at", "found", "result"),
        *("many_results", "no_result", "failed", "skipped", "opened", "close", "aopened", "aclose", "breathe"),
        *("breathing", "breathe_at", "clock", "driven", "is_iterable", "iterable_parts", "parts", "PLAIN"),
        *("crew", "worker", "work", "start", "flush", "aside", "x", "origin"),
        *("effects", "Effects", "take_back", "since"),
    )
)
"""Names that mean the same in every program."""
IN_PROGRAMS = re.compile(r"(x|stage|parts|key|gate|goes)\d+")
"""Names of values, of steps that stay calls, of parts, of what is passed on."""


class Names:
    """Hands out names that are free in the whole program, and remembers what each stands for."""

    def __init__(self, home: dict[str, Any] | None = None, used: Collection[str] = ()) -> None:
        self._taken = {*BUILTINS, *RESERVED, *used}
        self.home = home
        """The globals in which the program runs: those of the first operator that is a user's own."""
        self.arguments: dict[str, tuple[int, int]] = {}
        """Name -> the operator and which of its arguments it stands for."""
        self.constants: dict[str, object] = {}
        """Name -> a value that is the same for every chain of this shape."""
        self.made: dict[str, Callable[[list[Atom]], object]] = {}
        """Name -> how to get its value from the operators that a program is bound to."""
        self._captured: dict[tuple[object, ...], str] = {}

    def fresh(self, wanted: str, otherwise: str) -> str:
        wanted = unicodedata.normalize("NFKC", wanted)  # as Python reads it
        wanted = wanted if wanted.isidentifier() and not keyword.iskeyword(wanted) else otherwise
        for name in itertools.chain((wanted, otherwise), (f"{otherwise}_{i}" for i in itertools.count(2))):
            if name not in self._taken and not IN_PROGRAMS.fullmatch(name):
                self._taken.add(name)
                return name
        raise AssertionError("no free name")

    def capture(self, key: tuple[object, ...], wanted: str, get: Callable[[list[Atom]], object]) -> str:
        """A name for a value that is made when the program is bound."""
        if key not in self._captured:
            name = self._captured[key] = self.fresh(wanted, f"{wanted}_")
            self.made[name] = get
        return self._captured[key]

    def constant(self, value: object, wanted: str) -> str:
        """A name for a value that is the same for every chain of this shape."""
        key = (id(value),)
        if key not in self._captured:
            name = self._captured[key] = self.fresh(wanted, f"{wanted}_")
            self.constants[name] = value
        return self._captured[key]

    def helper(self, function: object, name: str) -> str:
        """One of the names kept for what every program may call."""
        assert name in RESERVED, name
        self.constants[name] = function
        return name
