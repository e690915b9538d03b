"""Programs: compiled once for each shape of chain, bound to a chain's own functions, kept as long as they are used."""

import itertools
import linecache
import textwrap
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from types import CodeType, FunctionType
from typing import Any

from rxchain.engine._failure import Label, note, raisable, value_at
from rxchain.engine._fold import folded
from rxchain.engine._operator import Atom
from rxchain.engine._weave import NOWHERE, SOURCE, Mode, Woven, weave
from rxchain.errors import ManyResults, NoResult

Report = Callable[[Exception, int, object, object], Any]
"""What is told of a failed item: the error, the step's number, the source's item, the value that entered the step."""

CACHE_SIZE = 512
"""Shapes of chains whose programs are kept."""

_numbers = itertools.count(1)


class Program:
    """One compiled part of a chain: *operators* from *first* on, in one `Mode`."""

    def __init__(self, woven: Woven, first: int, count: int, mode: Mode) -> None:
        self.text, self.reasons, self.mode = woven.text, woven.reasons, mode
        self.first, self.count = first, count
        self._places = woven.places
        self._constants = list(woven.names.constants.values())
        self._arguments = list(woven.names.arguments.values())
        self._made = list(woven.names.made.values())
        self._stops = "stopped_at" in woven.given
        self._filename = f"<rxchain program {next(_numbers)}>"
        scope: dict[str, Any] = {} if woven.names.home is None else woven.names.home
        module = compile(woven.tree, self._filename, "exec")
        code = next(c for c in module.co_consts if isinstance(c, CodeType))
        self._make = FunctionType(code, scope)
        if "__builtins__" not in scope:
            scope["__builtins__"] = __builtins__
        linecache.cache[self._filename] = (len(self.text), None, self.text.splitlines(keepends=True), self._filename)
        weakref.finalize(self, linecache.cache.pop, self._filename, None)

    def body_text(self) -> str:
        """The program as a reader wants it: without the function around it that takes its values."""
        return textwrap.dedent("\n".join(self.text.strip().splitlines()[2:-1]))

    def bind(self, operators: list[Atom], label: Label, report: Report | None) -> Callable[..., Any]:
        """Fill in a chain's own functions and values."""
        mine = operators[self.first : self.first + self.count] if self.count != len(operators) else operators
        given: list[Any] = [lambda error: self._failed(error, label)]
        if self.mode.on_error != "stop":
            given.append(lambda error, item: self._skipped(error, item, label, report))
        if self.mode.sink == "one":
            given += [lambda: many_results(label), lambda: no_result(label)]
        if self._stops:
            given.append(self._stopped_at)
        arguments = [mine[k].values[i] for k, i in self._arguments]
        run: Callable[..., Any] = self._make(*given, *self._constants, *arguments, *[get(mine) for get in self._made])
        return run

    def _place(self, error: BaseException) -> tuple[int, str]:
        traceback = error.__traceback__
        return self._places.get(traceback.tb_lineno, (NOWHERE, "")) if traceback is not None else (NOWHERE, "")

    def _stopped_at(self, stop: BaseException) -> int:
        return self._place(stop)[0]

    def _failed(self, error: Exception, label: Label) -> None:
        step, variable = self._place(error)
        if step == SOURCE and self.mode.first:
            note(error, label, SOURCE, None)
        elif step >= 0:
            value, known = value_at(error, variable)
            found = raisable(error)
            note(found, label, self.first + step, value, known)
            if found is not error:
                raise found

    def _skipped(self, error: Exception, item: object, label: Label, report: Report | None) -> object:
        assert report is not None
        step, variable = self._place(error)
        value, known = value_at(error, variable)
        error = raisable(error)
        note(error, label, self.first + step, value, known)
        return report(error, self.first + step, item, value)


def many_results(label: Label) -> ManyResults:
    """The error of an item with a second result."""
    name = f"chain {label.chain!r}" if label.chain else "the chain"
    return ManyResults(f"{name} gave a second result for the item, and one was asked for: use collect or stream")


def no_result(label: Label) -> NoResult:
    """The error of an item without one."""
    name = f"chain {label.chain!r}" if label.chain else "the chain"
    return NoResult(f"{name} gave no result for the item (it was dropped on its way): use collect to allow that")


@dataclass(frozen=True)
class Segment:
    """Operators *first* to *last* (exclusive) of a chain: steps, or one operator *over* the whole stream.

    In place of a program: what is not compiled.
    """

    first: int
    last: int
    over: bool


class Plan:
    """All that is compiled for one shape of chain."""

    def __init__(self, operators: list[Atom]) -> None:
        self.asynchronous_steps = tuple(k for k, op in enumerate(operators) if folded(op).asynchronous)
        self.asynchronous = bool(self.asynchronous_steps)
        # Around each operator over the whole stream a program, be it empty: it opens the source, it gives to the sink.
        self._segments: list[Segment] = []
        start = 0
        for k, op in enumerate(operators):
            if op.definition.syntax.over:
                self._segments += [Segment(start, k, False), Segment(k, k + 1, True)]
                start = k + 1
        self._segments.append(Segment(start, len(operators), False))
        self._programs: dict[Mode, list[Program | Segment]] = {}

    def programs(self, operators: list[Atom], mode: Mode) -> list[Program | Segment]:
        """The programs for *mode*, in the order of the chain; an operator over the whole stream stands for itself."""
        made = self._programs.get(mode)
        if made is None:
            made = self._programs[mode] = self._compile(operators, mode)
        return made

    def _compile(self, operators: list[Atom], mode: Mode) -> list[Program | Segment]:
        made: list[Program | Segment] = []
        for segment in self._segments:
            if segment.over:
                made.append(segment)
                continue
            programs = _compile_steps(operators, segment.first, segment.last, mode)
            if len(programs) > 1 and mode.on_error != "stop":
                # An item that fails in one program would go on in the one before: the interpreter sees it whole.
                before, behind = (Program(weave([], mode), k, 0, mode) for k in (segment.first, segment.last))
                made += [before, segment, behind]
            else:
                made += programs
        if len(made) > 1 and mode.source in ("for", "async for"):
            # Only the first takes from the source, only the last gives to the sink; between them it is a stream.
            whole = made
            made = []
            for i, part in enumerate(whole):
                if isinstance(part, Segment):
                    made.append(part)
                    continue
                fitted = replace(
                    mode,
                    source=_inner_source(mode) if i else mode.source,
                    sink=mode.sink if i == len(whole) - 1 else "yield",
                    first=i == 0,
                )
                made += _compile_steps(operators, part.first, part.first + part.count, fitted)
        return made


def _inner_source(mode: Mode) -> Any:
    return "async for" if mode.asynchronous else "for"


def _compile_steps(operators: list[Atom], first: int, last: int, mode: Mode) -> list[Program | Segment]:
    """One program; or more, where Python's compiler finds it nested too deeply."""
    try:
        return [Program(weave(operators[first:last], mode), first, last - first, mode)]
    except (SyntaxError, RecursionError, MemoryError):
        if last - first < 2:
            raise
    middle = (first + last) // 2
    return [*_compile_steps(operators, first, middle, mode), *_compile_steps(operators, middle, last, mode)]


_plans: "OrderedDict[Hashable, Plan]" = OrderedDict()


def plan_for(operators: list[Atom], shape: Hashable) -> Plan:
    """The plan that all chains of this shape share."""
    plan = _plans.get(shape)
    if plan is None:
        plan = _plans[shape] = Plan(operators)
        while len(_plans) > CACHE_SIZE:
            _plans.popitem(last=False)
    return plan


__all__ = ["Mode", "Plan", "Program", "Report", "Segment", "many_results", "no_result", "plan_for"]
