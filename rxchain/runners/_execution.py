"""How a chain runs: its programs, compiled when first needed, bound to its functions and kept."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from types import FrameType
from typing import Any, cast

from rxchain.engine import (
    Atom,
    Effects,
    Label,
    Mode,
    Program,
    Segment,
    SharedHop,
    a_kind_of,
    call,
    forget,
    iterate_on_loop_thread,
    many_results,
    no_result,
    noting,
    plan_for,
    run_on_loop_thread,
    shorten,
    taken_back,
    upstream,
)
from rxchain.engine._inlet import Inlet
from rxchain.errors import CompositionError
from rxchain.runners._on_error import STOP, Handler, OnError, Origin, handler_for, numbered, numbering
from rxchain.types import Failure, OverflowPolicy, Place

_ONE = Mode("one", "one", True)
_ONE_SYNC = Mode("one", "one", False)
_EXPLAINED = Mode("for", "yield", False)


DEFAULT_WINDOW = 16
"""How many items may be in flight or waiting at once at least, where nothing is declared."""


def _watching(explain: Callable[[FrameType], str | None]) -> AbstractContextManager[object]:
    from rxchain.schedulers import watching

    return watching(explain)


async def _closing(
    outputs: AsyncGenerator[Any, None], aclose: Callable[[], Awaitable[object]]
) -> AsyncGenerator[Any, None]:
    """*outputs*, and *aclose* when they have ended."""
    try:
        async for output in outputs:
            yield output
    finally:
        try:
            await outputs.aclose()
        finally:
            await aclose()


class Execution:
    """Runs one chain, given as its operators in a row."""

    def __init__(
        self,
        operators: list[Atom],
        label: Label,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None:
        self.operators, self.label = operators, label
        self.on_error = handler_for(on_error)
        """What is done about an item that fails, where a run says nothing of it."""
        self.overflow: OverflowPolicy = overflow
        """What is done when a source that cannot be asked to wait has filled the window."""
        at_once = sum(op.gate.concurrency for op in operators if op.gate is not None)
        self.window = max(DEFAULT_WINDOW, 2 * at_once) if window is None else window
        """How many items may be in flight or waiting at once."""
        self.plan = plan_for(operators, tuple([op.shape for op in operators]))
        self._bound: dict[Mode, list[Callable[..., Any] | Segment]] = {}

    @property
    def asynchronous_nodes(self) -> list[str]:
        """The names of the nodes that need an event loop."""
        return [self.label.nodes[k] for k in self.plan.asynchronous_steps]

    def bind(self, mode: Mode, handler: Handler = STOP) -> list[Callable[..., Any] | Segment]:
        """The programs for *mode*, ready to be called."""
        if handler.tell is None:
            bound = self._bound.get(mode)
            if bound is None:
                bound = self._bound[mode] = self._bind(mode)
            return bound
        return self._bind(mode, handler)

    def _bind(self, mode: Mode, handler: Handler = STOP) -> list[Callable[..., Any] | Segment]:
        report = self._report(handler) if handler.tell is not None else None
        programs = self.plan.programs(self.operators, mode)
        if handler.resumes and len(programs) > 1:
            raise CompositionError(
                f"{self._name}: what is to go on in the place of an item that failed would have to go through"
                f" {self._whole_stream()}, as if it were one of the items\n"
                "    Chain(..., on_error=Resume(...))  # incorrect\n"
                "    Chain(ops.catch(part, ...), ...)  # correct, around the part that may fail"
            )
        return [
            p.bind(self.operators, self.label, report, self.window, _watching) if isinstance(p, Program) else p
            for p in programs
        ]

    def _whole_stream(self) -> str:
        names = (name for name, op in zip(self.label.nodes, self.operators) if op.definition.syntax.over)
        return repr(next(names, None) or "the steps behind one that gives several results")

    @property
    def _name(self) -> str:
        return f"chain {self.label.chain!r}" if self.label.chain else "the chain"

    def _report(self, handler: Handler) -> Callable[[Exception, int, object, object], Any]:
        from rxchain.policies import attempt_count  # not when rxchain is imported: policies take as long as all of it

        label, tell = self.label, handler.tell
        assert tell is not None

        def report(error: Exception, step: int, item: object, value: object) -> object:
            name, value = label.whose(step, error, value)
            place = None
            if isinstance(item, Origin):
                place = Place(item.source, item.position)
                item = item.item
            undone, stands = taken_back(error)
            forget(error)
            attempts = attempt_count(error)
            return tell(Failure(error, label.chain or "", name, item, value, attempts, place, undone, stands))

        return report

    def _telling(self, handler: Handler) -> Callable[[Exception, int, object, object], Awaitable[None]] | None:
        """*handler* as an operator over the whole stream is given it."""
        if handler.tell is None:
            return None
        report = self._report(handler)

        async def tell(error: Exception, step: int, item: object, value: object) -> None:
            await call(report, error, step, item, value)

        return tell

    # --- one item

    def one(self) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """What runs one item to exactly one result."""
        return self._whole(_ONE) or self._run_parted

    def one_sync(self) -> Callable[[Any], Any]:
        """The same from synchronous code."""
        if not self.plan.asynchronous and (whole := self._whole(_ONE_SYNC)) is not None:
            return whole
        run = self.one()
        return lambda item: run_on_loop_thread(run(item))

    def each(self, *, scoped: bool = False) -> Callable[..., Any]:
        """What runs one item to all its results, in a list: for what stands around a part of a chain.

        It is async if a step is. What it did is undone if it fails; if *scoped*, it is given a `Scoped` item, and what
        it did may be undone later.
        """
        undoes = self.plan.undoes_from is not None
        program = self._whole(Mode("one", "emit", self.plan.asynchronous, scoped=undoes))
        if program is None and undoes:
            raise CompositionError(
                f"{self._name} is run for each item, and what is to be undone in it would have to stand in one program"
                f" with {self._whole_stream()}\n"
                "    ops.retry(Chain(ops.delay(1), charge), 3)  # incorrect\n"
                "    Chain(ops.delay(1), ops.retry(charge, 3))  # correct"
            )
        if program is not None and not self.plan.asynchronous:

            def run_now(item: Any) -> list[Any]:
                results: list[Any] = []
                program(item.item if scoped else item, results.append)
                return results

            return run_now

        async def run(item: Any) -> list[Any]:
            results: list[Any] = []
            effects: Any = None
            if scoped:
                item, effects, _ = item
            if program is None:
                results = await self.collect((item,), "stop")
            elif undoes:
                await program(item, effects or Effects(), results.append)
            else:
                await program(item, results.append)
            return results

        return run

    def _whole(self, mode: Mode) -> Callable[..., Any] | None:
        """The program for *mode* if it is but one."""
        programs = self._bind(mode)
        return None if len(programs) > 1 or isinstance(programs[0], Segment) else programs[0]

    async def _run_parted(self, item: Any) -> Any:
        """The same for a chain of more than one program."""
        found: list[Any] = []
        outputs = self.stream((item,))
        try:
            async for output in outputs:
                found.append(output)
                if len(found) > 1:
                    raise many_results(self.label)
        finally:
            await outputs.aclose()
        if not found:
            raise no_result(self.label)
        return found[0]

    # --- streams

    def handler(self, on_error: OnError | None) -> Handler:
        """What is done about an item that fails: what a run says of it, or else the chain."""
        return (self.on_error if on_error is None else handler_for(on_error)).afresh()

    @property
    def asynchronous(self) -> bool:
        """Whether a run needs an event loop."""
        return self.plan.asynchronous or self.on_error.suspends

    def stream(self, source: Any, on_error: OnError | None = None) -> AsyncGenerator[Any, None]:
        """Run over *source* on the event loop."""
        handler = self.handler(on_error)
        mode, source = self._mode(source, "yield", True, handler)
        programs = self.bind(mode, handler)
        outputs = cast("AsyncGenerator[Any, None]", self._chained(programs, source, handler))
        return outputs if handler.aclose is None else _closing(outputs, handler.aclose)

    def iterate(self, source: Any, on_error: OnError | None = None) -> Generator[Any, None, None]:
        """Run over *source* from synchronous code."""
        handler = self.handler(on_error)
        mode, numbered = self._mode(source, "yield", False, handler)
        if self.plan.asynchronous or mode.source == "async for" or handler.suspends:
            return iterate_on_loop_thread(lambda: self.stream(source, on_error))
        return cast("Generator[Any, None, None]", self._chained(self.bind(mode, handler), numbered, handler))

    async def collect(self, source: Any, on_error: OnError | None = None) -> list[Any]:
        """Run over *source*; all results in a list."""
        collected: list[Any] = []
        await self.emit(source, collected.append, on_error)
        return collected

    async def emit(self, source: Any, emit: Callable[[Any], object], on_error: OnError | None = None) -> None:
        """Run over *source*; *emit* is called with each result."""
        handler = self.handler(on_error)
        mode, source = self._mode(source, "emit", True, handler)
        programs = self.bind(mode, handler)
        last = programs[-1]
        assert not isinstance(last, Segment)
        before = self._chained(programs[:-1], source, handler)
        run = last(before if before is source else upstream(before, source), emit)
        if handler.aclose is None:
            await run
            return
        try:
            await run
        finally:
            await handler.aclose()

    def _chained(self, programs: list[Callable[..., Any] | Segment], source: Any, handler: Handler) -> Any:
        outputs = source
        for i, program in enumerate(programs):
            if i:
                source = upstream(outputs, source)
            if isinstance(program, Segment):
                op = self.operators[program.first]
                whole = op.definition.open(op.values).step(source)
                outputs = noting(whole, self.label, program.first, self._telling(handler))
            else:
                outputs = program(source)
        return outputs

    def _mode(self, source: Any, sink: Any, asynchronous: bool, handler: Handler) -> tuple[Mode, Any]:
        """The mode for a run over *source*, and what then is the source."""
        kind: Any = "async for" if isinstance(source, AsyncIterable) else "for"
        if kind == "for" and not (
            isinstance(source, Iterable) or (hasattr(source, "__getitem__") and not hasattr(source, "subscribe"))
        ):
            raise self._no_source(source)
        mode = Mode(kind, sink, asynchronous or kind == "async for", handler.how, resumes=handler.resumes)
        if self.plan.asynchronous and self.window > 1 and asynchronous:
            mode = replace(mode, crew=True)
        if isinstance(source, Inlet):
            return replace(mode, origin_in=source.numbered), source
        if handler.places and not self._begins_whole:
            return replace(mode, origin_in=True), numbered(source)
        return mode, source

    @property
    def _begins_whole(self) -> bool:
        """Whether its first operator takes the stream as a whole: there no item is known by its number."""
        return bool(self.operators) and self.operators[0].definition.syntax.over

    def numbering(self) -> Callable[[Any], Any] | None:
        """What items that are pushed into one run are made into, if somebody may want to know their places."""
        asked = self.on_error.places or self.on_error.fresh is not None
        return numbering() if asked and not self._begins_whole else None

    def _no_source(self, source: Any) -> CompositionError:
        if hasattr(source, "subscribe") or hasattr(source, "subscribe_async"):
            return CompositionError(
                f"{self._name}: an Observable is not iterated but piped\n"
                "    chain.stream(observable)  # incorrect\n"
                "    observable.pipe(chain)  # correct"
            )
        return CompositionError(
            f"{self._name}: items come from an iterable or an async iterable, got {a_kind_of(source)}:"
            f" {shorten(source)}\n"
            f"    chain.stream({shorten(source, 30)})  # incorrect\n"
            f"    chain.stream([{shorten(source, 30)}])  # correct; or chain.run(item) for one item"
        )

    def program_text(self) -> str:
        """The program for a stream of items."""
        return "\n".join(p.body_text() for p in self._explained() if isinstance(p, Program))

    def explanation(self) -> str:
        """The program, with what is to be said of each step."""
        lines = [f"# {self.label.chain or 'chain'}: {' | '.join(self.label.nodes) or 'no steps'}"]
        if self.plan.asynchronous:
            lines.append(f"# asynchronous: {', '.join(self.asynchronous_nodes)}")
            lines.append(f"# {self._flight()}")
            lines += [
                f"# {name} {op.gate.explained}"
                for op, name in zip(self.operators, self.label.nodes)
                if op.gate is not None
            ]
        hops = [hop for hop in self.label.shared.values() if isinstance(hop, SharedHop) and hop.hops]
        lines += [f"# {' and '.join(hop.names)} share one hop" for hop in hops]
        for program in self._explained():
            if isinstance(program, Segment):
                remark = getattr(self.operators[program.first].definition.factory, "remark", "")
                lines.append(f"# {self.label.nodes[program.first]} takes the stream as a whole{remark}")
                continue
            for k, reason in program.reasons.items():
                lines.append(f"# {self.label.nodes[program.first + k]} stays a call: {reason}")
            lines.append(program.body_text())
        return "\n".join(lines)

    def _flight(self) -> str:
        if self.window == 1:
            return "window 1: one item after the other"
        return (
            f"window {self.window}: so many items at most are in flight, each node works on them in order, one by one"
        )

    def _explained(self) -> list[Program | Segment]:
        asynchronous = self.plan.asynchronous
        mode = replace(_EXPLAINED, asynchronous=asynchronous, crew=asynchronous and self.window > 1)
        return self.plan.programs(self.operators, mode)
