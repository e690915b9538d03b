"""A dead letter: an item given up on, with its error and its place, kept for a person or a replay."""

import json
import os
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rxchain.policies._dead_values import Encoder, decode, survived
from rxchain.types import Failure, Place

FORMAT = 1
"""What each line of a file of dead letters says first; a reader refuses what is newer than itself."""
LONGEST_TRACEBACK = 20_000
"""Characters; of a longer one the beginning and the end are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One item that a chain gave up on: what it was, where, and why.

    >>> from rxchain import Chain
    >>> from rxchain.policies import DeadLetter, DeadLetters
    >>> letters: list[DeadLetter] = []
    >>> chain = Chain(str.strip, lambda text: 1 / int(text), name="shares")
    >>> list(chain.iterate(["4", " 0 "], on_error=DeadLetters(letters)))
    [0.25]
    >>> letter = letters[0]
    >>> letter.error, letter.item, letter.value
    ('ZeroDivisionError', ' 0 ', '0')
    >>> DeadLetter.from_json(letter.to_json()) == letter
    True
    """

    id: str
    time: datetime
    """When it was given up on; UTC."""
    chain: str
    """The chain's name; empty where it has none."""
    node: str
    error: str
    """The error's type: ``ValueError``, ``httpx.ConnectTimeout``."""
    message: str
    traceback: str
    item: Any
    """The source's item."""
    value: Any
    """What had entered the failing node."""
    source: str | None = None
    position: int | None = None
    """The item's number in its source, from 0; None where nobody has counted."""
    key: Any = None
    attempts: int = 1
    """How often it has been tried, replays included."""
    undone: tuple[str, ...] = ()
    """The nodes whose effects were undone."""
    stands: tuple[str, ...] = ()
    """The nodes whose effects stand."""

    @classmethod
    def of(
        cls, failure: Failure, *, time: datetime | None = None, source: str | None = None, key: object = None
    ) -> "DeadLetter":
        """The letter that says what a `Failure` says; *source* and *key* where its place doesn't."""
        place = failure.place or Place(None, None)
        error = failure.error
        return cls(
            id=os.urandom(8).hex(),
            time=time or datetime.now(UTC),
            chain=failure.chain,
            node=failure.node,
            error=_type_of(error),
            message=_message_of(error),
            traceback=_traceback_of(error),
            item=failure.item,
            value=failure.value,
            source=place.source or source,
            position=place.position,
            key=key if place.key is None else place.key,
            attempts=failure.attempts,
            undone=failure.undone,
            stands=failure.stands,
        )

    @property
    def replayable(self) -> bool:
        """Whether what had entered the node is here: a value that JSON cannot hold is only here as its repr."""
        return survived(self.value)

    @property
    def restartable(self) -> bool:
        """Whether the source's item is here, to be replayed from the start."""
        return survived(self.item)

    @property
    def place(self) -> str:
        """Where it came from, in words; empty where nobody knows."""
        words = [self.source or ""]
        words.append("" if self.position is None else f"item {self.position:,}")
        words.append("" if self.key is None else f"key {self.key!r}")
        return ", ".join(filter(None, words))

    def __str__(self) -> str:
        """Where and why, on one line; never the payload."""
        place = f"{self.place}: " if self.place else ""
        shown = self.message if len(self.message) <= 200 else f"{self.message[:199]}…"
        return " ".join(f"{place}node {self.node!r}: {self.error}{': ' if shown else ''}{shown}".split())

    def __hash__(self) -> int:
        return hash(self.id)

    def to_json(self) -> str:
        """One line of JSON, without its line break. What JSON cannot hold is there as its repr."""
        of_item, of_value = Encoder(), Encoder()
        item = of_item.encode(self.item)
        value = item if self.value is self.item else of_value.encode(self.value)
        replayable = of_item.lossless if self.value is self.item else of_value.lossless
        # `id` comes right behind the format's number: whoever only wants to know which letters there are reads no more.
        line = {
            "dead_letter": FORMAT,
            "id": self.id,
            "time": self.time.isoformat(),
            "chain": self.chain,
            "node": self.node,
            "error": self.error,
            "message": self.message,
            "attempts": self.attempts,
            "source": self.source,
            "position": self.position,
            "key": Encoder().encode(self.key),
            "undone": self.undone,
            "stands": self.stands,
            "replayable": replayable,
            "item": item,
            **({} if value is item else {"value": value}),
            "traceback": self.traceback,
        }
        try:
            text = json.dumps(line, ensure_ascii=False, allow_nan=False)
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, in a message or a name
            text = json.dumps(line, allow_nan=False)
        return text

    @classmethod
    def from_json(cls, line: str | bytes) -> "DeadLetter":
        """The letter that `to_json` wrote.

        Values of classes that are not imported, or have other fields by now, are `Opaque`.

        Raises:
            ValueError: *line* is no dead letter, or of a newer format.
        """
        try:
            read = json.loads(line)
        except RecursionError as error:
            raise ValueError("no dead letter: nested too deeply") from error
        if not isinstance(read, dict) or "dead_letter" not in read or "id" not in read:
            raise ValueError("no dead letter: there is no 'dead_letter' and 'id' in it")
        if read["dead_letter"] != FORMAT:
            raise ValueError(
                f"a dead letter of format {read['dead_letter']}, and this rxchain reads {FORMAT}: take a newer one"
            )
        try:
            item = decode(read["item"])
            position = read.get("position")
            return cls(
                id=str(read["id"]),
                time=utc(datetime.fromisoformat(read["time"])),
                chain=str(read["chain"]),
                node=str(read["node"]),
                error=str(read["error"]),
                message=str(read["message"]),
                traceback=str(read.get("traceback", "")),
                item=item,
                value=decode(read["value"]) if "value" in read else item,
                source=read.get("source"),
                position=None if position is None else int(position),
                key=decode(read.get("key")),
                attempts=int(read.get("attempts", 1)),
                undone=tuple(read.get("undone", ())),
                stands=tuple(read.get("stands", ())),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no whole dead letter: {type(error).__name__}: {error}") from error


def utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its text raised {type(broken).__name__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # an error of the user's own making may do anything when it is looked at
        return f"<no traceback: showing it raised {type(broken).__name__}>"
    if len(text) <= LONGEST_TRACEBACK:
        return text
    half = LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"
