"""Finding the chain: ``orders.py:chain``, ``shop.orders:make_chain``, or a module with one Chain in it."""

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from rxchain import Chain, CompositionError, Operator
from rxchain.cli._errors import Refusal, describe, did_you_mean, place_of
from rxchain.cli._params import call_factory

AnyChain = Chain[Any, Any]


def find_chain(target: str, params: Sequence[str] = ()) -> AnyChain:
    """Import the module that *target* names and make a chain of what it names there.

    Raises:
        Refusal: there is no such module or attribute, it cannot be imported, or it makes no chain.
    """
    where, attribute = _taken_apart(target)
    module = _load_file(where) if _is_file(where) else _load_module(where)
    if attribute:
        found = _attribute(module, where, attribute)
    else:
        attribute, found = _only_chain(module, where)
    target = f"{where}:{attribute}"
    if isinstance(found, Operator):
        if params:
            raise Refusal(f"{target} is {_kind(found)}, not a function that makes one: it takes no --param")
        return _as_chain(found)
    if not callable(found) or isinstance(found, type):
        raise Refusal(
            f"{target} is {_kind(found)}: a Chain, a node, an operator or a function that makes one is needed"
        )
    made = call_factory(found, target, params)
    if not isinstance(made, Operator):
        raise Refusal(
            f"{target} is called to make a chain, and returned {_kind(made)}:"
            f" return a Chain; or, if it is a step, put it into one: chain = Chain({attribute.rpartition('.')[2]})"
        )
    return _as_chain(made)


def _taken_apart(target: str) -> tuple[str, str]:
    """The module or file, and the attribute; empty where it was left out."""
    if target.endswith(".py"):
        return target, ""
    where, _, attribute = target.rpartition(":")
    return (where, attribute) if where else (attribute, "")


def _is_file(where: str) -> bool:
    return where.endswith(".py") or os.sep in where or "/" in where


# --- modules


def _load_file(where: str) -> ModuleType:
    path = Path(where)
    if path.is_dir():
        raise Refusal(f"{where} is a folder: name a .py file in it, or a module with dots (package.module:chain)")
    if not path.is_file():
        siblings = path.parent.glob("*.py") if path.parent.is_dir() else ()
        raise Refusal(f"there is no file {where}{did_you_mean(path.name, [p.name for p in siblings])}")
    # As `python orders.py` would: what lies beside the file can be imported.
    _importable(path.resolve().parent)
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_to_run"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise Refusal(f"{where} is no Python file: its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        hint = ""
        if "relative import" in str(error) and (path.parent / "__init__.py").exists():
            hint = f": it belongs to a package, so name it with dots: {path.resolve().parent.name}.{path.stem}"
        raise _not_imported(where, error, hint) from error
    return module


def _load_module(where: str) -> ModuleType:
    _importable(Path.cwd())
    if not all(part.isidentifier() for part in where.split(".")):
        raise Refusal(f"{where!r} is neither a .py file nor a module's name; say orders.py:chain or shop.orders:chain")
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):  # one that it imports
            raise _not_imported(where, error) from error
        raise Refusal(f"there is no module {error.name!r}{_modules_like(error.name)}") from error
    except (Exception, SystemExit) as error:
        raise _not_imported(where, error) from error


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _modules_like(name: str) -> str:
    package, _, last = name.rpartition(".")
    if not package:
        return did_you_mean(last, _names_in([str(Path.cwd())])) or f" in {Path.cwd()} or among the installed ones"
    paths = getattr(sys.modules.get(package), "__path__", None)
    return did_you_mean(last, _names_in(list(paths))) if paths is not None else f": {package!r} is no package"


def _names_in(paths: list[str]) -> Iterator[str]:
    return (found.name for found in pkgutil.iter_modules(paths))


def _not_imported(where: str, error: BaseException, hint: str = "") -> Refusal:
    if isinstance(error, CompositionError):
        return Refusal(f"{place_of(error)}: {error}")
    if isinstance(error, ModuleNotFoundError) and not hint:
        hint = f"; install it for {sys.executable}"
    if isinstance(error, SystemExit):
        hint = f" (importing {where} ended the program: is its main part not under `if __name__ == '__main__'`?)"
    return Refusal(f"{place_of(error)}: {describe(error)}{hint}")


# --- what is in them


def _attribute(module: ModuleType, where: str, attribute: str) -> object:
    found: object = module
    name = where
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [n for n in dir(found) if not n.startswith("_")]
            hint = did_you_mean(part, public) or f"; it has {_listed(found, public)}"
            raise Refusal(f"{name} has no {part!r}{hint}") from None
        name += f":{part}" if found is not module and ":" not in name else f".{part}"
    return found


def _only_chain(module: ModuleType, where: str) -> tuple[str, object]:
    chains = {id(value): name for name, value in vars(module).items() if isinstance(value, Chain)}
    if len(chains) == 1:
        name = next(iter(chains.values()))
        return name, getattr(module, name)
    if chains:
        named = " or ".join(f"{where}:{name}" for name in chains.values())
        raise Refusal(f"{where} has {len(chains)} chains: say which, {named}")
    public = [n for n in vars(module) if not n.startswith("_")]
    raise Refusal(
        f"{where} has no Chain of its own: say what makes one, {where}:NAME; it has {_listed(module, public)}"
    )


def _listed(owner: object, names: list[str]) -> str:
    """The names that could be meant: of chains, nodes and operators, else of functions written there."""
    module = getattr(owner, "__name__", None)
    operators = [n for n in names if isinstance(getattr(owner, n, None), Operator)]
    functions = [n for n in names if getattr(getattr(owner, n, None), "__module__", None) == module]
    return ", ".join((operators or functions)[:8]) or "nothing of the kind"


def _kind(value: object) -> str:
    kind = (
        "None" if value is None else f"a class ({value.__name__})" if isinstance(value, type) else type(value).__name__
    )
    return kind if value is None or isinstance(value, type) else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _as_chain(found: Operator[Any, Any]) -> AnyChain:
    return found if isinstance(found, Chain) else Chain(found)
