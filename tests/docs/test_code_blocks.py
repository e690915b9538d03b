"""README and docs say what is so: each Python block runs, each output shown is what comes out.

The blocks of a page share a namespace, in order, as cells of a notebook do; `await` may stand at the top of one. A
```text block right behind a block is its output. `<!-- not run: why -->` on the line before a block leaves it out.

A ```console block holds commands behind `$ ` and, if it is to be compared, what each prints; `...` stands for anything.
Those that start with `rxchain` or `python -m rxchain` are run, in one folder for the whole page, and so are `cat`,
`printf` and `echo`, which make the files that they read.
"""

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import linecache
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w+-]*)[^`\n]*$")
NOT_RUN = re.compile(r"^ *<!-- not run: (?P<why>.+) -->$")
RUN_IN_SHELL = ("rxchain", "python -m rxchain", "cat", "printf", "echo")


@dataclass
class Block:
    """A fenced block: where its text begins, and what stands around it."""

    language: str
    line: int
    text: str
    not_run: bool
    output: str | None = None


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of *page*; a `text` block right behind another is its output."""
    lines = page.splitlines()
    found: Block | None = None
    last_end = -2
    i = 0
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if fence is None:
            i += 1
            continue
        start = i + 1
        i = start
        while i < len(lines) and lines[i].strip() != fence["ticks"]:
            i += 1
        indent = len(fence["indent"])
        text = "".join(line[indent:] + "\n" for line in lines[start:i])
        follows = all(not line.strip() for line in lines[last_end + 1 : start - 1])
        if fence["language"] == "text" and found is not None and follows:
            found.output = text
            yield found
            found = None
        else:
            if found is not None:
                yield found
            before = NOT_RUN.match(lines[start - 2]) if start > 1 else None
            found = Block(fence["language"], start + 1, text, before is not None)
        last_end = i
        i += 1
    if found is not None:
        yield found


def run_python(source: str, name: str, line: int, namespace: dict[str, Any]) -> str:
    """Run *source*, in whose functions errors and `inspect.getsource` find the page's own lines; what it printed."""
    padded = "\n" * (line - 1) + source
    linecache.cache[name] = (len(padded), None, padded.splitlines(keepends=True), name)
    code = compile(padded, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = eval(code, namespace)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return printed.getvalue()


def same(shown: str, printed: str) -> bool:
    """Whether *printed* is what is *shown*, where `...` stands for anything; blank lines at the end don't count."""
    shown, printed = ("\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (shown, printed))
    return doctest.OutputChecker().check_output(shown + "\n", printed + "\n", doctest.ELLIPSIS)


def commands(console: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what is shown of its output."""
    command, shown = "", ""
    lines = iter(console.splitlines())
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], ""
            end = re.search(r"<<-? *['\"]?(\w+)", command)
            while command.endswith("\\") or (end and command.splitlines()[-1].strip() != end[1]):
                command += "\n" + next(lines).removeprefix("> ")
        elif command:
            shown += line + "\n"
    if command:
        yield command, shown


def run_in_shell(command: str, folder: Path) -> str:
    """Run *command* as a shell would, `rxchain` being the one under test; all that it printed."""
    python = shlex.quote(sys.executable)
    prelude = f'rxchain() {{ {python} -m rxchain "$@"; }}; python() {{ {python} "$@"; }}; '
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(
        ["bash", "-c", f"{prelude}\n{command}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_shows_is_so(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.not_run:
            continue
        if block.language == "python":
            printed = run_python(block.text, f"<{where}>", block.line, namespace)
            if block.output is not None:
                assert same(block.output, printed), f"{where} prints\n{printed}"
        elif block.language == "console":
            for command, shown in commands(block.text):
                if not command.startswith(RUN_IN_SHELL):
                    continue
                printed = run_in_shell(command, tmp_path)
                if shown.strip():
                    assert same(shown, printed), f"{where}: {command}\nprints\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)
    missing = []
    for target in targets:
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            missing.append(target)
    # Away from the checkout, where the wheel is tested, only README and docs are there.
    assert [m for m in missing if (ROOT / "noxfile.py").exists() or m.startswith("docs/")] == []


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
