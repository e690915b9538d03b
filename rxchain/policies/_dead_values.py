"""Values as JSON that come back as they were; what JSON cannot hold stays as its repr, and says so.

msgspec and cattrs must be told the type that is to come back, and whoever reads a dead letter has but the file. pickle
runs whatever its file says. Here a file can name a class; it is used if the program has imported it itself, and it is a
dataclass, an enum or a named tuple; none of its code is run.
"""

import base64
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from rxchain.engine import shorten

DEEPEST = 100
"""Levels of containers; what lies below is kept as its repr."""
LONGEST_REPR = 2_000
_TAG, _HELD = "$", "v"
"""A dict with the key ``$`` is no dict: it says what it is, and in ``v`` what it holds."""


@dataclass(frozen=True, slots=True, repr=False)
class Opaque:
    """What stands in a letter for a value that did not survive JSON, or whose class is not there to make it again.

    It shows as that value's repr.
    """

    text: str
    stored: str | None = None
    """The JSON it was read from, to be written again as it was; None where there is nothing but the repr."""

    def __repr__(self) -> str:
        return self.text


def survived(value: object) -> bool:
    """Whether nothing of *value*, as it was read from a letter, is `Opaque`."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Opaque):
            return False
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += value
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            waiting += [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return True


# --- writing


class Encoder:
    """Makes JSON of values; remembers whether all of them will come back."""

    def __init__(self) -> None:
        self.lossless = True
        self._inside: set[int] = set()
        """The containers being written: one that holds itself would never end."""

    def encode(self, value: Any) -> Any:
        """*value* as `json.dumps` takes it; never raises."""
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        try:
            if kind in _PLAIN:
                return _PLAIN[kind](value)
            if kind is not Opaque and id(value) not in self._inside and len(self._inside) < DEEPEST:
                self._inside.add(id(value))
                try:
                    return self._container(kind, value)
                finally:
                    self._inside.discard(id(value))
        except Exception:  # whatever a user's class does when it is looked at: its repr is what can be had
            pass
        return self._opaque(value)

    def _container(self, kind: type, value: Any) -> Any:
        if kind is list:
            return [self.encode(held) for held in value]
        if kind is dict:
            if _TAG not in value and all(type(key) is str and _encodable(key) for key in value):
                return {key: self.encode(held) for key, held in value.items()}
            return _tagged("dict", [[self.encode(key), self.encode(held)] for key, held in value.items()])
        if kind in (tuple, set, frozenset):
            return _tagged(kind.__name__, [self.encode(held) for held in value])
        name = _name_of_class(kind)
        if name is not None and issubclass(kind, Enum):
            member = value.name
            if kind.__members__.get(member) is value:
                return _tagged("enum", member, name)
        elif name is not None and dataclasses.is_dataclass(kind):
            if kind.__new__ is object.__new__:
                return _tagged(
                    "dataclass", {f.name: self.encode(getattr(value, f.name)) for f in dataclasses.fields(kind)}, name
                )
        elif name is not None and _is_named_tuple(kind):
            return _tagged("namedtuple", [self.encode(held) for held in value], name)
        return self._opaque(value)

    def _opaque(self, value: object) -> Any:
        self.lossless = False
        if isinstance(value, Opaque):
            return json.loads(value.stored) if value.stored is not None else _tagged("repr", value.text)
        text = shorten(value, LONGEST_REPR)
        return _tagged("repr", text if _encodable(text) else ascii(text))


def _tagged(tag: str, held: object, of: str | None = None) -> dict[str, object]:
    return {_TAG: tag, _HELD: held} if of is None else {_TAG: tag, "of": of, _HELD: held}


def _encodable(text: str) -> bool:
    """Whether UTF-8 has all of it: half a surrogate pair, as in the name of an undecodable file, it has not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_str(value: str) -> object:
    return value if _encodable(value) else _tagged("str", _base64(value.encode("utf-8", "surrogatepass")))


def _of_int(value: int) -> object:
    return value if value.bit_length() < 10_000 else _tagged("int", hex(value))  # decimals so long Python refuses


def _of_float(value: float) -> object:
    return value if math.isfinite(value) else _tagged("float", repr(value))


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _of_time(value: datetime | time) -> object:
    tag = "datetime" if isinstance(value, datetime) else "time"
    zone = getattr(value.tzinfo, "key", None)  # a ZoneInfo's
    if not isinstance(zone, str):
        if not (value.tzinfo is None or type(value.tzinfo) is timezone):
            raise TypeError("a zone that cannot be named")
        zone = None
    held: list[object] = [value.replace(tzinfo=None).isoformat() if zone else value.isoformat(), zone, value.fold]
    return _tagged(tag, held if zone or value.fold else held[0])


_PLAIN: dict[type, Callable[[Any], object]] = {
    str: _of_str,
    int: _of_int,
    float: _of_float,
    bytes: lambda value: _tagged("bytes", _base64(value)),
    bytearray: lambda value: _tagged("bytearray", _base64(value)),
    datetime: _of_time,
    time: _of_time,
    date: lambda value: _tagged("date", value.isoformat()),
    timedelta: lambda value: _tagged("timedelta", [value.days, value.seconds, value.microseconds]),
    Decimal: lambda value: _tagged("Decimal", str(value)),
    Fraction: lambda value: _tagged("Fraction", str(value)),
    UUID: lambda value: _tagged("UUID", str(value)),
    type(Path()): lambda value: _tagged("Path", _of_str(str(value))),
}


# --- reading


def decode(stored: Any) -> Any:
    """What `Encoder.encode` was given; `Opaque` in the place of what cannot be made again."""
    if isinstance(stored, list):
        return [decode(held) for held in stored]
    if not isinstance(stored, dict):
        return stored
    if _TAG not in stored:
        return {key: decode(held) for key, held in stored.items()}
    tag, held = stored[_TAG], stored.get(_HELD)
    if tag == "repr" and isinstance(held, str):
        return Opaque(held)
    try:
        return _READ[tag](held) if tag in _READ else _of_class(tag, stored.get("of"), held)
    except Exception:  # a class that is not imported or has changed, a zone that is not there, a file edited by hand
        named = f"{stored['of']} " if isinstance(stored.get("of"), str) else ""
        return Opaque(f"<{named}{shorten(held, LONGEST_REPR)}>", json.dumps(stored, ensure_ascii=False))


def _of_class(tag: object, name: Any, held: Any) -> Any:
    for kind in _classes_named(name):
        if tag == "enum" and issubclass(kind, Enum):
            return kind.__members__[held]
        if tag == "namedtuple" and _is_named_tuple(kind) and len(held) == len(kind._fields):  # type: ignore[attr-defined]
            return tuple.__new__(kind, map(decode, held))
        if tag == "dataclass" and dataclasses.is_dataclass(kind):
            return _of_dataclass(kind, held)
    raise LookupError(name)


def _of_dataclass(kind: type, held: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if held.keys() - fields.keys():
        raise LookupError("it has lost a field")
    # Without its __init__: what the instance was, not what its arguments would now make of it.
    made: Any = object.__new__(kind)
    for name, field in fields.items():
        if name in held:
            value = decode(held[name])
        elif field.default is not dataclasses.MISSING:
            value = field.default
        else:
            raise LookupError("it has a new field")
        object.__setattr__(made, name, value)
    return made


def _time_from(kind: Any, held: Any) -> Any:
    if isinstance(held, str):
        return kind.fromisoformat(held)
    text, zone, fold = held
    value = kind.fromisoformat(text)
    if zone is not None:
        from zoneinfo import ZoneInfo

        value = value.replace(tzinfo=ZoneInfo(zone))
    return value.replace(fold=fold)


def _bytes_from(held: str) -> bytes:
    return base64.b64decode(held, validate=True)


_READ: dict[object, Callable[[Any], Any]] = {
    "str": lambda held: _bytes_from(held).decode("utf-8", "surrogatepass"),
    "int": lambda held: int(held, 16),
    "float": float,
    "bytes": _bytes_from,
    "bytearray": lambda held: bytearray(_bytes_from(held)),
    "datetime": lambda held: _time_from(datetime, held),
    "time": lambda held: _time_from(time, held),
    "date": date.fromisoformat,
    "timedelta": lambda held: timedelta(*held),
    "Decimal": Decimal,
    "Fraction": Fraction,
    "UUID": UUID,
    "Path": lambda held: Path(decode(held)),
    "dict": lambda held: {decode(key): decode(value) for key, value in held},
    "tuple": lambda held: tuple(map(decode, held)),
    "set": lambda held: set(map(decode, held)),
    "frozenset": lambda held: frozenset(map(decode, held)),
}


# --- classes, by name


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make")


def _name_of_class(kind: type) -> str | None:
    """``module:Class``, if it is found again under that name."""
    module = _name_of_main() if kind.__module__ == "__main__" else kind.__module__
    name = f"{module}:{kind.__qualname__}"
    return name if any(found is kind for found in _classes_named(name)) else None


def _classes_named(name: str) -> Iterator[type]:
    """The class of that name in what is imported already; nothing is imported, no code of anybody's is run."""
    module, _, path = name.partition(":")
    places = [module, *(["__main__"] if module == _name_of_main() else [])]
    for place in places:
        found: Any = sys.modules.get(place)
        for part in path.split("."):
            found = getattr(found, "__dict__", {}).get(part)
        if isinstance(found, type):
            yield found


def _name_of_main() -> str:
    """What ``__main__`` is called where it is imported: ``rxchain dead replay`` names the module, not the program."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    return spec.name if spec is not None else PurePath(file).stem if file else "__main__"
