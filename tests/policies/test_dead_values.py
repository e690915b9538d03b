"""What JSON holds comes back as it was, type and all; what it cannot hold says so."""

import dataclasses
import json
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain.policies._dead_values import DEEPEST, Encoder, Opaque, decode, survived


class Colour(Enum):
    RED = 1
    BLUE = "b"


class Level(IntEnum):
    LOW = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: object = None


@dataclass(frozen=True)
class Order:
    number: int
    lines: tuple[object, ...] = ()
    total: Decimal = Decimal(0)


@dataclass(slots=True)
class Checked:
    amount: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        self.doubled = 2 * self.amount


def through_json(value: object) -> tuple[Any, bool]:
    """*value* written and read; and whether the writer said that all of it will come back."""
    encoder = Encoder()
    text = json.dumps(encoder.encode(value), ensure_ascii=False, allow_nan=False)
    text.encode()
    assert "\n" not in text
    return decode(json.loads(text)), encoder.lossless


def alike(a: Any, b: Any) -> bool:
    """Equal, of the same type, all the way down; NaN is itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(alike, a, b)) and all(map(alike, a.values(), b.values()))
    if dataclasses.is_dataclass(a):
        return all(alike(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, (float, Decimal)):
        return str(a) == str(b)
    return bool(a == b)


zones = st.none() | st.timezones() | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.binary()
    | st.binary().map(bytearray)
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids()
    | st.sampled_from([Colour.RED, Colour.BLUE, Level.LOW, Rights.READ, Path("a/b")])
)
hashable = st.recursive(
    scalars.filter(lambda v: not isinstance(v, bytearray) and "nan" not in str(v).lower()),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
values = st.recursive(
    scalars | hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashable, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("$") | hashable, inner, max_size=4)
        | st.builds(Point, st.integers(), inner)
        | st.builds(Order, st.integers(), st.lists(inner, max_size=3).map(tuple), st.decimals())
    ),
    max_leaves=12,
)


@given(values)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    back, lossless = through_json(value)
    assert lossless
    assert survived(back)
    assert alike(back, value)


@given(values)
def test_what_is_said_to_be_lost_is_only_what_is_lost(value: object) -> None:
    class Local: ...

    lost = Local()
    back, lossless = through_json({"kept": value, "lost": [lost]})
    assert not lossless
    assert not survived(back)
    assert alike(back["kept"], value)
    assert back["lost"] == [Opaque(repr(lost))]
    again, lossless = through_json(back)
    assert not lossless
    assert alike(again, back)


json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.sampled_from(["$", "v", "of"]), inner, max_size=4)
        | st.fixed_dictionaries(
            {
                "$": st.sampled_from(
                    ["dict", "tuple", "set", "bytes", "datetime", "time", "int", "Path", "enum", "dataclass", "repr"]
                ),
                "v": inner,
            },
            optional={"of": inner | st.sampled_from(["os:path", "builtins:dict", ":", f"{__name__}:Order"])},
        )
    ),
    max_leaves=10,
)


@given(json_texts)
def test_whatever_stands_in_a_file_is_read_without_an_error(stored: object) -> None:
    survived(decode(stored))


def test_an_instance_is_made_again_without_its_init() -> None:
    checked = Checked(3)
    checked.doubled = 7
    back, lossless = through_json(checked)
    assert lossless
    assert (type(back), back.amount, back.doubled) == (Checked, 3, 7)


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 0, ValueError("x"), OrderedDict(a=1), Level, Rights.READ | Rights.WRITE, iter([]), 1j],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_there_as_its_repr(value: object) -> None:
    back, lossless = through_json(value)
    assert (back, lossless) == (Opaque(repr(value)), False)
    assert repr(back) == repr(value)


def test_a_class_that_would_not_be_found_again_is_not_named() -> None:
    @dataclass
    class Here:
        x: int

    assert through_json(Here(1)) == (Opaque(repr(Here(1))), False)
    nowhere = namedtuple("nowhere", "a")
    assert through_json(nowhere(1)) == (Opaque("nowhere(a=1)"), False)


def test_a_value_whose_repr_fails_still_leaves_a_word() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    back, _ = through_json(Broken())
    assert back == Opaque("<Broken whose repr raised RuntimeError>")


def test_what_holds_itself_or_is_too_deep_ends() -> None:
    knot: list[Any] = [1]
    knot += [knot, knot]
    assert through_json(knot) == ([1, Opaque("[1, [...], [...]]"), Opaque("[1, [...], [...]]")], False)
    deep: Any = 0
    for _ in range(10 * DEEPEST):
        deep = [deep]
    back, lossless = through_json(deep)
    assert not lossless
    assert not survived(back)
    assert survived(knot)  # alive, it has all it ever had
    twice = [1]
    assert through_json([twice, twice]) == ([[1], [1]], True)


def test_a_class_that_is_not_imported_is_not_imported_and_nothing_is_lost() -> None:
    stored = {"$": "dataclass", "of": "this:Order", "v": {"number": 1}}
    back = decode(stored)
    assert "this" not in sys.modules  # its import prints a poem
    assert not survived(back)
    assert "this:Order" in repr(back)
    assert Encoder().encode(back) == stored


@pytest.mark.parametrize(
    "of", ["os:system", "builtins:eval", "subprocess:Popen", "builtins:list", f"{__name__}:Order.x"]
)
def test_a_file_makes_nothing_but_dataclasses_enums_and_named_tuples(of: str) -> None:
    for tag in ("dataclass", "enum", "namedtuple"):
        assert not survived(decode({"$": tag, "of": of, "v": {"args": ["true"]}}))


def test_a_class_that_has_changed_since_is_told_apart() -> None:
    name = f"{__name__}:Order"
    assert decode({"$": "dataclass", "of": name, "v": {"number": 1}}) == Order(1)  # defaults for new fields
    assert not survived(decode({"$": "dataclass", "of": name, "v": {"lines": []}}))  # a new one without
    assert not survived(decode({"$": "dataclass", "of": name, "v": {"number": 1, "gone": 2}}))


def test_the_program_itself_is_named_as_whoever_imports_it_will(monkeypatch: pytest.MonkeyPatch) -> None:
    main = type(sys)("__main__")
    main.__file__ = "/somewhere/shop.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    order = dataclasses.make_dataclass("Sale", [("n", int)])
    order.__module__ = "__main__"
    main.Sale = order  # type: ignore[attr-defined]
    stored = Encoder().encode(order(1))
    assert stored["of"] == "shop:Sale"
    assert decode(stored) == order(1)
    main.__spec__ = type("Spec", (), {"name": "pkg.shop"})()  # python -m
    assert Encoder().encode(order(1))["of"] == "pkg.shop:Sale"
    imported = type(sys)("shop")
    imported.Sale = order  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", imported)
    assert decode(stored) == order(1)


def test_a_moment_that_comes_twice_stays_the_one_it_was() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        moment = datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold)
        back, _ = through_json(moment)
        assert (back.fold, back.tzinfo, back.utcoffset()) == (fold, berlin, moment.utcoffset())
    assert through_json(time(2, 30, tzinfo=berlin))[0].tzinfo is berlin
    assert not survived(decode({"$": "datetime", "v": ["2024-01-01T00:00:00", "No/Where", 0]}))


def test_a_number_too_long_for_decimals_comes_back() -> None:
    for number in (10**4200, -(10**5000), 1 << 9_999, 1 << 10_000):
        back, lossless = through_json(number)
        assert lossless
        assert (back == number) is True  # not `assert back == number`: pytest would want to show it


def test_plain_json_stays_plain() -> None:
    item = {"customer": "Änne", "lines": [1, 2.5, None, True]}
    assert Encoder().encode(item) == item
    assert Encoder().encode({"at": date(2024, 1, 1), "id": UUID(int=1), "part": Fraction(1, 3)}) == {
        "at": {"$": "date", "v": "2024-01-01"},
        "id": {"$": "UUID", "v": "00000000-0000-0000-0000-000000000001"},
        "part": {"$": "Fraction", "v": "1/3"},
    }
