"""A chain on an aioreactive AsyncObservable, and async iterables to and from one.

A synchronous chain runs in whoever sends the item, as aioreactive's own operators do. An asynchronous one, or one in
which any number of items may follow from one, runs in a task that is fed through an inlet: to send awaits room there.
aioreactive is imported when one of its Observables is met, never before. Its own converters are not used: the one from
async iterables loses errors and its task, the one to them hangs its source when nobody asks any more.
"""

from __future__ import annotations

import ast
import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from rxchain.engine import Atom, Completed, Label, Segment, a_kind_of, shorten
from rxchain.engine._fold import folded
from rxchain.engine._inlet import Inlet
from rxchain.errors import CompositionError, Overflow
from rxchain.runners._ending import is_ending, owned_task
from rxchain.runners._execution import Execution
from rxchain.runners._pushed import Push, pushed
from rxchain.types import AnyIterable, T

if TYPE_CHECKING:
    from aioreactive import AsyncObservable, AsyncObserver, AsyncRx
    from expression.system import AsyncDisposable


def is_async_observable(source: object) -> bool:
    """Whether *source* is an aioreactive AsyncObservable, known by its protocol."""
    return hasattr(source, "subscribe_async") and not isinstance(source, type)


def on_async_observable(source: AsyncObservable[Any], execution: Execution) -> AsyncRx[Any]:
    """The chain's output over *source*; each subscription to it runs the chain afresh."""
    program = _inside_the_sender(execution)
    if program is None:
        return _observable(lambda observer: _Fed(observer, execution).to(source))
    if execution.on_error.fresh is None:
        return _observable(lambda observer: _Sent(observer, program).to(source))
    return _observable(lambda observer: _Sent(observer, cast(Any, _inside_the_sender(execution))).to(source))


def to_async_observable(items: AnyIterable[T]) -> AsyncRx[T]:
    """An AsyncObservable of an iterable or async iterable; each subscription iterates over it anew.

    Each item is sent when the observer has returned from the one before. What iterating raises goes to ``athrow``.
    Disposal cancels the iteration, awaits it and closes what was iterated over.

    >>> import asyncio
    >>> import aioreactive as rx
    >>> from rxchain.runners import to_async_observable
    >>> async def show(item):
    ...     print(item)
    >>> async def main():
    ...     await rx.run(to_async_observable([1.5, 2.0]), rx.AsyncAwaitableObserver(show))
    >>> asyncio.run(main())
    1.5
    2.0
    """
    if not isinstance(items, (AsyncIterable, Iterable)):
        raise CompositionError(
            f"to_async_observable: items come from an iterable or an async iterable, got {a_kind_of(items)}\n"
            f"    to_async_observable({shorten(items, 30)})  # incorrect\n"
            f"    to_async_observable([{shorten(items, 30)}])  # correct"
        )
    through = Execution([], Label(None, ()))  # opens, lets the loop run, closes
    return _observable(lambda observer: _Pumped(observer, "to_async_observable").begin(through.stream(items)))


async def to_async_iterable(source: AsyncObservable[T]) -> AsyncGenerator[T, None]:
    """Iterate over an AsyncObservable; to send the next item awaits until it is asked for.

    It is subscribed to when the first item is asked for. Closing the generator disposes of the subscription, and lets
    go of who is sending.

    >>> import asyncio
    >>> import aioreactive as rx
    >>> from rxchain.runners import to_async_iterable
    >>> async def main():
    ...     return [item async for item in to_async_iterable(rx.from_iterable("abc"))]
    >>> asyncio.run(main())
    ['a', 'b', 'c']
    """
    inlet: Inlet[T] = Inlet(1, "error", _never_full)

    async def subscribe() -> AsyncDisposable | None:
        try:
            return await source.subscribe_async(_observer(inlet))
        except Exception as error:
            inlet.end(error)
            return None

    # In a task of its own: a cold source may send, and so wait for us, before it returns its subscription.
    subscribing = asyncio.get_running_loop().create_task(subscribe())
    try:
        async for item in inlet:
            yield item
    finally:
        inlet.stop()
        subscribing.cancel()
        await asyncio.wait([subscribing])
        if not subscribing.cancelled() and (subscription := subscribing.result()) is not None:
            await subscription.dispose_async()


# --- in the words of aioreactive


def _observable(subscribe: Callable[[AsyncObserver[Any]], Awaitable[AsyncDisposable]]) -> AsyncRx[Any]:
    from aioreactive import AsyncRx
    from aioreactive.observables import AsyncAnonymousObservable

    return AsyncRx(AsyncAnonymousObservable(subscribe))


def _disposable(dispose: Callable[[], Awaitable[None]]) -> AsyncDisposable:
    from expression.system import AsyncDisposable

    return AsyncDisposable.create(dispose)


@cache
def _observer_class() -> type:
    from aioreactive import AsyncObserver

    class Hosted(AsyncObserver[Any]):
        """An observer made of three functions, called as they are: aioreactive's own has one coroutine more an item."""

        def __init__(self, **functions: Any) -> None:
            self.__dict__.update(functions)

    return Hosted


def _observer(inlet: Inlet[Any]) -> AsyncObserver[Any]:
    """What is sent goes into *inlet*, as soon as there is room; the end behind it, and nobody waits for that."""

    async def athrow(error: Exception) -> None:
        inlet.end(error)

    async def aclose() -> None:
        inlet.end()

    return _observer_class()(asend=inlet.send, athrow=athrow, aclose=aclose)  # type: ignore[no-any-return]


# --- chains in tasks


class _Pumped:
    """A task that hands on a stream's items to an observer, each when it has returned from the one before."""

    def __init__(self, observer: AsyncObserver[Any], name: str) -> None:
        self._observer, self._name = observer, name
        self._loop = asyncio.get_running_loop()
        self._upstream: AsyncDisposable | None = None
        self._disposed = False
        """Whether the observer is told nothing any more."""

    def begin(self, outputs: AsyncGenerator[Any, None]) -> Any:
        """Begin; returns, to be awaited, what ends it."""
        work = self._work(outputs)
        self._task = owned_task(work, self._loop, copy_context(), f"{self._name}: subscription")

        async def begun() -> AsyncDisposable:
            return _disposable(self.dispose)

        return begun()

    async def _work(self, outputs: AsyncGenerator[Any, None]) -> None:
        told: tuple[Any, ...] = (self._observer.aclose,)
        give = self._observer.asend
        cancelled: asyncio.CancelledError | None = None
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if self._disposed:
                        break
                    try:  # what `_tell` does, which would be one coroutine more for each
                        await give(output)
                    except Exception as error:
                        self._observer_raised(error)
                    if self._disposed:
                        break
        except asyncio.CancelledError as error:
            if self._task.cancelling():
                cancelled = error
            if self._disposed and hasattr(error, "__notes__"):  # of what failed meanwhile
                self._report("failed while it was being disposed of", error)
            told = (self._observer.athrow, error)
        except Exception as error:
            if self._disposed:
                self._report("failed while it was being disposed of", error)
            self._note_abandoned(error)
            told = (self._observer.athrow, error)
        await self._let_go()
        await self._tell(*told)
        if cancelled is not None:
            raise cancelled

    async def _tell(self, signal: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Call the observer, unless it is told nothing any more."""
        try:
            if not self._disposed:
                await signal(*args)
        except Exception as error:
            self._observer_raised(error)

    def _observer_raised(self, error: Exception) -> None:
        self._disposed = True
        self._report("ends: its observer raised", error)

    def _report(self, what: str, error: BaseException) -> None:
        """Tell of an error that has nobody else to go to."""
        # Without the task: the handler would be run in its context, which this may be running in.
        self._loop.call_exception_handler({"message": f"{self._name} on an AsyncObservable {what}", "exception": error})

    def _note_abandoned(self, error: Exception) -> None:
        """Note on *error* what it has cost besides."""

    async def _let_go(self) -> None:
        """Let go of the source; may come twice."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            try:
                await upstream.dispose_async()
            except Exception as error:
                self._report("could not dispose of its source", error)

    async def dispose(self) -> None:
        """End the run, and wait until it has ended; may come twice. Called by its observer it cannot wait for that."""
        self._disposed = True
        if not self._task.done():
            is_ending(self._task)
            if self._task is asyncio.current_task():
                return
            if not self._task.cancelling():
                self._task.cancel()
            await asyncio.wait([self._task])
        await self._let_go()


class _Fed(_Pumped):
    """One run of an asynchronous chain."""

    def __init__(self, observer: AsyncObserver[Any], execution: Execution) -> None:
        super().__init__(observer, f"chain {execution.label.chain!r}" if execution.label.chain else "the chain")
        self._execution = execution
        self._inlet: Inlet[Any] = Inlet(
            execution.window, "error", _never_full, number=execution.numbering(), context=copy_context()
        )

    async def to(self, source: AsyncObservable[Any]) -> AsyncDisposable:
        """Begin, and subscribe to *source*."""
        disposable: AsyncDisposable = await self.begin(self._execution.stream(self._inlet))
        try:
            self._upstream = await source.subscribe_async(_observer(self._inlet))
        except BaseException:
            await self.dispose()
            raise
        if self._task.done():
            await super()._let_go()
        return disposable

    def _note_abandoned(self, error: Exception) -> None:
        self._inlet.note_abandoned(error)

    async def _let_go(self) -> None:
        self._inlet.stop()
        await super()._let_go()

    async def dispose(self) -> None:
        """End the run, let go of who is sending, and wait until it has ended."""
        self._inlet.stop()
        await super().dispose()


# --- chains in the sender


def _inside_the_sender(execution: Execution) -> Push | None:
    """The program of a chain that never suspends, and by which no more than a few items follow from one."""
    if execution.asynchronous or any(_multiplies(op) for op in execution.operators):
        return None
    programs = pushed(execution, execution.on_error.afresh())
    if len(programs) > 1 or isinstance(programs[0], Segment):
        return None
    return programs[0]


def _multiplies(op: Atom) -> bool:
    """Whether any number of items may follow from one: they would all have to be held until the observer is ready."""
    part = folded(op).parts.get("step")
    if part is None:
        return True  # it stays a call: nobody knows
    loops = [node for line in part.body for node in ast.walk(line) if isinstance(node, (ast.For, ast.While))]
    yields = (ast.Yield, ast.YieldFrom)
    return any(isinstance(node, ast.YieldFrom) for line in part.body for node in ast.walk(line)) or any(
        isinstance(node, yields) for loop in loops for node in ast.walk(loop)
    )


class _Sent:
    """One run of a synchronous chain: its program goes on in whoever sends, and in whoever subscribes."""

    def __init__(self, observer: AsyncObserver[Any], program: Push) -> None:
        self._observer = observer
        self._outputs: deque[Any] = deque()
        self._program = program(self._outputs.append)
        self._loop = asyncio.get_running_loop()
        self._upstream: AsyncDisposable | None = None
        self._ended = False
        self._send = self._program.send
        self._give = observer.asend
        self._busy = False
        """Whether an item is being worked on."""
        self._later: deque[tuple[Callable[[Any], object], Any]] = deque()
        """What the sender itself has sent meanwhile: from within an observer, say."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        """The others, in the order in which they came."""

    async def to(self, source: AsyncObservable[Any]) -> AsyncDisposable:
        """Begin, and subscribe to *source*, unless the chain ends before its first item."""
        try:
            await self.asend(self._program, next)
            if not self._ended:
                observer = _observer_class()(asend=self.asend, athrow=self.athrow, aclose=self.aclose)
                self._upstream = await source.subscribe_async(observer)
        except BaseException:
            self._close()
            raise
        if self._ended:
            await self._let_go()
        return _disposable(self.dispose)

    async def athrow(self, error: Exception) -> None:
        """Pass an error on."""
        await self.asend(error, self._raise)

    async def aclose(self) -> None:
        """Flush what the chain holds, and end."""
        await self.asend(Completed(), self._program.throw)

    def _raise(self, error: Exception) -> None:
        self._program.close()
        raise error

    async def asend(self, item: Any, step: Callable[[Any], object] | None = None) -> None:
        """Take an item through the chain and its results to the observer, in its turn.

        *step* is what else is to be done, with *item*: one function more costs as much as a short chain.
        """
        if step is None:
            step = self._send
        if self._busy:
            if self._is_within():
                self._later.append((step, item))
                return
            await self._turn()
        self._busy = True
        outputs = self._outputs
        end: tuple[Any, ...] | None = None
        try:
            while not self._ended:
                try:
                    step(item)
                except StopIteration:
                    end = (self._observer.aclose,)
                except Exception as error:
                    end = (self._observer.athrow, error)
                while outputs and not self._ended:
                    await self._give(outputs.popleft())
                if end is not None and not self._ended:
                    self._ended = True
                    await self._let_go()
                    await end[0](*end[1:])
                if not self._later:
                    return
                step, item = self._later.popleft()
            await asyncio.sleep(0)  # a producer that never looks must not keep the loop to itself
        except Exception:
            self._close()
            await self._let_go()
            raise
        finally:
            if outputs:
                outputs.clear()
            if self._later:
                self._later.clear()
            self._busy = False
            if self._waiting:
                self._pass_on()

    def _is_within(self) -> bool:
        """Whether whoever sends is already sending, further out.

        To note the task of each sender would cost an eighth of a short chain.
        """
        frame = sys._getframe(1).f_back
        while frame is not None:
            if frame.f_code is _Sent.asend.__code__ and frame.f_locals["self"] is self:
                return True
            frame = frame.f_back
        return False

    async def _turn(self) -> None:
        turn = self._loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _pass_on(self) -> None:
        """The turn is the next one's: nobody may come between."""
        self._busy = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._busy = True
                return

    def _close(self) -> None:
        self._ended = True
        self._program.close()

    async def _let_go(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.dispose_async()

    async def dispose(self) -> None:
        """End the run, and let go of who waits to send; may come twice."""
        self._close()
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()
        await self._let_go()


def _never_full(blocking: bool) -> Overflow:
    raise AssertionError("who sends here waits")


__all__ = ["is_async_observable", "on_async_observable", "to_async_iterable", "to_async_observable"]
