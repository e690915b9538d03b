"""Where a task waits: the line of the user's code that it stands at, for error messages.

`Task.print_stack` stops at the first async generator, and a chain's stream is one: here the way goes on through it.
"""

import asyncio
import gc
import linecache
import re
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

_ASYNCIO = str(Path(asyncio.__file__).parent)


def where(frame: FrameType) -> str:
    """``prices.py:12 in fetch: await reply`` for a frame."""
    code = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno).strip()
    file = code.co_filename if code.co_filename.startswith("<") else Path(code.co_filename).name
    return f"{file}:{frame.f_lineno} in {short(code.co_qualname)}" + (f": {line}" if line else "")


def short(qualname: str) -> str:
    """A qualified name without the functions that it was defined in."""
    return qualname.rpartition("<locals>.")[2]


def awaited_frames(awaiting: Any) -> list[FrameType]:
    """The frames of a suspended coroutine or async generator and of what it awaits, from the outside in."""
    found: list[FrameType] = []
    while awaiting is not None and len(found) < 1000:
        for kind, inner in (("cr", "cr_await"), ("ag", "ag_await"), ("gi", "gi_yieldfrom")):
            if hasattr(awaiting, f"{kind}_frame"):
                frame = getattr(awaiting, f"{kind}_frame")
                if frame is not None:
                    found.append(frame)
                awaiting = getattr(awaiting, inner)
                break
        else:
            # What `async for` and `await` put between, an async_generator_asend say, has no attribute that leads on.
            inside = gc.get_referents(awaiting) if type(awaiting).__module__ == "builtins" else []
            awaiting = next((i for i in inside if hasattr(i, "cr_frame") or hasattr(i, "ag_frame")), None)
    return found


def describe(task: "asyncio.Task[Any]", advice: str = "") -> str:
    """A task, *advice* on it, and where it waits: the innermost line that is not asyncio's own."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    frames = awaited_frames(coroutine)
    frame = next((f for f in reversed(frames) if not f.f_code.co_filename.startswith(_ASYNCIO)), None)
    return f"the task {task.get_name()!r} of {short(name)}{advice}" + (
        f", at {where(frame)}" if frame is not None else ""
    )


def describe_all(tasks: "Iterable[asyncio.Task[Any]]", advice: str = "") -> list[str]:
    """The same for several, in the order of their names: Task-2 before Task-10."""

    def key(task: "asyncio.Task[Any]") -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", task.get_name())]

    return [describe(task, advice) for task in sorted(tasks, key=key)]


__all__ = ["awaited_frames", "describe", "describe_all", "short", "where"]
