"""The compiler for a stream that several workers share: the same loop, with gates between the nodes.

What the workers share, the state of the operators among it, stands around the loop; each worker runs the loop itself.
"""

import ast
from collections.abc import Iterable
from typing import Any, cast

from rxchain.engine._fold import folded
from rxchain.engine._gate import ONE, Gate
from rxchain.engine._operator import Atom
from rxchain.engine._weave import (
    BREATHING,
    NOWHERE,
    SOURCE,
    Mode,
    Statements,
    Weaver,
    Woven,
    gives_one,
    is_yield,
    mark,
    try_except,
)


class SplitBehind(Exception):
    """Behind a step that gives several results each of them is an item of its own: there another program begins."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class CrewWeaver(Weaver):
    """Writes ``run(crew)``, which returns what a worker runs."""

    def __init__(self, operators: list[Atom], mode: Mode) -> None:
        super().__init__(operators, mode)
        suspends = [op.gate is not None or folded(op).asynchronous for op in operators]
        many = [k for k, special in enumerate(self.specials) if not gives_one(special.parts.get("step"))]
        if many and any(suspends[many[0] + 1 :]):
            raise SplitBehind(many[0])
        last = many[0] if many else len(operators)
        behind = [k for k, it in enumerate(suspends[:last]) if it] + [last]
        self.gates = {k: i for i, k in enumerate(behind)}
        """Step -> the number of its gate; the last stands before the results, or before the step that gives several."""
        self.declared: list[Gate] = [(operators[k].gate if k < len(operators) else None) or ONE for k in behind]
        self.aside = False
        """Whether what is written is done by one alone, before or behind all items."""
        if mode.on_error == "stop":  # an undo may take its time, and none that follow shall be begun meanwhile
            self.before_undoing = "if many: crew.take_no_more()\n"

    def before(self, k: int, value: str) -> Statements:
        if self.aside or k not in self.gates or self._at_once(k - 1):
            return []
        at = self.gates[k]
        waits = f"gate{at}.keeps_waiting(worker)"
        if self.declared[at].by is None:
            comes = "many" if k else f"many and worker.gate is not gate{at}"
            return mark(ast.parse(f"if {comes} and {waits}: await worker.turn()").body, NOWHERE, value)
        by = self.names.capture(("by", k), f"by{k}", _by(k))
        enters = f"if many:\n worker.key = key{k}\n if {waits}: await worker.turn()"
        return mark(ast.parse(f"key{k} = {by}({value})\n{enters}").body, k, value)

    def behind(self, k: int) -> Statements:
        if self.aside or k not in self.gates or not self.declared[self.gates[k]].holds_back:
            return []
        at = self.gates[k]
        if not self._at_once(k):
            passes = f"if many and gate{at}.holds_back(worker): await worker.turn()"
        elif not self._looks_ahead(k):
            passes = f"if many and gate{at}.goes_on(worker, gate{at + 1}): await worker.turn()"
        else:
            free = f" and not gate{at + 1}.taken" if self._leads_out(k) else ""
            passes = (
                "if many:\n"
                f" if worker.number == gate{at}.turn{free}:\n"
                f"  gate{at}.turn = gate{at}.next = worker.number + 1\n"
                f"  gate{at}.inside -= 1\n"
                "  worker.gate = None\n"
                f"  worker.at = {at}\n"
                f" elif gate{at}.goes_on(worker, gate{at + 1}): await worker.turn()"
            )
        return mark(ast.parse(passes).body, NOWHERE, self.origin)

    def _looks_ahead(self, k: int) -> bool:
        """Whether an item that comes out of the gate of step k in its turn need not ask at the next one.

        The last one is there for what suspends behind it: where nothing does, nobody can be inside but one that failed.
        """
        at_the_end = k + 1 == len(self.operators) and self.mode.sink in ("emit", "results")
        return at_the_end or not self._leads_out(k)

    def _leads_out(self, k: int) -> bool:
        """Whether the gate behind that of step k is the last."""
        return self.gates[k] + 2 == len(self.gates)

    def _at_once(self, k: int) -> bool:
        """Whether behind the gate of step k the next one is there at once: then one call passes both."""
        if k not in self.gates or not self.declared[self.gates[k]].holds_back or k + 1 not in self.gates:
            return False
        return self.declared[self.gates[k + 1]].by is None

    def guarded(self, body: Statements, item: str) -> ast.stmt:
        made = cast(ast.Try, super().guarded(body, item))
        if not self.aside:
            waits = mark(ast.parse("if many: await worker.tells(error)").body, NOWHERE, "")
            made.handlers[0].body[:0] = waits
            made.handlers[0].body += mark(ast.parse("if many: worker.told()").body, NOWHERE, "")
        return made

    def program(self) -> Woven:
        stops = self.prepared()
        aside = self.mode.sink == "results"
        self.aside = True
        starts: Statements = [] if aside else self.starts()
        flushes: Statements = [] if aside else self.flushes()
        if starts and stops:
            starts = [ast.Try(starts, [self.handled_stop()], [], [])]
        self.aside = False
        work = self._work(starts, flushes)
        prologue = self.prologue(stops, False)
        shared = {
            n.id for s in prologue for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        gates = ", ".join(f"gate{at}" for at in self.gates.values())
        body = [*ast.parse(f"{gates}, = crew.gates\nmany = unwatched = False").body, *prologue]
        for name, inner in (("start", starts), ("flush", flushes)):
            if inner:
                body.append(self._function(name, "", self._noting(inner), shared))
        body.append(self._function("work", "worker", work, shared))
        woven = self.finish([*body, *ast.parse("return work").body], "crew", head="def")
        woven.gates = self.gates
        woven.keys = tuple(f"key{k}" if self.declared[i].by is not None else "" for k, i in self.gates.items())
        return woven

    def _work(self, starts: Statements, flushes: Statements) -> Statements:
        loop = self.one_item()
        self.breathes, self.breath = True, "clock = breathe_at = None"  # it may be made before its event loop runs
        top = "if unwatched: crew.watch()"
        # It breathes before it takes an item: that is counted from then on, and none need breathe beside it.
        bottom = "if clock() >= breathe_at:\n breathe_at += 1\n breathe_at = await breathe(clock)\n"
        bottom += "if many and worker.has_no_item() and not await worker.another(): break"
        loop = [*mark(ast.parse(top).body, NOWHERE, ""), *loop, *mark(ast.parse(bottom).body, NOWHERE, "")]
        items = "worker.items()"
        if starts and self.stop_handler:
            items += " if ended < 0 else ()"
        target = "origin, x0" if self.mode.origin_in else "x0"
        every = cast(ast.For, ast.parse(f"for {target} in {items}: pass").body[0])
        every.body = loop
        again = cast(ast.While, ast.parse("while True:\n if not await worker.refilled(): break").body[0])
        again.body = [*mark([every], SOURCE, ""), *again.body]
        made: Statements = [again]
        if self.stop_handler:
            handler = self.handled_stop()
            handler.body[:0] = ast.parse("await worker.stop()").body
            made = [ast.Try(made, [handler], [], [])]
        if starts:
            made = [*self._first(self._passing("start()")), *made]
        made = [*self._first(ast.parse(BREATHING).body), *made]
        if self.mode.sink == "results":
            return [self._failing(made)]
        rest = "async for x in crew: yield x" if self.mode.sink == "yield" else "await crew.finished()"
        if self.mode.sink == "yield" and self.undoes_from is not None:
            rest = "async for effects, x in crew:\n if effects is not None: effects.settle()\n yield x"
        made += self._first([*ast.parse(rest).body, *(self._passing("flush()") if flushes else [])])
        failing = self._failing(made)
        failing.finalbody = self._first(ast.parse("await crew.close()").body)
        return [failing]

    def settled(self, value: str) -> Statements:
        # What is handed over has not been given out yet, and may never be.
        return super().settled(value) if self.mode.sink != "results" else self._handed_over(f"effects, {value}")

    def sink(self, value: str) -> Statements:
        if self.mode.sink != "results":
            return super().sink(value)
        if self.undoes_from is not None:  # what goes on in the place of an item that failed
            return self._handed_over(f"None, {value}")
        return self._handed_over(f"{self.origin}, {value}" if self.mode.origin_out else value)

    def _handed_over(self, given: str) -> Statements:
        given = f"({given})" if "," in given else given
        return ast.parse(f"if crew.delivers(worker, {given}): await crew.room()").body

    def _first(self, body: Statements) -> Statements:
        made = cast(ast.If, ast.parse("if worker.first: pass").body[0])
        made.body = body
        return [made]

    def _passing(self, inner: str) -> Statements:
        """Pass on what a function inside the program gives."""
        if self.mode.sink != "yield":
            return ast.parse(f"await {inner}").body
        passing = f"try:\n async for x in aside: yield x\nfinally: await {self.helper('aclose')}(aside)"
        return ast.parse(f"aside = {inner}\n{passing}").body

    def _failing(self, body: Statements) -> ast.Try:
        # It takes its place at the next gate before anything else may run: those behind it would get ahead of it.
        return try_except("if many: await worker.fails(error)\nfailed(error)\nraise", body)

    def _noting(self, body: Statements) -> Statements:
        return [try_except("failed(error)\nraise", body)]

    def _function(self, name: str, arguments: str, body: Statements, shared: Iterable[str]) -> ast.stmt:
        made = cast(ast.AsyncFunctionDef, ast.parse(f"async def {name}({arguments}): pass").body[0])
        stored = {n.id for s in body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        outer = sorted(stored & set(shared))
        if self.mode.sink == "yield" and not any(is_yield(n) for s in body for n in ast.walk(s)):
            body = [*body, *ast.parse("if False: yield").body]
        made.body = [*([ast.Nonlocal(outer)] if outer else []), *body]
        return made


def _by(k: int) -> Any:
    return lambda operators: operators[k].gate.by
