"""The examples in docstrings are so.

pytest's own `--doctest-modules` passes over functions that a decorator of another module has wrapped: all operators.
"""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import rxchain

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules() -> list[str]:
    names = [found.name for found in pkgutil.walk_packages(rxchain.__path__, "rxchain.")]
    return ["rxchain", *(name for name in names if not name.endswith("__main__"))]


def examples(module: ModuleType) -> list[doctest.DocTest]:
    """The doctests of all that is defined in *module*."""
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=True)
    own: dict[str, Any] = {module.__name__: module} if module.__doc__ else {}
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) == module.__name__ and (
            inspect.isclass(value) or inspect.isroutine(value)
        ):
            own[name] = value
    found: list[doctest.DocTest] = []
    for name, value in own.items():
        globs = {"__name__": "__main__"}
        if isinstance(value, ModuleType):
            found.append(doctest.DocTestParser().get_doctest(value.__doc__ or "", globs, name, value.__file__, 0))
        else:
            found += finder.find(value, name, module=False, globs=globs)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_hold(name: str) -> None:
    module = importlib.import_module(name)
    said: list[str] = []
    for test in examples(module):
        doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=said.append)
    assert not said, "\n".join(said)
