"""Sources that do what sources do when things go wrong: each in one way, and always in the same.

Those that are async iterables count what is done to them; where the same story can be told to a reactivex observer,
``observable()`` tells it. reactivex is imported then, never before.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic

from rxchain.testing._source import SourceFailed
from rxchain.types import T

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex.abc import DisposableBase, ObserverBase


INTERLEAVED = 4
"""How many items of each thread of an `Overlapping` source are pushed line by line with those of the others."""


class _Hostile(AsyncIterator[T]):
    """Gives its items, suspending before each; what then follows its subclasses say."""

    asked: int
    """How many times an item was asked for."""
    given: int
    """How many items were taken."""
    closed: int
    """How often it was closed, or its subscription disposed of."""

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = list(items)
        self.asked = self.given = self.closed = 0

    async def __anext__(self) -> T:
        self.asked += 1
        await asyncio.sleep(0)
        if self.given < len(self._items):
            self.given += 1
            return self._items[self.given - 1]
        return await self._then()

    async def _then(self) -> T:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close it."""
        self.closed += 1


class _HostileToBoth(_Hostile[T]):
    """One whose story can be told to a reactivex observer too."""

    def observable(self) -> Observable[T]:
        """The same as a reactivex Observable, which gives all of its items while it is being subscribed to."""

        def subscribe(observer: ObserverBase[T]) -> None:
            for item in self._items:
                self.given += 1
                observer.on_next(item)
            self._push_then(observer)

        return _observable(subscribe, self._dispose)

    def _push_then(self, observer: ObserverBase[T]) -> None:
        observer.on_completed()

    def _dispose(self) -> None:
        self.closed += 1


class NeverCompletes(_HostileToBoth[T]):
    """Gives its items, and then neither another nor an end.

    >>> from rxchain import Chain, operators as ops
    >>> from rxchain.testing import NeverCompletes, run
    >>> source = NeverCompletes("abc")
    >>> run(Chain(ops.take(2)).collect(source)), source.closed
    (['a', 'b'], 1)
    """

    async def _then(self) -> T:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    def _push_then(self, observer: ObserverBase[T]) -> None:
        pass


class FailsMidway(_HostileToBoth[T]):
    """Gives its items, and then fails, with *error* or with `SourceFailed`.

    >>> from rxchain.testing import FailsMidway
    >>> FailsMidway("ab").observable().subscribe(print, lambda error: print(repr(error)))
    a
    b
    SourceFailed('the source fails here')
    <reactivex...>
    """

    def __init__(self, items: Iterable[T] = (), error: Exception | None = None) -> None:
        super().__init__(items)
        self.error = error if error is not None else SourceFailed("the source fails here")

    async def _then(self) -> T:
        raise self.error

    def _push_then(self, observer: ObserverBase[T]) -> None:
        observer.on_error(self.error)


class EmitsAfterEnd(_HostileToBoth[T]):
    """Gives its items and ends; asked again, it gives *late* items, and ends again.

    As an Observable it calls ``on_completed``, ``on_next`` with each late one, ``on_error``, ``on_completed`` again.

    >>> from rxchain import Chain
    >>> from rxchain.testing import EmitsAfterEnd, run
    >>> run(Chain(str.upper).collect(EmitsAfterEnd("ab", late="cd")))
    ['A', 'B']
    """

    def __init__(self, items: Iterable[T] = (), late: Iterable[T] = ()) -> None:
        super().__init__(items)
        self._late = list(late)

    async def _then(self) -> T:
        self._items, self._late = self._items + self._late, []
        raise StopAsyncIteration

    def _push_then(self, observer: ObserverBase[T]) -> None:
        observer.on_completed()
        for item in self._late:
            self.given += 1
            observer.on_next(item)
        observer.on_error(SourceFailed("after the end"))
        observer.on_completed()


class FailsInClose(_HostileToBoth[T]):
    """Gives its items and ends; closing it, or disposing of it, fails with *error* or with `SourceFailed`."""

    def __init__(self, items: Iterable[T] = (), error: Exception | None = None) -> None:
        super().__init__(items)
        self.error = error if error is not None else SourceFailed("the source fails to close")

    async def aclose(self) -> None:
        """Fail."""
        await super().aclose()
        raise self.error

    def _dispose(self) -> None:
        super()._dispose()
        raise self.error


class HangsInClose(_Hostile[T]):
    """Gives its items and ends; closing it takes until the task that does so is cancelled.

    >>> import asyncio
    >>> from rxchain import Chain
    >>> from rxchain.testing import HangsInClose, run
    >>> async def main():
    ...     async with asyncio.timeout(5):
    ...         await Chain().collect(HangsInClose("ab"))
    >>> run(main())
    Traceback (most recent call last):
    ...
    TimeoutError
    """

    async def aclose(self) -> None:
        """Wait until it is cancelled."""
        await super().aclose()
        await asyncio.get_running_loop().create_future()


class IgnoresCancellation(_Hostile[T]):
    """Gives its items and never ends; who waits for more has to be cancelled *times* + 1 times.

    ``ignored`` counts the cancellations that it has passed over.
    """

    ignored: int
    """How many cancellations it has passed over."""

    def __init__(self, items: Iterable[T] = (), times: int = 1) -> None:
        super().__init__(items)
        self._times = times
        self.ignored = 0

    async def _then(self) -> T:
        while True:
            try:
                return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
            except asyncio.CancelledError:
                if self.ignored == self._times:
                    raise
                self.ignored += 1


class Overlapping(Generic[T]):
    """A reactivex source whose threads push side by side, each its share of the items; when all have ended, so does it.

    They begin each item together, and with their first few items take turns at every line of what handles them.

    >>> from rxchain import Chain
    >>> from rxchain.testing import Overlapping
    >>> got = []
    >>> subscription = Overlapping(range(100)).observable().pipe(Chain(repr)).subscribe(got.append)
    >>> sorted(map(int, got)) == list(range(100))
    True

    Args:
        threads: how many; the n-th pushes the n-th item and then every *threads*-th.
    """

    def __init__(self, items: Iterable[T], threads: int = 2) -> None:
        self._items = list(items)
        self._threads = threads

    def observable(self) -> Observable[T]:
        """An Observable whose ``subscribe`` begins the threads, and returns when they have ended.

        What the observer raises on one of them ends them all, and is raised by ``subscribe``.
        """

        def subscribe(observer: ObserverBase[T]) -> None:
            failed: list[BaseException] = []
            together = threading.Barrier(self._threads)

            def push(first: int) -> None:
                try:
                    for start in range(0, len(self._items), self._threads):
                        together.wait()
                        for item in self._items[start + first : start + first + 1]:
                            with _interleaved(start < INTERLEAVED * self._threads):
                                observer.on_next(item)
                except threading.BrokenBarrierError:
                    pass  # another thread has failed
                except BaseException as error:
                    failed.append(error)
                    together.abort()

            threads = [
                threading.Thread(target=push, args=(first,), name=f"rxchain-testing-overlapping-{first}")
                for first in range(self._threads)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if failed:
                raise failed[0]
            observer.on_completed()

        return _observable(subscribe, lambda: None)


@contextmanager
def _interleaved(really: bool) -> Iterator[None]:
    """Give the other threads a turn at each line: Python's turns are long, and most observers quicker than one."""
    if not really:
        yield
        return

    def turn(frame: FrameType, event: str, argument: object) -> Any:
        time.sleep(1e-6)
        return turn

    before = sys.gettrace()
    sys.settrace(turn)
    try:
        yield
    finally:
        sys.settrace(before)


class Reentrant(Generic[T]):
    """A reactivex source that pushes its next item while the one before is being handled: wherever `again` is called.

    >>> from rxchain import Chain, operators as ops
    >>> from rxchain.testing import Reentrant
    >>> source = Reentrant("abc")
    >>> chain = Chain(ops.tap(source.again), str.upper)
    >>> subscription = source.observable().pipe(chain).subscribe(print)
    A
    B
    C
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = list(items)
        self._left: list[T] = []
        self._push: Callable[[T], None] | None = None

    def again(self, item: object = None, /) -> None:
        """Push the next item, if there is one: to be called from where an item is handled. *item* is not looked at."""
        if self._left and self._push is not None:
            self._push(self._left.pop(0))

    def observable(self) -> Observable[T]:
        """An Observable that pushes by itself whatever `again` has not."""

        def subscribe(observer: ObserverBase[T]) -> None:
            self._left, self._push = list(self._items), observer.on_next
            while self._left:
                self.again()
            observer.on_completed()

        return _observable(subscribe, lambda: None)


def _observable(tell: Callable[[ObserverBase[Any]], None], dispose: Callable[[], None]) -> Observable[Any]:
    """An Observable whose observers hear what is told: reactivex's own keeps from them what comes after the end."""
    from reactivex import Observable, abc
    from reactivex.disposable import Disposable

    class Unguarded(Observable[Any]):
        def subscribe(
            self,
            on_next: Any = None,
            on_error: Any = None,
            on_completed: Any = None,
            *,
            scheduler: abc.SchedulerBase | None = None,
        ) -> DisposableBase:
            if not hasattr(on_next, "on_next"):
                on_next = _Callbacks(on_next, on_error, on_completed)
            tell(on_next)
            return Disposable(dispose)

    return Unguarded()


class _Callbacks:
    """An observer of functions; unlike reactivex's own it does not know when it has ended."""

    def __init__(self, on_next: Any, on_error: Any, on_completed: Any) -> None:
        self.on_next = on_next or _ignore
        self.on_error = on_error or _raise
        self.on_completed = on_completed or _ignore


def _ignore(*_: object) -> None:
    pass


def _raise(error: Exception) -> None:
    raise error


__all__ = [
    "EmitsAfterEnd",
    "FailsInClose",
    "FailsMidway",
    "HangsInClose",
    "IgnoresCancellation",
    "NeverCompletes",
    "Overlapping",
    "Reentrant",
]
