"""Reading items: bytes as they come become batches of items, each with its line number.

In batches, so that neither a thread's hand-over nor a call is paid for each line. A batch holds what one read gave, so
a line that has come is never held back for the next.
"""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Chunks = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class BadLine:
    """What stands in an item's place where a line could not be read."""

    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Items, and the line that each begins on."""

    items: Sequence[Any]
    lines: Sequence[int]


class InputError(Exception):
    """Raised when the input as a whole cannot be read (any further)."""


def read_text(chunks: Chunks) -> Iterator[Batch]:
    """Each line, without its line break."""
    first = 1
    for block in _whole_lines(chunks):
        if first == 1:
            block = block.removeprefix(b"\xef\xbb\xbf")
        try:
            items: list[Any] = _lines(block.decode())
        except UnicodeDecodeError:
            items = [_decoded(line) for line in block.removesuffix(b"\n").split(b"\n")]
        yield Batch(items, range(first, first + len(items)))
        first += len(items)


def _whole_lines(chunks: Chunks) -> Iterator[bytes]:
    """The same bytes, cut behind a line's end; the last line may lack it."""
    begun: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            begun.append(chunk)
            continue
        yield b"".join([*begun, chunk[:end]])
        begun = [chunk[end:]] if end < len(chunk) else []
    if begun:
        yield b"".join(begun)


def _lines(text: str) -> list[str]:
    # Not splitlines, which also splits at form feeds and the like.
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n")


def _decoded(line: bytes) -> str | BadLine:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        why = f"not UTF-8: byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
        return BadLine(why, line.decode(errors="replace"))


def read_jsonl(chunks: Chunks) -> Iterator[Batch]:
    """The JSON value on each line; empty lines are passed over."""
    loads = json.loads
    for batch in read_text(chunks):
        items: list[Any] = []
        lines: list[int] = []
        for number, text in zip(batch.lines, batch.items):
            item: Any = text
            if type(text) is str:
                try:
                    item = loads(text)
                except (ValueError, RecursionError) as error:
                    if not text or text.isspace():
                        continue
                    item = BadLine(_not_json(error), text)
            items.append(item)
            lines.append(number)
        yield Batch(items, lines)


def _not_json(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return f"not JSON that can be read: {error}"


def read_csv(chunks: Chunks) -> Iterator[Batch]:
    """A dict for each row, by the names in the first."""
    waiting: deque[tuple[int, Any]] = deque()
    undecoded: dict[int, BadLine] = {}

    def lines() -> Iterator[str]:
        for batch in read_text(chunks):
            waiting.extend(zip(batch.lines, batch.items))
            while waiting:
                number, line = waiting.popleft()
                if type(line) is BadLine:
                    undecoded[number] = line
                    line = line.text
                yield line + "\n"  # a line break inside quotes is part of the field

    rows = csv.reader(lines(), strict=True)
    header: list[str] | None = None
    items: list[Any] = []
    starts: list[int] = []
    while True:
        if items and not waiting:
            yield Batch(items, starts)
            items, starts = [], []
        start = rows.line_num + 1
        item: Any
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            row, item = [], BadLine(f"not CSV: {error}", "")
        else:
            if not row:
                continue
            item = dict(zip(header, row)) if header is not None and len(header) == len(row) else _misfit(header, row)
        if undecoded:
            bad = [undecoded.pop(n) for n in range(start, rows.line_num + 1) if n in undecoded]
            item = bad[0] if bad else item
        if header is None:
            header = _header(row, item, start)
            continue
        items.append(item)
        starts.append(start)
    if items:
        yield Batch(items, starts)


def _misfit(header: list[str] | None, row: list[str]) -> BadLine | None:
    if header is None:
        return None
    found, wanted = len(row), len(header)
    hint = f"nothing for {header[found]!r}" if found < wanted else f"nowhere to put {row[wanted]!r}"
    fields = "1 field" if found == 1 else f"{found} fields"
    return BadLine(f"a row of {fields} under a header of {wanted}: {hint}", ",".join(row))


def _header(row: list[str], item: object, line: int) -> list[str]:
    if isinstance(item, BadLine):
        raise InputError(f"{line}: the header cannot be read: {item.why}")
    for name in row:
        if row.count(name) > 1:
            raise InputError(f"{line}: the header names the column {name!r} twice: a row would lose one of the two")
    return row


READERS: dict[str, Callable[[Chunks], Iterator[Batch]]] = {"text": read_text, "jsonl": read_jsonl, "csv": read_csv}
