"""A file of dead letters: whole lines from any number of writers, through crashes, settling and purging."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Failure
from rxchain.policies import DeadLetter, DeadLetterFile, Purged
from rxchain.policies._dead_lock import locked
from tests.needs import need

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def a_letter(item: object = "x", minutes: float = 0) -> DeadLetter:
    return DeadLetter.of(
        Failure(ValueError("no"), "orders", "parse", item, item), time=NOON + timedelta(minutes=minutes)
    )


def items(file: DeadLetterFile) -> list[Any]:
    return [letter.item for letter in file]


@pytest.fixture
def file(tmp_path: Path) -> DeadLetterFile:
    return DeadLetterFile(tmp_path / "orders.dead.jsonl")


# --- appending


def test_letters_come_back_in_the_order_they_came(file: DeadLetterFile) -> None:
    letters = [a_letter(n) for n in range(3)]
    file.append(letters[0])
    file.append(*letters[1:])
    assert list(file) == letters
    assert list(file) == letters
    assert file.count() == (3, 0)


def test_only_its_owner_may_read_it(file: DeadLetterFile) -> None:
    need("POSIX permissions", there=os.name == "posix")
    file.append(a_letter())
    assert os.stat(file.path).st_mode & 0o777 == 0o600
    os.chmod(file.path, 0o640)
    file.purge(all=True)
    assert os.stat(file.path).st_mode & 0o777 == 0o640


def test_with_fsync_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noticed(fd: int) -> None:
        synced.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noticed)
    file = DeadLetterFile(tmp_path / "dead.jsonl", fsync=True)
    file.append(a_letter(1))
    assert len(synced) == 2  # the line, and the name of the new file
    file.append(a_letter(2))
    assert len(synced) == 3
    assert items(file) == [1, 2]
    assert repr(file).endswith("dead.jsonl', fsync=True)")


def test_a_file_that_is_not_there_is_an_error_and_nothing_is_made(file: DeadLetterFile, tmp_path: Path) -> None:
    for use in (lambda: list(file), file.count, file.purge, lambda: file.settle("x")):
        with pytest.raises(FileNotFoundError):
            use()
    assert list(tmp_path.iterdir()) == []


def test_reading_makes_no_lock_and_needs_none(file: DeadLetterFile, tmp_path: Path) -> None:
    file.append(a_letter(1))
    os.unlink(f"{file.path}.lock")
    assert items(file) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["orders.dead.jsonl"]


WRITER = """
import sys
from tests.policies.test_dead_file import DeadLetterFile, a_letter
file, name = DeadLetterFile(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(150):
    letter = a_letter([name, n, name * 40 * (n % 7)])
    file.append(letter)
    if n % 3 == 0:
        file.settle(letter.id)
    if n % 50 == 49:
        file.purge()
"""


def test_several_processes_and_threads_lose_nothing_and_interleave_nothing(file: DeadLetterFile) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITER, file.path]
    writers = [
        subprocess.Popen([*command, name], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for name in "abc"
    ]

    def write(name: str) -> None:
        for n in range(100):
            file.append(a_letter([name, n, ""]))

    threads = [threading.Thread(target=write, args=(name,)) for name in "de"]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for thread in threads:
        thread.start()
    for writer in writers:
        writer.communicate(b"\n")
        assert writer.returncode == 0
    for thread in threads:
        thread.join()
    left = [(item[0], item[1]) for item in items(file)]
    for name in "abc":
        assert [n for who, n in left if who == name] == [n for n in range(150) if n % 3]
    for name in "de":
        assert [n for who, n in left if who == name] == list(range(100))
    for line in Path(file.path).read_bytes().splitlines():
        json.loads(line)


def test_a_reader_sees_what_there_was_when_it_began(file: DeadLetterFile) -> None:
    file.append(*[a_letter(n) for n in range(3)])
    reading = iter(file)
    assert next(reading).item == 0
    file.append(a_letter(3))
    file.purge(all=True)
    assert [letter.item for letter in reading] == [1, 2]
    assert items(file) == []


# --- crashes


@given(st.data())
def test_a_line_that_was_cut_off_anywhere_hides_no_other(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = DeadLetterFile(tmp_path_factory.mktemp("torn") / "dead.jsonl")
    first = a_letter("first")
    torn = (first if data.draw(st.booleans(), label="a newer version") else a_letter("torn")).to_json().encode()
    file.append(first)
    whole = os.path.getsize(file.path)
    cut = data.draw(st.integers(1, len(torn)), label="written")
    with open(file.path, "ab") as raw:
        raw.write(torn[:cut])
    if cut < len(torn):
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match=r"dead\.jsonl:2 is passed over: it is no whole dead letter"):
                assert items(file) == ["first"]
        file.append(a_letter("next"))
        with pytest.warns(RuntimeWarning, match=r":2 is passed over"):
            assert items(file) == ["first", "next"]
        assert file.purge() == Purged(0, 2)  # a person may want to read even half of it
        with pytest.warns(RuntimeWarning, match=r":3 is passed over"):
            assert items(file) == ["first", "next"]
    else:  # only the line break was missing
        file.append(a_letter("next"))
        assert len(items(file)) == len(set(file))
        assert file.count()[0] in (2, 3)
    assert whole < os.path.getsize(file.path)
    file.purge(all=True)
    assert Path(file.path).read_bytes() == b""


def test_a_disk_that_is_full_leaves_no_half_line(file: DeadLetterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.append(a_letter("kept"))
    before = Path(file.path).read_bytes()
    write = os.write
    left = [40]

    def until_full(fd: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        done = write(fd, data[: left[0]])
        left[0] -= done
        return done

    with monkeypatch.context() as full:
        full.setattr(os, "write", until_full)
        with pytest.raises(OSError, match="No space left"):
            file.append(a_letter("lost"))
    assert Path(file.path).read_bytes() == before
    file.append(a_letter("next"))
    assert items(file) == ["kept", "next"]


def test_a_purge_that_fails_leaves_the_file_as_it_was(file: DeadLetterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.append(a_letter(1), a_letter(2))
    before = Path(file.path).read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            file.purge(all=True)
    assert Path(file.path).read_bytes() == before
    assert sorted(os.listdir(os.path.dirname(file.path))) == ["orders.dead.jsonl", "orders.dead.jsonl.lock"]


# --- settling and purging


def test_a_settled_letter_is_no_longer_there_but_in_the_file_until_it_is_purged(file: DeadLetterFile) -> None:
    letters = [a_letter(n) for n in range(3)]
    file.append(*letters)
    file.settle(letters[1].id, how="by hand")
    assert items(file) == [0, 2]
    assert file.count() == (2, 1)
    last = json.loads(Path(file.path).read_text().splitlines()[-1])
    assert (last["dead_letter"], last["settled"], last["how"]) == (1, letters[1].id, "by hand")
    assert file.purge() == Purged(1, 2)
    assert file.count() == (2, 0)
    assert items(file) == [0, 2]
    assert len(Path(file.path).read_text().splitlines()) == 2


def test_what_is_not_open_cannot_be_settled(file: DeadLetterFile) -> None:
    letters = [a_letter(n) for n in range(2)]
    file.append(*letters)
    file.settle(letters[0].id)
    for id in (letters[0].id, "nowhere"):
        with pytest.raises(KeyError, match=f"has no open letter '{id}'"):
            file.settle(letters[1].id, id)
    assert items(file) == [1]


def test_a_letter_that_is_written_again_stands_where_it_stood(file: DeadLetterFile) -> None:
    first, second = a_letter("first"), a_letter("second")
    file.append(first, second)
    file.append(DeadLetter.from_json(first.to_json().replace('"attempts": 1', '"attempts": 2')))
    assert [(letter.item, letter.attempts) for letter in file] == [("first", 2), ("second", 1)]
    assert file.count() == (2, 0)
    assert file.purge() == Purged(0, 2)
    assert [(letter.item, letter.attempts) for letter in file] == [("first", 2), ("second", 1)]


def test_purging_by_time_takes_open_ones_too(file: DeadLetterFile) -> None:
    file.append(*[a_letter(minutes, minutes) for minutes in range(4)])
    file.settle(next(iter(file)).id)
    assert file.purge(settled=False, before=NOON + timedelta(minutes=2)) == Purged(2, 2)
    assert items(file) == [2, 3]
    assert file.purge(before=NOON) == Purged(0, 2)
    file.settle(next(iter(file)).id)
    assert file.purge(settled=False) == Purged(0, 2)
    assert file.count() == (1, 1)
    assert file.purge(all=True) == Purged(2, 0)
    assert Path(file.path).read_bytes() == b""


def test_what_somebody_else_wrote_is_kept_whatever_is_purged(file: DeadLetterFile) -> None:
    """Somebody names the wrong file."""
    theirs = '{"order": 1}\nno json\n[1]\n{"dead_letter": 2, "id": "newer", "time": "2024-01-01"}\n\n"last"'
    Path(file.path).write_text(theirs)
    with pytest.warns(RuntimeWarning, match="is passed over") as told:
        assert items(file) == []
    assert len(told) == 5
    assert "it is no dead letter" in str(told[0].message)
    assert file.purge(settled=True) == Purged(0, 0)
    assert Path(file.path).read_text().split() == theirs.split()
    assert file.purge(all=True) == Purged(0, 0)
    assert Path(file.path).read_text() == '{"order": 1}\nno json\n[1]\n"last"\n'


def test_a_link_stays_a_link(file: DeadLetterFile, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(file.path)
    DeadLetterFile(link).append(a_letter(1))
    file.append(a_letter(2))
    DeadLetterFile(link).purge()
    assert link.is_symlink()
    assert items(file) == items(DeadLetterFile(link)) == [1, 2]


def test_what_jq_has_written_is_read(file: DeadLetterFile) -> None:
    letter = a_letter({"a": 1})
    read = json.loads(letter.to_json())
    Path(file.path).write_text(json.dumps(dict(sorted(read.items())), separators=(",", ":")) + "\n")
    assert list(file) == [letter]


commands = st.lists(
    st.tuples(st.sampled_from(["append", "append", "append", "settle", "again", "purge", "before"]), st.integers(0, 9)),
    max_size=20,
)


@given(commands)
def test_it_holds_what_a_dict_would(tmp_path_factory: pytest.TempPathFactory, commands: list[tuple[str, int]]) -> None:
    file = DeadLetterFile(tmp_path_factory.mktemp("model") / "dead.jsonl")
    file.append()
    model: dict[str, DeadLetter] = {}
    settled: set[str] = set()
    for step, (command, number) in enumerate(commands):
        still = [id for id in model if id not in settled]
        chosen = still[number % len(still)] if still else None
        if command == "append":
            letter = a_letter(step, step)
            file.append(letter)
            model[letter.id] = letter
        elif command == "settle" and chosen:
            file.settle(chosen)
            settled.add(chosen)
        elif command == "again" and chosen:
            read = json.loads(model[chosen].to_json()) | {"attempts": step + 2}
            model[chosen] = DeadLetter.from_json(json.dumps(read))
            file.append(model[chosen])
        elif command == "purge":
            file.purge()
            model = {id: letter for id, letter in model.items() if id not in settled}
            settled = set()
        elif command == "before":
            limit = NOON + timedelta(minutes=number)
            file.purge(settled=False, before=limit)
            model = {id: letter for id, letter in model.items() if letter.time >= limit}
            settled &= model.keys()
        assert list(file) == [letter for id, letter in model.items() if id not in settled]
        assert file.count() == (len(model) - len(settled), len(settled))


# --- the lock


def test_a_lock_is_held_by_one_and_let_go_of_by_failures(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with locked(path), pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    with pytest.raises(ZeroDivisionError), locked(path, wait=False):
        raise ZeroDivisionError
    with locked(path, wait=False):
        pass


def test_a_process_that_was_forked_meanwhile_holds_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "lock")
    opened: list[int] = []
    really_open = os.open

    def noticed(*how: Any) -> int:
        opened.append(really_open(*how))
        return opened[-1]

    with monkeypatch.context() as watched:
        watched.setattr(os, "open", noticed)
        with locked(path):
            inherited = os.dup(opened[0])  # what a forked child has: the same open file
    with locked(path, wait=False):
        os.close(inherited)
