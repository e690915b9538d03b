"""A file of dead letters: JSON lines, appended by any number of processes, settled by lines behind them.

A line is a letter, or says that one is settled; of two letters with one id the later counts. SQLite was the rival: it
wants a schema and a client to look into it, where `tail`, `grep` and `jq` do. One writer at a time, each line by one
write, so that what is read is whole lines; what a crash has cut off is terminated by the next writer, and told to each
reader.
"""

import json
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from rxchain.policies._dead_letter import FORMAT, DeadLetter, utc
from rxchain.policies._dead_lock import locked

if TYPE_CHECKING:
    from rxchain.policies._dead_replay import From, Replayed

_BEGINNING = b'{"dead_letter"'
"""Of each line that we write."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What `DeadLetterFile.purge` did: letters that are gone, letters that are still there."""

    dropped: int
    kept: int


class DeadLetterFile:
    """Dead letters in a file, to be iterated, replayed and settled.

    Any number of processes and threads may use it at once. The file is made when the first letter comes, and only its
    owner may read it; beside it lies an empty ``.lock``. A writer waits for whoever writes or purges just then.

    >>> import tempfile
    >>> from rxchain import Chain
    >>> from rxchain.policies import DeadLetterFile, DeadLetters
    >>> file = DeadLetterFile(f"{tempfile.mkdtemp()}/orders.dead.jsonl")
    >>> list(Chain(str.strip, lambda text: 1 / int(text)).iterate(["4", "0", "x"], on_error=DeadLetters(file)))
    [0.25]
    >>> [(letter.error, letter.value) for letter in file]
    [('ZeroDivisionError', '0'), ('ValueError', 'x')]
    >>> file.settle(next(iter(file)).id)
    >>> file.count()
    (1, 1)

    Args:
        fsync: wait until each line is on the disk: then it survives a power cut, not only the end of the process.
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = False) -> None:
        self.path = os.fspath(path)
        self.fsync = fsync

    def __repr__(self) -> str:
        return f"DeadLetterFile({self.path!r}{', fsync=True' if self.fsync else ''})"

    def __fspath__(self) -> str:
        return self.path

    # --- reading

    def __iter__(self) -> Iterator[DeadLetter]:
        """The letters that are open, as they stand when the iteration begins, in the order they came.

        A line that is no letter, or that a crash has cut off, is passed over with a `RuntimeWarning`.

        Raises:
            OSError: the file cannot be read; `FileNotFoundError`, where nothing was ever written.
        """
        with self._snapshot() as (file, size):
            index = _Index.of(file, size)
            for line in index.strange:
                self._warn(line, f"it is no{' whole' if line.ours else ''} dead letter, or one of a newer rxchain")
            for line in index.open:
                file.seek(line.start)
                try:
                    letter = DeadLetter.from_json(file.read(line.length))
                except ValueError as error:
                    self._warn(line, str(error))
                else:
                    yield letter

    def count(self) -> tuple[int, int]:
        """How many letters are open, and how many settled ones are still in the file."""
        with self._snapshot() as (file, size):
            index = _Index.of(file, size)
        is_open = len(index.open)
        return is_open, len(index.letters) - is_open

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[IO[bytes], int]]:
        """The file, and how much of it there is at a moment when nobody writes: whole lines."""
        target = self._target()
        with open(target, "rb") as file:
            size = None
            # A file that never had a writer gets no lock; and who may only read may not lock either.
            if os.path.exists(f"{target}.lock"):
                with suppress(OSError), locked(f"{target}.lock"):
                    size = os.fstat(file.fileno()).st_size
            yield file, os.fstat(file.fileno()).st_size if size is None else size

    def _warn(self, line: "_Line", why: str) -> None:
        warnings.warn(f"{self.path}:{line.number} is passed over: {why}", RuntimeWarning, stacklevel=3)

    # --- writing

    def append(self, *letters: DeadLetter) -> None:
        """Write *letters*; when this returns, the operating system has them whole.

        Raises:
            OSError: they could not be written; nothing of them is in the file then.
        """
        self._append([letter.to_json() for letter in letters])

    def settle(self, *ids: str, how: str = "settled") -> None:
        """Say that letters are done with. They stay in the file until it is purged.

        Raises:
            KeyError: there is no open letter with such an id; none has been settled.
        """
        with self._snapshot() as (file, size):
            known = {line.id for line in _Index.of(file, size).open}
        for id in ids:
            if id not in known:
                raise KeyError(f"{self.path} has no open letter {id!r}")
        self.write_settled(*ids, how=how)

    def write_settled(self, *ids: str, how: str) -> None:
        """The same of letters that were read from here: nobody looks whether they are."""
        now = datetime.now(UTC).isoformat()
        self._append([json.dumps({"dead_letter": FORMAT, "settled": id, "time": now, "how": how}) for id in ids])

    def _append(self, lines: list[str]) -> None:
        data = "".join([f"{line}\n" for line in lines]).encode()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        target = self._target()
        with locked(f"{target}.lock"):
            fd = os.open(target, flags, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size:
                    os.lseek(fd, -1, os.SEEK_END)
                    if os.read(fd, 1) != b"\n":  # somebody died while writing: ours is not part of that line
                        data = b"\n" + data
                try:
                    _write_whole(fd, data)
                    if self.fsync:
                        os.fsync(fd)
                except BaseException:
                    os.ftruncate(fd, size)  # half a line is no letter; and the caller is told that it was not kept
                    raise
            finally:
                os.close(fd)
            if self.fsync and not size:
                _sync_folder_of(target)

    def purge(self, *, settled: bool = True, before: datetime | None = None, all: bool = False) -> Purged:
        """Rewrite the file without letters that nobody needs. Nobody ever sees half of it; writers wait meanwhile.

        What is no dead letter, in a file that is somebody else's, is kept whatever is asked for.

        Args:
            settled: let go of those that are settled.
            before: let go of those that failed before then, open or settled.
            all: let go of all, and of what a crash has cut off.

        Raises:
            OSError: the file is as it was.
        """
        target = self._target()
        os.stat(target)  # before a lock is made for a file that is not there
        with locked(f"{target}.lock"):
            with open(target, "rb") as old:
                index = _Index.of(old, os.fstat(old.fileno()).st_size)
                kept: list[_Line] = []
                for line in index.letters.values():
                    tombstone = index.tombstones.get(line.id)
                    if not all and not (before and line.time < before) and not (settled and tombstone):
                        kept += [line, tombstone] if tombstone else [line]
                strange = [line for line in index.strange if not (all and line.ours)]
                temporary = _copied(old, [*kept, *strange], target)
            os.replace(temporary, target)
            _sync_folder_of(target)
        left = sum(line.id in index.letters and not line.settles for line in kept)
        return Purged(len(index.letters) - left, left)

    # --- replaying

    async def replay(
        self,
        chain: Any,
        *,
        from_: "From" = "node",
        ids: Iterable[str] | None = None,
        emit: Callable[[Any], object] | None = None,
        force: bool = False,
    ) -> "list[Replayed]":
        """Run letters through *chain* again, one after the other; those that go through are settled.

        One that fails again stays, with its new error and its attempts added up. At least once: a letter whose replay
        was cut off stays open, so what the chain does must bear to be done twice.

        >>> import asyncio, tempfile
        >>> from rxchain import Chain
        >>> from rxchain.policies import DeadLetterFile, DeadLetters
        >>> rates = {"EUR": 1.0}
        >>> def rate(currency: str) -> float:
        ...     return rates[currency]
        >>> chain = Chain(str.strip, rate, name="rates")
        >>> file = DeadLetterFile(f"{tempfile.mkdtemp()}/rates.dead.jsonl")
        >>> list(chain.iterate(["EUR", " USD", " XXX"], on_error=DeadLetters(file)))
        [1.0]
        >>> rates["USD"] = 0.9
        >>> [(done.letter.item, done.outcome) for done in asyncio.run(file.replay(chain))]
        [(' USD', 'settled'), (' XXX', 'failed')]
        >>> [(letter.item, letter.attempts) for letter in file]
        [(' XXX', 2)]

        Args:
            from_: ``"node"``: what had entered the failed node goes through that node and the rest of the chain;
                ``"start"``: the source's item goes through all of it.
            ids: which letters; without it those of a chain with this name.
            emit: called with each result, before the letter is settled; what it raises ends the replay.
            force: replay also what would do a second time what could not be undone (``letter.stands``); such letters
                are refused otherwise.

        Raises:
            KeyError: there is no open letter with such an id; nothing has run.
            BlockingIOError: another replay of this file is under way.
        """
        wanted = None if ids is None else set(ids)
        name = chain.name or ""
        letters = [letter for letter in self if (letter.chain == name if wanted is None else letter.id in wanted)]
        if wanted is not None and (unknown := wanted - {letter.id for letter in letters}):
            raise KeyError(f"{self.path} has no open letter {min(unknown)!r}")
        return [done async for done in self.replaying(chain, letters, from_=from_, emit=emit, force=force)]

    def replaying(
        self,
        chain: Any,
        letters: Iterable[DeadLetter],
        *,
        from_: "From" = "node",
        emit: Callable[[Any], object] | None = None,
        force: bool = False,
    ) -> "AsyncGenerator[Replayed, None]":
        """The same for letters at hand, each told as soon as it is done."""
        from rxchain.policies._dead_replay import replaying

        return replaying(self, chain, letters, from_, emit, force)

    def _target(self) -> str:
        """The file itself where the path is a link to it: to replace the link would make two of them."""
        return os.path.realpath(self.path)


# --- lines


_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Line:
    """Where a line stands, and what it is about."""

    number: int
    start: int
    length: int
    id: str = ""
    settles: bool = False
    time: datetime = _EARLIEST
    ours: bool = True


@dataclass(slots=True)
class _Index:
    """What the lines of a file say: no payload is held."""

    letters: dict[str, _Line] = field(default_factory=dict)
    """The newest of each id, in the order in which the first of them came."""
    tombstones: dict[str, _Line] = field(default_factory=dict)
    strange: list[_Line] = field(default_factory=list)
    """No letters, or none that we can read."""

    @property
    def open(self) -> list[_Line]:
        return [line for id, line in self.letters.items() if id not in self.tombstones]

    @classmethod
    def of(cls, file: IO[bytes], size: int) -> "_Index":
        index = cls()
        start = number = 0
        file.seek(0)
        while start < size and (text := file.readline(size - start)):
            number += 1
            line = _Line(number, start, len(text))
            start += len(text)
            if text.isspace():
                continue
            try:
                # All of it, although only the beginning is asked for: what was cut off must not hide an older version.
                read = json.loads(text)
                line.settles = "settled" in read
                line.id = str(read["settled" if line.settles else "id"])
                line.time = utc(datetime.fromisoformat(read["time"]))
                if read["dead_letter"] != FORMAT:
                    raise ValueError("newer")
            except (ValueError, KeyError, TypeError, RecursionError):
                begun = text[: len(_BEGINNING)].rstrip(b"\r\n")
                line.ours = _BEGINNING.startswith(begun)
                index.strange.append(line)
            else:
                (index.tombstones if line.settles else index.letters)[line.id] = line
        return index


# --- bytes


def _write_whole(fd: int, data: bytes) -> None:
    # One write in all likelihood; a disk that is nearly full takes a part, and refuses the rest.
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _copied(old: IO[bytes], lines: list[_Line], target: str) -> str:
    """The path of a copy of these lines, on the disk, beside *target*; the lock is held."""
    temporary = f"{target}.tmp"  # the same each time, so that what a crash has left is written over
    had = os.fstat(old.fileno())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(fd, "wb") as copy:
            for line in lines:
                old.seek(line.start)
                copy.write(old.read(line.length).removesuffix(b"\n") + b"\n")
            copy.flush()
            os.fsync(copy.fileno())
        with suppress(OSError, AttributeError):  # not ours to give away; or Windows
            os.chown(temporary, had.st_uid, had.st_gid)
        os.chmod(temporary, had.st_mode & 0o7777)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _sync_folder_of(path: str) -> None:
    """See to it that the name is on the disk as well."""
    with suppress(PermissionError):  # Windows opens no folder, and needs none of it
        fd = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
