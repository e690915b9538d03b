"""A folder with a module of chains in it, and the command line as a process of its own."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import COMMAND, Process, Rxchain, Start, Until, read_until

CHAINS = """
import asyncio
import time
from dataclasses import dataclass

from rxchain import Chain, node, operators as ops


def upper(line: str) -> str:
    return line.upper()


def price(order: dict) -> dict:
    return {**order, "total": int(order["quantity"]) * 3}


def length(line: str) -> dict:
    return {"line": line, "length": len(line)}


async def slowly(line: str) -> str:
    await asyncio.sleep(0.3)
    return line.upper()


async def never(line: str) -> str:
    await asyncio.sleep(3600)
    return line


def refuse(line: str) -> str:
    raise ValueError(f"no:\\n{line}")


@dataclass
class Point:
    x: int
    y: object


@node(name="loud")
def loud(line: str) -> str:
    return line + "!"


def prefixed(prefix: str, times: int = 1, loud: bool = False, tags: list[str] | None = None) -> Chain[str, str]:
    made = prefix * times + ("!" if loud else "") + "".join(tags or [])
    return Chain(ops.map(lambda line: made + line))


def defaults(sign: str = "+") -> Chain[str, str]:
    return Chain(ops.map(lambda line: sign + line))


def wrong() -> Chain[str, int]:
    return Chain(int)


class box:
    inner = Chain(upper)


number = 3
same = Chain()
uppers = Chain(upper, name="uppers")
prices = Chain(price, name="prices")
lengths = Chain(length)
slow = Chain(slowly)
stuck = Chain(never)
refusing = Chain(refuse, name="strict")
batches = Chain(ops.batch(3), ops.map(" ".join))
points = Chain(ops.map(lambda line: Point(1, line)))
evaluated = Chain(ops.map(lambda line: eval(line)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with ``chains.py`` in it."""
    (tmp_path / "chains.py").write_text(CHAINS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rxchain(folder: Path) -> Rxchain:
    """Run the command line to its end."""

    def run(*arguments: str, stdin: str | bytes = b"", **how: Any) -> "subprocess.CompletedProcess[str]":
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([*COMMAND, *arguments], input=given, capture_output=True, cwd=folder, timeout=60, **how)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start the command line with pipes at its ends, and see that it ends."""
    started: list[Process] = []

    def run(*arguments: str, **how: Any) -> Process:
        # Where Ctrl-C is ignored, as behind a shell's `&`, a process that is started would ignore it, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = Process([*COMMAND, *arguments], cwd=folder, **how)
        finally:
            signal.signal(signal.SIGINT, before)
        started.append(process)
        return process

    yield run
    for process in started:
        process.end()


@pytest.fixture
def until() -> Until:
    """`read_until`."""
    return read_until


@pytest.fixture(scope="session", autouse=True)
def whole_library() -> Iterator["subprocess.Popen[str]"]:
    """The demo at work on the standard library: beside the other tests, as it takes a while."""
    with subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()
