"""The first example: a chain measures Python's standard library, and goes on past the files that are broken."""

import ast
import sysconfig
import time
from collections import Counter
from pathlib import Path

import rich.table

from rxchain import Chain, Failure, operators

DEFINITIONS = ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
BRANCHES = ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.comprehension, ast.match_case


def parse(file: tuple[str, Path]) -> tuple[str, ast.Module]:
    return file[0], ast.parse(file[1].read_bytes())  # bytes: each file declares its own encoding


def measure(file: tuple[str, ast.Module]) -> Counter[tuple[str, str]]:
    nodes = list(ast.walk(file[1]))
    docs = [ast.get_docstring(node, clean=False) for node in nodes if isinstance(node, DEFINITIONS)]
    branches, documented = sum(isinstance(node, BRANCHES) for node in nodes), len(docs) - docs.count(None)
    sizes = {"files": 1, "definitions": len(docs), "branches": branches, "documented": documented}
    return Counter({(package, key): size for package in (file[0], "total") for key, size in sizes.items()})


def run(folder: str | Path | None = None) -> None:
    start, root, failures = time.perf_counter(), Path(folder or sysconfig.get_path("stdlib")), list[Failure]()
    files = [(p.relative_to(root).parts[0], p) for p in sorted(root.rglob("*.py")) if "site-packages" not in p.parts]
    chain = Chain(parse, measure, operators.reduce(Counter.__add__, Counter()), name="library")
    sizes = next(chain.iterate(files, on_error=failures.append))
    table = rich.table.Table("package", *(columns := ["files", "definitions", "branches"]), "documented")
    for package in sorted({package for package, _ in sizes}, key=lambda name: -sizes[name, "branches"])[:16]:
        covered = f"{sizes[package, 'documented'] / (sizes[package, 'definitions'] or 1):.0%}"
        table.add_row(package, *(f"{sizes[package, column]:>8,}" for column in columns), covered)
    rich.print(table)
    failed = (f"{f.value[1]}: node {f.node!r}: {type(f.error).__name__}: {f.error}" for f in failures)
    print(*failed, f"{len(files):,} files in {time.perf_counter() - start:.1f} s", sep="\n")
