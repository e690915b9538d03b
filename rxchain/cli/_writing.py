"""Writing results: a line or a row each, whole ones only, soon."""

import csv
import dataclasses
import gzip
import io
import json
import os
import stat
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

from rxchain.cli._errors import Refusal
from rxchain.cli._formats import Format

Encoder: TypeAlias = Callable[[Any], bytes]

HELD = 512
"""Records held at most."""
FLUSH_SECONDS = 0.5


class UnfitError(Exception):
    """Raised when a format cannot hold a result."""


# --- one result


def _encode_text(result: Any) -> bytes:
    if isinstance(result, str):
        text: str = result
    elif isinstance(result, (int, float)) and not isinstance(result, bool):
        text = repr(result)
    else:
        raise UnfitError(f"text holds strings and numbers, and this is {_kind(result)}: try --to-format jsonl")
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError as error:
        raise UnfitError(f"UTF-8 cannot hold {text[error.start]!r}") from error


def _encode_json(result: Any) -> bytes:
    try:
        try:
            return _DUMPS(result).encode() + b"\n"
        except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, UTF-8 cannot
            return json.dumps(result, default=_plain, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise UnfitError(f"jsonl cannot hold it: {error}") from error


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{_kind(value)} is no JSON value; make it a str or a number")


_DUMPS = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


class _CsvEncoder:
    """Rows under the header that the first dict gave."""

    def __init__(self) -> None:
        self._header: list[str] | None = None
        self._buffer = io.StringIO()
        self._row = csv.writer(self._buffer, lineterminator="\n")

    def __call__(self, result: Any) -> bytes:
        if dataclasses.is_dataclass(result) and not isinstance(result, type):
            result = _plain(result)
        if not isinstance(result, dict) or not result:
            what = "an empty dict" if result == {} else _kind(result)
            raise UnfitError(f"CSV holds a dict a row, and this is {what}")
        header = self._header or self._new_header(result)
        if result.keys() != set(header):
            missing = [f"no {name!r}" for name in header if name not in result]
            extra = [f"{name!r}, which it lacks" for name in result if name not in header]
            raise UnfitError(
                f"the header is {','.join(header)} by the first row, and this one has {', '.join(missing + extra)}"
            )
        row = [result[name] for name in header]
        for name, value in zip(header, row):
            if isinstance(value, (dict, list, tuple, set, frozenset, bytes)):
                raise UnfitError(f"a CSV field holds text or a number, and {name!r} is {_kind(value)}")
        first = self._header is None
        try:
            encoded = self._encoded(header, row) if first else self._encoded(row)
        except UnicodeEncodeError as error:
            raise UnfitError(f"UTF-8 cannot hold {error.object[error.start]!r}") from error
        self._header = header
        return encoded

    def _new_header(self, result: dict[Any, Any]) -> list[str]:
        if not all(isinstance(name, str) for name in result):
            raise UnfitError("a CSV header is made of strings, and this dict has other keys")
        return list(result)

    def _encoded(self, *rows: list[Any]) -> bytes:
        self._buffer.seek(0)
        self._buffer.truncate()
        self._row.writerows(rows)
        return self._buffer.getvalue().encode()


class _AutoEncoder:
    """Text or JSON lines, as the first result is a string or something else."""

    def __init__(self) -> None:
        self._chosen: Encoder | None = None

    def __call__(self, result: Any) -> bytes:
        if self._chosen is None:
            self._chosen = _encode_text if isinstance(result, str) else _encode_json
        return self._chosen(result)


def encoder_for(format: Format | None) -> Encoder:
    """What turns a result into bytes that end with a line's end; without a format the first result decides."""
    if format is None:
        return _AutoEncoder()
    if format.kind == "csv":
        return _CsvEncoder()
    return _encode_text if format.kind == "text" else _encode_json


def _kind(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


# --- all of them


class Output:
    """Where results go: records are held until the loop is next idle, and `FLUSH_SECONDS` at most.

    The thread of its own is for the steps that keep the event loop to themselves. The lock keeps
    writes apart; a signal's handler, which may not wait for it, uses `flush_at_once`.

    Args:
        failed: called, from any thread, when a write failed that nobody waited for; `error` then says why.
    """

    def __init__(self, path: str, format: Format | None, input_path: str) -> None:
        if path == "-" and sys.stdout is None:  # closed: the number 1 is some other file's by now
            raise Refusal("stdout is closed, so there is nowhere to write to: say --to FILE")
        self.name = "stdout" if path == "-" else path
        self.encode = encoder_for(format)
        self.error: OSError | None = None
        self._fd = 1 if path == "-" else _opened(path, input_path)
        self._written = 0
        """Bytes of whole records written to a file of ours: where it is cut if a write ends in the middle."""
        self._ours = path != "-" and stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._gzip = (
            gzip.GzipFile(fileobj=_Raw(self._fd), mode="wb", compresslevel=6) if format and format.gzip else None
        )
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._failed: Callable[[], None] = lambda: None
        self._soon: Callable[[Callable[[], None]], object] = lambda flush: None

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads along."""
        return os.isatty(self._fd)

    def start(self, soon: Callable[[Callable[[], None]], object], failed: Callable[[], None]) -> None:
        """Begin to flush: whenever *soon* calls back, and by the clock."""
        # Flushed at each idle moment, compressed data would hardly be compressed: there, by the clock only.
        self._soon = soon if self._gzip is None else self._soon
        self._failed = failed
        threading.Thread(target=self._by_the_clock, name="writing", daemon=True).start()

    def put(self, record: bytes) -> None:
        """Write *record*, soon.

        Raises:
            OSError: this or an earlier write failed.
        """
        held = self._held
        held.append(record)
        if len(held) == 1:
            self._soon(self._flush_soon)
        elif len(held) >= HELD:
            with self._lock:
                self._flush()

    def flush(self) -> None:
        """Write all that is held, now."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Write all that is held."""
        self._closed.set()
        with self._lock:
            self._flush(last=True)
            if self._fd != 1:
                os.close(self._fd)

    def flush_at_once(self) -> None:
        """Write what is held if that needs no waiting: a file of ours, and nobody just writing to it."""
        if self._ours and self._lock.acquire(blocking=False):
            self._flush(last=True)

    def _by_the_clock(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            self._flush_soon()

    def _flush_soon(self) -> None:
        try:
            with self._lock:
                if not self._closed.is_set():
                    self._flush()
        except OSError:
            self._failed()

    def _flush(self, last: bool = False) -> None:
        if self.error is not None:
            raise self.error
        held = self._held[:]
        del self._held[: len(held)]  # never another list: `put` appends to this one, without the lock
        try:
            if self._gzip is not None:
                if held:
                    self._gzip.write(b"".join(held))
                    self._gzip.flush(zlib.Z_SYNC_FLUSH)
                if last:
                    self._gzip.close()
            elif held:
                self._write_whole(held)
        except OSError as error:
            self.error = error
            raise

    def _write_whole(self, records: list[bytes]) -> None:
        data = memoryview(b"".join(records))
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError:
            if self._ours:
                whole = 0
                for record in records:
                    if whole + len(record) > done:
                        break
                    whole += len(record)
                os.ftruncate(self._fd, self._written + whole)
            raise
        self._written += len(data)


class _Raw:
    """A file descriptor as `gzip` wants it: every write writes all."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: Any) -> int:
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += os.write(self._fd, view[done:])
        return done

    def flush(self) -> None:
        pass


def _opened(path: str, input_path: str) -> int:
    if os.path.isfile(path) and os.path.samestat(os.stat(path), os.stat(0 if input_path == "-" else input_path)):
        raise Refusal(f"--from and --to are the same file, {path}: writing it would destroy what is to be read")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise Refusal(f"{path} cannot be written: there is no folder {folder}")
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror}") from error
