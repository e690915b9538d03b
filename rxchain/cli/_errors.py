"""What the command line says when it cannot start: one readable line; the traceback only on ``--debug``."""

import difflib
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from traceback import extract_tb

import click

USAGE = 2
"""The exit status of a command that could not start."""


class Refusal(click.ClickException):
    """Raised when a command cannot start: what was found, and what to do instead. Nothing has run yet."""

    exit_code = USAGE

    def show(self, file: object = None) -> None:
        """Print it as one line, or as the lines it has."""
        print(f"rxchain: {self.format_message()}", file=sys.stderr)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the known names close to *name*; empty if none is."""
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def one_line(text: object, limit: int = 300) -> str:
    """*text* without its line breaks, and not endless."""
    joined = " ".join(str(text).split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def describe(error: BaseException) -> str:
    """An exception's type and message on one line."""
    message = one_line(error.msg if isinstance(error, SyntaxError) else error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def place_of(error: BaseException) -> str:
    """``file:line`` where *error* came from: the innermost line that is the user's own, not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}"
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    for frame in reversed(own or frames):
        return f"{_short(frame.filename)}:{frame.lineno}"
    return "?"


_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple({_PACKAGE, str(Path(_PACKAGE).parent / "operators"), *(
    sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)})  # fmt: skip


def _short(filename: str) -> str:
    try:
        return str(Path(filename).relative_to(Path.cwd()))
    except ValueError:
        return filename
