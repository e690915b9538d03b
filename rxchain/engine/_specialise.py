"""Fitting an operator into a program: every name in it becomes one that means the same thing there."""

import ast
import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from rxchain.engine._fold import Folded, folded
from rxchain.engine._names import BUILTINS, IN_PROGRAMS, RESERVED, Names
from rxchain.engine._operator import Atom, StopStream
from rxchain.engine._syntax import Refused, copied


@dataclass
class Part:
    """A step, start or flush, ready to be woven in: its parameter's name is ``item``."""

    item: str | None
    body: list[ast.stmt]
    rebinds_item: bool


@dataclass
class Special:
    """An operator fitted to its arguments."""

    reason: str | None
    """Why it stays a call; None when its parts are here."""
    prologue: list[ast.stmt] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)


def specialise(op: Atom, index: int, names: Names) -> Special:
    """Fit *op*, the *index*-th of its chain. Its values get their names from *names*."""
    fold = folded(op)
    if fold.reason is not None:
        return Special(fold.reason)
    try:
        return _fitted(op, fold, index, names)
    except Refused as refusal:
        return Special(str(refusal))


def _fitted(op: Atom, fold: Folded, index: int, names: Names) -> Special:
    prefix = f"{op.definition.name}{index}_"
    outer: dict[str, str] = {}
    prologue: list[ast.stmt] = []
    for i, (parameter, tag) in enumerate(zip(op.definition.parameters, op.shape.tags)):
        wanted = str(tag[1]) if isinstance(tag, tuple) and len(tag) == 2 else ""
        bound = names.fresh(wanted, f"{prefix}{parameter}")
        names.arguments[bound] = (index, i)
        if parameter in fold.assigned:
            state = names.fresh("", f"{prefix}{parameter}")
            prologue.append(ast.Assign([ast.Name(state, ast.Store())], ast.Name(bound, ast.Load())))
            bound = state
        outer[parameter] = bound
    for name in sorted(fold.assigned - set(outer)):
        outer[name] = names.fresh("", f"{prefix}{name}")
    parts: dict[str, Part] = {}
    for role, part in fold.parts.items():
        scope = dict(outer)
        for name in sorted(part.local):
            scope[name] = names.fresh("", f"{prefix}{name}")
        body = _renamed(part.body, op, index, names, scope)
        parts[role] = Part(scope[part.item] if part.item else None, body, part.rebinds_item)
    prologue += _renamed(op.definition.syntax.prologue, op, index, names, outer)
    return Special(None, prologue, parts)


def _renamed(body: list[ast.stmt], op: Atom, index: int, names: Names, scope: dict[str, str]) -> list[ast.stmt]:
    renamer = _Rename(op, index, names, scope)
    kept = [node for node in body if not (isinstance(node, ast.AnnAssign) and node.value is None)]
    return [renamer.visit(copied(node)) for node in kept]


def is_ours(module: dict[str, Any]) -> bool:
    return str(module.get("__name__", "")).partition(".")[0] == "rxchain"


class _Rename(ast.NodeTransformer):
    """Give every name its own in the program; leave no way to see the difference."""

    def __init__(self, op: Atom, index: int, names: Names, scope: dict[str, str]) -> None:
        self.factory, self.index, self.names = op.definition.factory, index, names
        self.prefix = f"{op.definition.name}{index}_"
        self.scopes = [scope]
        self.inner: dict[str, str] = {}
        """The names that only comprehensions bind."""

    def _name(self, name: str) -> str | None:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if hasattr(node, "of_the_item"):
            return node
        renamed = self._name(node.id)
        if renamed is not None:
            return ast.copy_location(ast.Name(renamed, node.ctx), node)
        return ast.copy_location(self._free(node), node)

    def _free(self, node: ast.Name) -> ast.expr:
        """A name from outside the operator: late bound where it may change, as it was."""
        name, factory, names = node.id, self.factory, self.names
        if name in factory.__code__.co_freevars:
            cell = (factory.__closure__ or ())[factory.__code__.co_freevars.index(name)]
            captured = names.capture(("cell", id(cell)), f"{name}_cell", _cell(self.index, name))
            return ast.Attribute(ast.Name(captured, ast.Load()), "cell_contents", node.ctx)
        module = factory.__globals__
        plain = name not in RESERVED and not IN_PROGRAMS.fullmatch(name)
        if module is names.home and plain:
            return node
        if name not in module:
            if names.home is not None and name in names.home and name in BUILTINS:
                return ast.Name(names.constant(getattr(builtins, name), f"builtin_{name}"), ast.Load())
            if name not in BUILTINS:
                raise Refused(f"{name} is not defined where it was written")
            return node
        value = module[name]
        if is_ours(module):
            if value is StopStream:
                return ast.Name(names.constant(value, "StopStream"), ast.Load())
            return ast.Name(names.constant(value, name), ast.Load())
        captured = names.constant(module, "its_globals")
        return ast.Subscript(ast.Name(captured, ast.Load()), ast.Constant(name), node.ctx)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([self.visit(node.target)], self.visit(node.value)), node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

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
        for name in bound:
            if self._name(name) is None and name not in self.inner:
                self.inner[name] = self.names.fresh("", self.prefix + name)
        return {name: self._name(name) or self.inner[name] for name in bound}

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
