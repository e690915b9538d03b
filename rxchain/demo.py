"""The first example: a chain measures Python's standard library, and goes on past the files that are broken."""

import ast
import sysconfig
import time
from collections import Counter
from itertools import groupby
from pathlib import Path

import rich.table

from rxchain import Chain, Failure, operators

DEFINITIONS = ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
BRANCHES = ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.comprehension, ast.match_case


def measure(tree: ast.Module) -> Counter[str]:
    nodes = list(ast.walk(tree))
    docs = [ast.get_docstring(node, clean=False) for node in nodes if isinstance(node, DEFINITIONS)]
    documented, branches = len(docs) - docs.count(None), sum(isinstance(node, BRANCHES) for node in nodes)
    return Counter(files=1, definitions=len(docs), documented=documented, branches=branches)


def run(folder: str | Path | None = None) -> None:
    start, root, failures = time.perf_counter(), Path(folder or sysconfig.get_path("stdlib")), list[Failure]()
    # Bytes, as a file itself declares its encoding; a syntax tree; its sizes; the sum of them all, when the files end.
    chain = Chain(Path.read_bytes, ast.parse, measure, operators.reduce(Counter.__add__, Counter()))
    files = [file for file in sorted(root.rglob("*.py")) if "site-packages" not in file.parts]
    groups = groupby(files, lambda file: file.relative_to(root).parts[0])
    sizes = {name: next(chain.iterate(group, on_error=failures.append)) for name, group in groups}
    largest = sorted(sizes.items(), key=lambda of: of[1]["branches"], reverse=True)[:15]
    table = rich.table.Table("package", *(columns := ["files", "definitions", "branches"]), "documented")
    for name, size in [*largest, ("total", sum(sizes.values(), Counter()))]:
        covered = f"{size['documented'] / (size['definitions'] or 1):.0%}"
        table.add_row(name, *(f"{size[column]:>8,}" for column in columns), covered)
    rich.print(table)
    failed = (f"{f.item}: node {f.node!r}: {type(f.error).__name__}: {f.error}" for f in failures)
    print(*failed, f"{len(files):,} files in {time.perf_counter() - start:.1f} s", sep="\n")
