"""A canary: a share of the items goes through a node's successor, and both are measured.

Which items these are is decided by a hash of their keys, never Python's own, which differs from process to process: a
customer who has seen the new node sees it again. The node's name is part of what is hashed, so that of two canaries not
the same customers are the ones to try both.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from rxchain.chain import Chain
from rxchain.engine import Colour, Gate, Operator, a_kind_of, colour, shorten, takes
from rxchain.errors import CompositionError
from rxchain.graph._graph import GraphStep
from rxchain.manager._statistics import ArmStatistics, CanaryReport
from rxchain.manager._steps import named
from rxchain.node import ChainNode
from rxchain.operators._nested import Around, undoes

KEPT = 1000
"""Durations that percentiles are taken of."""

Key = Callable[[Any], Hashable]


class Arm:
    """What became of the items that went one way."""

    def __init__(self) -> None:
        self._count = self._failures = 0
        self._seconds = 0.0
        self._last: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float, failed: bool) -> None:
        """Write down one item."""
        self._count += 1
        self._failures += failed
        self._seconds += seconds
        self._last.append(seconds)

    def statistics(self) -> ArmStatistics:
        """The numbers so far."""
        ordered = sorted(self._last)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0.0
        mean = self._seconds / self._count if self._count else 0.0
        return ArmStatistics(self._count, self._failures, mean, p95)


class Books:
    """What a canary has seen; its item's way is decided here, too. Outlives the plans that it is part of."""

    def __init__(self, node: str, share: float, key: Key | None) -> None:
        self.node, self.share, self.key = node, share, key
        self.old, self.new = Arm(), Arm()
        self._seen = 0

    def new_one(self, item: Any) -> bool:
        """Whether *item* is for the new node."""
        if self.key is not None:
            return position(self.node, self.key(item)) < self.share
        self._seen += 1
        return math.floor(self._seen * self.share) > math.floor((self._seen - 1) * self.share)

    def report(self) -> CanaryReport:
        """Both, side by side."""
        old, new = self.old.statistics(), self.new.statistics()
        total = old.count + new.count
        return CanaryReport(self.node, self.share, new.count / total if total else 0.0, old, new)


def position(node: str, key: Hashable) -> float:
    """Where a key stands between 0 and 1; the same in each process, on each machine.

    Raises:
        TypeError: it is written differently each time.
    """
    if type(key).__repr__ is object.__repr__ or isinstance(key, (set, frozenset)):
        raise TypeError(
            f"canary of {node!r}: a key is written down to be hashed, and {a_kind_of(key)} is written differently in"
            " each process\n"
            "    canary=0.1, key=lambda order: order.customer  # incorrect, where that is such an object\n"
            "    canary=0.1, key=lambda order: order.customer.id  # correct"
        )
    digest = blake2b(f"{node}\0{key!r}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class CanaryStep(Around):
    """An old node and a new one in the place of one."""

    __slots__ = ("books", "new", "old")

    def __init__(self, old: Any, new: Any, books: Books) -> None:
        self.old, self.new, self.books = old, new, books
        name = books.node
        parts = [Chain(named(old, name)), Chain(named(new, f"{name} (canary)"))]
        scoped = any(undoes(part) for part in parts)
        runs = [part.execution.each(scoped=scoped) for part in parts]
        single = all(part.execution.plan.gives_one for part in parts)
        gate = _gate(parts)
        super().__init__(
            _canary,
            {"old": old, "new": new, "books": books},
            _either(books, runs[0], runs[1], scoped),
            None,
            single=single,
            scoped=scoped,
            concurrency=gate.concurrency,
            ordered=gate.ordered,
            by=gate.by,
        )
        self.name = name
        self.given = {"old": old, "new": new, "books": books}

    def renamed(self, name: str) -> "CanaryStep":
        """The same under another name; its keys go where they went, its numbers go on."""
        made = CanaryStep(self.old, self.new, self.books)
        made.name = name
        return made

    def changed(self, change: Callable[[Any], Any]) -> Operator[Any, Any]:
        """The same around what *change* makes of both."""
        made = CanaryStep(change(self.old).steps[0], change(self.new).steps[0], self.books)
        made.name = self.name
        return made

    def report(self, node: str) -> CanaryReport:
        """Both, side by side, under the name that the node has now."""
        return replace(self.books.report(), node=node)

    def __repr__(self) -> str:
        return f"<canary {self.name!r}: {self.books.share:g} of the items>"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Around.__hash__


def _canary(old: Any, new: Any, books: Books) -> Operator[Any, Any]:
    """What `Around` calls itself by."""
    return CanaryStep(old, new, books)


def canary_step(chain: str, name: str, old: Any, new: Any, share: Any, key: Any) -> CanaryStep:
    """A canary of *new* in the place of *old*.

    Raises:
        CompositionError: the share, the key or one of both is not what it must be.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise CompositionError(
            f"canary is the share of keys that goes through the new node, more than 0 and less than 1,"
            f" got {shorten(share)}\n"
            f"    replace({name!r}, ..., canary={shorten(share, 30)})  # incorrect\n"
            f"    replace({name!r}, ..., canary=0.1)  # correct: one in ten"
        )
    if key is not None and not (callable(key) and takes(key, 1) and colour(key) is Colour.SYNC):
        raise CompositionError(
            f"a canary's key is a plain function of an item, got {a_kind_of(key)}: {shorten(key, 40)}\n"
            f"    replace({name!r}, ..., canary={share:g}, key='customer')  # incorrect\n"
            f"    replace({name!r}, ..., canary={share:g}, key=lambda order: order.customer)  # correct"
        )
    if isinstance(old, CanaryStep):
        raise CompositionError(
            f"node {name!r} of chain {chain!r} has a canary already: promote({name!r}) or roll_back({name!r}) first"
        )
    for step in (old, new):
        if not isinstance(step, (ChainNode, Chain, GraphStep)):
            raise CompositionError(
                f"{shorten(step, 40)} keeps what it keeps from one item to the next, and a canary lets it see some of"
                " them only: that goes around nodes, chains and graphs\n"
                f"    replace({name!r}, ops.map(score), canary={share:g})  # incorrect\n"
                f"    replace({name!r}, score, canary={share:g})  # correct"
            )
    return CanaryStep(old, new, Books(name, float(share), key))


def _gate(parts: list[Chain[Any, Any]]) -> Gate:
    """How many items both may work on together: what the more careful of them declares."""
    gates = [
        part.execution.operators[0].gate or Gate() if len(part.execution.operators) == 1 else Gate() for part in parts
    ]
    least = min(gates, key=lambda gate: gate.concurrency)
    if gates[0].by != gates[1].by or least.concurrency == 1:
        return Gate()
    return Gate(least.concurrency, any(gate.ordered for gate in gates), least.by)


def _either(books: Books, old: Any, new: Any, scoped: bool) -> Any:
    if colour(old) is not Colour.ASYNC and colour(new) is not Colour.ASYNC:

        def run_now(given: Any) -> Any:
            to_new = books.new_one(given.item if scoped else given)
            arm, fn = (books.new, new) if to_new else (books.old, old)
            begun = time.perf_counter()
            try:
                results = fn(given)
            except Exception:
                arm.add(time.perf_counter() - begun, True)
                raise
            arm.add(time.perf_counter() - begun, False)
            return results

        return run_now

    waits = {books.old: colour(old) is Colour.ASYNC, books.new: colour(new) is Colour.ASYNC}

    async def run(given: Any) -> Any:
        to_new = books.new_one(given.item if scoped else given)
        arm, fn = (books.new, new) if to_new else (books.old, old)
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            results = fn(given)
            if waits[arm]:
                results = await results
        except Exception:
            arm.add(clock() - begun, True)
            raise
        arm.add(clock() - begun, False)
        return results

    return run


__all__ = ["Books", "CanaryStep", "canary_step"]
