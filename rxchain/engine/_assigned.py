"""Whether a step surely assigns each of its variables before it reads it.

A generator has fresh variables for each item; inlined, they would still hold what the item before left there. A step
that may read one before assigning it (an error, in most cases) therefore stays a call.
"""

import ast

from rxchain.engine._syntax import Refused


def check_assigned(body: list[ast.stmt], names: frozenset[str], given: frozenset[str]) -> None:
    """Refuse *body* if one of its own *names* may be read before it is assigned; *given* are from the start."""
    _Flow(names).statements(body, given)


def check_state(prologue: list[ast.stmt], state: frozenset[str], given: frozenset[str]) -> None:
    """Refuse a *prologue* that may leave some of *state*, which the steps read, unassigned."""
    have = _Flow(state).statements(prologue, given)
    if have is not None and not state <= have:
        raise Refused(f"{sorted(state - have)[0]} may be read before it is assigned")


class _Flow:
    """Follows the statements; None stands for "nothing goes on from here"."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def statements(self, body: list[ast.stmt], have: frozenset[str] | None) -> frozenset[str] | None:
        for node in body:
            if have is None:
                return None
            have = self.statement(node, have)
        return have

    def statement(self, node: ast.stmt, have: frozenset[str]) -> frozenset[str] | None:
        match node:
            case ast.If():
                have = self.reads(node.test, have)
                return _both(self.statements(node.body, have), self.statements(node.orelse, have))
            case ast.For() | ast.AsyncFor():
                have = self.reads(node.iter, have)
                self.statements(node.body, self.writes(node.target, have))
                self.statements(node.orelse, have)
                return have
            case ast.While():
                have = self.reads(node.test, have)
                self.statements(node.body, have)
                self.statements(node.orelse, have)
                return have
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    have = self.reads(item.context_expr, have)
                    have = self.writes(item.optional_vars, have) if item.optional_vars else have
                self.statements(node.body, have)
                return have  # the context may have swallowed an error at any place
            case ast.Try():
                after = self.statements(node.body, have)
                after = self.statements(node.orelse, after) if after is not None else None
                for handler in node.handlers:
                    inside = have | {handler.name} if handler.name else have
                    handled = self.statements(handler.body, inside)
                    after = _both(after, handled - {handler.name} if handled is not None and handler.name else handled)
                self.statements(node.finalbody, have)
                return after
            case ast.Match():
                have = self.reads(node.subject, have)
                after = have
                for case in node.cases:
                    captured = {n.name for n in ast.walk(case.pattern) if isinstance(n, (ast.MatchAs, ast.MatchStar))}
                    captured |= {n.rest for n in ast.walk(case.pattern) if isinstance(n, ast.MatchMapping)}
                    inside = have | {name for name in captured if name}
                    self.statements(case.body, self.reads(case.guard, inside) if case.guard else inside)
                return after
            case ast.Assign():
                have = self.reads(node.value, have)
                for target in node.targets:
                    have = self.writes(target, have)
                return have
            case ast.AnnAssign():
                return self.writes(node.target, self.reads(node.value, have)) if node.value else have
            case ast.AugAssign():
                if isinstance(node.target, ast.Name):
                    self.read(node.target.id, have)
                else:
                    self.reads(node.target, have)
                return self.reads(node.value, have)
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                self.reads(node, have)
                return None
            case ast.Delete():
                self.reads(node, have)
                return have - {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        return self.reads(node, have)

    def writes(self, target: ast.AST, have: frozenset[str]) -> frozenset[str]:
        """After an assignment to *target*, which may read too: ``kept[key] = ...``."""
        self.reads(target, have)
        return have | {n.id for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}

    def reads(self, node: ast.AST, have: frozenset[str]) -> frozenset[str]:
        """Check all that *node* reads, an expression or a simple statement; returns what is assigned after it."""
        bound: set[str] = set()
        for comprehension in ast.walk(node):
            if isinstance(comprehension, ast.comprehension):
                bound |= {n.id for n in ast.walk(comprehension.target) if isinstance(n, ast.Name)}
        if bound & self.names:
            raise Refused(f"a comprehension uses a name of its own twice: {sorted(bound & self.names)[0]}")
        first = _first_evaluated(node)
        if first is not None:
            have = self.reads(first.value, have) | {first.target.id}
        for name in ast.walk(node):
            if isinstance(name, ast.Name) and isinstance(name.ctx, (ast.Load, ast.Del)):
                self.read(name.id, have)
        return have

    def read(self, name: str, have: frozenset[str]) -> None:
        if name in self.names and name not in have:
            raise Refused(f"{name} may be read before it is assigned")


def _first_evaluated(node: ast.AST) -> ast.NamedExpr | None:
    """The ``:=`` that *node* evaluates before anything else, if there is one."""
    first: ast.AST | None = node
    while first is not None and not isinstance(first, ast.NamedExpr):
        match first:
            case ast.Compare(left=inner) | ast.BoolOp(values=[inner, *_]) | ast.UnaryOp(operand=inner):
                first = inner
            case _:
                first = None
    return first


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
