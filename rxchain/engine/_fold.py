"""Answering what is known of an operator before any item comes: the colour of its functions, what is None.

After this ``await call(fn, item)`` is ``fn(item)`` or ``await fn(item)``, and ``if key is None`` is gone. It is done
once for each shape; names are still the operator's own.
"""

import ast
import inspect
from dataclasses import dataclass, field
from enum import Enum, EnumMeta
from typing import cast

from rxchain.engine._assigned import check_assigned, check_state
from rxchain.engine._call import Colour, call
from rxchain.engine._effects import effects
from rxchain.engine._operator import Atom
from rxchain.engine._parts import parts
from rxchain.engine._returns import without_return
from rxchain.engine._syntax import FunctionNode, Refused, bound_in, bound_names, copied, is_call_to, local_names
from rxchain.errors import CompositionError

_UNKNOWN = object()


@dataclass
class FoldedPart:
    """A step, start or flush with plain statements: nothing in it returns, nothing asks what is known."""

    item: str | None
    local: frozenset[str]
    body: list[ast.stmt]
    rebinds_item: bool


@dataclass
class Folded:
    """An operator of one shape."""

    asynchronous: bool
    reason: str | None = None
    """Why it stays a call; None when its parts are here."""
    parts: dict[str, FoldedPart] = field(default_factory=dict)
    assigned: frozenset[str] = frozenset()
    """The variables of its outer function that it assigns: the state of a subscription."""
    undoes: bool = False
    """Whether it does what may have to be taken back."""


def folded(op: Atom) -> Folded:
    """Fold *op*, or find what an operator of its shape was folded to."""
    found: Folded | None = op.shape.folded
    if found is None:
        found = op.shape.folded = _fold(op)
    return found


def _fold(op: Atom) -> Folded:
    syntax = op.definition.syntax
    if syntax.over:
        return Folded(True, "it works on the stream as a whole")
    if not syntax.parts:
        stage = op.definition.open(op.values)
        made = (stage.step, stage.start, stage.flush)
        return Folded(any(inspect.isasyncgenfunction(part) for part in made), syntax.reason)
    known = _Known(op)
    bodies = {role: known.fold(part) for role, part in syntax.parts.items()}
    undoing = {role for role, body in bodies.items() for s in body for n in ast.walk(s) if hasattr(n, "of_the_item")}
    if undoing - {"step"}:
        raise CompositionError(f"{op.name}: effects() are those of an item: it is for the step, not for start or flush")
    undoes = bool(undoing)
    awaits = undoes or any(_awaits(body) for body in bodies.values())
    result = Folded(awaits, syntax.reason, assigned=known.assigned, undoes=undoes)
    if syntax.reason is not None:
        return result
    try:
        read = {n.id for part in syntax.parts.values() for n in ast.walk(part) if isinstance(n, ast.Name)}
        check_state(syntax.prologue, known.assigned & read, frozenset(known.tags))
        for role, part in syntax.parts.items():
            result.parts[role] = _part(part, bodies[role])
    except Refused as refusal:
        result.reason = str(refusal)
    return result


def _part(part: FunctionNode, body: list[ast.stmt]) -> FoldedPart:
    local = frozenset(bound_names(part)[0])
    plain = [*part.args.posonlyargs, *part.args.args]
    item = plain[0].arg if plain else None
    body = [node for node in body if not isinstance(node, ast.Nonlocal)]
    check_assigned(body, local, frozenset({item} if item else ()))
    body, _ = without_return(body)
    return FoldedPart(item, local, body, item is not None and item in bound_in(part.body)[0])


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


class _Known:
    """What is known of an operator's arguments, from its shape."""

    def __init__(self, op: Atom) -> None:
        syntax = op.definition.syntax
        self.factory = op.definition.factory
        self.tags = dict(zip(op.definition.parameters, op.shape.tags))
        assigned = bound_in(syntax.prologue)[0]
        for part in syntax.parts.values():
            assigned |= bound_names(part)[1]
        self.assigned = frozenset(assigned)

    def fold(self, part: FunctionNode) -> list[ast.stmt]:
        """The part's statements, folded."""
        hidden = bound_names(part)[0]
        for node in ast.walk(part):
            if isinstance(node, ast.comprehension):
                hidden |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
        return _Fold(self, hidden).statements([copied(node) for node in part.body])

    def static(self, node: ast.expr, hidden: set[str]) -> object:
        """What *node* is known to be, whatever the item; ``_UNKNOWN`` if it isn't."""
        match node:
            case ast.Constant(value=None | bool() as constant):
                return constant
            case ast.Name(id=name) if name in self.tags and name not in self.assigned and name not in hidden:
                tag = self.tags[name]
                return tag[0] if isinstance(tag, tuple) and len(tag) != 2 else _NotNone if tag is not None else _Value
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name not in local_names(
                self.factory.__code__
            ):
                owner = self.factory.__globals__.get(name)
                member = getattr(owner, attribute, None) if isinstance(owner, EnumMeta) else None
                return member if isinstance(member, Enum) else _UNKNOWN
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


class _Fold(ast.NodeTransformer):
    """Answer what is known, and turn `await call(fn, ...)` into a plain or an awaited call."""

    def __init__(self, known: _Known, hidden: set[str]) -> None:
        self.known, self.hidden = known, hidden

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def _colour(self, node: ast.AST) -> Colour | None:
        """The colour of the function that *node*, ``call(fn, ...)``, calls; None if it is no such call."""
        if not is_call_to(node, call, self.known.factory):
            return None
        assert isinstance(node, ast.Call)
        if node.keywords:
            return None  # a mistake: `call` takes none
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Name) and first.id not in self.hidden and first.id not in self.known.assigned:
            tag = self.known.tags.get(first.id)
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

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not is_call_to(node, effects, self.known.factory):
            return self.generic_visit(node)
        name = ast.Name("effects", ast.Load())
        name.of_the_item = True  # type: ignore[attr-defined]
        return ast.copy_location(name, node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        made_by: Colour | None = None
        of_parts = is_call_to(node.iter, parts, self.known.factory)
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
        known = self.known.static(test, self.hidden)
        if isinstance(known, bool):
            chosen = node.body if known else node.orelse
            made: list[ast.stmt] = []
            for statement in chosen:
                result = self.visit(statement)
                made += result if isinstance(result, list) else [result]
            return made
        node.test = test
        node.body = self.statements(node.body)
        node.orelse = self.statements(node.orelse)
        if not node.body and node.orelse:
            negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
            node.test = test.operand if negated else ast.UnaryOp(ast.Not(), test)
            node.body, node.orelse = node.orelse, []
        node.body = node.body or [ast.Pass()]
        return node

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in body:
            result = self.visit(statement)
            made += result if isinstance(result, list) else [result]
        return made

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test = self.visit(node.test)
        known = self.known.static(test, self.hidden)
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
            known = self.known.static(made, self.hidden)
            if known is deciding:
                values.append(ast.Constant(deciding))
                break
            if not isinstance(known, bool) or value is node.values[-1]:
                values.append(made)
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        known = self.known.static(node, self.hidden)
        return ast.Constant(known) if isinstance(known, bool) else node
