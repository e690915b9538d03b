"""An event loop in a thread of its own, for synchronous code that meets asynchronous steps.

Owned by one iteration: it starts with the first item asked for and is joined when the iteration ends, however it ends.
"""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any

from rxchain.types import T


class LoopThread:
    """A running event loop that other threads hand coroutines to."""

    def __init__(self) -> None:
        ready: Future[asyncio.AbstractEventLoop] = Future()
        self._context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="rxchain loop", daemon=True)
        self._thread.start()
        self.loop = ready.result()

    def _run(self, ready: "Future[asyncio.AbstractEventLoop]") -> None:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            loop.call_soon(ready.set_result, loop)
            loop.run_forever()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* there, wait for its result; cancel it if the waiting is interrupted."""
        future: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            task = self.loop.create_task(coroutine, context=self._context)
            tasks.append(task)
            task.add_done_callback(finish)

        def finish(task: "asyncio.Task[T]") -> None:
            if task.cancelled():
                future.set_exception(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(task.result())

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:
                coroutine.close()
                future.set_exception(asyncio.CancelledError())

        try:
            self.loop.call_soon_threadsafe(start)
            return future.result()
        except BaseException:
            if not future.done():  # interrupted here (Ctrl-C): the coroutine must not go on unowned
                self.loop.call_soon_threadsafe(cancel)
                concurrent.futures.wait([future])
            raise

    def is_current(self) -> bool:
        """Whether this is called on the thread itself: a garbage collection may run anywhere."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the loop and join its thread."""
        self.stop()
        self.join()

    def stop(self) -> None:
        """Have the loop end soon: what the thread itself can do, and need not wait for."""
        self.loop.call_soon_threadsafe(self.loop.stop)

    def join(self) -> None:
        """Wait for the thread to end, from any other."""
        if not self.is_current():
            self._thread.join()


def iterate_on_loop_thread(make: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """Iterate over an async generator from synchronous code."""
    thread = LoopThread()
    try:
        generator = make()
        try:
            while True:
                try:
                    item = thread.wait(_next(generator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if not thread.is_current():  # there, the runner closes it when the loop has stopped
                thread.wait(_close(generator))
    finally:
        thread.close()


async def _next(generator: AsyncGenerator[T, None]) -> T:
    return await generator.__anext__()


async def _close(generator: AsyncGenerator[T, None]) -> None:
    await generator.aclose()


def run_on_loop_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine from synchronous code, also where an event loop is running."""
    thread = LoopThread()
    try:
        return thread.wait(coroutine)
    finally:
        thread.close()
