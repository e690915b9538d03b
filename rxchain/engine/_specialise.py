"""Fitting an operator's syntax to the arguments it was given: names made unique, known questions answered.

After this an operator's parts are plain statements: ``await call(fn, item)`` has become ``fn(item)`` or
``await fn(item)``, and ``if key is None`` is gone.
"""

import ast
import builtins
import copy
import inspect
import keyword
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import EnumMeta
from typing import Any, cast

from rxchain.engine._assigned import check_assigned
from rxchain.engine._call import Colour, call
from rxchain.engine._operator import Atom, StopStream
from rxchain.engine._parts import parts
from rxchain.engine._returns import without_return
from rxchain.engine._syntax import Refused, Syntax, bound_names, is_call_to

_BUILTINS = frozenset(dir(builtins))
_UNKNOWN = object()
_RESERVED = frozenset(
    "make run source items emit ended error stop stopped_at found result many_results no_result failed skipped"
    " opened close aopened aclose breathe breathe_at clock driven is_iterable iterable_parts parts".split()
)
"""Names that mean the same in every program."""
_IN_PROGRAMS = re.compile(r"(x|stage|parts)\d+")
"""Names of values, of steps that stay calls, of parts."""


@dataclass
class Part:
    """A step, start or flush, ready to be woven in: its parameter's name is ``item``."""

    item: str | None
    body: list[ast.stmt]
    rebinds_item: bool


@dataclass
class Special:
    """An operator fitted to its arguments."""

    asynchronous: bool
    reason: str | None
    """Why it stays a call; None when its parts are here."""
    prologue: list[ast.stmt] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)


class Names:
    """Hands out names that are free in the whole program, and remembers what each stands for."""

    def __init__(self, home: dict[str, Any] | None = None, used: Collection[str] = ()) -> None:
        self._taken = {*_BUILTINS, *_RESERVED, *used}
        self.home = home
        """The globals in which the program runs: those of the first operator that is a user's own."""
        self.arguments: dict[str, tuple[int, int]] = {}
        """Name -> the operator and which of its arguments it stands for."""
        self.constants: dict[str, object] = {}
        """Name -> a value that is the same for every chain of this shape."""
        self.made: dict[str, Callable[[list[Atom]], object]] = {}
        """Name -> how to get its value from the operators that a program is bound to."""
        self._captured: dict[tuple[object, ...], str] = {}

    def fresh(self, wanted: str, otherwise: str) -> str:
        wanted = wanted if wanted.isidentifier() and not keyword.iskeyword(wanted) else otherwise
        for name in (wanted, otherwise, *(f"{otherwise}_{i}" for i in range(1000))):
            if name not in self._taken and not _IN_PROGRAMS.fullmatch(name):
                self._taken.add(name)
                return name
        raise AssertionError("no free name")

    def capture(self, key: tuple[object, ...], wanted: str, get: Callable[[list[Atom]], object]) -> str:
        """A name for a value that is made when the program is bound."""
        if key not in self._captured:
            name = self._captured[key] = self.fresh(wanted, f"{wanted}_")
            self.made[name] = get
        return self._captured[key]

    def constant(self, value: object, wanted: str) -> str:
        """A name for a value that is the same for every chain of this shape."""
        key = (id(value),)
        if key not in self._captured:
            name = self._captured[key] = self.fresh(wanted, f"{wanted}_")
            self.constants[name] = value
        return self._captured[key]

    def helper(self, function: Callable[..., Any], name: str) -> str:
        """One of the names kept for what every program may call."""
        assert name in _RESERVED, name
        self.constants[name] = function
        return name


def specialise(op: Atom, index: int, names: Names) -> Special:
    """Fit *op*, the *index*-th of its chain. Its values get their names from *names*."""
    syntax = op.definition.syntax
    if syntax.reason is not None or syntax.over:
        return Special(_is_asynchronous_as_call(op), syntax.reason or "it works on the stream as a whole")
    fitting = _Fitting(op, index, names)
    try:
        special = fitting.fit(syntax)
    except Refused as refusal:
        return Special(_is_asynchronous_as_call(op), str(refusal))
    return special


def _is_asynchronous_as_call(op: Atom) -> bool:
    syntax = op.definition.syntax
    if syntax.over:
        return True
    if syntax.parts:
        fitting = _Fitting(op, 0, Names())
        try:
            return any(_awaits(fitting.folded(part)) for part in syntax.parts.values())
        except Refused:  # pragma: no cover
            return True
    stage = op.definition.open(op.values)
    made = [stage.step, stage.start, stage.flush]
    return any(inspect.isasyncgenfunction(part) for part in made)


def _awaits(nodes: list[ast.stmt]) -> bool:
    for statement in nodes:
        for node in ast.walk(statement):
            if isinstance(node, (ast.Await, ast.AsyncWith)):
                return True
            if isinstance(node, ast.AsyncFor) and getattr(node, "parts_of", None) in (None, Colour.ASYNC_GENERATOR):
                return True
            if isinstance(node, ast.comprehension) and node.is_async:
                return True
    return False


class _Fitting:
    def __init__(self, op: Atom, index: int, names: Names) -> None:
        self.op, self.index, self.names = op, index, names
        self.factory = op.definition.factory
        self.tags = dict(zip(op.definition.parameters, op.shape.tags))
        syntax = op.definition.syntax
        self.assigned: set[str] = set()
        for node in syntax.prologue:
            bound, _ = bound_names(ast.FunctionDef("_", _NO_ARGUMENTS, [node], []))
            self.assigned |= bound
        for part in syntax.parts.values():
            self.assigned |= bound_names(part)[1]
        self.prefix = f"{op.definition.name}{index}_"
        self.outer: dict[str, str] = {}

    def fit(self, syntax: Syntax) -> Special:
        names, op = self.names, self.op
        prologue: list[ast.stmt] = []
        copies: list[ast.stmt] = []
        for i, parameter in enumerate(op.definition.parameters):
            tag = self.tags[parameter]
            wanted = tag[1] if isinstance(tag, tuple) and len(tag) == 2 and isinstance(tag[1], str) else ""
            bound = names.fresh(wanted, f"{self.prefix}{parameter}")
            names.arguments[bound] = (self.index, i)
            if parameter in self.assigned:
                state = names.fresh("", f"{self.prefix}{parameter}")
                copies.append(ast.Assign([ast.Name(state, ast.Store())], ast.Name(bound, ast.Load())))
                bound = state
            self.outer[parameter] = bound
        for name in sorted(self.assigned - set(self.outer)):
            self.outer[name] = names.fresh("", f"{self.prefix}{name}")
        parts_ = {role: self.folded(part) for role, part in syntax.parts.items()}
        asynchronous = any(_awaits(body) for body in parts_.values())
        fitted: dict[str, Part] = {}
        for role, part in syntax.parts.items():
            local, _ = bound_names(part)
            plain = [*part.args.posonlyargs, *part.args.args]
            item = plain[0].arg if plain else None
            scope = dict(self.outer)
            for name in sorted(local):
                scope[name] = names.fresh("", f"{self.prefix}{name}")
            renamer = _Rename(self, scope)
            body = [renamer.visit(node) for node in parts_[role] if not isinstance(node, ast.Nonlocal)]
            without_item = ast.FunctionDef("_", _NO_ARGUMENTS, part.body, [])
            rebinds = item is not None and item in bound_names(without_item)[0]
            body = [n for n in body if n is not None]
            own = frozenset(scope[name] for name in local)
            check_assigned(body, own, frozenset({scope[item]} if item else ()))
            body, _ = without_return(body)
            fitted[role] = Part(scope[item] if item else None, body, rebinds)
        renamer = _Rename(self, self.outer)
        prologue = [renamer.visit(copy.deepcopy(node)) for node in syntax.prologue]
        return Special(asynchronous, None, copies + [n for n in prologue if n is not None], fitted)

    def folded(self, part: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
        fold = _Fold(self, bound_names(part)[0])
        body: list[ast.stmt] = []
        for node in part.body:
            made = fold.visit(copy.deepcopy(node))
            body += made if isinstance(made, list) else [made] if made is not None else []
        return body

    def static(self, node: ast.expr, hidden: set[str]) -> object:
        """What *node* is known to be, whatever the item; ``_UNKNOWN`` if it isn't."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id=name) if name in self.tags and name not in self.assigned and name not in hidden:
                tag = self.tags[name]
                return tag[0] if isinstance(tag, tuple) and len(tag) == 1 else _NotNone if tag is not None else _Value
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name not in self.tags and name not in hidden:
                owner = self.factory.__globals__.get(name)
                return getattr(owner, attribute, _UNKNOWN) if isinstance(owner, EnumMeta) else _UNKNOWN
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as how], comparators=[right]):
                a, b = self.static(left, hidden), self.static(right, hidden)
                if a is _UNKNOWN or b is _UNKNOWN:
                    return _UNKNOWN
                if _Value in (a, b) or _NotNone in (a, b):
                    # a value that is no None, bool or enum member, or a function: never one of those
                    if a is b:
                        return _UNKNOWN
                    return isinstance(how, ast.IsNot)
                return (a is b) == isinstance(how, ast.Is)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                value = self.static(operand, hidden)
                return not value if isinstance(value, bool) else _UNKNOWN
        return _UNKNOWN


class _NotNone:
    """A function: surely not None."""


class _Value:
    """Some value that is surely no None, bool or enum member."""


_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


def is_ours(module: dict[str, Any]) -> bool:
    return str(module.get("__name__", "")).partition(".")[0] == "rxchain"


class _Fold(ast.NodeTransformer):
    """Answer what is known, and turn `await call(fn, ...)` into a plain or an awaited call."""

    def __init__(self, fitting: _Fitting, hidden: set[str]) -> None:
        self.fitting, self.hidden = fitting, hidden

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def _colour(self, node: ast.AST) -> Colour | None:
        """The colour of the function that *node*, ``call(fn, ...)``, calls; None if it is no such call."""
        if not is_call_to(node, call, self.fitting.factory):
            return None
        assert isinstance(node, ast.Call)
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Name) and first.id not in self.hidden and first.id not in self.fitting.assigned:
            tag = self.fitting.tags.get(first.id)
            if isinstance(tag, tuple) and len(tag) == 2:
                return cast(Colour, tag[0])
        return None

    def visit_Await(self, node: ast.Await) -> ast.AST:
        made_by = self._colour(node.value)
        if made_by is None:
            return self.generic_visit(node)
        called = cast(ast.Call, node.value)
        plain = ast.Call(called.args[0], [self.visit(a) for a in called.args[1:]], called.keywords)
        return ast.copy_location(ast.Await(plain) if made_by is Colour.ASYNC else plain, node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        made_by: Colour | None = None
        of_parts = is_call_to(node.iter, parts, self.fitting.factory)
        if of_parts:
            argument = cast(ast.Call, node.iter).args[0]
            if isinstance(argument, ast.Await):
                made_by = self._colour(argument.value)
        self.generic_visit(node)
        if of_parts:
            node.iter = cast(ast.Call, node.iter).args[0]
            node.parts_of = made_by or Colour.SYNC  # type: ignore[attr-defined]
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        test = self.visit(node.test)
        known = self.fitting.static(test, self.hidden)
        if isinstance(known, bool):
            chosen = node.body if known else node.orelse
            made: list[ast.stmt] = []
            for statement in chosen:
                result = self.visit(statement)
                made += result if isinstance(result, list) else [result]
            return made
        node.test = test
        node.body = self._statements(node.body) or [ast.Pass()]
        node.orelse = self._statements(node.orelse)
        return node

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in body:
            result = self.visit(statement)
            made += result if isinstance(result, list) else [result]
        return made

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test = self.visit(node.test)
        known = self.fitting.static(test, self.hidden)
        if isinstance(known, bool):
            return cast(ast.AST, self.visit(node.body if known else node.orelse))
        node.test = test
        node.body = self.visit(node.body)
        node.orelse = self.visit(node.orelse)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        deciding = isinstance(node.op, ast.Or)  # `True or ...`, `False and ...`
        values: list[ast.expr] = []
        for value in node.values:
            made = self.visit(value)
            known = self.fitting.static(made, self.hidden)
            if known is deciding:
                values.append(ast.Constant(deciding))
                break
            if not isinstance(known, bool) or value is node.values[-1]:
                values.append(made)
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        known = self.fitting.static(node, self.hidden)
        return ast.Constant(known) if isinstance(known, bool) else node


class _Rename(ast.NodeTransformer):
    """Give every name its own in the program; leave no way to see the difference."""

    def __init__(self, fitting: _Fitting, scope: dict[str, str]) -> None:
        self.fitting = fitting
        self.scopes = [scope]

    def _name(self, name: str) -> str | None:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        renamed = self._name(node.id)
        if renamed is not None:
            return ast.copy_location(ast.Name(renamed, node.ctx), node)
        return ast.copy_location(self._free(node), node)

    def _free(self, node: ast.Name) -> ast.expr:
        """A name from outside the operator: late bound where it may change, as it was."""
        name, fitting = node.id, self.fitting
        factory, names = fitting.factory, fitting.names
        if name in factory.__code__.co_freevars:
            cell = (factory.__closure__ or ())[factory.__code__.co_freevars.index(name)]
            captured = names.capture(("cell", id(cell)), f"{name}_cell", _cell(fitting.index, name))
            return ast.Attribute(ast.Name(captured, ast.Load()), "cell_contents", node.ctx)
        module = factory.__globals__
        if module is names.home and name not in _RESERVED and not _IN_PROGRAMS.fullmatch(name):
            return node
        if name not in module:
            if names.home is not None and name in names.home and name in _BUILTINS:
                return ast.Name(names.constant(getattr(builtins, name), f"builtin_{name}"), ast.Load())
            return node
        value = module[name]
        if is_ours(module):
            if value is StopStream:
                return ast.Name(names.constant(value, "StopStream"), ast.Load())
            return ast.Name(names.constant(value, name), ast.Load())
        captured = names.constant(module, "its_globals")
        return ast.Subscript(ast.Name(captured, ast.Load()), ast.Constant(name), node.ctx)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([self.visit(node.target)], self.visit(node.value)), node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self._name(node.name) or node.name
        return self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> ast.AST:
        if node.name:
            node.name = self._name(node.name) or node.name
        return self.generic_visit(node)

    visit_MatchStar = visit_MatchAs  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        if node.rest:
            node.rest = self._name(node.rest) or node.rest
        return self.generic_visit(node)

    def _nested(self, bound: set[str]) -> dict[str, str]:
        return {name: self._name(name) or self.fitting.prefix + name for name in bound}

    def _visit_comprehension(self, node: Any) -> ast.AST:
        first = self.visit(node.generators[0].iter)  # runs in the enclosing scope
        bound = {
            n.id
            for g in node.generators
            for n in ast.walk(g.target)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        self.scopes.append(self._nested(bound))
        node.generators[0].iter = ast.Constant(None)
        self.generic_visit(node)
        self.scopes.pop()
        node.generators[0].iter = first
        return cast(ast.AST, node)

    visit_ListComp = visit_SetComp = visit_DictComp = _visit_comprehension  # noqa: N815


def _cell(index: int, name: str) -> Callable[[list[Atom]], object]:
    def get(operators: list[Atom]) -> object:
        factory = operators[index].definition.factory
        return (factory.__closure__ or ())[factory.__code__.co_freevars.index(name)]

    return get
