"""What is installed: `operators/` as `rxchain.operators`, and nothing beside rxchain."""

import importlib.metadata
import sys
from pathlib import Path

import rxchain
from tests.needs import need

ROOT = Path(__file__).parents[1]
CHECKOUT = (ROOT / "setup.py").exists()


def test_the_operators_folder_is_linked_into_the_package() -> None:
    need("checkout", there=CHECKOUT)
    link = ROOT / "rxchain" / "operators"
    assert link.is_symlink()
    assert link.readlink() == Path("../operators")


def test_an_operator_exists_once() -> None:
    import rxchain.operators as ops

    assert ops.__name__ == "rxchain.operators"
    ours = sys.modules.get("operators")  # a folder of that name may be the reader's own
    assert ours is None or getattr(ours, "map", None) is None


def test_the_version_is_told_once() -> None:
    assert rxchain.__version__ == importlib.metadata.version("rxchain")
