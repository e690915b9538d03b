"""Chains into which items are pushed, as Observables do, where nothing suspends: programs that are sent each item."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, TypeAlias

from rxchain.engine import Mode, Segment
from rxchain.runners._execution import Execution
from rxchain.runners._on_error import Handler, numbering

_PUSH = Mode("push", "emit", False)

Push: TypeAlias = Callable[[Callable[[Any], object]], Generator[None, Any, None]]
"""Begins a run, given what is to be called with each result; `next` makes it ready for the first item."""


def pushed(execution: Execution, handler: Handler) -> list[Push | Segment]:
    """What a synchronous chain is pushed through: one program, or more for a chain too deep for that."""
    mode = replace(_PUSH, on_error=handler.how, resumes=handler.resumes)
    programs = execution.bind(mode, handler)
    if not handler.places or len(programs) > 1:
        return programs
    return [_numbering(program) for program in execution.bind(replace(mode, origin_in=True), handler)]


def _numbering(program: Push | Segment) -> Push | Segment:
    return program if isinstance(program, Segment) else lambda emit: _Numbering(program(emit))


class _Numbering(Generator[None, Any, None]):
    """A program that wants each item with its place, for those who send it items."""

    def __init__(self, program: Generator[None, Any, None]) -> None:
        self._program, self._number = program, numbering()

    def __next__(self) -> None:
        return next(self._program)

    def send(self, item: Any) -> None:
        return self._program.send(self._number(item))

    def throw(self, *error: Any) -> None:
        return self._program.throw(*error)

    def close(self) -> None:
        self._program.close()


__all__ = ["Push", "pushed"]
