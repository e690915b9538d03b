"""A synchronous chain on a reactivex Observable: items are pushed through the same program that pulls elsewhere.

The output keeps the Observable grammar whatever the source does: calls that overlap are queued behind the running one,
nothing follows the end. reactivex is imported when an Observable is met, never before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rxchain.engine import Completed, Segment
from rxchain.runners._execution import Execution
from rxchain.runners._on_error import Handler
from rxchain.runners._pushed import Push, pushed
from rxchain.runners._reactivex_async import with_tasks

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase


def is_observable(source: object) -> bool:
    """Whether *source* is a reactivex Observable, known by its protocol."""
    return hasattr(source, "subscribe") and hasattr(source, "pipe") and not isinstance(source, type)


def on_observable(source: Observable[Any], execution: Execution) -> Observable[Any]:
    """The chain's output over *source*; each subscription to it runs the chain afresh."""

    if execution.asynchronous:
        return with_tasks(source, execution)

    if execution.on_error.fresh is None:
        return _through(source, execution, execution.on_error)

    from reactivex import defer

    return defer(lambda _: _through(source, execution, execution.on_error.afresh()))


def _through(source: Observable[Any], execution: Execution, handler: Handler) -> Observable[Any]:
    for program in pushed(execution, handler):
        assert not isinstance(program, Segment)
        source = _piped(source, program)
    return source


def _piped(source: Observable[Any], program: Push) -> Observable[Any]:
    from reactivex import Observable

    def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
        return _Subscription(observer, program).to(source, scheduler)

    return Observable(subscribe)


class _Subscription:
    """One run of a program that items are pushed into."""

    def __init__(self, observer: ObserverBase[Any], program: Push) -> None:
        from reactivex.disposable import SingleAssignmentDisposable

        self._observer = observer
        self._upstream = SingleAssignmentDisposable()
        self._program = program(self._emit)
        self._lock = threading.Lock()  # guards the three below
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = False
        self._ended = False
        self._observers_error: BaseException | None = None

    def to(self, source: Observable[Any], scheduler: SchedulerBase | None) -> DisposableBase:
        """Subscribe to *source*, unless the chain ended before its first item."""
        from reactivex.disposable import Disposable

        self._serially(lambda: self._advance(lambda: next(self._program)))
        if not self._ended:
            self._upstream.disposable = source.subscribe(
                lambda item: self._serially(lambda: self._advance(lambda: self._program.send(item))),
                lambda error: self._serially(lambda: self._fail(error)),
                lambda: self._serially(lambda: self._advance(lambda: self._program.throw(Completed()))),
                scheduler=scheduler,
            )
        return Disposable(self.dispose)

    def dispose(self) -> None:
        """End the run; may come twice, and from any thread."""
        self._ended = True
        self._upstream.dispose()
        self._serially(self._program.close)

    def _serially(self, act: Callable[[], None]) -> None:
        """Do *act* now, or behind what is being done: recursion and other threads find the program busy."""
        with self._lock:
            self._waiting.append(act)
            if self._busy:
                return
            self._busy = True
        try:
            while True:
                with self._lock:
                    if not self._waiting:
                        self._busy = False
                        return
                    act = self._waiting.popleft()
                act()
        except BaseException:
            with self._lock:
                self._waiting.clear()
                self._busy = False
            raise

    def _emit(self, value: Any) -> None:
        if self._ended:
            return
        try:
            self._observer.on_next(value)
        except BaseException as error:
            self._observers_error = error
            raise

    def _advance(self, step: Callable[[], None]) -> None:
        if self._ended:
            return
        try:
            step()
        except StopIteration:
            if not self._ended:
                self._ended = True
                self._upstream.dispose()
                self._observer.on_completed()
        except Exception as error:
            if error is self._observers_error:
                self._ended = True
                self._upstream.dispose()
                raise
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._ended:
            self._ended = True
            self._upstream.dispose()
            self._program.close()
            self._observer.on_error(error)
