"""Gates alone: visitors that are asked to go in and to come out, and what is said to them; no loop, no time."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, CompositionError
from rxchain import operators as ops
from rxchain.engine._gate import ANY_NUMBER, OUTSIDE, AnyGate, ByKey, Gate, Line, OneByOne, Several, opened_gates


class Item:
    """A visitor that goes on when the test says so: in the order in which it was woken, as tasks do."""

    def __init__(self, name: str, street: "Street", key: Hashable = None) -> None:
        self.name, self.street, self.key = name, street, key
        self.held: Hashable = None
        self.gate: AnyGate | None = None
        self.at, self.number = OUTSIDE, -1
        self.then: AnyGate | None = None
        self.moved: Callable[[], None] | None = None
        self.done = False
        self.waiter: asyncio.Future[Any] | None = None
        self.waits = self.woken = self.first = False

    def __repr__(self) -> str:
        return self.name

    def wait(self) -> None:
        assert not self.waits
        self.waits = True

    def wake(self) -> None:
        assert self.waits, "woken, and did not wait"
        self.waits = False
        self.street.woken.append(self)

    def enters(self, at: int) -> bool:
        """Whether it is inside at once."""
        return not self.street.gates[at].keeps_waiting(self)

    def comes_out(self) -> bool:
        gate = self.gate if self.gate is not None else self.street.gates[self.at + 1]
        assert isinstance(gate, (Several, Line))
        return not gate.holds_back(self)

    def leaves(self) -> None:
        gate, self.gate = self.gate, None
        assert gate is not None
        self.at = gate.at
        gate.leave(self)


class Street:
    """Gates in a row; the entrance writes down what it is told."""

    def __init__(self, *declared: Gate, window: int = 100) -> None:
        self.gates = opened_gates([*declared, Gate()], window, self)
        self.woken: list[Item] = []
        self.told: list[str] = []
        self.came = 0

    def entered(self, visitor: Any, room: bool) -> None:
        visitor.number = self.came
        self.came += 1
        self.told.append(f"{visitor} entered{', there is room' * room}")

    def left(self) -> None:
        self.told.append("one left")

    def items(self, names: str, keys: str = "") -> list[Item]:
        return [Item(name, self, key) for name, key in zip(names, keys or names, strict=True)]

    def goes_on(self) -> str:
        """Let all go on that have been woken, and those whom that wakes; their names in that order."""
        names = ""
        while self.woken:
            item = self.woken.pop(0)
            names += item.name
            if item.moved is not None:
                item.moved()
                item.moved = None
        return names


def test_which_gate_is_made_of_what_is_declared() -> None:
    many, free = Gate(8), Gate(8, ordered=False)
    kinds = [type(gate) for gate in Street(Gate(), many, free, Gate(2, by=len), many, window=8).gates]
    assert kinds == [OneByOne, Line, Several, ByKey, Several, OneByOne]
    assert [gate.most for gate in Street(many, many, window=8).gates if isinstance(gate, Line)] == [ANY_NUMBER] * 2
    assert [gate.most for gate in Street(many, many, window=9).gates if isinstance(gate, Line)] == [8, 8]


def test_one_by_one_hands_over_to_whoever_waits_longest() -> None:
    street = Street(Gate())
    a, b, c = street.items("abc")
    assert [item.enters(0) for item in (a, b, c)] == [True, False, False]
    assert a.enters(1)
    assert street.goes_on() == "b"
    b.leaves()
    assert street.goes_on() == "c"
    c.leaves()
    assert street.gates[0].admits(0)
    assert not street.gates[0].admits(1)
    assert street.told == ["a entered", "b entered", "c entered"], "who leaves is soon back itself"


def test_who_stands_at_a_gate_already_does_not_queue_again() -> None:
    for gate in (Gate(), Gate(2), Gate(2, ordered=False)):
        (a,) = Street(gate).items("a")
        assert a.enters(0)
        assert a.enters(0)


def test_several_come_out_in_the_order_in_which_they_went_in() -> None:
    street = Street(Gate(3))
    a, b, c, d = street.items("abcd")
    assert [item.enters(0) for item in (a, b, c, d)] == [True, True, True, False]
    assert not c.comes_out()
    assert street.goes_on() == "d", "there is room inside though nobody has come out"
    assert not b.comes_out()
    assert a.comes_out()
    assert street.goes_on() == "bc"
    assert d.comes_out()


def test_who_is_done_while_others_come_out_is_behind_them() -> None:
    street = Street(Gate(3))
    a, b, c = street.items("abc")
    for item in (a, b, c):
        item.enters(0)
    assert not b.comes_out()
    assert a.comes_out()
    assert not c.comes_out(), "b has been woken and has not gone on yet"
    assert c.waits
    assert street.goes_on() == "bc"


def test_who_comes_while_others_go_in_is_behind_them() -> None:
    street = Street(Gate(2))
    a, b, c, d, e = street.items("abcde")
    for item in (a, b, c):
        item.enters(0)
    a.comes_out()
    b.comes_out()
    assert not d.enters(0), "c has been woken and has not gone on yet"
    assert d.waits
    assert not e.enters(0)
    assert street.goes_on() == "cd"
    assert e.waits


def test_an_item_that_is_gone_keeps_nobody_waiting() -> None:
    street = Street(Gate(3))
    a, b, c = street.items("abc")
    for item in (a, b, c):
        item.enters(0)
    assert not c.comes_out()
    a.leaves()
    assert street.goes_on() == ""
    b.leaves()
    assert street.goes_on() == "c"


def test_a_line_lets_everybody_in_and_out_in_their_order() -> None:
    street = Street(Gate(100))
    line = street.gates[0]
    assert isinstance(line, Line)
    items = a, b, _, d = street.items("abcd")
    assert all(item.enters(0) for item in items)
    assert line.admits(99)
    assert [d.comes_out(), b.comes_out()] == [False, False]
    line.skip(2)  # c will not come
    assert a.comes_out()
    assert street.goes_on() == "bd"
    assert street.told == [f"{item} entered, there is room" for item in items]


def test_who_comes_out_of_a_line_while_others_do_is_behind_them() -> None:
    street = Street(Gate(100))
    a, b, c = street.items("abc")
    for item in (a, b, c):
        item.enters(0)
    assert not b.comes_out()
    assert a.comes_out()
    assert not c.comes_out()
    assert c.waits
    assert street.goes_on() == "bc"


def test_one_of_each_key_is_inside() -> None:
    street = Street(Gate(3, ordered=False, by=str))
    a, b, c, d, e = street.items("abcde", keys="xxyzv")
    assert [item.enters(0) for item in (a, b, c, d, e)] == [True, False, True, True, False]
    a.leaves()
    assert street.goes_on() == "e", "b waits behind e, which was there before its key was free"
    c.leaves()
    assert street.goes_on() == "b"
    for item in (b, d, e):
        item.leaves()
    gate = street.gates[0]
    assert isinstance(gate, ByKey)
    assert gate._of_key == {}, "no key is remembered for ever"


def test_a_key_may_differ_from_gate_to_gate() -> None:
    street = Street(Gate(3, ordered=False, by=str), Gate(3, ordered=False, by=str))
    a, b = street.items("ab", keys="xy")
    assert a.enters(0)
    assert b.enters(0)
    a.key = b.key = "one"
    assert a.enters(1)
    assert not b.enters(1)
    a.leaves()
    assert street.goes_on() == "b"
    b.leaves()
    assert all(gate._of_key == {} for gate in street.gates[:2] if isinstance(gate, ByKey))


@given(
    st.sampled_from([Gate(), Gate(2), Gate(3), Gate(4, ordered=False), Gate(3, by=str), Gate(2, False, by=str)]),
    st.lists(st.integers(0, 7), max_size=80),
    st.integers(1, 4),
)
def test_whatever_the_order_of_events_nobody_is_forgotten(gate: Gate, events: list[int], keys: int) -> None:
    """Items go in and come out as the events say: the bound holds, and in the end all have passed."""
    street = Street(gate)
    items = [Item(str(n), street, n % keys) for n in range(8)]
    inside: list[Item] = []
    out: list[Item] = []

    def comes(item: Item, where: list[Item]) -> None:
        where.append(item)
        assert len(inside) <= gate.concurrency
        if gate.by is not None:
            assert len({item.key for item in inside}) == len(inside)

    def goes_on() -> None:
        while street.woken:
            item = street.woken.pop(0)
            if item.moved is not None:
                item.moved()
                item.moved = None
            comes(item, inside if item.gate is not None else out)

    def event(n: int) -> None:
        item = items[n]
        if item in inside:
            inside.remove(item)
            if gate.holds_back:
                if item.comes_out():
                    out.append(item)
            else:
                item.leaves()
                out.append(item)
        goes_on()

    for item in items:
        if item.enters(0):
            comes(item, inside)
        if events:
            event(events.pop())
    for n in events:
        event(n)
    for _ in items:
        for n in range(8):
            event(n)
    assert sorted(item.name for item in out) == [item.name for item in items]
    if gate.ordered:
        assert out == items


# --- what is declared


def test_a_gate_says_what_was_declared() -> None:
    assert str(Gate(3)) == "concurrency=3"
    assert str(Gate(3, ordered=False)) == "concurrency=3, ordered=False"
    assert str(Gate(3, ordered=False, by=hash)) == "concurrency=3, by=hash"
    assert str(Gate(3, ordered=True, by=hash)) == "concurrency=3, ordered=True, by=hash"


async def work(item: int) -> int:
    return item


async def key_later(item: int) -> int:
    return item


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"concurrency": 0}, "1 or more, got 0"),
        ({"concurrency": True}, "1 or more, got True"),
        ({"concurrency": 2.0}, "1 or more, got 2.0"),
        ({"concurrency": 2, "ordered": 1}, "ordered is True or False, got 1"),
        ({"concurrency": 2, "by": "customer"}, "got 'customer'"),
        ({"concurrency": 2, "by": key_later}, "a plain function of an item"),
        ({"concurrency": 2, "by": lambda: 0}, "a plain function of an item"),
        ({"by": abs}, "concurrency is 1"),
    ],
)
def test_what_makes_no_sense_is_said_where_it_is_declared(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(CompositionError, match=says):
        ops.map(work, **declared)


def test_a_function_that_never_waits_is_not_worked_on_side_by_side() -> None:
    with pytest.raises(CompositionError, match="no async function"):
        ops.map(abs, concurrency=2)


def test_what_there_would_be_anyway_is_not_declared() -> None:
    assert Chain(ops.map(work, concurrency=1)) == Chain(ops.map(work))


def test_lines_in_a_row_say_whose_turn_it_is_where_there_is_nothing_else_to_do() -> None:
    street = Street(Gate(100), Gate(100), Gate(8), Gate(8), window=50)
    line, other, bounded, at_the_end = street.gates[:4]
    assert isinstance(line, Line)
    assert isinstance(other, Line)
    assert isinstance(bounded, Line)
    assert isinstance(at_the_end, Line)
    a, b, c = street.items("abc")
    for item in (a, b, c):
        item.enters(0)
    assert (line.turn, at_the_end.turn) == (0, 0)
    assert (other.turn, bounded.turn) == (-1, -1), "behind both somebody may have to wait"
    assert not b.comes_out()
    assert line.turn == -1, "b has to be let go of"
    assert a.comes_out()
    assert line.turn == -1, "b is on its way"
    assert street.goes_on() == "b"
    assert line.turn == 2
