"""DeadLetters: set failing items aside, with all that a person or a replay needs; stop when there are too many."""

import os
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, MutableSequence
from dataclasses import dataclass
from datetime import datetime
from inspect import isawaitable
from typing import Any, ClassVar, Self, TypeAlias

from rxchain.engine import Colour, Operator, a_kind_of, colour, shorten, takes
from rxchain.errors import CompositionError, DeadLetterLost, TooManyDeadLetters
from rxchain.policies._dead_file import DeadLetterFile
from rxchain.policies._dead_letter import DeadLetter
from rxchain.policies._dead_limits import FailureLimits
from rxchain.types import Failure

Destination: TypeAlias = (
    MutableSequence[DeadLetter]
    | Callable[[DeadLetter], object]
    | Callable[[DeadLetter], Awaitable[object]]
    | DeadLetterFile
    | str
    | os.PathLike[str]
    | Operator[Any, Any]
)
"""Where letters go: a list, a function of a letter, a file, or a chain that is run over each."""

LAST = 5
"""Letters that `TooManyDeadLetters` shows."""


@dataclass(frozen=True, slots=True)
class DeadLettersStatistics:
    """What a `DeadLetters` has done, in all runs."""

    kept: int
    """Letters that their destination has."""
    stopped: int
    """Runs that were stopped by a limit."""


class _Tally:
    kept = stopped = 0


class DeadLetters:
    """An ``on_error`` that makes a `DeadLetter` of each failure; the other items go on.

    >>> from rxchain import Chain
    >>> from rxchain.policies import DeadLetter, DeadLetters
    >>> letters: list[DeadLetter] = []
    >>> chain = Chain(lambda text: 1 / int(text), name="shares")
    >>> list(chain.iterate(["2", "x", "4"], on_error=DeadLetters(letters)))
    [0.5, 0.25]
    >>> print(letters[0].error, letters[0].item)
    ValueError x

    When a limit is reached, it is no longer the items that are at fault: the letter is kept, and the run ends with
    `TooManyDeadLetters`. Each run counts from the start.

    Args:
        to: a list, a function of a letter (sync or async), a file's path (`DeadLetterFile`), or a chain that is run
            over each letter. The next failure is told when it is done.
        share: the part of the last *window* items that may fail, from 0 up to but not 1: 0.1 of 100 stops at the 11th.
        window: how many items *share* is of. At the start the items that are still to come count as good.
        streak: how many items in a row may not all fail: 3 stops at the third.
        key: a function of the item, for what the letter's ``key`` is to be; None where that fails.
        source: what the items' source is called in letters.
        now: the time that a letter bears; the clock's without it.

    Raises:
        CompositionError: *to* is no destination, or a limit makes no sense.
        TooManyDeadLetters: when called, by the limits.
        DeadLetterLost: when called, if *to* fails: it names both errors, and has the letter.
    """

    places: ClassVar[bool] = True
    """Asks for the number of each item in its source."""

    # The class is what tells whether its instances are called or awaited: see `colour`.
    def __new__(cls, to: Destination, **_: Any) -> Self:
        return super().__new__(_AwaitedDeadLetters if cls is DeadLetters and _waits(to) else cls)  # type: ignore[return-value]

    def __init__(
        self,
        to: Destination,
        *,
        share: float | None = None,
        window: int = 100,
        streak: int | None = None,
        key: Callable[[Any], object] | None = None,
        source: str | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.to: Destination = DeadLetterFile(to) if isinstance(to, (str, os.PathLike)) else to
        self._limits = FailureLimits(share, window, streak)
        self._key, self._source, self._now = key, source, now
        self._send = _sender(self.to)
        self._last: deque[DeadLetter] = deque(maxlen=LAST)
        self._tally = _Tally()
        self._told = False
        """Whether somebody was told that limits cannot count."""

    def __repr__(self) -> str:
        limits = self._limits
        shown = [shorten(self.to, 60)]
        shown += [f"share={limits.share}", f"window={limits.window}"] if limits.share is not None else []
        shown += [f"streak={limits.streak}"] if limits.streak is not None else []
        return f"DeadLetters({', '.join(shown)})"

    def fresh(self) -> Self:
        """The same for another run: its limits count from the start; statistics are of both."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._limits = self._limits.afresh()
        made._last = deque(maxlen=LAST)
        return made

    def statistics(self) -> DeadLettersStatistics:
        """What has become of letters so far."""
        return DeadLettersStatistics(self._tally.kept, self._tally.stopped)

    def __call__(self, failure: Failure) -> Any:
        """Keep *failure* as a letter."""
        letter = self._letter(failure)
        try:
            answer = self._send(letter)
            if isawaitable(answer):
                raise _never_awaited(answer)
        except Exception as error:
            raise _lost(self.to, letter, failure, error) from _both(failure, error)
        self._kept(letter, failure)

    def _letter(self, failure: Failure) -> DeadLetter:
        key = None
        if self._key is not None:
            try:
                key = self._key(failure.item)
            except Exception:  # an item that failed may well be one that has no key
                key = None
        now = None if self._now is None else self._now()
        return DeadLetter.of(failure, time=now, source=self._source, key=key)

    def _kept(self, letter: DeadLetter, failure: Failure) -> None:
        """Count it; stop the run if a limit is reached."""
        self._tally.kept += 1
        limits = self._limits
        if not limits.any:
            return
        self._last.append(letter)
        if letter.position is None:
            # None entered what a step still held at the end; other items have lost their number behind a step that
            # takes the stream as a whole, or because the engine did not see whom it tells.
            if failure.item is not None and not self._told:
                self._told = True
                warnings.warn(f"{self!r} cannot count: it is not told which items fail", RuntimeWarning, stacklevel=2)
            return
        broken = limits.failed(letter.position)
        if broken is not None:
            self._tally.stopped += 1
            raise TooManyDeadLetters(broken, letter.chain, tuple(self._last), _where(self.to)) from failure.error


class _AwaitedDeadLetters(DeadLetters):
    """The same where the destination is asynchronous."""

    async def __call__(self, failure: Failure) -> None:
        letter = self._letter(failure)
        try:
            await self._send(letter)
        except Exception as error:
            raise _lost(self.to, letter, failure, error) from _both(failure, error)
        self._kept(letter, failure)


_AwaitedDeadLetters.__name__ = _AwaitedDeadLetters.__qualname__ = "DeadLetters"


# --- destinations


def _waits(to: object) -> bool:
    """Whether letters are sent to *to* by an async function."""
    if isinstance(to, Operator):
        return bool(_as_chain(to).is_async)
    return callable(to) and colour(to) is Colour.ASYNC


def _as_chain(to: Operator[Any, Any]) -> Any:
    return to if hasattr(to, "steps") else Operator.composed(to)


def _sender(to: Any) -> Callable[[DeadLetter], Any]:
    if isinstance(to, Operator):
        chain = _as_chain(to)
        if chain.is_async:
            return lambda letter: chain.collect([letter])

        def run(letter: DeadLetter) -> None:
            for _ in chain.iterate([letter]):
                pass

        return run
    if isinstance(to, (DeadLetterFile, MutableSequence)):
        if isinstance(to, DeadLetterFile):
            _check_folder(to)
        return to.append
    if callable(to) and not isinstance(to, type) and takes(to, 1):
        return to  # type: ignore[no-any-return]
    shown = shorten(to, 30)
    raise CompositionError(
        f"dead letters go to a list, a function of a letter, a file or a chain, got {a_kind_of(to)}: {shown}\n"
        f"    DeadLetters({shown})  # incorrect\n"
        "    DeadLetters('orders.dead.jsonl')  # correct; or DeadLetters(letters), with letters = []"
    )


def _check_folder(file: DeadLetterFile) -> None:
    folder = os.path.dirname(os.path.realpath(file.path))
    if not file.path or not os.path.isdir(folder) or os.path.isdir(file.path):
        why = "that is a folder" if file.path and os.path.isdir(file.path) else f"there is no folder {folder}"
        raise CompositionError(
            f"dead letters cannot go to {file.path!r}: {why if file.path else 'a file needs a name'}\n"
            f"    DeadLetters({file.path!r})  # incorrect\n"
            "    DeadLetters('orders.dead.jsonl')  # correct, in a folder that is there"
        )


def _where(to: object) -> str | None:
    return to.path if isinstance(to, DeadLetterFile) else None


# --- failures of the destination itself


def _lost(to: object, letter: DeadLetter, failure: Failure, error: Exception) -> DeadLetterLost:
    return DeadLetterLost(shorten(to, 60), letter, failure.error, error)


def _both(failure: Failure, error: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("the item's failure, and its letter's", [failure.error, error])


def _never_awaited(answer: Any) -> TypeError:
    if hasattr(answer, "close"):
        answer.close()
    return TypeError(
        "it returned something to be awaited, and is no async function\n"
        "    DeadLetters(lambda letter: send(letter))  # incorrect\n"
        "    DeadLetters(send)  # correct"
    )
