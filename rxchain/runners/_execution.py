"""How a chain runs: its programs, compiled when first needed, bound to its functions and kept."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Generator, Iterable
from typing import Any, cast

from rxchain.engine import (
    Atom,
    Colour,
    Label,
    Mode,
    Program,
    Segment,
    a_kind_of,
    call,
    colour,
    driven,
    interpret,
    iterate_on_loop_thread,
    many_results,
    no_result,
    noting,
    plan_for,
    run_on_loop_thread,
    shorten,
    takes,
)
from rxchain.errors import CompositionError
from rxchain.types import Failure

OnError = Callable[[Failure], object] | Callable[[Failure], Awaitable[object]]

_ONE = Mode("one", "one", True)
_ONE_SYNC = Mode("one", "one", False)
_EXPLAIN = Mode("for", "yield", True)
_EXPLAIN_SYNC = Mode("for", "yield", False)


class Execution:
    """Runs one chain, given as its operators in a row."""

    def __init__(self, operators: list[Atom], label: Label) -> None:
        self.operators, self.label = operators, label
        self.plan = plan_for(operators, tuple([op.shape for op in operators]))
        self._bound: dict[Mode, list[Callable[..., Any] | Segment]] = {}

    @property
    def asynchronous_nodes(self) -> list[str]:
        """The names of the nodes that need an event loop."""
        return [self.label.nodes[k] for k in self.plan.asynchronous_steps]

    def bind(self, mode: Mode, on_error: OnError | None = None) -> list[Callable[..., Any] | Segment]:
        """The programs for *mode*, ready to be called."""
        if on_error is None:
            bound = self._bound.get(mode)
            if bound is None:
                bound = self._bound[mode] = self._bind(mode, None)
            return bound
        return self._bind(mode, on_error)

    def _bind(self, mode: Mode, on_error: OnError | None) -> list[Callable[..., Any] | Segment]:
        report = self._report(on_error) if on_error is not None else None
        programs = self.plan.programs(self.operators, mode)
        return [p.bind(self.operators, self.label, report) if isinstance(p, Program) else p for p in programs]

    def _report(self, on_error: OnError) -> Callable[[Exception, int, object, object], object]:
        chain, nodes = self.label
        return lambda error, step, item, value: on_error(Failure(error, chain or "", nodes[step], item, value))

    def _telling(self, on_error: OnError | None) -> Callable[[Exception, int, object, object], Awaitable[None]] | None:
        """*on_error* as an operator over the whole stream is given it."""
        if on_error is None:
            return None

        async def tell(error: Exception, step: int, item: object, value: object) -> None:
            await call(on_error, Failure(error, self.label.chain or "", self.label.nodes[step], item, value))

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

    def _whole(self, mode: Mode) -> Callable[..., Any] | None:
        """The program for *mode* if it is but one."""
        programs = self._bind(mode, None)
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

    def stream(self, source: Any, on_error: OnError | None = None) -> AsyncGenerator[Any, None]:
        """Run over *source* on the event loop."""
        programs = self.bind(self._mode(source, "yield", True, on_error), on_error)
        return cast("AsyncGenerator[Any, None]", self._chained(programs, source, on_error))

    def iterate(self, source: Any, on_error: OnError | None = None) -> Generator[Any, None, None]:
        """Run over *source* from synchronous code."""
        mode = self._mode(source, "yield", False, on_error)
        if self.plan.asynchronous or mode.source == "async for" or mode.on_error == "await":
            return iterate_on_loop_thread(lambda: self.stream(source, on_error))
        return cast("Generator[Any, None, None]", self._chained(self.bind(mode, on_error), source, on_error))

    async def collect(self, source: Any, on_error: OnError | None = None) -> list[Any]:
        """Run over *source*; all results in a list."""
        mode = self._mode(source, "emit", True, on_error)
        programs = self.bind(mode, on_error)
        collected: list[Any] = []
        last = programs[-1]
        assert not isinstance(last, Segment)
        await last(self._chained(programs[:-1], source, on_error), collected.append)
        return collected

    def _chained(self, programs: list[Callable[..., Any] | Segment], source: Any, on_error: OnError | None) -> Any:
        for program in programs:
            if isinstance(program, Segment) and not program.over:
                ops, tell = self.operators[program.first : program.last], self._telling(on_error)
                outputs = interpret(ops, source, self.label, tell, first=program.first)
                source = outputs if isinstance(source, AsyncIterable) else driven(outputs)
            elif isinstance(program, Segment):
                op = self.operators[program.first]
                whole = op.definition.open(op.values).step(source)
                source = noting(whole, self.label, program.first, self._telling(on_error))
            else:
                source = program(source)
        return source

    def _mode(self, source: Any, sink: Any, asynchronous: bool, on_error: OnError | None) -> Mode:
        if on_error is not None and not (callable(on_error) and takes(on_error, 1)):
            raise CompositionError(
                f"on_error is a function that is given a Failure, got {a_kind_of(on_error)}: {shorten(on_error)}\n"
                f"    on_error={shorten(on_error, 30)}  # incorrect\n"
                "    on_error=lambda failure: ...  # correct"
            )
        how: Any = "stop" if on_error is None else "await" if colour(on_error) is Colour.ASYNC else "call"
        if isinstance(source, AsyncIterable):
            return Mode("async for", sink, True, how)
        if isinstance(source, Iterable) or (hasattr(source, "__getitem__") and not hasattr(source, "subscribe")):
            return Mode("for", sink, asynchronous, how)
        name = f"chain {self.label.chain!r}" if self.label.chain else "the chain"
        if hasattr(source, "subscribe") or hasattr(source, "subscribe_async"):
            raise CompositionError(
                f"{name}: an Observable is not iterated but piped\n"
                "    chain.stream(observable)  # incorrect\n"
                "    observable.pipe(chain)  # correct"
            )
        raise CompositionError(
            f"{name}: items come from an iterable or an async iterable, got {a_kind_of(source)}: {shorten(source)}\n"
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
        for program in self._explained():
            if isinstance(program, Segment):
                lines.append(f"# {self.label.nodes[program.first]} takes the stream as a whole")
                continue
            for k, reason in program.reasons.items():
                lines.append(f"# {self.label.nodes[program.first + k]} stays a call: {reason}")
            lines.append(program.body_text())
        return "\n".join(lines)

    def _explained(self) -> list[Program | Segment]:
        return self.plan.programs(self.operators, _EXPLAIN if self.plan.asynchronous else _EXPLAIN_SYNC)
