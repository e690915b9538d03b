"""A function on its way to another process: as its name, under which that process finds its own copy.

pickle does the same, but looks the name up at once, and finds nothing while the function is being decorated, and the
node instead of the function afterwards.
"""

import functools
import importlib
import pickle
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from rxchain.engine import name_of
from rxchain.errors import CompositionError


class ByName:
    """Where another process finds a function: in which module, under which name, behind how many wrappers."""

    __slots__ = ("module", "qualname", "wrappers")

    def __init__(self, module: str, qualname: str, wrappers: int) -> None:
        self.module = module
        self.qualname = qualname
        self.wrappers = wrappers

    def __getstate__(self) -> tuple[str, str, int]:
        return self.module, self.qualname, self.wrappers

    def __setstate__(self, state: tuple[str, str, int]) -> None:
        self.module, self.qualname, self.wrappers = state

    def find(self) -> Callable[..., Any]:
        """The function, in this process."""
        return _find(self.module, self.qualname, self.wrappers)


@functools.lru_cache(maxsize=256)
def _find(module: str, qualname: str, wrappers: int) -> Callable[..., Any]:
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    for _ in range(wrappers):
        found = found.__wrapped__
    return found  # type: ignore[no-any-return]


def check_sendable(fn: Callable[..., Any], name: str) -> None:
    """Refuse, while a chain is built, a function that no other process could find.

    Raises:
        CompositionError: it is a lambda, an inner function, one of an interactive session, or cannot be pickled.
    """
    while isinstance(fn, functools.partial):
        _check_picklable((fn.args, fn.keywords), name, "what its partial() holds cannot be pickled")
        fn = fn.func
    if not isinstance(fn, FunctionType):
        _check_picklable(fn, name, "it cannot be pickled")
        return
    if fn.__name__ == "<lambda>" or "<locals>" in fn.__qualname__:
        what = "a lambda" if fn.__name__ == "<lambda>" else "defined inside another function"
        raise _refused(name, f"it is {what}, and worker processes find a function by its name in its module", fn)
    main = sys.modules.get("__main__")
    if fn.__module__ == "__main__" and main is not None and not _is_run_again(main):
        why = (
            "it was defined in an interactive session, a notebook, `python -c` or a `__main__.py`, which worker"
            " processes do not read"
        )
        raise _refused(name, why, fn)


def reference(fn: Callable[..., Any], name: str) -> Callable[..., Any] | ByName:
    """What is sent instead of *fn*. When items come all modules have been read, and its name leads to it.

    Raises:
        CompositionError: its name leads elsewhere.
    """
    if not isinstance(fn, FunctionType):
        return fn
    found: Any = sys.modules.get(fn.__module__)
    for part in fn.__qualname__.split("."):
        found = getattr(found, part, None)
    wrappers = 0
    while found is not None and found is not fn and wrappers < 32:
        found = getattr(found, "__wrapped__", None)
        wrappers += 1
    if found is not fn:
        why = f"{fn.__module__}.{fn.__qualname__} is something else, and worker processes find a function by its name"
        raise _refused(name, why, fn)
    return ByName(fn.__module__, fn.__qualname__, wrappers)


def _is_run_again(main: ModuleType) -> bool:
    """Whether a new process runs the main module too, as `multiprocessing.spawn` decides it."""
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return not spec.name.endswith("__main__")  # that of `python -m package` is left out
    file = getattr(main, "__file__", None)
    return file is not None and not str(file).startswith("<")


def _check_picklable(value: object, name: str, what: str) -> None:
    try:
        pickle.dumps(value)
    except Exception as error:
        raise CompositionError(
            f"node {name!r} cannot run on processes: {what}: {error}\n"
            f"    node(..., on='processes')  # incorrect\n"
            f"    node(..., on='threads')  # correct; or a function at the top of a module, which takes all it needs"
            " from the item"
        ) from error


def _refused(name: str, why: str, fn: FunctionType) -> CompositionError:
    shown = name_of(fn) if fn.__name__ != "<lambda>" else "lambda item: ..."
    return CompositionError(
        f"node {name!r} cannot run on processes: {why}\n"
        f"    node({shown}, on='processes')  # incorrect\n"
        f"    node(function, on='processes')  # correct, with `def function(item)` at the top of a module;"
        " or on='threads'"
    )
