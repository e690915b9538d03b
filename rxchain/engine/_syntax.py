"""Reading an operator's source: what its parts are, and whether the compiler can take them.

Nothing is decided here about a particular chain. A step the compiler does not take stays a call, and ``reason`` says
why.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, TypeAlias, TypeVar

Node = TypeVar("Node", bound=ast.AST)
FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PARTS = ("step", "start", "flush")
# A closure would see the next item's variables, where the generator gave each item its own.
_CAPTURING = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.GeneratorExp)
_REFUSED: tuple[type[ast.stmt], ...] = (ast.ClassDef, ast.Import, ast.ImportFrom, ast.Global)
_REFUSED += (getattr(ast, "TypeAlias", ast.Global),)  # 3.12: its value is a closure
_FRAME_READERS = frozenset({"locals", "vars", "globals", "eval", "exec", "dir", "super", "__class__"})


class Refused(Exception):
    """The compiler does not take this; the step stays a call."""


@dataclass
class Syntax:
    """An operator, read."""

    reason: str | None = None
    mistake: str | None = None
    """Why it is no operator at all."""
    over: bool = False
    functions: dict[str, int] = field(default_factory=dict)
    """Its parameters that are functions, with the number of arguments they are called with (-1: it varies)."""
    guard: Callable[..., object] | None = None
    """The ``if ...: raise`` at its top, to be run when the operator is called."""
    prologue: list[ast.stmt] = field(default_factory=list)
    parts: dict[str, FunctionNode] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    """All names that stand in it."""


def read(factory: FunctionType, call: object) -> Syntax:
    """Read *factory*; *call* is the function by which operators call what they were given."""
    try:
        lines = inspect.getsource(factory.__code__)  # not of what it wraps
        outer = ast.parse(textwrap.dedent(lines)).body[0]
    except (OSError, SyntaxError, TypeError, IndexError):
        return Syntax(reason="its source is not available")
    if not isinstance(outer, ast.FunctionDef):
        return Syntax(reason="it is not a plain function")
    if not _is_source_of(outer, factory):
        return Syntax(reason="its source has changed since it was imported")
    syntax = Syntax(functions=_functions(outer, factory, call))
    syntax.names = frozenset(node.id for node in ast.walk(outer) if isinstance(node, ast.Name))
    try:
        _read_body(outer, factory, syntax)
    except Refused as refusal:
        syntax.reason = str(refusal)
    return syntax


def _is_source_of(outer: ast.FunctionDef, factory: FunctionType) -> bool:
    """Whether *factory* was made of *outer*, as far as the names tell: a file may be edited while a program runs."""
    code, arguments = factory.__code__, outer.args
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    own = {f"_{name.lstrip('_')}" for name in factory.__qualname__.split(".")}  # a class changes `__name`
    expected = [a.arg for a in (*plain, arguments.vararg, arguments.kwarg) if a is not None]
    found = code.co_varnames[: len(expected)]
    mangled = {f"{prefix}{name}" for prefix in own for name in expected}
    same = all(a == b or b in mangled for a, b in zip(expected, found))
    return outer.name == code.co_name == factory.__name__ and len(found) == len(expected) and same


def _functions(outer: ast.FunctionDef, factory: FunctionType, call: object) -> dict[str, int]:
    parameters = set(inspect.signature(factory).parameters)
    found: dict[str, int] = {}
    for node in ast.walk(outer):
        if is_call_to(node, call, factory) and isinstance(node, ast.Call) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Name) and first.id in parameters:
                fixed = not node.keywords and not any(isinstance(a, ast.Starred) for a in node.args)
                arity = len(node.args) - 1 if fixed else -1
                found[first.id] = arity if found.get(first.id, arity) == arity else -1
    return found


def is_call_to(node: ast.AST, target: object, factory: FunctionType) -> bool:
    """Whether *node* calls *target* by a name that means it where *factory* was written."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and factory.__globals__.get(node.func.id) is target
        and node.func.id not in local_names(factory.__code__)
    )


@functools.cache
def local_names(code: CodeType) -> frozenset[str]:
    """The names that mean something of their own anywhere in a function, and not a global."""
    inner = [local_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return frozenset((*code.co_varnames, *code.co_cellvars, *code.co_freevars)).union(*inner)


def _read_body(outer: ast.FunctionDef, factory: FunctionType, syntax: Syntax) -> None:
    body = list(outer.body)
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        del body[0]  # the docstring
    guards: list[ast.stmt] = []
    while body and _is_guard(body[0]):
        guards.append(body.pop(0))
    syntax.guard = _compile_guard(guards, outer, factory)
    if syntax.guard is None:
        body[:0] = guards  # none, or one that needs the enclosing function: checked for each subscription
    if not body or not isinstance(body[-1], ast.Return):
        raise Refused("it does not end with `return step`")
    roles = _roles(body.pop())
    defined = {node.name: node for node in body if isinstance(node, _FUNCTIONS)}
    if "over" in roles.values():
        syntax.over = True
        return
    if isinstance(outer.args.kwarg, ast.arg):
        raise Refused("it takes keyword arguments of any name")
    for role, name in roles.items():
        if name not in defined:
            raise Refused(f"its {role} is not a function defined in it")
        syntax.parts[role] = defined[name]
        if not _yields(defined[name]):
            syntax.mistake = syntax.mistake or _no_generator(name)
    for role, part in syntax.parts.items():  # when all are known: one that is refused has the others beside it
        _check_part(role, part)
    syntax.prologue = [node for node in body if node not in syntax.parts.values()]
    _check_names(outer, factory, syntax)
    for node in syntax.prologue:
        for inner in ast.walk(node):
            if isinstance(
                inner, (*_CAPTURING, *_REFUSED, ast.Nonlocal, ast.Return, ast.Yield, ast.YieldFrom, ast.Await)
            ):
                raise Refused(f"a {type(inner).__name__} in its outer function, line {getattr(inner, 'lineno', '?')}")
            if isinstance(inner, ast.Name) and (inner.id in _FRAME_READERS or inner.id in roles.values()):
                raise Refused(f"it uses {inner.id} in its outer function")


def _check_names(outer: ast.FunctionDef, factory: FunctionType, syntax: Syntax) -> None:
    """Refuse names that mean something else where the program is: those of a class, or of a function around *outer*."""
    own = bound_names(outer)[0]
    for part in syntax.parts.values():
        local, foreign = bound_names(part)
        if foreign - own:
            raise Refused(f"it assigns {sorted(foreign - own)[0]}, a variable of a function around it")
        for node in ast.walk(part):
            unbound = node.name if isinstance(node, ast.ExceptHandler) else None
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
                unbound = node.id
            if unbound is not None and unbound not in local:
                raise Refused(f"it deletes {unbound}, which is state, line {getattr(node, 'lineno', '?')}")
    if "." in factory.__qualname__:
        for node in ast.walk(outer):
            for name in (getattr(node, field, None) for field in ("id", "attr", "arg", "name")):
                if isinstance(name, str) and name.startswith("__") and not name.endswith("__"):
                    raise Refused(f"{name}, a name that is its class's own")


def _yields(part: FunctionNode) -> bool:
    """Whether *part* is a generator function; or a plain one that returns an iterator, perhaps."""
    inside: list[ast.AST] = [*part.body]
    while inside:
        node = inside.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if isinstance(node, ast.Return) and node.value is not None and isinstance(part, ast.FunctionDef):
            return True
        if not isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            inside += ast.iter_child_nodes(node)
    return False


def _no_generator(name: str) -> str:
    item = "item" if name == "step" else ""
    return (
        f"its {name} has no yield, and so is no generator\n"
        f"    def {name}({item}): ...  # incorrect\n"
        f"    def {name}({item}): yield ...  # correct; `if False: yield` where nothing is passed on"
    )


def _is_guard(node: ast.stmt) -> bool:
    """Whether *node* does nothing but raise."""
    if not isinstance(node, ast.If) or node.orelse or not isinstance(node.body[-1], ast.Raise):
        return False
    return not any(isinstance(n, (ast.NamedExpr, ast.Return)) for n in ast.walk(node))


def _roles(returned: ast.stmt) -> dict[str, str]:
    """``return step`` or ``return Stage(step, start=start, flush=flush)``: which function plays which part."""
    assert isinstance(returned, ast.Return)
    value = returned.value
    if isinstance(value, ast.Name):
        return {"step": value.id}
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Stage":
        given = [*zip(("step",), value.args), *((k.arg or "", k.value) for k in value.keywords)]
        if len(value.args) == 1 and all(isinstance(v, ast.Name) and role in _PARTS for role, v in given):
            return {role: v.id for role, v in given if isinstance(v, ast.Name)}
    raise Refused("it does not end with `return step` or `return Stage(step, start=..., flush=...)`")


def _compile_guard(
    guards: list[ast.stmt], outer: ast.FunctionDef, factory: FunctionType
) -> Callable[..., object] | None:
    free = {n.id for g in guards for n in ast.walk(g) if isinstance(n, ast.Name)} & set(factory.__code__.co_freevars)
    if not guards or free or outer.args.kwarg:
        return None
    arguments = outer.args
    names = [*arguments.posonlyargs, *arguments.args]
    names += [arguments.vararg] if arguments.vararg else []
    names += arguments.kwonlyargs
    source = ast.unparse(ast.Module([*guards], []))
    head = f"def {factory.__name__}({', '.join(a.arg for a in names)}):\n"
    scope: dict[str, Any] = {}
    exec(compile(head + textwrap.indent(source, " "), f"<rxchain guard of {factory.__name__}>", "exec"), scope)
    return FunctionType(scope[factory.__name__].__code__, factory.__globals__)


def _check_part(role: str, part: FunctionNode) -> None:
    arguments = part.args
    plain = [*arguments.posonlyargs, *arguments.args]
    if getattr(part, "type_params", None):
        raise Refused(f"its {role} has type parameters")
    if part.decorator_list or len(plain) != (role == "step"):
        raise Refused(f"its {role} is decorated or does not take {'one item' if role == 'step' else 'no argument'}")
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        raise Refused(f"its {role} takes more than plain arguments")
    inlined = {id(node) for node in inlinable_yields(part.body)}
    for node in ast.walk(part):
        if node is part:
            continue
        where = f"line {getattr(node, 'lineno', part.lineno) - part.lineno + 1} of its {role}"
        if isinstance(node, (ast.Yield, ast.YieldFrom)) and id(node) not in inlined:
            raise Refused(f"a yield inside try or with, or used as a value, {where}")
        if isinstance(node, (*_CAPTURING, *_REFUSED)):
            raise Refused(f"a {type(node).__name__}, {where}")
        if isinstance(node, ast.Name) and node.id in _FRAME_READERS:
            raise Refused(f"{node.id}, {where}")
        if isinstance(node, ast.Return) and node.value is not None:
            raise Refused(f"a return with a value, {where}")


def inlinable_yields(body: list[ast.stmt]) -> Iterator[ast.Yield | ast.YieldFrom]:
    """The yields in *body* that the rest of the chain can take the place of.

    Not those in a try's body, handlers or finally, nor in a with: there an error of the rest of the chain would be
    caught by this step, where the generator never sees it.
    """
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Yield, ast.YieldFrom)):
            yield node.value
        elif isinstance(node, (ast.If, ast.For, ast.AsyncFor, ast.While)):
            yield from inlinable_yields(node.body)
            yield from inlinable_yields(node.orelse)
        elif isinstance(node, ast.Try) and not node.finalbody:
            yield from inlinable_yields(node.orelse)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                yield from inlinable_yields(case.body)


def copied(node: Node) -> Node:
    """A copy of a syntax tree; `copy.deepcopy` takes five times as long, and a chain is compiled while a user waits."""
    new = type(node).__new__(type(node))
    for name, value in vars(node).items():
        if isinstance(value, ast.AST):
            value = copied(value)
        elif isinstance(value, list):
            value = [copied(v) if isinstance(v, ast.AST) else v for v in value]
        new.__dict__[name] = value
    return new


def bound_names(function: ast.AST) -> tuple[set[str], set[str]]:
    """The names a function binds in its own scope, and those it declares nonlocal."""
    visitor = _Bound()
    if isinstance(function, (*_FUNCTIONS, ast.Lambda)):
        arguments = function.args
        for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
            if a is not None:
                visitor.names.add(a.arg)
    body = getattr(function, "body", [])
    for node in body if isinstance(body, list) else [body]:
        visitor.visit(node)
    return visitor.names - visitor.nonlocals, visitor.nonlocals


def bound_in(body: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """The same for statements that stand in one."""
    visitor = _Bound()
    for node in body:
        visitor.visit(node)
    return visitor.names - visitor.nonlocals, visitor.nonlocals


class _Bound(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.nonlocals: set[str] = set()
        self._comprehension = 0

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) and not self._comprehension:
            self.names.add(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.names.add(node.target.id)
        self.visit(node.value)

    def visit_FunctionDef(self, node: FunctionNode) -> None:
        self.names.add(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        pass

    def _visit_comprehension(self, node: ast.AST) -> None:
        self._comprehension += 1
        self.generic_visit(node)
        self._comprehension -= 1

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.names.add(node.name)
        self.generic_visit(node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals.update(node.names)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self.names.add(node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.names.add(node.rest)
        self.generic_visit(node)
