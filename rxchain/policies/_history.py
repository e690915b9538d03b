"""What an error was preceded by: the attempts that had failed before it was raised."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from rxchain.engine import shorten

KEPT = 20
"""How many attempts are kept: errors hold frames, and those hold whatever the attempts were about."""


class Attempt(NamedTuple):
    """One attempt that failed; *later* is how many seconds after the first one did."""

    error: Exception
    later: float


def attempts_of(error: BaseException) -> tuple[BaseException, ...]:
    """Give the errors of all attempts that *error* ended, itself the last; of more than 20, the last 20.

    >>> from rxchain.policies import Retry, attempts_of
    >>> from rxchain.testing import run
    >>> async def fetch(page: str) -> str:
    ...     raise ConnectionError(f"no route to {page}")
    >>> try:
    ...     run(Retry(2).around(fetch, "fetch")("a.html"))
    ... except ConnectionError as error:
    ...     attempts_of(error)
    (ConnectionError('no route to a.html'), ConnectionError('no route to a.html'))

    An error that was not retried is alone.
    """
    _, earlier = getattr(error, "__rxchain_attempts__", (1, ()))
    return (*earlier, error)


def attempt_count(error: BaseException) -> int:
    """How many attempts there were, be they kept or not."""
    count: int = getattr(error, "__rxchain_attempts__", (1, ()))[0]
    return count


def remember(error: Exception, attempts: Sequence[Exception], count: int | None = None) -> None:
    """Keep with *error* the *attempts* it is the last of; *count* of them, where only some are given."""
    earlier = tuple(attempts[-KEPT:-1])  # without itself: no cycle, no work for the garbage collector
    with suppress(Exception):  # a frozen exception takes no attributes; it must arrive all the same
        error.__rxchain_attempts__ = (count or len(attempts), earlier)  # type: ignore[attr-defined]


def note_attempts(attempts: Sequence[Attempt], count: int, most: int | None, why: str = "") -> None:
    """Add to the last of *attempts* a note for each, and why there is no further one."""
    error = attempts[-1].error
    of = "" if most is None else f" of {most}"
    notes = [] if count == len(attempts) else [f"{count - len(attempts)} earlier attempts have failed, too"]
    for number, (failed, later) in enumerate(attempts, start=count - len(attempts) + 1):
        when = "" if number == 1 else f", {later:.3g} s later"
        what = shorten(failed, 200) if number < count else f"this error{why and '; '}{why}"
        notes.append(f"attempt {number}{of}{when}: {what}")
    for note in notes:
        if note not in getattr(error, "__notes__", ()):
            with suppress(Exception):
                error.add_note(note)
