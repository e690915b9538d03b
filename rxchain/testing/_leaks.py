"""Leak checks: what a piece of code has begun, it has ended as well."""

import asyncio
import gc
import inspect
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, TracebackType
from typing import Any

from rxchain import RxChainError
from rxchain.testing._waiting import describe_all, short, where

FULL = 100
"""After so many blocks all garbage is collected: what is frozen is not, and in a block is where Python would do so."""

ROUNDS = 5
"""How many rounds of the loop a task is given that is about to end: one that closes a dropped generator, say."""


class Leak(RxChainError, AssertionError):
    """Raised by `no_leaks` and `Marbles.play`; ``left`` says of each thing left behind what it is, and where."""

    def __init__(self, left: list[str]) -> None:
        super().__init__("\n    ".join(["left behind:", *left]))
        self.left = left


class no_leaks:  # noqa: N801 (used as a word, like contextlib's)
    """Hold a block of code to ending what it begins: tasks, threads, async generators, coroutines.

    Use it with ``async with`` around code on a running loop, with ``with`` around code that runs a loop of its own.

    >>> import asyncio
    >>> from rxchain.testing import no_leaks, run
    >>> wake_up = asyncio.Event()
    >>> async def background():
    ...     await wake_up.wait()
    >>> async def main():
    ...     async with no_leaks():
    ...         asyncio.create_task(background(), name="forgotten")
    >>> run(main())
    Traceback (most recent call last):
    ...
    rxchain.testing._leaks.Leak: left behind:
        the task 'forgotten' of background (await or cancel it), at <doctest ...>:2 in background: await wake_up.wait()

    Tasks that are left are cancelled and awaited before the error is raised, async generators closed, coroutines
    closed; threads can only be reported. When the block itself fails, its own error is what is raised, and nothing is
    checked. Threads of a loop's default executor are the loop's, which ends them when it is closed.

    So that its price does not grow with the program's, what there was before the block is frozen meanwhile
    (`gc.freeze`): garbage in a circle that is older than the block is collected behind it.

    Args:
        grace: real seconds that a thread which is about to end is given.

    Raises:
        Leak: something was left behind.
    """

    def __init__(self, *, grace: float = 1.0) -> None:
        self._grace = grace
        self._noticed: list[str] = []
        self._unawaited: list[str] = []

    def __enter__(self) -> "no_leaks":
        self._threads = set(threading.enumerate())
        loop = _running_loop()
        self._tasks = asyncio.all_tasks(loop) if loop is not None else set()
        self._generators = weakref.WeakSet(_open_generators(loop))
        _watch(self)
        self._coroutines = weakref.WeakSet(_never_started())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        gc.collect(1)  # an un-awaited coroutine is noticed when it is collected
        unstarted = self._unstarted() if error is None else set()
        _unwatch(self)
        if error is not None:
            self._warn()
            return
        loop = _running_loop()
        tasks = {t for t in asyncio.all_tasks(loop) - self._tasks if not is_closing(t)} if loop is not None else set()
        left = self._told(tasks, set(_open_generators(loop)) - set(self._generators), unstarted)
        for task in tasks:
            task.cancel()
        until = time.monotonic() + self._grace
        while (threads := self._unended(loop)) and time.monotonic() < until:
            wait_a_moment(threads[0])
        self._raise(left, threads)

    async def __aenter__(self) -> "no_leaks":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.__exit__(kind, error, traceback)
            return
        gc.collect(1)
        tasks = await tasks_left(self._tasks)
        unstarted = self._unstarted()
        _unwatch(self)
        loop = asyncio.get_running_loop()
        generators = set(_open_generators(loop)) - set(self._generators)
        left = self._told(tasks, generators, unstarted)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for generator in generators:
            await generator.aclose()
        until = time.monotonic() + self._grace
        while (threads := self._unended(loop)) and time.monotonic() < until:
            await asyncio.sleep(0)  # its end may need the loop
            wait_a_moment(threads[0])
        self._raise(left, threads)

    def _unstarted(self) -> "set[CoroutineType[Any, Any, Any]]":
        """Coroutines that have been made since, are kept, and have not begun."""
        return set(_never_started()) - set(self._coroutines)

    def _told(
        self,
        tasks: "set[asyncio.Task[Any]]",
        generators: "set[AsyncGeneratorType[Any, Any]]",
        unstarted: "set[CoroutineType[Any, Any, Any]]",
    ) -> list[str]:
        left = describe_all(tasks, " (await or cancel it)")
        left += [_open_generator(generator) for generator in generators]
        left += self._noticed
        started_by_tasks = {task.get_coro() for task in tasks}
        for coroutine in unstarted - started_by_tasks:
            self._unawaited.append(_coroutine(coroutine))
            coroutine.close()
        return left + [f"{text}, never awaited (await it)" for text in self._unawaited]

    def _unended(self, loop: asyncio.AbstractEventLoop | None) -> list[threading.Thread]:
        """Threads that have begun since, and are there still."""
        of_the_loop: Any = getattr(getattr(loop, "_default_executor", None), "_threads", set())
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self._threads
            and thread not in of_the_loop
            and thread is not threading.current_thread()
            and not isinstance(thread, threading._DummyThread)
        ]

    def _raise(self, left: list[str], threads: list[threading.Thread]) -> None:
        left = left + [f"the thread {thread.name!r} (join it)" for thread in threads]
        if left:
            raise Leak(left)

    # --- what is told while the block runs

    def notice_end_of(self, loop: asyncio.AbstractEventLoop) -> None:
        """A loop is about to be closed: what is pending there now, asyncio would cancel without a word."""
        tasks = {task for task in asyncio.all_tasks(loop) if not is_closing(task)}
        self._noticed += describe_all(tasks, " (pending when its loop was closed: await or cancel it)")
        self._noticed += [_open_generator(generator) for generator in _open_generators(loop)]

    def notice_unawaited(self, coroutine: "CoroutineType[Any, Any, Any]") -> None:
        """A coroutine has been dropped without having been started."""
        self._unawaited.append(_coroutine(coroutine))  # as text: kept, it would come to life again

    def _warn(self) -> None:
        for text in self._unawaited:
            warnings.warn(f"{text} was never awaited", RuntimeWarning, stacklevel=3)


# --- asyncio and the interpreter tell nobody else: these two functions of theirs are the places where they know

_watching: list[no_leaks] = []
_originals: tuple[Any, Any] = (None, None)
_lock = threading.Lock()
_blocks = 0
_runners: Any = sys.modules["asyncio.runners"]
_warnings: Any = warnings


def wait_a_moment(thread: threading.Thread) -> None:
    """Wait for a thread to end, not for long; one that somebody is just starting cannot be joined yet."""
    try:
        thread.join(0.01)
    except RuntimeError:
        time.sleep(0.001)


def _watch(check: no_leaks) -> None:
    global _originals
    with _lock:
        if not _watching:
            _originals = _runners._cancel_all_tasks, _warnings._warn_unawaited_coroutine
            _runners._cancel_all_tasks, _warnings._warn_unawaited_coroutine = _loop_ends, _unawaited
            gc.collect(1)  # what has been dropped before is not this block's
            gc.freeze()  # what there is already nobody need look through: of a large program that is nearly all
        _watching.append(check)


def _unwatch(check: no_leaks) -> None:
    global _blocks
    with _lock:
        _watching.remove(check)
        if not _watching:
            _runners._cancel_all_tasks, _warnings._warn_unawaited_coroutine = _originals
            gc.unfreeze()
            _blocks += 1
            if _blocks % FULL == 0:
                gc.collect()


def _loop_ends(loop: asyncio.AbstractEventLoop) -> None:
    for check in list(_watching):
        check.notice_end_of(loop)
    _originals[0](loop)


def _unawaited(coroutine: "CoroutineType[Any, Any, Any]") -> None:
    if _watching:
        _watching[-1].notice_unawaited(coroutine)  # the innermost block is the one that made it
    else:
        _originals[1](coroutine)


# --- what there is


def is_closing(task: "asyncio.Task[Any]") -> bool:
    """Whether asyncio itself began this task, to close a generator that was dropped: nobody's leak."""
    return type(task.get_coro()).__name__ == "async_generator_athrow"


async def tasks_left(before: "set[asyncio.Task[Any]]") -> "set[asyncio.Task[Any]]":
    """The tasks of the running loop that were not there *before*, without this one; closing ones may end first."""
    before = before | {task for task in (asyncio.current_task(),) if task is not None}
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
        if not any(is_closing(task) for task in asyncio.all_tasks() - before):
            break
    return {task for task in asyncio.all_tasks() - before if not is_closing(task)}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _open_generators(loop: asyncio.AbstractEventLoop | None) -> Iterator["AsyncGeneratorType[Any, Any]"]:
    """The async generators on *loop* that have begun, have not ended, and that no task is in."""
    generators: Any = getattr(loop, "_asyncgens", ())
    return (g for g in list(generators) if g.ag_frame is not None and not g.ag_running)


def _never_started() -> Iterator["CoroutineType[Any, Any, Any]"]:
    """The coroutines that have been made since the outermost block began, are kept somewhere, and have not begun."""
    for found in gc.get_objects():
        if type(found) is CoroutineType and inspect.getcoroutinestate(found) == inspect.CORO_CREATED:
            yield found


def _open_generator(generator: "AsyncGeneratorType[Any, Any]") -> str:
    frame = generator.ag_frame
    at = f", at {where(frame)}" if frame is not None else ""
    return f"the async generator {short(generator.__qualname__)} (aclose it){at}"


def _coroutine(coroutine: "CoroutineType[Any, Any, Any]") -> str:
    code = coroutine.cr_code
    return f"the coroutine {short(coroutine.__qualname__)} of {Path(code.co_filename).name}:{code.co_firstlineno}"


__all__ = ["Leak", "is_closing", "no_leaks", "tasks_left"]
