"""Programs: compiled once for each shape of chain, bound to a chain's own functions, kept as long as they are used."""

import asyncio
import itertools
import linecache
import textwrap
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple, cast

from rxchain.engine._crew import Crew, Layout
from rxchain.engine._effects import Effects, take_back
from rxchain.engine._failure import Fallen, InnerChains, Label, note, raisable, value_at
from rxchain.engine._fold import folded
from rxchain.engine._gate import ONE
from rxchain.engine._operator import Atom, shorten
from rxchain.engine._weave import NOWHERE, SOURCE, Mode, Woven, gives_one, weave
from rxchain.engine._weave_crew import CrewWeaver, SplitBehind
from rxchain.errors import CompositionError, ManyResults, NoResult

Report = Callable[[Exception, int, object, object], Any]
"""What is told of a failed item: the error, the step's number, the source's item, the value that entered the step."""

CACHE_SIZE = 512
"""Shapes of chains whose programs are kept."""

FILENAME = "<rxchain program "
"""How the file's name begins that a program's frames have."""
_numbers = itertools.count(1)

_COMPILING = threading.RLock()
"""One thread at a time makes syntax trees: CPython counts its recursion there for all of them together (gh-106905)."""


class Noting:
    """What a program calls with an error, to say on it where it came from; it also tells whose program a frame is."""

    __slots__ = ("label", "program")

    def __init__(self, program: "Program", label: Label) -> None:
        self.program, self.label = program, label

    def __call__(self, error: Exception) -> None:
        self.program.note(error, self.label)


class AtWork(NamedTuple):
    """The node that somebody is called by."""

    chain: str
    """Empty where it has no name."""
    node: str
    origin: Any
    """Where the item stands in its source, if items are counted."""


def at_work(frame: FrameType | None) -> AtWork | None:
    """The node that has called what runs in *frame*, going by its program's own frame; None where that is not seen.

    For who has something to tell and time for it. In a task of its own nobody sees who made the task.
    """
    label: Label | None = None
    node, origin = "", None
    while frame is not None and origin is None:
        noting = frame.f_locals.get("failed") if frame.f_code.co_filename.startswith(FILENAME) else None
        if type(noting) is Noting:
            step = noting.program.step_at(frame)
            outer = noting.label
            inside = outer.shared.get(step)
            if step < 0 or (label is not None and not (isinstance(inside, InnerChains) and inside.runs(label))):
                break  # another chain, whose node has run this one
            node = outer.nodes[step] if label is None else f"{outer.nodes[step]}/{node}"
            label, origin = outer, frame.f_locals.get("origin")
        frame = frame.f_back
    return None if label is None else AtWork(label.chain or "", node, origin)


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
        self._gates, self._keys = woven.gates, woven.keys
        self._filename = f"{FILENAME}{next(_numbers)}>"
        scope: dict[str, Any] = {} if woven.names.home is None else woven.names.home
        module = compile(woven.tree, self._filename, "exec")
        code = next(c for c in module.co_consts if isinstance(c, CodeType))
        self._make = FunctionType(code, scope)
        if "__builtins__" not in scope:
            scope["__builtins__"] = __builtins__
        self.work_code = _inner(_inner(code, "run"), "work") if woven.gates else code
        self._twin: Program | None = None
        linecache.cache[self._filename] = (len(self.text), None, self.text.splitlines(keepends=True), self._filename)
        weakref.finalize(self, linecache.cache.pop, self._filename, None)

    def body_text(self) -> str:
        """The program as a reader wants it: without the function around it that takes its values."""
        return textwrap.dedent("\n".join(self.text.strip().splitlines()[2:-1]))

    def bind(
        self, operators: list[Atom], label: Label, report: Report | None, window: int = 1, watching: Any = nullcontext
    ) -> Callable[..., Any]:
        """Fill in a chain's own functions and values."""
        mine = operators[self.first : self.first + self.count] if self.count != len(operators) else operators
        given: list[Any] = [Noting(self, label)]
        if self.mode.on_error != "stop":
            given.append(lambda error, item: self._skipped(error, item, label, report))
        if self.mode.sink == "one":
            given += [lambda: many_results(label), lambda: no_result(label)]
        if self._stops:
            given.append(self._stopped_at)
        arguments = [mine[k].values[i] for k, i in self._arguments]
        made = [get(mine) for get in self._made]
        run: Callable[..., Any] = self._make(*given, *self._constants, *arguments, *made)
        if not self._gates:
            return run
        lanes = [i for i, (k, _) in enumerate(self._arguments) if _has_lane(mine[k], arguments[i])]
        if not lanes:
            return self._with_crew(lambda: run, mine, label, window, watching)
        stops = self.mode.on_error == "stop"

        def with_lanes() -> Callable[..., Any]:
            ours = list(arguments)
            for i in lanes:
                gate = mine[self._arguments[i][0]].gate
                ours[i] = ours[i].lane(gate.concurrency if gate is not None else 1, stops=stops)
            return cast("Callable[..., Any]", self._make(*given, *self._constants, *ours, *made))

        return self._with_crew(with_lanes, mine, label, window, watching)

    def _with_crew(
        self, bound: Callable[[], Callable[..., Any]], operators: list[Atom], label: Label, window: int, watching: Any
    ) -> Callable[..., Any]:
        """What begins a run; *bound* gives the program, filled in."""

        def node_at(frame: FrameType) -> str | None:
            step, _ = self._place_of(frame, frame.f_lineno)
            return label.node(self.first + step, label.nodes[self.first + step]) if step >= 0 else None

        declared = [(operators[k].gate if k < len(operators) else None) or ONE for k in self._gates]
        layout = Layout(
            gates=tuple(declared),
            several=max(self._gates) < self.count,
            straight=min(self._gates) == 0,
            keys=self._keys,
            gate_at=self._gate_at,
            whereabouts=lambda frame: self._whereabouts(frame, label),
            watching=watching,
            node_at=node_at,
            source_failed=lambda error: note(error, label, SOURCE, None) if self.mode.first else None,
            not_taken=_take_back_result if any(folded(op).undoes for op in operators) else None,
        )
        name = label.chain or "chain"

        def begin(source: Any, *emit: Any) -> Any:
            crew = Crew(source, layout, window, name)
            work = bound()(crew, *emit)
            return crew.start(work, work if emit else lambda worker: self._beside(operators, work)(worker))

        return begin

    def _beside(self, operators: list[Atom], work: FunctionType) -> FunctionType:
        """What the other workers run where the first is a generator: the same as a coroutine, on the same variables."""
        twin = self._twin
        if twin is None:
            with _COMPILING:
                mode = replace(self.mode, sink="results")
                twin = self._twin = Program(CrewWeaver(operators, mode).program(), self.first, self.count, mode)
        code = twin.work_code
        variables = dict(zip(work.__code__.co_freevars, work.__closure__ or ()))
        return FunctionType(code, work.__globals__, code.co_name, None, tuple(variables[n] for n in code.co_freevars))

    def _gate_at(self, line: int) -> int | None:
        step, _ = self._places.get(line, (NOWHERE, ""))
        return max((i for k, i in self._gates.items() if k <= step), default=None) if step >= 0 else None

    def _whereabouts(self, frame: FrameType, label: Label) -> str | None:
        step, variable = self._place_of(frame, frame.f_lineno)
        if variable not in frame.f_locals:
            return None
        shown = shorten(frame.f_locals[variable], 60)
        return f"{shown} in {label.nodes[self.first + step]!r}" if step >= 0 else f"{shown} waiting for its turn"

    def _place(self, error: BaseException) -> tuple[int, str]:
        traceback = error.__traceback__
        return (NOWHERE, "") if traceback is None else self._place_of(traceback.tb_frame, traceback.tb_lineno)

    def _place_of(self, frame: FrameType, line: int) -> tuple[int, str]:
        twin = self._twin
        mine = self if twin is None or frame.f_code.co_filename == self._filename else twin
        return mine._places.get(line, (NOWHERE, ""))

    def _stopped_at(self, stop: BaseException) -> int:
        return self._place(stop)[0]

    def step_at(self, frame: FrameType) -> int:
        """The chain's step that is at work in a frame of this program; less than 0 where it is none."""
        step = self._place_of(frame, frame.f_lineno)[0]
        return self.first + step if step >= 0 else step

    def note(self, error: Exception, label: Label) -> None:
        """Say on *error*, which this program has caught, where it came from."""
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
        if self.mode.hands_on:
            report = Fallen
        if type(error) is Fallen:
            return report(error.error, error.step, item, error.value)
        step, variable = self._place(error)
        if step == NOWHERE:
            raise error  # it was the handler that raised it, further in
        value, known = value_at(error, variable)
        error = raisable(error)
        note(error, label, self.first + step, value, known)
        return report(error, self.first + step, item, value)


async def _take_back_result(handed_over: tuple[Effects | None, object]) -> None:
    effects, _ = handed_over
    if effects is not None:
        await take_back(effects, asyncio.CancelledError())


def _has_lane(op: Atom, value: object) -> bool:
    return op.gate is not None and op.gate.elsewhere and hasattr(value, "lane")


def _inner(code: CodeType, name: str) -> CodeType:
    return next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name)


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
        self.undoes_from = _first_to_undo(operators)
        self.asynchronous_steps = tuple(k for k, op in enumerate(operators) if op.gate or folded(op).asynchronous)
        self.asynchronous = bool(self.asynchronous_steps)
        self.gives_one = all(_one_of_one(op) for op in operators)
        """Whether no more than one result follows from an item, and none from anything else."""
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
            with _COMPILING:
                made = self._programs[mode] = self._compile(operators, mode)
        return made

    def _compile(self, operators: list[Atom], mode: Mode) -> list[Program | Segment]:
        made: list[Program | Segment] = []
        for segment in self._segments:
            if segment.over:
                made.append(segment)
                continue
            fitted = mode
            if mode.source in ("for", "async for"):
                # Only the first takes from the source, only the last gives to the sink; between them it is a stream.
                inner: Any = "async for" if mode.asynchronous else "for"
                fitted = replace(
                    mode,
                    source=mode.source if segment.first == 0 else inner,
                    sink=mode.sink if segment.last == len(operators) else "yield",
                    first=segment.first == 0,
                    origin_in=mode.origin_in and segment.first == 0,
                )
            made += _compile_steps(operators, segment.first, segment.last, fitted)
        return made


def _one_of_one(op: Atom) -> bool:
    parts = folded(op).parts
    return not op.definition.syntax.over and parts.keys() == {"step"} and gives_one(parts["step"])


def _first_to_undo(operators: list[Atom]) -> int | None:
    """The first step that does what may have to be undone. Behind it an item stays one item, up to the end.

    Raises:
        CompositionError: it does not.
    """
    first = next((k for k, op in enumerate(operators) if folded(op).undoes), None)
    if first is None:
        return None
    does, reason = operators[first].name, folded(operators[first]).reason
    if reason is not None:
        raise CompositionError(f"{does!r} calls effects() where the compiler cannot follow it: {reason}")
    if first == len(operators) - 1:
        return first
    for k, op in enumerate(operators[first:]):
        if not _one_of_one(op):
            gives = "gives" if not k else f"behind it {op.name!r} makes"
            raise CompositionError(
                f"{does!r} declares an undo, and {gives} something else of the items than one result of one item: when"
                " that fails, nobody knows whose effects to undo\n"
                f"    Chain({does}, {op.name if k else 'ship'}, ...)  # incorrect\n"
                f"    Chain(ops.saga({does}), {op.name if k else 'ship'}, ...)  # correct: what it did stands when the"
                " saga is through"
            )
    return first


def _compile_steps(operators: list[Atom], first: int, last: int, mode: Mode) -> list[Program | Segment]:
    """One program; or more, where one is not enough: see `SplitBehind`, and what Python nests no deeper."""
    try:
        return [Program(_woven(operators[first:last], mode), first, last - first, mode)]
    except SplitBehind as split:
        middle = first + split.step + 1
    except (SyntaxError, RecursionError, MemoryError):
        if last - first < 2:
            raise
        middle = (first + last) // 2
        undoes = next((k for k in range(first, last) if folded(operators[k]).undoes), middle)
        if undoes == first:
            raise CompositionError(
                f"{operators[first].name!r} declares an undo, and behind it stand more steps than Python takes for one"
                " program: in two, nobody would know whose effects to undo\n"
                "    Chain(charge, *hundred_filters)  # incorrect\n"
                "    Chain(ops.saga(charge), *hundred_filters)  # correct: what it did stands when the saga is through"
            ) from None
        middle = min(undoes, middle)  # what may have to be undone stays in one program, with all that is behind it
    if mode.source == "push":
        return [*_compile_steps(operators, first, middle, mode), *_compile_steps(operators, middle, last, mode)]
    inner: Any = "async for" if mode.asynchronous else "for"
    follows = mode.on_error != "stop"
    before = replace(mode, sink="yield", origin_out=follows)
    behind = replace(mode, source=inner, first=False, origin_in=follows)
    if follows and mode.crew:  # those before it may be on their way still
        before = replace(before, on_error="call", resumes=True, hands_on=True)
        behind = replace(behind, handed_on=True)
    return [*_compile_steps(operators, first, middle, before), *_compile_steps(operators, middle, last, behind)]


def _woven(operators: list[Atom], mode: Mode) -> Woven:
    if mode.crew and any(op.gate or folded(op).asynchronous for op in operators):
        return CrewWeaver(operators, mode).program()
    return weave(operators, replace(mode, crew=False))


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
