"""Where items come from: a file read as it lies, or a pipe read by a thread, so that nothing waits for its writer.

A blocking read cannot be called off. So whatever may never answer (a terminal, a pipe, a socket) is read by a daemon
thread, at most `AHEAD` batches ahead; when the run ends, the thread is left where it waits.
"""

import asyncio
import gzip
import io
import os
import stat
import sys
import threading
import zlib
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rxchain.cli._errors import Refusal, did_you_mean
from rxchain.cli._formats import Format, format_of
from rxchain.cli._reading import READERS, BadLine, Batch, InputError
from rxchain.cli._report import Report
from rxchain.cli._stop import Stop

AHEAD = 4
"""Batches that may wait to be taken."""
CHUNK_BYTES = 65_536
REMEMBERED = 4096
"""Items taken at least so recently are still found by `Source.place_of`."""


class Source:
    """The items of a file or of stdin, with their places. Without a format the file's name tells it; stdin is text."""

    def __init__(self, path: str, format: Format | None, limit: int | None) -> None:
        if path == "-" and sys.stdin is None:  # closed: the number 0 is some other file's by now
            raise Refusal("stdin is closed, so there is nothing to read: say --from FILE")
        self.name = "stdin" if path == "-" else path
        self.limit = limit
        self.taken = 0
        self.size: int | None = None
        """Bytes in the file; None where nobody can tell."""
        self._path = path
        self._recent: deque[Batch] = deque()
        self._at = 0
        """Where in the newest batch the item taken last stands."""
        self._fd: int | None = None
        self._open()
        # Only now: of a file that is not there, its name's extension is not what is to be told.
        self._format = format or (Format("text") if path == "-" else format_of(path, "--format"))

    def _open(self) -> None:
        try:
            mode = os.fstat(0) if self._path == "-" else os.stat(self._path)
        except FileNotFoundError:
            folder = Path(self._path).parent
            names = os.listdir(folder) if folder.is_dir() else []
            raise Refusal(f"there is no file {self._path}{did_you_mean(Path(self._path).name, names)}") from None
        except OSError as error:
            raise Refusal(f"{self.name} cannot be read: {error.strerror}") from error
        if stat.S_ISDIR(mode.st_mode):
            raise Refusal(f"{self._path} is a folder; --from takes a file, or - for stdin")
        self.regular = stat.S_ISREG(mode.st_mode)
        if self.regular:
            self.size = mode.st_size
        if self._path == "-":
            self._fd = 0
            os.set_blocking(0, True)
        elif self.regular:
            try:
                self._fd = os.open(self._path, os.O_RDONLY)
            except OSError as error:
                raise Refusal(f"{self.name} cannot be read: {error.strerror}") from error

    @property
    def position(self) -> int:
        """How many of the file's bytes have been read."""
        try:
            return os.lseek(self._fd, 0, os.SEEK_CUR) if self._fd is not None else 0
        except OSError:
            return 0

    def items(self, stop: Stop, report: Report) -> Iterator[Any] | AsyncIterator[Any]:
        """The items, until the end, the limit, or *stop*; what cannot be read is told to *report*."""
        return self._direct(stop, report) if self.regular else self._threaded(stop, report)

    def place_of(self, item: object) -> str | None:
        """``file:line`` of an item taken recently. By identity: of equal ones, the newest."""
        newest = self._at
        for batch in reversed(self._recent):
            for at in range(min(newest, len(batch.items) - 1), -1, -1):
                if batch.items[at] is item:
                    return f"{self.name}:{batch.lines[at]}"
            newest = len(batch.items)
        return None

    # --- taking

    def _direct(self, stop: Stop, report: Report) -> Iterator[Any]:
        with closing(self._batches()) as batches:
            while not self._done(stop):
                batch = next(batches, None)
                if batch is None:
                    return
                yield from self._take(batch, stop, report)

    async def _threaded(self, stop: Stop, report: Report) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Batch | Exception | None] = asyncio.Queue()
        room = threading.Semaphore(AHEAD)
        left = threading.Event()

        def hand_over(batch: Batch | Exception | None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(arrived.put_nowait, batch)

        def read() -> None:
            try:
                for batch in self._batches():
                    room.acquire()
                    if left.is_set():
                        return
                    hand_over(batch)
            except Exception as error:
                hand_over(error)
            else:
                hand_over(None)

        stop.wake = lambda: hand_over(None)
        try:
            if not self._done(stop):
                threading.Thread(target=read, name=f"reading {self.name}", daemon=True).start()
            while not self._done(stop):
                batch = await arrived.get()
                if isinstance(batch, Exception):
                    raise batch
                if batch is None:
                    return
                room.release()
                for item in self._take(batch, stop, report):
                    yield item
        finally:
            stop.wake = None
            left.set()
            room.release()

    def _done(self, stop: Stop) -> bool:
        return stop.signal is not None or self.taken == self.limit

    def _take(self, batch: Batch, stop: Stop, report: Report) -> Iterator[Any]:
        self._remember(batch)
        limit = self.limit
        for self._at, item in enumerate(batch.items):
            if stop.signal is not None or self.taken == limit:
                return
            self.taken += 1
            if type(item) is BadLine:
                report.bad_line(f"{self.name}:{batch.lines[self._at]}", item.why, item.text)
            else:
                yield item

    def _remember(self, batch: Batch) -> None:
        self._recent.append(batch)
        held = sum(len(kept.items) for kept in self._recent) - len(batch.items)
        while held > REMEMBERED and held - len(self._recent[0].items) >= REMEMBERED:
            held -= len(self._recent.popleft().items)

    # --- reading

    def _batches(self) -> Generator[Batch, None, None]:
        last = 0
        try:
            for batch in READERS[self._format.kind](self._chunks()):
                if batch.lines:
                    last = batch.lines[-1]
                    yield batch
        except InputError as error:
            raise InputError(f"{self.name}:{error}") from error
        except (OSError, EOFError, zlib.error) as error:
            after = f" after line {last:,}" if last else ""
            why = "the compressed data ends in the middle" if isinstance(error, EOFError) else error
            raise InputError(f"{self.name} cannot be read{' any further' if last else ''}{after}: {why}") from error

    def _chunks(self) -> Iterator[bytes]:
        fd = self._fd if self._fd is not None else os.open(self._path, os.O_RDONLY)
        # Unbuffered: a read gives what is there; and no lock is held that the interpreter's exit would want.
        with io.FileIO(fd, closefd=False) as raw:
            file: Any = gzip.GzipFile(fileobj=raw, mode="rb") if self._format.gzip else raw
            read = file.read1 if self._format.gzip else file.read
            while chunk := read(CHUNK_BYTES):
                yield chunk
