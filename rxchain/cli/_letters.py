"""What failed in a run, kept in a file: ``rxchain run --dead-letters FILE``."""

import dataclasses
import os
from collections.abc import Sequence

from rxchain import CompositionError, Failure
from rxchain.cli._errors import Refusal
from rxchain.cli._reading import InputError
from rxchain.policies import DeadLetter, DeadLetterFile, DeadLetters, Opaque


class Letters:
    """Writes a letter for each failure of a run of the chain called *chain*; *others* are the run's other files."""

    def __init__(self, path: str, chain: str, others: Sequence[str]) -> None:
        for other in others:
            if other != "-" and os.path.realpath(other) == os.path.realpath(path):
                raise Refusal(f"--dead-letters and the items or results are the same file, {path}: name another one")
        self._chain = chain
        self._file = DeadLetterFile(path)
        try:
            DeadLetters(self._file)
        except CompositionError as error:
            raise Refusal(str(error).splitlines()[0]) from None

    def of_item(self, failure: Failure, place: str | None) -> None:
        """A node failed for an item."""
        letter = DeadLetter.of(failure)
        self._file.append(dataclasses.replace(letter, source=place or letter.source))

    def of_line(self, place: str, why: str, text: str) -> None:
        """A line of the input could not be read: it never was an item."""
        self._keep("(input)", place, InputError(why), Opaque(text))

    def of_result(self, where: str, error: Exception, result: object) -> None:
        """A result could not be written: of which item, nobody knows."""
        self._keep("(output)", where, error, Opaque(repr(result)))

    def _keep(self, node: str, source: str, error: Exception, item: Opaque) -> None:
        letter = DeadLetter.of(Failure(error, self._chain, node, item, item))
        self._file.append(dataclasses.replace(letter, source=source))
