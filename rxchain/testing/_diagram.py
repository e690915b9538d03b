"""Marble diagrams as plain data: read, and drawn. Neither a loop nor a chain is needed for that.

A group takes one tick however many characters it has. In RxJS it takes as many ticks as characters, so that diagrams
line up; but then a stream with two items in one tick and another in the next has no diagram, and what a chain gives
must always have one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from rxchain import Failure, RxChainError

SPECIAL = frozenset("-|#()<>!^")


class MarbleError(RxChainError, ValueError):
    """Raised for a diagram that says nothing: ``marbles`` is the diagram, ``position`` the character that is wrong."""

    def __init__(self, marbles: str, position: int, what: str) -> None:
        super().__init__(f"position {position}: {what}\n    {marbles}\n    {' ' * position}^")
        self.marbles = marbles
        self.position = position


class Kind(Enum):
    """What happens at a place of a diagram."""

    ITEM = "an item"
    END = "|"
    ERROR = "#"
    LEAVE = "!"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in a tick; ``symbol`` is an item's character, or its text between ``<`` and ``>``."""

    tick: int
    kind: Kind
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A diagram: what happens, in order, and how many ticks it is long."""

    events: tuple[Event, ...]
    ticks: int


def parse(marbles: str) -> Script:
    """Read a source's diagram.

    Raises:
        MarbleError: it is none.
    """
    events: list[Event] = []
    tick = position = 0
    group: int | None = None
    ended = False

    def wrong(what: str, at: int) -> MarbleError:
        return MarbleError(marbles, at, what)

    while position < len(marbles):
        at, symbol = position, marbles[position]
        position += 1
        kind = Kind.ITEM
        if symbol.isspace():
            continue
        if symbol == "-":
            if group is not None:
                raise wrong("a group is one tick: '-' has no place in it", at)
            tick += 1
            continue
        if symbol == "(":
            if group is not None:
                raise wrong(f"a group inside the group that began at {group}", at)
            group = at
            continue
        if symbol == ")":
            if group is None:
                raise wrong("')' without '('", at)
            if not events or events[-1].tick != tick:
                raise wrong("an empty group: '-' is a tick of nothing", group)
            group = None
            tick += 1
            continue
        if symbol in "!^":
            raise wrong(f"{symbol!r} has no place in a source: the consumer leaves by until=, and comes at once", at)
        if symbol == ">":
            raise wrong("'>' without '<'", at)
        if symbol == "<":
            close = marbles.find(">", position)
            if close < 0:
                raise wrong("'<' without '>'", at)
            symbol, position = marbles[position:close], close + 1
        elif symbol == "|":
            kind, symbol = Kind.END, ""
        elif symbol == "#":
            kind, symbol = Kind.ERROR, ""
        if ended:
            raise wrong("the stream has ended before: only '-' may follow", at)
        ended = kind is not Kind.ITEM
        events.append(Event(tick, kind, symbol))
        if group is None:
            tick += 1
    if group is not None:
        raise wrong("'(' without ')'", group)
    return Script(tuple(events), tick)


def parse_until(until: str) -> int:
    """Read the diagram of a consumer that leaves: the tick of its ``!``.

    Raises:
        MarbleError: it is none.
    """
    tick: int | None = None
    seen = 0
    for position, symbol in enumerate(until):
        if symbol.isspace():
            continue
        if symbol not in "-!":
            raise MarbleError(until, position, f"until= is made of '-' and one '!', not {symbol!r}")
        if symbol == "!":
            if tick is not None:
                raise MarbleError(until, position, "a second '!': one leaves once")
            tick = seen
        seen += 1
    if tick is None:
        raise MarbleError(until, len(until), "until= needs a '!', where the consumer leaves")
    return tick


def draw(events: Iterable[Event], ticks: int = 0) -> str:
    """Draw *events*, as a diagram of *ticks* at least."""
    by_tick: defaultdict[int, list[str]] = defaultdict(list)
    for event in events:
        by_tick[event.tick].append(_written(event))
    drawn = []
    for tick in range(max(ticks, max(by_tick, default=-1) + 1)):
        signs = by_tick.get(tick, ["-"])
        drawn.append(signs[0] if len(signs) == 1 else f"({''.join(signs)})")
    return "".join(drawn)


def _written(event: Event) -> str:
    if event.kind is not Kind.ITEM:
        sign: str = event.kind.value
        return sign
    symbol = event.symbol
    return symbol if len(symbol) == 1 and symbol not in SPECIAL and not symbol.isspace() else f"<{symbol}>"


class Symbols:
    """Which symbol stands for which object: by default the one for the string of itself."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values = dict(values or {})

    def item(self, symbol: str) -> object:
        """The object that a symbol of a source stands for."""
        return self._values.get(symbol, symbol)

    def show(self, value: object) -> str:
        """The symbol of an object; of a `Failure`, that of the item that failed."""
        for symbol, known in self._values.items():
            if known is value or (type(known) is type(value) and _equal(known, value)):
                return symbol
        return self.show(value.item) if isinstance(value, Failure) else f"{value!s}"


def _equal(a: object, b: object) -> bool:
    try:
        return bool(a == b)
    except Exception:  # arrays, and the like, have no one answer
        return False


__all__ = ["Event", "Kind", "MarbleError", "Script", "Symbols", "draw", "parse", "parse_until"]
