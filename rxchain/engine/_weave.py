"""The compiler: a row of operators becomes one program that reads as if written by hand.

Each ``yield`` of a step is replaced by the next step's body. A step that cannot be inlined stays a call:
``for x2 in stage1.step(x1): ...``. The outermost statements depend on the `Mode`: where items come from, where results
go.
"""

import ast
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from rxchain.engine import _support as support
from rxchain.engine._call import Colour
from rxchain.engine._names import Names
from rxchain.engine._operator import Atom, StopStream
from rxchain.engine._specialise import Part, Special, is_ours, specialise
from rxchain.engine._syntax import Refused, copied

Statements: TypeAlias = list[ast.stmt]

SOURCE = -1
"""The step number of statements that ask the source."""
NOWHERE = -2
"""The step number of the program's own statements."""


@dataclass(frozen=True)
class Mode:
    """What a program is for."""

    source: Literal["for", "async for", "one", "push"]
    sink: Literal["yield", "emit", "one"]
    asynchronous: bool
    on_error: Literal["stop", "call", "await"] = "stop"
    first: bool = True
    """Whether the items come from the chain's own source; an earlier part of the chain reports its errors itself."""


@dataclass
class Woven:
    """A program's text, and what its lines and names stand for."""

    text: str
    tree: ast.Module
    places: dict[int, tuple[int, str]]
    """Line -> the step that runs there, and the name of the value that entered it."""
    given: list[str]
    """What it is bound to, in this order: `Program.bind` knows each by its kind."""
    names: Names
    reasons: dict[int, str]
    """Steps that stayed calls, and why."""


_DUPLICATES = 60
"""A step with several yields is inlined if that repeats at most so many statements of the rest of the chain."""


def weave(operators: list[Atom], mode: Mode) -> Woven:
    """Write the program for *operators* in *mode*."""
    return _Weaver(operators, mode).program()


class _Weaver:
    def __init__(self, operators: list[Atom], mode: Mode) -> None:
        self.mode, self.operators = mode, operators
        if any(op.definition.syntax.over for op in operators):
            raise Refused("an operator over the whole stream")
        theirs = [op.definition for op in operators if not is_ours(op.definition.factory.__globals__)]
        used = {name for definition in theirs for name in definition.syntax.names}
        self.names = Names(theirs[0].factory.__globals__ if theirs else None, used)
        self.specials = [specialise(op, k, self.names) for k, op in enumerate(operators)]
        self.weights = self._weigh()
        self.passed_on = [_passed_on(special) for special in self.specials]
        self.assigned = [self._assigned(special) for special in self.specials]

    # --- what follows from one item

    def _weigh(self) -> list[int]:
        """For each step the number of statements of it and all that follows; decides which steps stay calls."""
        weights = [1] * (len(self.specials) + 1)
        for k in reversed(range(len(self.specials))):
            special = self.specials[k]
            part = special.parts.get("step")
            if part is None:
                weights[k] = 2 + weights[k + 1]
                continue
            own = sum(isinstance(n, ast.stmt) for s in part.body for n in ast.walk(s))
            sites = sum(_is_yield(n) for s in part.body for n in ast.walk(s))
            sites *= max([1, *(2 for s in part.body for n in ast.walk(s) if self._forks(n))])
            if (sites - 1) * weights[k + 1] > _DUPLICATES:
                self.specials[k] = Special("inlining it would repeat too much of the rest")
                weights[k] = 2 + weights[k + 1]
            else:
                weights[k] = own + sites * weights[k + 1]
        return weights

    def _assigned(self, special: Special) -> set[str]:
        """The names of an operator that surely have a value: asking for them cannot fail."""
        bodies = [special.prologue, *(part.body for part in special.parts.values())]
        nodes = (n for body in bodies for s in body for n in ast.walk(s))
        return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} | {
            *self.names.arguments,
            *(part.item for part in special.parts.values() if part.item is not None),
        }

    def _forks(self, node: ast.AST) -> bool:
        """Whether *node* loops over parts of unknown kind: written twice, as `for` and as `async for`."""
        return self.mode.asynchronous and getattr(node, "parts_of", None) in (Colour.SYNC, Colour.ASYNC)

    def rest(self, k: int, value: str) -> Statements:
        """The statements for what follows when step k is given *value*."""
        if k == len(self.specials):
            return _mark(self._sink(value), NOWHERE, value)
        special = self.specials[k]
        if "step" not in special.parts:
            return self._called(k, "step", value)
        return self._inlined(k, special.parts["step"], value)

    def _inlined(self, k: int, part: Part, value: str) -> Statements:
        body = [copied(node) for node in part.body]
        head: Statements = []
        if part.item is not None:
            if part.rebinds_item:
                head = [_assign(part.item, value)]
            else:
                _substitute(body, part.item, value)
        item = None if part.rebinds_item else value if part.item is not None else None
        inlined = _Inline(self, k, item, self.passed_on[k]).statements(head + body)
        return _mark(inlined, k, value)

    def after_yield(self, k: int, node: ast.expr | None, item: str | None) -> Statements:
        """What a yield of step k becomes."""
        value = f"x{k + 1}"
        last = k + 1 == len(self.specials)
        if isinstance(node, ast.Name) and (node.id in (item, value) or (last and node.id in self.assigned[k])):
            return self.rest(k + 1, node.id)
        return [_assign_expr(value, node or ast.Constant(None)), *self.rest(k + 1, value)]

    def _called(self, k: int, role: str, value: str | None) -> Statements:
        """A step that stays a call."""
        target = f"x{k + 1}"
        arguments: list[ast.expr] = [_load(value)] if value else []
        made: ast.expr = ast.Call(ast.Attribute(_load(f"stage{k}"), role, ast.Load()), arguments, [])
        here = value or ""
        if not self._is_async_call(k, role):
            return _mark([_for(target, made, self._loop_body(self.rest(k + 1, target)))], k, here)
        if not self.mode.asynchronous:
            driven = ast.Call(_load(self.helper("driven")), [made], [])
            return _mark([_for(target, driven, self.rest(k + 1, target))], k, here)
        return _mark(self._async_for(f"parts{k}", target, made, self.rest(k + 1, target)), k, here)

    def _is_async_call(self, k: int, role: str) -> bool:
        syntax = self.operators[k].definition.syntax
        if role in syntax.parts:
            return isinstance(syntax.parts[role], ast.AsyncFunctionDef)
        return support.is_async_generator(self.operators[k], role)

    def _async_for(
        self, variable: str, target: str, made: ast.expr, rest: Statements, breaks: bool = False
    ) -> Statements:
        """An `async for` that closes what it loops over when the rest of the chain fails or ends early."""
        close = ast.parse(f"await {self.helper('aclose')}({variable})").body
        loop = _async_for(target, _load(variable), self._loop_body(rest))
        return [_assign_expr(variable, made), _closing(loop, close, breaks)]

    def parts_loop(self, k: int, node: ast.AsyncFor, inline: "_Inline") -> Statements:
        """A step's `async for part in parts(...)`, by what is known of the function."""
        kind = cast(Colour, node.parts_of)  # type: ignore[attr-defined]
        made = node.iter
        assert isinstance(node.target, ast.Name)

        def body() -> Statements:
            return inline.statements([copied(s) for s in node.body])

        target, breaks = node.target.id, _breaks(node.body)
        if kind is Colour.GENERATOR:
            return [_for(target, made, self._loop_body(body()))]
        if kind is Colour.ASYNC_GENERATOR:
            return self._async_for(f"parts{k}", target, made, body(), breaks)
        variable = f"parts{k}"
        self.names.helper(support.PLAIN, "PLAIN")
        close = ast.parse(f"{self.helper('close')}({variable})").body
        loop = _closing(_for(target, _load(variable), self._loop_body(body())), close, breaks)
        if not self.mode.asynchronous:
            check = f"if type({variable}) not in PLAIN: {variable} = {self.helper('iterable_parts')}({variable})"
            return [_assign_expr(variable, made), *ast.parse(check).body, loop]
        is_plain = f"type({variable}) in PLAIN or {self.helper('is_iterable')}({variable})"
        others = ast.Call(_load(self.helper("parts")), [_load(variable)], [])
        by_await = self._async_for(variable, target, others, body(), breaks)
        return [_assign_expr(variable, made), ast.If(ast.parse(is_plain, mode="eval").body, [loop], by_await)]

    # --- the statements around it

    def _loop_body(self, body: Statements) -> Statements:
        """The body of any loop: in an asynchronous program, one that lets the event loop breathe."""
        if not self.mode.asynchronous:
            return body
        self.breathes = True
        return [*_mark(ast.parse("if clock() >= breathe_at: breathe_at = await breathe()").body, NOWHERE, ""), *body]

    breathes = False
    stop_handler: list[ast.ExceptHandler]

    def helper(self, name: str) -> str:
        return self.names.helper(getattr(support, name), name)

    def _sink(self, value: str) -> Statements:
        if self.mode.sink == "yield":
            return [ast.Expr(ast.Yield(_load(value)))]
        if self.mode.sink == "emit":
            return [ast.Expr(ast.Call(_load("emit"), [_load(value)], []))]
        made = ast.parse(f"if found: raise many_results()\nfound, result = True, {value}").body
        made[-1].result = value  # type: ignore[attr-defined]
        return made

    def program(self) -> Woven:
        mode = self.mode
        stops = any(self._may_stop(k) for k in range(len(self.specials)))
        self.stop_handler = [_handler(StopStream, "stop", "ended = stopped_at(stop)", self)] if stops else []
        body = [*self._items(), *self._flushes()]
        straight = mode.sink == "one" and _return_result(body)
        if mode.sink == "one":
            body += ast.parse("raise no_result()" if straight else "if not found: raise no_result()").body
        body = [*self._prologue(stops, straight), _try_except("failed(error)\nraise", body)]
        if mode.sink == "one" and not straight:
            body += ast.parse("return result").body
        elif mode.sink == "yield" and not any(_is_yield(n) for s in body for n in ast.walk(s)):
            body += ast.parse("if False: yield").body
        return self._finish(body)

    def _items(self) -> Statements:
        """What goes before the first item, and all items; the source is closed when they end."""
        starts: Statements = []
        for k in reversed(range(len(self.specials))):
            start = self._once(k, "start")
            starts += [self._guarded(start, "None")] if start and self.mode.on_error != "stop" else start
        loop = self.rest(0, "x0")
        if self.mode.on_error != "stop":
            loop = [self._guarded(loop, "x0")]
        if self.mode.source in ("one", "push"):
            return self._given_items(starts, loop)
        asynchronous = self.mode.source == "async for"
        opening = _mark(ast.parse(f"items = {'aopened' if asynchronous else 'opened'}(source)").body, SOURCE, "")
        closing = _mark(ast.parse("await aclose(items)" if asynchronous else "close(items)").body, SOURCE, "")
        make = _async_for if asynchronous else _for
        loop = _mark([make("x0", _load("items"), self._loop_body(loop))], SOURCE, "")
        if starts:  # the source is opened after them, and closed though it never was
            return [
                *ast.parse("items = source").body,
                ast.Try([*starts, *opening, *loop], self.stop_handler, [], closing),
            ]
        return [*opening, ast.Try(loop, self.stop_handler, [], closing)]

    def _given_items(self, starts: Statements, loop: Statements) -> Statements:
        """The same where no source is asked: one item is there, or each is sent."""
        handlers = [*self.stop_handler]
        if self.mode.source == "push":
            loop = [ast.While(ast.Constant(True), [*ast.parse("x0 = yield").body, *loop], [])]
            completed = self.names.constant(support.Completed, "Completed")
            handlers.append(ast.ExceptHandler(_load(completed), None, [ast.Pass()]))
        return [ast.Try([*starts, *loop], handlers, [], [])] if handlers else [*starts, *loop]

    def _flushes(self) -> Statements:
        """What goes behind the last item: of each step in turn, unless one behind it has ended the stream."""
        made: Statements = []
        for k in range(len(self.specials)):
            flush = self._once(k, "flush")
            if flush and self.mode.on_error != "stop":
                flush = [self._guarded(flush, "None")]
            if flush and any(self._may_stop(j) for j in range(k, len(self.specials))):
                flush = cast(Statements, [ast.Try(flush, [copied(h) for h in self.stop_handler], [], [])])
            if flush and self.stop_handler:
                flush = cast(Statements, [ast.If(ast.parse(f"ended < {k}", mode="eval").body, flush, [])])
            made += flush
        return made

    def _guarded(self, body: Statements, item: str) -> ast.stmt:
        """One item's statements: its failure is its own."""
        skipped = f"skipped(error, {item})"
        guarded = _try_except(f"await {skipped}" if self.mode.on_error == "await" else skipped, body)
        _mark(guarded.handlers[0].body, NOWHERE, "")  # what the user's handler raises is nobody else's failure
        return guarded

    def _may_stop(self, k: int) -> bool:
        definition = self.operators[k].definition
        if not definition.syntax.parts:
            return True
        module = definition.factory.__globals__
        for part in definition.syntax.parts.values():
            for n in ast.walk(part):
                if isinstance(n, ast.Attribute) and n.attr == "StopStream":
                    return True
                if isinstance(n, ast.Name) and (n.id == "StopStream" or module.get(n.id) is StopStream):
                    return True
        return False

    def _once(self, k: int, role: str) -> Statements:
        special = self.specials[k]
        if special.reason is None:
            part = special.parts.get(role)
            return self._inlined(k, part, "") if part is not None else []
        syntax = self.operators[k].definition.syntax
        has = role in syntax.parts if syntax.parts else support.has_part(self.operators[k], role)
        return self._called(k, role, None) if has else []

    def _prologue(self, stops: bool, straight: bool) -> Statements:
        made: Statements = []
        for k, special in enumerate(self.specials):
            if special.reason is not None:
                opener = self.names.capture(("open", k), f"open{k}", _opener(k))
                made += _mark(ast.parse(f"stage{k} = {opener}()").body, k, "")
            else:
                made += _mark(special.prologue, k, "")
        if stops:
            made += ast.parse(f"ended = {SOURCE}").body
        if self.mode.sink == "one" and not straight:
            made += ast.parse("found, result = False, None").body
        if self.breathes:
            made += ast.parse(f"breathe_at = clock() + {support.BREATHE_EVERY}").body
        return made

    def _finish(self, body: Statements) -> Woven:
        mode = self.mode
        arguments = {"for": "source", "async for": "source", "one": "x0", "push": ""}[mode.source]
        if mode.sink == "emit":
            arguments = f"{arguments}, emit" if arguments else "emit"
        given = ["failed"]
        if mode.on_error != "stop":
            given.append("skipped")
        if mode.sink == "one":
            given += ["many_results", "no_result"]
        if any(isinstance(n, ast.Name) and n.id == "stopped_at" for s in body for n in ast.walk(s)):
            given.append("stopped_at")
        for name in ("opened", "close", "aopened", "aclose", "breathe", "clock"):
            self.helper(name)
        used = {n.id for s in body for n in ast.walk(s) if isinstance(n, ast.Name)}
        names = self.names
        for values in (names.constants, names.arguments, names.made):
            for name in set(values) - used:
                del values[name]
        given += [*names.constants, *names.arguments, *names.made]
        head = "async def" if mode.asynchronous else "def"
        made = ast.parse(f"def make({', '.join(given)}):\n {head} run({arguments}): pass\n return run")
        make = cast(ast.FunctionDef, made.body[0])
        cast(ast.FunctionDef, make.body[0]).body = body
        text = ast.unparse(ast.fix_missing_locations(made)) + "\n"
        tree = ast.parse(text)
        places: dict[int, tuple[int, str]] = {}
        _place(made.body, tree.body, (NOWHERE, ""), places)
        reasons = {k: s.reason for k, s in enumerate(self.specials) if s.reason is not None}
        return Woven(text, tree, places, given, self.names, reasons)


def _opener(k: int) -> Callable[[list[Atom]], object]:
    return lambda operators: lambda: operators[k].definition.open(operators[k].values)


class _Inline:
    """Replace the yields of step k by the rest of the chain."""

    def __init__(self, weaver: _Weaver, k: int, item: str | None, passed_on: set[str]) -> None:
        self.weaver, self.k, self.item, self.passed_on = weaver, k, item, passed_on

    def statements(self, body: Statements) -> Statements:
        made: Statements = []
        for node in body:
            made += self.statement(node)
        return made or [ast.Pass()]

    def statement(self, node: ast.stmt) -> Statements:
        weaver, k = self.weaver, self.k
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield):
            return weaver.after_yield(k, node.value.value, self.item)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.YieldFrom):
            if isinstance(node.value.value, ast.Tuple) and not node.value.value.elts:
                return []  # `yield from ()` only makes a generator of a function
            target = f"x{k + 1}"
            return [_for(target, node.value.value, weaver._loop_body(weaver.rest(k + 1, target)))]
        if not any(_is_yield(n) or hasattr(n, "parts_of") for n in ast.walk(node)):
            return [node]
        if isinstance(node, (ast.For, ast.AsyncFor)) and isinstance(node.target, ast.Name):
            match node.body:  # `for part in parts: yield part`: the part is the next step's item
                case [ast.Expr(ast.Yield(ast.Name(id=name) as yielded))] if (
                    name == node.target.id and name in self.passed_on
                ):
                    node.target.id = yielded.id = f"x{k + 1}"
        if isinstance(node, ast.AsyncFor) and hasattr(node, "parts_of"):
            return weaver.parts_loop(k, node, self)
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(node, name, None)
            if inner:
                made = self.statements(inner)
                loops = isinstance(node, (ast.For, ast.AsyncFor, ast.While)) and name == "body"
                setattr(node, name, weaver._loop_body(made) if loops else made)
        for block in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
            block.body = self.statements(block.body)
        return [node]


def _passed_on(special: Special) -> set[str]:
    """The names that stand but twice in an operator: where they are assigned, and where they are yielded."""
    bodies = [special.prologue, *(part.body for part in special.parts.values())]
    names = Counter(n.id for body in bodies for s in body for n in ast.walk(s) if isinstance(n, ast.Name))
    return {name for name, times in names.items() if times == 2}


def _return_result(body: Statements) -> bool:
    """Where one item's result can be but one, and is the last thing that happens: return it, and say so."""
    sinks: list[Any] = [node for s in body for node in ast.walk(s) if hasattr(node, "result")]
    if len(sinks) != 1:
        return False
    sink = sinks[0]
    place: tuple[int, str] = sink.place
    result: str = sink.result
    block = body
    while block and isinstance(last := block[-1], ast.If):
        inside = [b for b in (last.body, last.orelse) if any(n is sink for s in b for n in ast.walk(s))]
        if not inside:
            return False
        block = inside[0]
    if not block or block[-1] is not sink:
        return False
    block[-2:] = _mark([ast.Return(_load(result))], *place)
    return True


# --- small makers of syntax


def _is_yield(node: ast.AST) -> bool:
    return isinstance(node, (ast.Yield, ast.YieldFrom))


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: str) -> ast.stmt:
    return _assign_expr(name, _load(value))


def _assign_expr(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _for(target: str, iterable: ast.expr, body: Statements) -> ast.stmt:
    return ast.For(ast.Name(target, ast.Store()), iterable, body or [ast.Pass()], [])


def _async_for(target: str, iterable: ast.expr, body: Statements) -> ast.stmt:
    return ast.AsyncFor(ast.Name(target, ast.Store()), iterable, body or [ast.Pass()], [])


def _try_except(handler: str, body: Statements) -> ast.Try:
    handled = ast.ExceptHandler(_load("Exception"), "error", ast.parse(handler).body)
    return ast.Try(body, [handled], [], [])


def _closing(loop: ast.stmt, close: Statements, breaks: bool) -> ast.stmt:
    """*loop*, and *close* if it does not come to its end: its variable would keep a generator open."""
    if breaks:
        return ast.Try([loop], [], [], close)
    return ast.Try([loop], [ast.ExceptHandler(_load("BaseException"), None, [*close, ast.Raise()])], [], [])


def _breaks(body: Statements) -> bool:
    """Whether a loop with this *body* may be left by a break of its own."""
    for node in body:
        if isinstance(node, ast.Break):
            return True
        inner = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            inner = [node.orelse]
        inner += [part.body for name in ("handlers", "cases") for part in getattr(node, name, ())]
        if any(_breaks(statements) for statements in inner):
            return True
    return False


def _handler(error: type[BaseException], name: str, text: str, weaver: _Weaver) -> ast.ExceptHandler:
    return ast.ExceptHandler(_load(weaver.names.constant(error, error.__name__)), name, ast.parse(text).body)


def _substitute(body: Statements, name: str, value: str) -> None:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == name:
                node.id = value


def _mark(body: Statements, step: int, value: str) -> Statements:
    """Note on each statement, unless it is another step's, which step runs there."""
    for node in body:
        if hasattr(node, "place"):
            continue  # and so is all that is in it
        node.place = (step, value)  # type: ignore[attr-defined]
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            _mark(getattr(node, name, ()), step, value)  # type: ignore[arg-type]
    return body


def _place(marked: Any, parsed: Any, outer: tuple[int, str], places: dict[int, tuple[int, str]]) -> None:
    """Carry the marks over to the lines of the text: both trees are the same but for the line numbers."""
    for a, b in zip(marked, parsed, strict=True):
        place = getattr(a, "place", outer)
        for line in range(b.lineno, _header_end(b) + 1):
            places[line] = place
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            if getattr(a, name, None):
                if name == "cases":
                    for x, y in zip(a.cases, b.cases, strict=True):
                        _place(x.body, y.body, place, places)
                else:
                    _place(getattr(a, name), getattr(b, name), place, places)


def _header_end(node: Any) -> int:
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if isinstance(body, list):
        first = getattr(body[0], "lineno", None) or body[0].pattern.lineno
        return max(int(node.lineno), int(first) - 1)
    return int(node.end_lineno)
