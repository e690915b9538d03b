"""A letter says all that was known of a failure, and comes back from its line of JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Failure
from rxchain.policies import DeadLetter, Opaque
from rxchain.policies._dead_letter import LONGEST_TRACEBACK
from tests.policies.test_dead_values import alike, values

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
names = st.text(st.characters(), max_size=8)


def failed(error: Exception, item: Any = "item", value: Any = "value", **more: Any) -> Failure:
    try:
        raise error
    except Exception as raised:
        return Failure(raised, "orders", "parse", item, value, **more)


letters = st.builds(
    DeadLetter,
    id=st.text("0123456789abcdef", min_size=16, max_size=16),
    time=st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)),
    chain=names, node=names, error=names, message=names, traceback=names,
    item=values, value=values,
    source=st.none() | names, position=st.none() | st.integers(0), key=st.none() | names | st.tuples(st.integers()),
    attempts=st.integers(1), undone=st.lists(names).map(tuple), stands=st.lists(names).map(tuple),
)  # fmt: skip


@given(letters)
def test_a_letter_comes_back_from_one_line(letter: DeadLetter) -> None:
    line = letter.to_json()
    assert "\n" not in line
    assert alike(DeadLetter.from_json(line), letter)
    assert alike(DeadLetter.from_json(line.encode()), letter)
    assert json.loads(line)["replayable"] is True
    assert "\n" not in str(letter)


@given(st.text() | st.binary() | letters.map(lambda letter: letter.to_json()[:-2]))
def test_what_is_no_letter_is_a_value_error(line: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        DeadLetter.from_json(line)


@pytest.mark.parametrize(
    "broken",
    [{"id": None}, {"position": "x"}, {"time": 3}, {"attempts": []}, {"undone": 3}, {"item": ...}, {"dead_letter": 2}],
    ids=str,
)
def test_a_letter_edited_by_hand_is_one_or_a_value_error(broken: dict[str, Any]) -> None:
    read = json.loads(DeadLetter.of(failed(ValueError("x"))).to_json())
    for name, value in broken.items():
        read[name] = value
        if value is None or value is ...:
            del read[name]
    with pytest.raises(ValueError, match=r"dead letter|isoformat|int"):
        DeadLetter.from_json(json.dumps(read))


def test_what_a_failure_says_is_in_its_letter() -> None:
    failure = failed(ValueError("no\nnumber"), item={"n": "x"}, value="x")
    letter = DeadLetter.of(failure, time=NOON, source="orders.txt", key="anna")
    assert (letter.chain, letter.node, letter.item, letter.value) == ("orders", "parse", {"n": "x"}, "x")
    assert (letter.error, letter.message, letter.time) == ("ValueError", "no\nnumber", NOON)
    assert (letter.source, letter.position, letter.key, letter.attempts) == ("orders.txt", None, "anna", 1)
    assert letter.traceback.startswith("Traceback (most recent call last):\n")
    assert letter.traceback.endswith("ValueError: no\nnumber\n")
    assert str(letter) == "orders.txt, key 'anna': node 'parse': ValueError: no number"
    assert DeadLetter.of(failure).id != letter.id


def test_the_causes_and_notes_of_an_error_are_in_its_traceback() -> None:
    error = RuntimeError("outer")
    error.__cause__ = KeyError("inner")
    error.add_note("in node 'parse'")
    text = DeadLetter.of(failed(error)).traceback
    assert "KeyError: 'inner'" in text
    assert "in node 'parse'" in text
    assert DeadLetter.of(failed(ExceptionGroup("two", [ValueError("a"), OSError("b")]))).traceback.count("+---") > 2


def test_an_error_of_a_library_is_called_by_its_module_too() -> None:
    assert DeadLetter.of(failed(json.JSONDecodeError("no", "x", 0))).error == "json.decoder.JSONDecodeError"


def test_an_error_that_fails_when_it_is_looked_at_leaves_a_letter() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    letter = DeadLetter.of(failed(Broken()))
    assert letter.message == "<its text raised RuntimeError>"
    assert "Broken" in letter.traceback


def test_a_traceback_without_an_end_is_cut_in_the_middle() -> None:
    text = DeadLetter.of(failed(ValueError("x" * 3 * LONGEST_TRACEBACK))).traceback
    assert len(text) < LONGEST_TRACEBACK + 100
    assert "characters left out ...]" in text
    assert text.startswith("Traceback")


def test_a_letter_knows_from_where_it_can_be_replayed() -> None:
    lost = object()
    letter = DeadLetter.of(failed(ValueError(), item="line", value=lost))
    assert letter.replayable  # alive, it is all there
    back = DeadLetter.from_json(letter.to_json())
    assert (back.replayable, back.restartable) == (False, True)
    assert back.value == Opaque(repr(lost))
    assert json.loads(letter.to_json())["replayable"] is False
    assert DeadLetter.from_json(back.to_json()) == back


def test_an_item_that_is_what_entered_the_node_is_written_once() -> None:
    item = {"much": "x" * 100}
    letter = DeadLetter.of(failed(ValueError(), item, item))
    assert letter.to_json().count("xxx" * 33) == 1
    back = DeadLetter.from_json(letter.to_json())
    assert back.value is back.item


def test_times_are_utc_whoever_wrote_them() -> None:
    letter = DeadLetter.of(failed(ValueError()), time=NOON.astimezone(timezone(timedelta(hours=2))))
    assert DeadLetter.from_json(letter.to_json()).time.tzinfo is UTC
    assert DeadLetter.of(failed(ValueError())).time.tzinfo is UTC


def test_letters_are_hashable_whatever_they_hold() -> None:
    letter = DeadLetter.of(failed(ValueError(), item=[{}]))
    assert len({letter, DeadLetter.from_json(letter.to_json())}) == 1
