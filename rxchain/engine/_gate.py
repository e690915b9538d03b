"""Gates: who may be inside a node. Items arrive in order, and what a node declares says how many go in and come out."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

from rxchain.engine._call import Colour, colour, name_of, takes
from rxchain.errors import CompositionError


@dataclass(frozen=True)
class Gate:
    """What a node declares: how many items it may work on at once, and in which order their results go on."""

    concurrency: int = 1
    ordered: bool = True
    by: Callable[[Any], Hashable] | None = None
    """Items of one key go in one at a time, in their order."""
    elsewhere: bool = False
    """Whether it works in a lane of its own (`Lane`): that sees to how many at once, and here they only line up."""

    @property
    def shape(self) -> tuple[bool, ...]:
        """What of it the compiled program depends on."""
        return self.holds_back, self.by is not None, self.elsewhere

    def __str__(self) -> str:
        made = [f"concurrency={self.concurrency}"] if self.concurrency != 1 else []
        if self.ordered != (self.by is None):
            made.append(f"ordered={self.ordered}")
        if self.by is not None:
            made.append(f"by={name_of(self.by)}")
        return ", ".join(made)

    @property
    def explained(self) -> str:
        """What it means, for whoever looks at a chain."""
        if self.concurrency == 1:
            return "works on one item at a time, elsewhere"
        at_once = f"works on up to {self.concurrency} at once"
        if self.by is not None:
            at_once += f", one of each key ({name_of(self.by)})"
        if self.ordered:
            return f"{at_once}; results keep the items' order: a slow one holds back those behind it"
        return f"{at_once}; results go on as they are ready{'' if self.by is None else ', those of one key in order'}"

    @property
    def holds_back(self) -> bool:
        """Whether what is done first may have to wait for those ahead."""
        return (self.concurrency > 1 or self.elsewhere) and self.ordered


ONE = Gate()

ANY_NUMBER = sys.maxsize
OUTSIDE = -2
"""Where an item is that has been taken from the source and has not come to the first gate yet."""


def declared_gate(
    what: str,
    functions: Iterable[object],
    concurrency: int,
    ordered: bool | None,
    by: Callable[[Any], Hashable] | None,
) -> Gate | None:
    """What is declared of an operator; None if it is what there would be anyway.

    Raises:
        CompositionError: it makes no sense.
    """
    if type(concurrency) is not int or concurrency < 1:
        raise CompositionError(
            f"{what}: concurrency is a number of items, 1 or more, got {concurrency!r}\n"
            f"    concurrency={concurrency!r}  # incorrect\n"
            "    concurrency=8  # correct"
        )
    if ordered is not None and not isinstance(ordered, bool):
        raise CompositionError(f"{what}: ordered is True or False, got {ordered!r}")
    if concurrency == 1 and by is None:
        return None  # one at a time is in order, whatever is said of it
    if by is not None and (not callable(by) or not takes(by, 1) or colour(by) is not Colour.SYNC):
        found = colour(by).value if callable(by) else repr(by)
        raise CompositionError(
            f"{what}: by is a plain function of an item that gives its key, got {found}\n"
            "    by='customer'  # incorrect\n"
            "    by=lambda order: order.customer  # correct"
        )
    if by is not None and concurrency == 1:
        raise CompositionError(
            f"{what}: by works on different keys side by side, and concurrency is 1\n"
            "    by=key  # incorrect\n"
            "    by=key, concurrency=8  # correct"
        )
    if not any(callable(fn) and colour(fn) in (Colour.ASYNC, Colour.ASYNC_GENERATOR) for fn in functions):
        raise CompositionError(
            f"{what}: concurrency is for functions that wait, and this one never does: it is no async function\n"
            f"    concurrency={concurrency}  # incorrect\n"
            f"    async def ...  # correct"
        )
    return Gate(concurrency, by is None if ordered is None else ordered, by)


class Visitor(Protocol):
    """What a gate knows of a worker: who has an item inside, or waits with one."""

    gate: "AnyGate | None"
    """The gate that its item is inside of, or waits for."""
    at: int
    """The number of the last gate that its item came out of, where `gate` doesn't tell; -1 before the first."""
    number: int
    """Its place among the items that have come to the first gate."""
    key: Hashable
    """The key by which it wants to go in."""
    held: Hashable
    """The key by which it has gone in."""
    waiter: "asyncio.Future[Any] | None"
    first: bool
    """Whether it takes no more items itself, once there are others."""
    then: "AnyGate | None"
    """The gate to go in by when it goes on after it has waited."""
    moved: Callable[[], None] | None
    """To be called when it goes on after it has waited."""
    done: bool
    """Its node has done with it, those ahead of it are still inside."""

    def wait(self) -> None:
        """Make ready to be woken."""

    def wake(self) -> None:
        """It is inside now, or may go on."""


class Entrance(Protocol):
    """What the first gate tells of those that pass it."""

    def entered(self, worker: Any, room: bool) -> None:
        """An item of the source has come to the first gate; whether there is room for another."""

    def left(self) -> None:
        """There may be room behind the first gate again, and the one who has left it won't be back soon."""


class OneByOne:
    """One at a time, in order; handed over from one to the next."""

    __slots__ = ("_entrance", "at", "last", "taken", "waiting")

    lines_up = False

    def __init__(self, at: int, last: bool, entrance: Entrance) -> None:
        self.at, self.last, self._entrance = at, last, entrance
        self.taken = False
        self.waiting: deque[Visitor] = deque()

    def admits(self, coming: int) -> bool:
        """Whether one more could go in at once, when so many are on their way."""
        return not (self.taken or coming)

    def keeps_waiting(self, visitor: Visitor) -> bool:
        """Go in, out of the gate before; True if *visitor* has to wait until it is woken, and is inside then."""
        before = visitor.gate
        if before is self:
            return False
        visitor.gate = self
        if waits := self.taken:
            visitor.wait()
            self.waiting.append(visitor)
        else:
            self.taken = True
        if before is None:
            if visitor.at == OUTSIDE:
                self._entrance.entered(visitor, False)
            elif visitor.at == 0 and (waits or not self.last or visitor.first):
                self._entrance.left()
        else:
            if type(before) is OneByOne:  # what `leave` does: a call costs as much as all the rest
                if before.waiting:
                    before.waiting.popleft().wake()
                else:
                    before.taken = False
            else:
                before.leave(visitor)
            if before.at == 0 and (waits or not self.last or visitor.first):
                self._entrance.left()
        return waits

    def leave(self, visitor: Visitor) -> None:
        """Come out."""
        if self.waiting:
            self.waiting.popleft().wake()
        else:
            self.taken = False


class _HoldsBack:
    """Where those that are done may have to wait for those ahead of them."""

    __slots__ = ("_leaving", "lines_up", "turn")

    def __init__(self, lines_up: bool) -> None:
        self.lines_up = lines_up
        """Whether they come out in their order; otherwise as they are done."""
        self._leaving = 0
        """Those that have been woken and have not gone on yet: whoever comes now goes on behind them."""
        self.turn = -1
        """The number of an item that may go on just so, if there is one: programs look here before they call."""

    def holds_back(self, visitor: Visitor) -> bool:
        """Come out in order; True if *visitor* has to wait until it is woken."""
        raise NotImplementedError

    def goes_on(self, visitor: Visitor, following: "AnyGate") -> bool:
        """Come out in order and go in by the gate that follows; True if *visitor* has to wait."""
        if self.holds_back(visitor):
            visitor.then = following
            return True
        return following.keeps_waiting(visitor)

    def _lets_go(self, visitor: Visitor) -> None:
        self._leaving += 1
        visitor.moved = self._left
        visitor.wake()

    def _left(self) -> None:
        self._leaving -= 1
        if not self._leaving:
            self._follow()

    def _follow(self) -> None:
        """Let those go on that are done and have nobody ahead of them any more."""
        raise NotImplementedError


class _SoMany(_HoldsBack):
    """So many at a time; whoever comes when it is full goes in when there is room, in the order of coming."""

    __slots__ = ("_entering", "_entrance", "at", "inside", "last", "most", "waiting")

    def __init__(self, most: int, lines_up: bool, at: int, last: bool, entrance: Entrance) -> None:
        super().__init__(lines_up)
        self.at, self.last, self._entrance = at, last, entrance
        self.most = most
        self.inside = 0
        self.waiting: deque[Visitor] = deque()
        self._entering = 0
        """Those of them that have been woken and have not gone on yet: whoever comes now goes on behind them."""

    def admits(self, coming: int) -> bool:
        return self.inside + len(self.waiting) + coming < self.most

    def keeps_waiting(self, visitor: Visitor) -> bool:
        before = visitor.gate
        if before is self:
            return False
        waits = False
        if self.inside < self.most and not (self.waiting or self._entering):
            self.inside += 1
        else:
            waits = True
            visitor.wait()
            self.waiting.append(visitor)
        visitor.gate = self
        if waits or self.lines_up:
            self._stands_in_line(visitor, waits)
        if before is None:
            if visitor.at == OUTSIDE:
                self._entrance.entered(visitor, self.inside < self.most)
            elif visitor.at == 0 and (waits or not self.last or visitor.first):
                self._entrance.left()
        else:
            before.leave(visitor)
            if before.at == 0 and (waits or not self.last or visitor.first):
                self._entrance.left()
        return waits

    def _stands_in_line(self, visitor: Visitor, waits: bool) -> None:
        """Be told of one that has come, in front or inside."""
        raise NotImplementedError

    def leave(self, visitor: Visitor) -> None:
        """Come out, whatever the order: those behind need not wait."""
        raise NotImplementedError

    def _admit(self) -> None:
        while self.waiting and self.inside < self.most:
            visitor = self.waiting.popleft()
            self.inside += 1
            self._entering += 1
            visitor.moved = self._entered
            visitor.wake()

    def _entered(self) -> None:
        self._entering -= 1
        if not self._entering:
            self._admit()


class Several(_SoMany):
    """So many at a time; they come out in the order in which they went in, or as they are done.

    For items that have overtaken each other, or may do so here; the others stand in a `Line`.
    """

    __slots__ = ("_line",)

    def __init__(self, gate: Gate, at: int, last: bool, entrance: Entrance) -> None:
        super().__init__(gate.concurrency, gate.ordered, at, last, entrance)
        self._line: deque[Visitor] = deque()

    def _stands_in_line(self, visitor: Visitor, waits: bool) -> None:
        if self.lines_up:
            visitor.done = False
            self._line.append(visitor)

    def holds_back(self, visitor: Visitor) -> bool:
        visitor.gate, visitor.at = None, self.at
        self.inside -= 1
        if self.waiting:
            self._admit()
        line = self._line
        if waits := line[0] is not visitor or self._leaving > 0:
            visitor.done = True
            visitor.wait()
        else:
            line.popleft()
            if line and line[0].done:
                self._follow()
        if waits and self.at == 0:
            self._entrance.left()
        return waits

    def _follow(self) -> None:
        while self._line and self._line[0].done:
            self._lets_go(self._line.popleft())

    def leave(self, visitor: Visitor) -> None:
        self.inside -= 1
        if self.waiting:
            self._admit()
        if self.lines_up:
            self._line.remove(visitor)
            self._follow()


class Line(_SoMany):
    """So many at a time, or as many as may be in flight at all; they come out in the order of their numbers.

    For items that come in order. While they also come out in order, programs and workers do what is done here
    themselves, as five calls an item cost more than all the rest: see `turn`.
    """

    __slots__ = ("_early", "_leads_on", "next")

    def __init__(self, most: int, at: int, last: bool, entrance: Entrance) -> None:
        super().__init__(most, True, at, last, entrance)
        self.next = 0
        """The number of the item that comes out next."""
        self._early: dict[int, Visitor | None] = {}
        """Those that have to wait for it; None for one that is gone."""
        self._leads_on = False

    def leads_to(self, following: "AnyGate") -> None:
        """Be told which gate is the next: whoever comes to it in order need not ask there.

        That is a line for as many as there may be, or the last gate, if it is free when programs look.
        """
        self._leads_on = following.last or (isinstance(following, Line) and following.most == ANY_NUMBER)
        self._follow()

    def _stands_in_line(self, visitor: Visitor, waits: bool) -> None:
        if waits:
            self.turn = -1

    def holds_back(self, visitor: Visitor) -> bool:
        visitor.gate, visitor.at = None, self.at
        self.inside -= 1
        if self.waiting:
            self._admit()
        if visitor.number == self.next and not self._leaving:
            self.next += 1
            self._follow()
            return False
        visitor.wait()
        self._early[visitor.number] = visitor
        self.turn = -1
        if self.at == 0 and self.most != ANY_NUMBER:
            self._entrance.left()
        return True

    def skip(self, number: int) -> None:
        """An item will not come: those behind need not wait."""
        self._early[number] = None
        self._follow()

    def _follow(self) -> None:
        early = self._early
        while self.next in early:
            visitor = early.pop(self.next)
            self.next += 1
            if visitor is not None:
                self._lets_go(visitor)
        self.turn = self.next if self._leads_on and not (early or self._leaving or self.waiting) else -1

    def leave(self, visitor: Visitor) -> None:
        self.inside -= 1
        if self.waiting:
            self._admit()
        self.skip(visitor.number)


class ByKey(Several):
    """So many at a time, but one of each key; who waits for its key keeps nobody else from going in."""

    __slots__ = ("_of_key",)

    def __init__(self, gate: Gate, at: int, last: bool, entrance: Entrance) -> None:
        super().__init__(gate, at, last, entrance)
        self._of_key: dict[Hashable, deque[Visitor]] = {}
        """Those that wait, for each key that is inside or about to go in."""

    def keeps_waiting(self, visitor: Visitor) -> bool:
        waiting = self._of_key.get(visitor.key)
        if waiting is None:
            self._of_key[visitor.key] = deque()
            waits = super().keeps_waiting(visitor)
            visitor.held = visitor.key  # only now: the gate before may have known it by another
            return waits
        before = visitor.gate
        visitor.wait()
        waiting.append(visitor)
        visitor.gate = self
        if self.lines_up:
            visitor.done = False
            self._line.append(visitor)
        if before is not None:
            before.leave(visitor)
            if before.at == 0:
                self._entrance.left()
        elif visitor.at == OUTSIDE:
            self._entrance.entered(visitor, self.inside < self.most)
        elif visitor.at == 0:
            self._entrance.left()
        visitor.held = visitor.key
        return True

    def _admit(self) -> None:
        # Whoever comes meanwhile is of another key, and may as well be inside first.
        while self.waiting and self.inside < self.most:
            self.inside += 1
            self.waiting.popleft().wake()

    def _free(self, key: Hashable) -> None:
        waiting = self._of_key[key]
        if waiting:
            self.waiting.append(waiting.popleft())  # behind the other keys that wait: each has its turn
        else:
            del self._of_key[key]

    def holds_back(self, visitor: Visitor) -> bool:
        self._free(visitor.held)
        return super().holds_back(visitor)

    def leave(self, visitor: Visitor) -> None:
        self._free(visitor.held)
        super().leave(visitor)


AnyGate: TypeAlias = OneByOne | _SoMany


def opened_gates(gates: Sequence[Gate], window: int, entrance: Entrance) -> list[AnyGate]:
    """The gates of one run."""
    made: list[AnyGate] = []
    in_order = True
    for at, gate in enumerate(gates):
        last = at == len(gates) - 1
        in_order = in_order and gate.ordered
        if gate.by is not None:
            made.append(ByKey(gate, at, last, entrance))
        elif gate.concurrency == 1 and not gate.elsewhere:
            made.append(OneByOne(at, last, entrance))
        elif in_order and not last:
            most = ANY_NUMBER if gate.elsewhere or gate.concurrency >= window else gate.concurrency
            made.append(Line(most, at, last, entrance))
        else:
            most = window if gate.elsewhere else gate.concurrency
            made.append(Several(replace(gate, concurrency=most), at, last, entrance))
    for one, following in pairwise(made):
        if isinstance(one, Line):
            one.leads_to(following)
    return made
