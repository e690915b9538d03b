"""The compiler: a row of operators becomes one program that reads as if written by hand.

Each ``yield`` of a step is replaced by the next step's body. A step that cannot be inlined stays a call:
``for x2 in stage1.step(x1): ...``. The outermost statements depend on the `Mode`: where items come from, where results
go.
"""

import ast
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from rxchain.engine import _support as support
from rxchain.engine._call import Colour
from rxchain.engine._failure import Fallen
from rxchain.engine._fold import FoldedPart, folded
from rxchain.engine._names import Names
from rxchain.engine._operator import Atom, StopStream
from rxchain.engine._specialise import Part, Special, is_ours, specialise
from rxchain.engine._syntax import Refused, copied
from rxchain.errors import CompositionError

Statements: TypeAlias = list[ast.stmt]

SOURCE = -1
"""The step number of statements that ask the source."""
NOWHERE = -2
"""The step number of the program's own statements."""
BREATHING = "clock, breathe_at = breathing()"


@dataclass(frozen=True)
class Mode:
    """What a program is for."""

    source: Literal["for", "async for", "one", "push"]
    sink: Literal["yield", "emit", "one", "results"]
    asynchronous: bool
    on_error: Literal["stop", "call", "await"] = "stop"
    first: bool = True
    """Whether the items come from the chain's own source; an earlier part of the chain reports its errors itself."""
    crew: bool = False
    """Whether workers share the stream, where steps are asynchronous."""
    resumes: bool = False
    """Whether what `on_error` gives goes on in the place of what failed."""
    origin_in: bool = False
    """Whether each item comes as a pair with the source's item that it was made of."""
    origin_out: bool = False
    """Whether results are given out as such pairs."""
    hands_on: bool = False
    """Whether an item that failed goes on to the next program, as `Fallen`, to be told of in its turn there."""
    handed_on: bool = False
    """Whether such items come."""
    scoped: bool = False
    """Whether what the item does is taken back, if need be, by whoever has it run."""


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
    gates: dict[int, int] = field(default_factory=dict)
    """Step -> the number of the gate before it, where workers share the stream."""
    keys: tuple[str, ...] = ()
    """For each gate the variable that holds the key of the item inside, or nothing."""


_DUPLICATES = 60
"""A step with several yields is inlined if that repeats at most so many statements of the rest of the chain."""


def weave(operators: list[Atom], mode: Mode) -> Woven:
    """Write the program for *operators* in *mode*."""
    return Weaver(operators, mode).program()


class Weaver:
    def __init__(self, operators: list[Atom], mode: Mode) -> None:
        self.mode, self.operators = mode, operators
        self.origin = "origin" if mode.origin_in else "x0"
        """The variable that holds the source's item."""
        if any(op.definition.syntax.over for op in operators):
            raise Refused("an operator over the whole stream")
        theirs = [op.definition for op in operators if not is_ours(op.definition.factory.__globals__)]
        used = {name for definition in theirs for name in definition.syntax.names}
        self.names = Names(theirs[0].factory.__globals__ if theirs else None, used)
        self.specials = [specialise(op, k, self.names) for k, op in enumerate(operators)]
        self.undoes_from = next((k for k, op in enumerate(operators) if folded(op).undoes), None)
        """The first step that does what may have to be taken back; from there on an item is one item."""
        self.joined: set[int] = set()
        """Steps whose yields only say what goes on to the rest, which then stands behind them, once."""
        self._all_undone()
        self.weights = self._weigh()
        self.passed_on = [_passed_on(special) for special in self.specials]
        self.assigned = [self._assigned(special) for special in self.specials]
        self.gates: dict[int, int] = {}
        """Step -> the number of the gate before it, where workers share the stream."""

    def _all_undone(self) -> None:
        """Nothing that may fail for an item is out of sight of what takes back what the item did."""
        if self.undoes_from is None:
            return
        for op, special in zip(self.operators[self.undoes_from :], self.specials[self.undoes_from :]):
            if special.reason is not None:
                raise CompositionError(
                    f"{self.operators[self.undoes_from].name!r} declares an undo, and {op.name!r} cannot be compiled"
                    f" into one program with it: {special.reason}"
                )

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
            sites = sum(is_yield(n) for s in part.body for n in ast.walk(s))
            sites *= max([1, *(2 for s in part.body for n in ast.walk(s) if self._forks(n))])
            repeats = (sites - 1) * weights[k + 1] > _DUPLICATES
            if repeats and self.undoes_from is not None and k >= self.undoes_from and gives_one(part):
                self.joined.add(k)
                weights[k] = own + weights[k + 1]
            elif repeats:
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
        made = self._rest(k, value)
        return made if k != self.undoes_from or self.mode.scoped else self._undoing(made)

    def _rest(self, k: int, value: str) -> Statements:
        before = self.before(k, value)
        if k == len(self.specials):
            sink = self.settled(value) if self.undoes_from is not None and not self.mode.scoped else self.sink(value)
            return [*before, *mark(sink, NOWHERE, value)]
        special = self.specials[k]
        if "step" not in special.parts:
            return [*before, *self._called(k, "step", value)]
        return [*before, *self._inlined(k, special.parts["step"], value)]

    def _undoing(self, body: Statements) -> Statements:
        """*body*, and what takes back what it does if the item does not come through."""
        self.helper("take_back")
        if self.mode.scoped:
            begin, since = "since = len(effects.standing)", ", since"
        else:
            begin, since = f"effects = {self.helper('Effects')}()", ""
        handler = f"{self.before_undoing}await take_back(effects, error{since})\nraise"
        handled = ast.ExceptHandler(_load("BaseException"), "error", ast.parse(handler).body)
        made = ast.Try(body, [handled], [], [])
        return mark([*ast.parse(begin).body, made], NOWHERE, "")

    before_undoing = ""
    """What is done first when an item has failed that may have done something."""

    def before(self, k: int, value: str) -> Statements:
        """What has to be done before step k."""
        return []

    def behind(self, k: int) -> Statements:
        """What has to be done when step k has given a result."""
        return []

    def _inlined(self, k: int, part: Part, value: str) -> Statements:
        body = [copied(node) for node in part.body]
        head: Statements = []
        if part.item is not None:
            if part.rebinds_item:
                head = [_assign(part.item, value)]
            else:
                _substitute(body, part.item, value)
        item = None if part.rebinds_item else value if part.item is not None else None
        inlined = _Inline(self, k, item, self.passed_on[k], gives_one(part)).statements(head + body)
        if k not in self.joined:
            return mark(inlined, k, value)
        goes_on = ast.If(_load(f"goes{k}"), [*self.behind(k), *self.rest(k + 1, f"x{k + 1}")], [])
        stops = ast.parse(f"goes{k} = False").body
        return [*mark([*stops, *inlined], k, value), *mark([goes_on], NOWHERE, value)]

    def after_yield(self, k: int, node: ast.expr | None, item: str | None, gives_one: bool) -> Statements:
        """What a yield of step k becomes."""
        value = f"x{k + 1}"
        if k in self.joined:
            return [_assign_expr(value, node or ast.Constant(None)), *ast.parse(f"goes{k} = True").body]
        # A step's own variable is as good, where nobody else comes in between: a gate stands before a crew's results.
        last = k + 1 == len(self.specials) and k + 1 not in self.gates
        if isinstance(node, ast.Name) and (node.id in (item, value) or (last and node.id in self.assigned[k])):
            return [*self.behind(k), *self.part_of_several(k + 1, node.id, gives_one)]
        made = _assign_expr(value, node or ast.Constant(None))
        return [made, *self.behind(k), *self.part_of_several(k + 1, value, gives_one)]

    def part_of_several(self, k: int, value: str, gives_one: bool = False) -> Statements:
        """The rest for one of several results of a step: if it fails, the others go on."""
        rest = self.rest(k, value)
        return rest if gives_one or self.mode.on_error == "stop" else [self.guarded(rest, self.origin)]

    def _called(self, k: int, role: str, value: str | None) -> Statements:
        """A step that stays a call."""
        target = f"x{k + 1}"
        arguments: list[ast.expr] = [_load(value)] if value else []
        made: ast.expr = ast.Call(ast.Attribute(_load(f"stage{k}"), role, ast.Load()), arguments, [])
        here = value or ""
        if not self._is_async_call(k, role):
            return mark([_for(target, made, self._loop_body(self.part_of_several(k + 1, target)))], k, here)
        if not self.mode.asynchronous:
            driven = ast.Call(_load(self.helper("driven")), [made], [])
            return mark([_for(target, driven, self.part_of_several(k + 1, target))], k, here)
        return mark(self._async_for(f"parts{k}", target, made, self.part_of_several(k + 1, target)), k, here)

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
        breath = ast.parse("if clock() >= breathe_at: breathe_at = await breathe(clock)").body
        return [*mark(breath, NOWHERE, ""), *body]

    breathes = False
    breath = BREATHING
    """What is said of it before the first item."""
    stop_handler: list[ast.ExceptHandler]

    def helper(self, name: str) -> str:
        return self.names.helper(getattr(support, name), name)

    def settled(self, value: str) -> Statements:
        """The same where something may have to be undone: what the item did stands when its result is given out."""
        return [*ast.parse("effects.settle()").body, *self.sink(value)]

    def sink(self, value: str) -> Statements:
        """What is done with a result of the chain."""
        if self.mode.sink == "yield":
            given: ast.expr = _load(value)
            if self.mode.origin_out:
                given = ast.Tuple([_load(self.origin), given], ast.Load())
            return [ast.Expr(ast.Yield(given))]
        if self.mode.sink == "emit":
            return [ast.Expr(ast.Call(_load("emit"), [_load(value)], []))]
        made = ast.parse(f"if found: raise many_results()\nfound, result = True, {value}").body
        made[-1].result = value  # type: ignore[attr-defined]
        return made

    def program(self) -> Woven:
        mode = self.mode
        stops = self.prepared()
        body = [*self._items(), *self.flushes()]
        if mode.scoped:
            body = self._undoing(body)
        straight = mode.sink == "one" and _return_result(body)
        if mode.sink == "one":
            body += ast.parse("raise no_result()" if straight else "if not found: raise no_result()").body
        body = [*self.prologue(stops, straight), try_except("failed(error)\nraise", body)]
        if mode.sink == "one" and not straight:
            body += ast.parse("return result").body
        elif mode.sink == "yield" and not any(is_yield(n) for s in body for n in ast.walk(s)):
            body += ast.parse("if False: yield").body
        arguments = {"for": "source", "async for": "source", "one": "x0", "push": ""}[mode.source]
        return self.finish(body, arguments)

    def prepared(self) -> bool:
        """Whether a step may end the stream; sets what is done then."""
        stops = any(self._may_stop(k) for k in range(len(self.specials)))
        self.stop_handler = [self.handled_stop()] if stops else []
        return stops

    def handled_stop(self) -> ast.ExceptHandler:
        """Where the end that a step makes is caught."""
        return _handler(StopStream, "stop", "ended = stopped_at(stop)", self)

    def starts(self) -> Statements:
        """What goes before the first item."""
        starts: Statements = []
        origin, self.origin = self.origin, "None"
        for k in reversed(range(len(self.specials))):
            start = self._once(k, "start")
            starts += [self.guarded(start, "None")] if start and self.mode.on_error != "stop" else start
        self.origin = origin
        return starts

    def one_item(self) -> Statements:
        """What is done with an item of the source."""
        body = self.rest(0, "x0")
        if self.mode.on_error == "stop":
            return body
        if self.mode.handed_on:
            fallen = ast.parse(f"if type(x0) is {self.names.constant(Fallen, 'Fallen')}: raise x0").body
            body = [*mark(fallen, NOWHERE, ""), *body]
        return [self.guarded(body, self.origin)]

    def _items(self) -> Statements:
        """What goes before the first item, and all items; the source is closed when they end."""
        starts = self.starts()
        loop = self.one_item()
        if self.mode.source in ("one", "push"):
            return self._given_items(starts, loop)
        asynchronous = self.mode.source == "async for"
        opening = mark(ast.parse(f"items = {'aopened' if asynchronous else 'opened'}(source)").body, SOURCE, "")
        closing = mark(ast.parse("await aclose(items)" if asynchronous else "close(items)").body, SOURCE, "")
        make = _async_for if asynchronous else _for
        target = "origin, x0" if self.mode.origin_in else "x0"
        loop = mark([make(target, _load("items"), self._loop_body(loop))], SOURCE, "")
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
            target = "origin, x0" if self.mode.origin_in else "x0"
            loop = [ast.While(ast.Constant(True), [*ast.parse(f"{target} = yield").body, *loop], [])]
            completed = self.names.constant(support.Completed, "Completed")
            handlers.append(ast.ExceptHandler(_load(completed), None, [ast.Pass()]))
        return [ast.Try([*starts, *loop], handlers, [], [])] if handlers else [*starts, *loop]

    def flushes(self) -> Statements:
        """What goes behind the last item: of each step in turn, unless one behind it has ended the stream."""
        made: Statements = []
        origin, self.origin = self.origin, "None"
        for k in range(len(self.specials)):
            flush = self._once(k, "flush")
            if flush and self.mode.on_error != "stop":
                flush = [self.guarded(flush, "None")]
            if flush and any(self._may_stop(j) for j in range(k, len(self.specials))):
                flush = cast(Statements, [ast.Try(flush, [copied(h) for h in self.stop_handler], [], [])])
            if flush and self.stop_handler:
                flush = cast(Statements, [ast.If(ast.parse(f"ended < {k}", mode="eval").body, flush, [])])
            made += flush
        self.origin = origin
        return made

    def guarded(self, body: Statements, item: str) -> ast.stmt:
        """One item's statements: its failure is its own."""
        skipped = f"skipped(error, {item})"
        tells = f"await {skipped}" if self.mode.on_error == "await" else skipped
        guarded = try_except(f"x = {tells}" if self.mode.resumes else tells, body)
        if self.mode.resumes:
            guarded.handlers[0].body += self.sink("x")
        mark(guarded.handlers[0].body, NOWHERE, "")  # what the user's handler raises is nobody else's failure
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

    def prologue(self, stops: bool, straight: bool) -> Statements:
        made: Statements = []
        for k, special in enumerate(self.specials):
            if special.reason is not None:
                opener = self.names.capture(("open", k), f"open{k}", _opener(k))
                made += mark(ast.parse(f"stage{k} = {opener}()").body, k, "")
            else:
                made += mark(special.prologue, k, "")
        if stops:
            made += ast.parse(f"ended = {SOURCE}").body
        if self.mode.sink == "one" and not straight:
            made += ast.parse("found, result = False, None").body
        if self.breathes:
            made += ast.parse(self.breath).body
        return made

    def finish(self, body: Statements, arguments: str, head: str = "") -> Woven:
        """The whole program around *body*, and what it has to be given."""
        mode = self.mode
        if mode.scoped:
            arguments = f"{arguments}, effects"
        if mode.sink == "emit":
            arguments = f"{arguments}, emit" if arguments else "emit"
        given = ["failed"]
        if mode.on_error != "stop":
            given.append("skipped")
        if mode.sink == "one":
            given += ["many_results", "no_result"]
        if any(isinstance(n, ast.Name) and n.id == "stopped_at" for s in body for n in ast.walk(s)):
            given.append("stopped_at")
        for name in ("opened", "close", "aopened", "aclose", "breathe", "breathing"):
            self.helper(name)
        used = {n.id for s in body for n in ast.walk(s) if isinstance(n, ast.Name)}
        names = self.names
        for values in (names.constants, names.arguments, names.made):
            for name in set(values) - used:
                del values[name]
        given += [*names.constants, *names.arguments, *names.made]
        head = head or ("async def" if mode.asynchronous else "def")
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

    def __init__(self, weaver: Weaver, k: int, item: str | None, passed_on: set[str], gives_one: bool) -> None:
        self.weaver, self.k, self.item, self.passed_on, self.gives_one = weaver, k, item, passed_on, gives_one

    def statements(self, body: Statements) -> Statements:
        made: Statements = []
        for node in body:
            made += self.statement(node)
        return made or [ast.Pass()]

    def statement(self, node: ast.stmt) -> Statements:
        weaver, k = self.weaver, self.k
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield):
            return weaver.after_yield(k, node.value.value, self.item, self.gives_one)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.YieldFrom):
            if isinstance(node.value.value, ast.Tuple) and not node.value.value.elts:
                return []  # `yield from ()` only makes a generator of a function
            target = f"x{k + 1}"
            return [_for(target, node.value.value, weaver._loop_body(weaver.part_of_several(k + 1, target)))]
        if not any(is_yield(n) or hasattr(n, "parts_of") for n in ast.walk(node)):
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
    block[-2:] = mark([ast.Return(_load(result))], *place)
    return True


def gives_one(part: Part | FoldedPart | None) -> bool:
    """Whether a step gives one result at most, as the last thing that it does."""
    return part is not None and _in_tail(part.body)


def _in_tail(body: Statements) -> bool:
    *before, last = body or [ast.Pass()]
    if any(_gives(n) for s in before for n in ast.walk(s)):
        return False
    if not any(_gives(n) for n in ast.walk(last)):
        return True
    match last:
        case ast.Expr(ast.Yield()) | ast.Expr(ast.YieldFrom(ast.Tuple(elts=[]))):
            return True
        case ast.If(body=then, orelse=otherwise):
            return _in_tail(then) and _in_tail(otherwise)
        case ast.Match(cases=cases):
            return all(_in_tail(case.body) for case in cases)
    return False


def _gives(node: ast.AST) -> bool:
    return is_yield(node) or hasattr(node, "parts_of")


# --- small makers of syntax


def is_yield(node: ast.AST) -> bool:
    return isinstance(node, (ast.Yield, ast.YieldFrom))


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: str) -> ast.stmt:
    return _assign_expr(name, _load(value))


def _assign_expr(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _target(names: str) -> ast.expr:
    made = [ast.Name(name, ast.Store()) for name in names.split(", ")]
    return made[0] if len(made) == 1 else ast.Tuple(made, ast.Store())  # type: ignore[arg-type]


def _for(target: str, iterable: ast.expr, body: Statements) -> ast.stmt:
    return ast.For(_target(target), iterable, body or [ast.Pass()], [])


def _async_for(target: str, iterable: ast.expr, body: Statements) -> ast.stmt:
    return ast.AsyncFor(_target(target), iterable, body or [ast.Pass()], [])


def try_except(handler: str, body: Statements) -> ast.Try:
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


def _handler(error: type[BaseException], name: str, text: str, weaver: Weaver) -> ast.ExceptHandler:
    return ast.ExceptHandler(_load(weaver.names.constant(error, error.__name__)), name, ast.parse(text).body)


def _substitute(body: Statements, name: str, value: str) -> None:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == name:
                node.id = value


def mark(body: Statements, step: int, value: str) -> Statements:
    """Note on each statement, unless it is another step's, which step runs there."""
    for node in body:
        if hasattr(node, "place"):
            continue  # and so is all that is in it
        node.place = (step, value)  # type: ignore[attr-defined]
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            mark(getattr(node, name, ()), step, value)  # type: ignore[arg-type]
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
