"""The formats a stream is read and written in, and how a file's name tells them."""

from dataclasses import dataclass
from pathlib import PurePath

from rxchain.cli._errors import Refusal, did_you_mean

_EXTENSIONS = {".txt": "text", ".log": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_KINDS = ("text", "jsonl", "csv")
NAMES = [f"{kind}{packed}" for kind in _KINDS for packed in ("", ".gz")]


@dataclass(frozen=True)
class Format:
    """How items lie in a file: one a line as ``text`` or ``jsonl``, one a row as ``csv``."""

    kind: str
    gzip: bool = False


def format_called(name: str, option: str) -> Format:
    """The format that an option names."""
    kind, packed, rest = name.partition(".gz")
    if kind not in _KINDS or rest:
        raise Refusal(f"{option} {name}: no such format{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}")
    return Format(kind, bool(packed))


def format_of(path: str, option: str) -> Format:
    """The format that a file's name tells; a name without an extension, as /dev/stdin has, is text."""
    name = PurePath(path)
    packed = name.suffix == ".gz"
    extension = PurePath(name.stem).suffix if packed else name.suffix
    if not extension and not packed:
        return Format("text")
    if extension not in _EXTENSIONS:
        known = ", ".join(_EXTENSIONS)
        raise Refusal(
            f"the name of {path} does not tell its format (known: {known}, each also with .gz):"
            f" say it, {option} {'text.gz' if packed else 'text'} or another of {', '.join(_KINDS)}"
        )
    return Format(_EXTENSIONS[extension], packed)
