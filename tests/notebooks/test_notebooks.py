"""The notebooks run from top to bottom: as plain cells everywhere, and in a real kernel where there is one."""

import ast
import asyncio
import inspect
import json
import linecache
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def cells(notebook: Path) -> list[str]:
    """The code of each code cell."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


async def run_cell(source: str, name: str, namespace: dict[str, Any]) -> Any:
    """Run a cell as IPython does: its source can be read, `await` may stand in it, its last expression is its value."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    parts: list[ast.Module | ast.Expression] = [tree]
    if isinstance(last, ast.Expr):
        parts.append(ast.Expression(last.value))
    value: Any = None
    for part in parts:
        mode = "exec" if isinstance(part, ast.Module) else "eval"
        code = compile(part, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        value = eval(code, namespace)
        if inspect.iscoroutine(value):
            value = await value
    return value


async def run_all(notebook: Path) -> list[Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [
        await run_cell(source, f"<{notebook.name}, cell {i}>", namespace) for i, source in enumerate(cells(notebook))
    ]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_the_cells_of_a_notebook_run_in_order(notebook: Path) -> None:
    values = asyncio.run(run_all(notebook))
    assert values[-1] is not False, "a notebook ends with what it claims"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_a_notebook_is_stored_without_its_output(notebook: Path) -> None:
    stored = json.loads(notebook.read_text(encoding="utf-8"))
    assert stored["nbformat"] == 4
    for cell in stored["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_a_notebook_runs_in_a_kernel(notebook: Path, tmp_path: Path) -> None:
    need("notebook", "nbclient", "nbformat", "ipykernel")
    program = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
"""
    # In a process of its own: what Jupyter leaves running is not ours.
    done = subprocess.run(
        [sys.executable, "-c", program, notebook],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
