"""Noticing a function that keeps the event loop to itself: whose it is, while it does so.

A thread asks the loop to tick, and looks where the loop's thread is when it does not. It costs the program nothing but
that tick, 50 times a second; the rivals, a clock around every call as in asyncio's debug mode, or a tracing hook, cost
more than the calls. What holds the interpreter's lock all the time stops this thread as well, and is not noticed.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from rxchain.policies._log import must_see

LOOKS_EVERY = 0.02
"""Seconds between two looks."""

TOO_LONG = 0.1
"""Seconds for which a function may keep the loop to itself."""

PROGRAM = "<rxchain program"
"""How the file names of compiled chains begin."""

BEGINS_AFTER = 0.05
"""Seconds that a block has to last for anything to be looked at: a thread takes longer to start than most runs take."""

MOST_TOLD = 1000
"""How many nodes are remembered as told of."""


class watching:  # noqa: N801 (used as a word, like contextlib's)
    """Report, while the block runs, what blocks the running event loop for longer than 100 ms; each node once.

    >>> import asyncio
    >>> from rxchain.schedulers import watching
    >>> async def main():
    ...     with watching(lambda frame: "node 'parse'"):
    ...         await asyncio.sleep(0)
    >>> asyncio.run(main())

    Enter and leave it on the loop's thread. What takes less than 50 ms is not looked at, and pays two microseconds. All
    loops share one thread, which ends with the last of the blocks. On a
    loop with a time of its own nothing is watched.

    Args:
        explain: says whose frame of a compiled program that is: how to call the node that stands at its line, or None
            if the program is somebody else's. Called on another thread, only when something blocks.
    """

    def __init__(self, explain: Callable[[FrameType], str | None]) -> None:
        self._explain = explain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False
        self._thread = 0
        self._ticked = True
        self._asked = 0.0
        self._last: object = None

    def __enter__(self) -> "watching":
        loop = asyncio.get_running_loop()
        if not hasattr(loop, "hold"):
            self._loop, self._thread = loop, threading.get_ident()
            self._timer = loop.call_later(BEGINS_AFTER, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._begun:
            _end(self)
        elif self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._begun = True
        _begin(self)

    def look(self, now: float, frame: FrameType | None) -> None:
        """Look at the loop's thread, which stands in *frame*; from the watching thread."""
        if self._ticked:
            self._ticked, self._asked, self._last = False, now, None
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._tick)
            except RuntimeError:  # it is closed, and about to be left
                pass
            return
        program, inside = _program(frame)
        here = program and (id(program), program.f_lasti, inside)
        # Twice the same: what is there now has been there for a while, and did not just happen to be met.
        if program is not None and here == self._last and now - self._asked > TOO_LONG:
            name = self._explain(program)
            if name is not None:
                _tell(name)
        self._last = here

    def _tick(self) -> None:
        self._ticked = True


def _program(frame: FrameType | None) -> tuple[FrameType | None, int]:
    """The innermost frame of a compiled program, and which call it stands in."""
    inside = 0
    while frame is not None and not frame.f_code.co_filename.startswith(PROGRAM):
        inside, frame = id(frame), frame.f_back
    return frame, inside


_lock = threading.Lock()
_watched: list[watching] = []
_thread: threading.Thread | None = None
_over = threading.Event()
_told: set[str] = set()


def _begin(block: watching) -> None:
    global _thread, _over
    with _lock:
        _watched.append(block)
        if _thread is None:
            _over = threading.Event()
            _thread = threading.Thread(target=_watch, args=(_over,), name="rxchain watching", daemon=True)
            _thread.start()


def _end(block: watching) -> None:
    global _thread
    with _lock:
        _watched.remove(block)
        if _watched or _thread is None:
            return
        thread, _thread = _thread, None
        _over.set()
    thread.join()


def _watch(over: threading.Event) -> None:
    while not over.wait(LOOKS_EVERY):
        frames, now = sys._current_frames(), time.monotonic()
        for block in list(_watched):
            block.look(now, frames.get(block._thread))
        del frames  # or what their variables hold would live until the next look


def _tell(name: str) -> None:
    if name in _told or len(_told) >= MOST_TOLD:
        return
    _told.add(name)
    must_see(
        f"{name} keeps the event loop to itself for more than {TOO_LONG * 1000:.0f} ms; meanwhile nothing else on it"
        " goes on. Let it run elsewhere: node(..., on='threads')"
    )
