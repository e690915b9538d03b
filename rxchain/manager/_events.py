"""Events inside one process: each starts the chains that were declared for it.

Every subscriber has an inlet of its own, as wide as its chain's window, and a task that runs its chain over it: a slow
one makes those who emit wait, once its inlet is full, and one that fails fails alone.
"""

import asyncio
import contextvars
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from rxchain.engine import aclose, call, shorten
from rxchain.engine._inlet import Inlet
from rxchain.errors import Overflow
from rxchain.manager._managed import ManagedChain, Sink
from rxchain.manager._run import Run
from rxchain.manager._statistics import SubscriberStatistics
from rxchain.policies import _log
from rxchain.runners import OnError
from rxchain.types import Failure

if TYPE_CHECKING:
    from reactivex import Observable


class Subscription:
    """A chain that events start; made by `ChainManager.on`."""

    def __init__(
        self, bus: "Bus", event: str, managed: ManagedChain, sink: Sink | None, on_error: OnError | None
    ) -> None:
        self.event, self.managed = event, managed
        self._bus, self._sink = bus, sink
        self._on_error: Any = on_error if on_error is not None else managed.chain.on_error
        if self._on_error is None:
            self._on_error = self._unheard
        self._events = 0
        self._owed = 0
        """Events that wait for room: none overtakes them."""
        self._last_error: BaseException | None = None
        self._context = contextvars.copy_context()
        self._inlet: Inlet[Any] | None = None
        self._run: Run | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{self.managed.name!r} on {self.event!r}>"

    def dispose(self) -> None:
        """Take no more events. Those that were taken are still worked on; `ChainManager.drain` waits for that."""
        self._bus.remove(self)
        if self._inlet is not None:
            self._inlet.end()

    async def ended(self) -> None:
        """Wait until all that was taken has been worked on."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def statistics(self) -> SubscriberStatistics:
        """Numbers so far."""
        failed, taken = (self._run.failed, self._run.taken) if self._run is not None else (0, 0)
        waiting = max(self._events - taken, 0)
        return SubscriberStatistics(self.event, self.managed.name, self._events, failed, waiting, self._last_error)

    # --- taking events

    def push(self, payload: Any) -> bool:
        """Take an event if there is room; False if there is not."""
        inlet = self._begun()
        dropped = inlet.dropped
        if self._owed:
            return False
        inlet.push(payload)
        if inlet.dropped != dropped:
            return False
        self._events += 1
        return True

    def owe(self, by: int) -> None:
        """So many more, or fewer, events wait for room."""
        self._owed += by

    async def send(self, payload: Any) -> None:
        """Take an event, as soon as there is room."""
        await self._begun().send(payload)
        self._events += 1

    def _begun(self) -> Inlet[Any]:
        if self._inlet is None:
            self._inlet = Inlet(self.managed.chain.execution.window, "drop_newest", _never, context=self._context)
            run = self._run = Run(self.managed, self._inlet, self._on_error, self.dispose)
            name = f"{self.event} -> {self.managed.name}"
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._work(run), name=name, context=self._context.copy())
            self._bus.began(self, self._task)
        return self._inlet

    async def _work(self, run: Run) -> None:
        outputs = run.stream()
        try:
            async for result in outputs:
                if self._sink is not None:
                    try:
                        await call(self._sink, result)
                    except Exception as error:
                        self._last_error = error
                        _log.must_see(
                            f"the sink of {self.managed.name!r}, on event {self.event!r}, failed",
                            error=error,
                            chain=self.managed.name,
                        )
        except Exception as error:
            self._last_error = error
            waiting = self.statistics().waiting
            lost = f"; {waiting} events that it had taken are lost" if waiting else ""
            text = f"chain {self.managed.name!r}, on event {self.event!r}, has ended, and is told no more events{lost}"
            _log.must_see(text, error=error, chain=self.managed.name)
        finally:
            self.dispose()
            await aclose(outputs)

    def _unheard(self, failure: Failure) -> None:
        """What is done about a failure where nobody has said."""
        self._last_error = failure.error
        text = f"event {self.event!r} failed in {_log.called(failure.chain, failure.node)}"
        _log.must_see(text, items=[failure.item], error=failure.error, chain=failure.chain, node=failure.node)


class Observers:
    """Those who watch an event as an Observable: they are pushed, and cannot be waited for."""

    def __init__(self, event: str) -> None:
        self.event = event
        self._observers: list[Any] = []
        self._events = self._failed = 0
        self._last_error: BaseException | None = None

    def observable(self) -> "Observable[Any]":
        """An Observable of the payloads."""
        import reactivex
        from reactivex.disposable import Disposable

        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            self._observers.append(observer)

            def dispose() -> None:
                if observer in self._observers:
                    self._observers.remove(observer)

            return Disposable(dispose)

        return reactivex.create(subscribe)

    def push(self, payload: Any) -> int:
        """Tell all observers; how many there are."""
        observers = tuple(self._observers)
        for observer in observers:
            self._events += 1
            try:
                observer.on_next(payload)
            except Exception as error:
                self._failed += 1
                self._last_error = error
                _log.must_see(f"an observer of event {self.event!r} failed", items=[payload], error=error)
        return len(observers)

    def end(self) -> None:
        """There will be no more events."""
        observers, self._observers = self._observers, []
        for observer in observers:
            try:
                observer.on_completed()
            except Exception as error:
                _log.must_see(f"an observer of event {self.event!r} failed at its end", error=error)

    def statistics(self) -> SubscriberStatistics | None:
        """Numbers so far; None if nobody has ever watched."""
        if not (self._observers or self._events):
            return None
        return SubscriberStatistics(self.event, "observers", self._events, self._failed, 0, self._last_error)


class Bus:
    """Who is told of which event."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._observers: dict[str, Observers] = {}
        self._tasks: dict[asyncio.Task[None], Subscription] = {}

    def add(self, subscription: Subscription) -> None:
        """Tell *subscription* of its event."""
        self._subscriptions.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Tell it no more."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def began(self, subscription: Subscription, task: "asyncio.Task[None]") -> None:
        """Own its task."""
        self._tasks[task] = subscription
        task.add_done_callback(self._tasks.pop)

    def observers(self, event: str) -> Observers:
        """Those who watch *event*."""
        found = self._observers.get(event)
        if found is None:
            found = self._observers[event] = Observers(event)
        return found

    async def emit(self, event: str, payload: Any) -> int:
        """Tell all; wait for those that have no room."""
        told = self._watched(event, payload)
        full: list[Subscription] = []
        for subscription in self._for(event):
            told += 1
            if not subscription.push(payload):
                full.append(subscription)
                subscription.owe(1)
        left = len(full)
        try:
            for subscription in full:
                try:
                    await subscription.send(payload)
                finally:
                    subscription.owe(-1)
                    left -= 1
        finally:
            for subscription in full[len(full) - left :]:
                subscription.owe(-1)
        return told

    def emit_nowait(self, event: str, payload: Any) -> int:
        """Tell all at once.

        Raises:
            Overflow: some have no room; all others were told.
        """
        told = self._watched(event, payload)
        full: list[str] = []
        for subscription in self._for(event):
            told += 1
            if not subscription.push(payload):
                full.append(repr(subscription.managed.name))
        if full:
            raise Overflow(
                f"event {event!r} finds no room in {', '.join(full)}, which works on as many as its window holds; the"
                f" others were told\n"
                f"    manager.emit_nowait({event!r}, {shorten(payload, 30)})  # incorrect, faster than that\n"
                f"    await manager.emit({event!r}, {shorten(payload, 30)})  # correct: waits for room"
            )
        return told

    def _watched(self, event: str, payload: Any) -> int:
        return sum(o.push(payload) for name, o in tuple(self._observers.items()) if matches(name, event))

    def _for(self, event: str) -> list[Subscription]:
        return [s for s in self._subscriptions if matches(s.event, event)]

    async def drain(self) -> None:
        """End one subscriber after the other, as they were added, each when what it has taken is worked on."""
        for subscription in tuple(self._subscriptions):
            subscription.dispose()
            await subscription.ended()
        self.end()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def tasks(self) -> "list[asyncio.Task[None]]":
        """Those that run."""
        return list(self._tasks)

    def end(self) -> None:
        """Take no more events."""
        for subscription in tuple(self._subscriptions):
            subscription.dispose()
        for observers in self._observers.values():
            observers.end()

    def statistics(self) -> tuple[SubscriberStatistics, ...]:
        """Numbers of all."""
        chains = {id(s): s for s in (*self._tasks.values(), *self._subscriptions)}
        watched = [found for o in self._observers.values() if (found := o.statistics()) is not None]
        return (*(s.statistics() for s in chains.values()), *watched)


def matches(pattern: str, event: str) -> bool:
    """Whether *event* is one that *pattern* names: itself, or as files are named, ``order.*``."""
    return pattern == event or ("*" in pattern and fnmatchcase(event, pattern))


def _never(blocked: bool) -> Overflow:
    raise AssertionError("what does not fit is dropped here, and whoever pushes looks")


__all__ = ["Bus", "Observers", "Subscription", "matches"]
