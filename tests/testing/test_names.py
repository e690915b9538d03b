"""rxchain.testing is a product like the rest: documented, typed, and nothing that `import rxchain` brings along."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rxchain.testing
from tests.test_layers import PACKAGE, functions_of, loaded_by, public

PUBLIC = list(public("rxchain.testing"))


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_a_name_is_documented(name: str, value: Any) -> None:
    assert value.__doc__, name
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    assert name in page or name in ("MarbleError", "MarbleSource", "Probe", "SourceFailed", "VirtualLoop")
    for function in functions_of(value):
        if function.__name__ != "__init__" and function.__module__.startswith("rxchain"):
            assert function.__doc__, function.__qualname__


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_a_name_is_typed_to_the_end(name: str, value: Any) -> None:
    for function in functions_of(value):
        missing = {*function.__code__.co_varnames[: function.__code__.co_argcount]} - {*function.__annotations__}
        assert missing <= {"self", "cls"}, function.__qualname__
        assert "return" in function.__annotations__, function.__qualname__


def test_the_names_are_in_order() -> None:
    assert rxchain.testing.__all__ == sorted(rxchain.testing.__all__, key=lambda name: (name.islower(), name))


def test_importing_rxchain_does_not_import_it() -> None:
    ask = "import sys, rxchain, rxchain.operators; print('rxchain.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def test_importing_it_loads_no_other_library() -> None:
    assert loaded_by("import rxchain.testing") & {"reactivex", "aioreactive", "pytest", "hypothesis"} == set()
