"""The layers: a module imports from those below it, never from above; and the public names say what they are."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import rxchain
import rxchain.operators
from rxchain.engine import Atom

PACKAGE = Path(rxchain.__file__).parent
LAYERS = [
    {"types", "errors", "_version"},
    {"engine"},
    {"operators", "policies"},
    {"runners", "connectors", "journal", "observe", "schedulers", "streams", "queues"},
    {"chain", "node", "graph", "manager", "timing"},
    {"cli", "dashboard", "notebook", "contrib", "testing", "demo", "__main__"},
]
"""From the ground up; the names of docs/architecture.md."""
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
SURFACE = len(LAYERS) - 1
SIDE_BY_SIDE = {"connectors"}
"""Packages whose modules never import one another."""


def modules() -> Iterator[tuple[str, Path]]:
    """Each module of the package, by name; the operators' too, where they stand beside it."""
    folders = {"rxchain": PACKAGE, "rxchain.operators": Path(rxchain.operators.__path__[0])}
    seen = set()
    for prefix, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([prefix, *(part for part in parts if part != "__init__")])
            if name not in seen:
                seen.add(name)
                yield name, path


def imports(tree: ast.AST, name: str, package: bool) -> Iterator[tuple[str, bool]]:
    """What a module imports, and whether as soon as it is imported itself; what only type checkers see is left out."""

    def walk(node: ast.AST, eager: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.orelse:
                yield from walk(statement, eager)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + package]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            # `from rxchain import operators` imports a module of that name where there is one
            yield from ((f"{base}.{alias.name}" if base == "rxchain" else base, eager) for alias in node.names)
        inside = eager and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(tree, True)


def layer_of(name: str) -> str | None:
    """``engine`` for ``rxchain.engine._weave``; None for the package's own ``__init__``, the face of it all."""
    inner = name.split(".")[1:]
    return inner[0] if inner and inner[0] in HEIGHT else None


MODULES = list(modules())


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_a_module_imports_downwards_only(name: str, path: Path) -> None:
    if name == "rxchain":
        return
    mine = layer_of(name)
    assert mine is not None, f"{name} has no place in LAYERS: give it one, and in docs/architecture.md"
    wrong = []
    for imported, _ in imports(ast.parse(path.read_text(encoding="utf-8")), name, path.name == "__init__.py"):
        if imported.split(".")[0] != "rxchain":
            continue
        theirs = layer_of(imported)
        if theirs is None:
            # The package itself: its public names, for those that live on them as users do.
            if HEIGHT[mine] < SURFACE:
                wrong.append(f"{imported}: the face of the package, which imports this")
        elif HEIGHT[theirs] > HEIGHT[mine]:
            wrong.append(f"{imported}: above it")
        elif mine in SIDE_BY_SIDE and imported.split(".")[1:3] != name.split(".")[1:3]:
            wrong.append(f"{imported}: beside it")
    assert wrong == []


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_the_engine_and_the_operators_import_nothing_but_the_standard_library(name: str, path: Path) -> None:
    if layer_of(name) not in ("types", "errors", "engine", "operators", "policies"):
        return
    imported = {
        i.split(".")[0] for i, _ in imports(ast.parse(path.read_text("utf-8")), name, path.name == "__init__.py")
    }
    assert imported - set(sys.stdlib_module_names) - {"rxchain"} == set()


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after *statement*."""
    ask = f"{statement}; import sys; print(*sys.modules)"
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_rxchain_loads_no_other_library() -> None:
    others = {"reactivex", "aioreactive", "click", "rich", "loguru", "expression"}
    assert loaded_by("import rxchain, rxchain.operators") & others == set()


def test_importing_rxchain_loads_nothing_that_a_plain_chain_does_not_need() -> None:
    later = {
        f"rxchain.{name}" for name in ("graph", "manager", "policies", "queues", "schedulers", "streams", "timing")
    }
    assert loaded_by("from rxchain import Chain, ChainNode, node, operators") & later == set()


def public(module: str) -> Iterator[tuple[str, Any]]:
    found = importlib.import_module(module)
    yield from ((name, getattr(found, name)) for name in found.__all__)


PUBLIC = [(f"{m}.{n}", v) for m in ("rxchain", "rxchain.operators", "rxchain.engine") for n, v in public(m)]


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_a_public_name_says_what_it_is(name: str, value: Any) -> None:
    if not callable(value) or not isinstance(getattr(value, "__module__", None), str):
        return
    if getattr(value, "__module__", "").startswith("rxchain"):
        doc = getattr(value, "__doc__", None)
        assert doc, f"{name} has no docstring"
        assert not doc.startswith(f"{getattr(value, '__name__', '')}("), (
            f"{name} has only the docstring that dataclass makes"
        )


def functions_of(value: Any) -> Iterator[FunctionType]:
    """The functions behind a public name: itself, or the methods that its class defines."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, FunctionType):
        yield value
    elif inspect.isclass(value) and value.__module__.startswith("rxchain"):
        for name, member in vars(value).items():
            plain = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if isinstance(plain, FunctionType) and (not name.startswith("_") or name == "__init__"):
                yield plain


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_a_public_name_is_typed_to_the_end(name: str, value: Any) -> None:
    for function in functions_of(value):
        if not function.__module__.startswith("rxchain") or "<" in function.__code__.co_filename:
            continue  # what dataclass and enum write themselves
        signature = inspect.signature(function)
        untyped = [
            parameter.name
            for i, parameter in enumerate(signature.parameters.values())
            if parameter.annotation is parameter.empty and not (i == 0 and parameter.name in ("self", "cls"))
        ]
        assert untyped == [], f"{name}: {function.__qualname__}"
        assert signature.return_annotation is not signature.empty, f"{name}: {function.__qualname__}"


def test_the_names_that_a_package_gives_are_in_order_and_there() -> None:
    for module in (rxchain, rxchain.operators):
        names = list(module.__all__)
        assert len(names) == len(set(names))
        assert all(hasattr(module, name) for name in names)
    assert issubclass(rxchain.ChainNode, Atom)
