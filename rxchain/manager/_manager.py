"""ChainManager: the owner of named chains, of events, and of tasks with dependencies."""

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rxchain.chain import Chain
from rxchain.engine import Operator, name_of, shorten
from rxchain.engine._crew import cancelled
from rxchain.errors import CompositionError
from rxchain.graph import Graph
from rxchain.manager._events import Bus, Subscription
from rxchain.manager._managed import ManagedChain, Sink
from rxchain.manager._statistics import ManagerStatistics
from rxchain.node import ChainNode
from rxchain.runners import OnError
from rxchain.types import OverflowPolicy

if TYPE_CHECKING:
    from reactivex import Observable


class ChainManager:
    """Owns chains that change while they run, the events that start them, and tasks that depend on one another.

    >>> from rxchain import ChainManager
    >>> manager = ChainManager()
    >>> words = manager.chain("words", str.strip, str.upper)
    >>> words.replace("upper", str.title)
    >>> words.run_sync(" tea ")
    'Tea'
    >>> manager["words"].chain
    Chain(strip, upper, name='words')

    Tasks are nodes with a name and those that they depend on; each is done once, behind them:

    >>> from rxchain import ChainNode
    >>> class Brew(ChainNode):
    ...     def task_result(self, water):
    ...         return f"tea of {water}"
    >>> manager.add_task(Brew("brew", ["boil"]))
    >>> manager.add_task(ChainNode("boil"))
    >>> manager.execute()
    ['Result of boil', 'tea of Result of boil']

    As an async context manager it ends what it owns: chains are drained, events that were taken are worked on; when the
    block fails, all is cancelled. An error that has ended a chain, and that nobody was told, is raised then.
    """

    def __init__(self) -> None:
        self._chains: dict[str, ManagedChain] = {}
        self._bus = Bus()
        self._graph = Graph(name="tasks")

    def __repr__(self) -> str:
        return f"<ChainManager: {', '.join(self._chains) or 'no chains'}>"

    # --- chains

    def chain(
        self,
        name: str,
        *steps: Any,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> ManagedChain:
        """Make a managed chain of *steps*, or of one chain or graph that there is already.

        Args:
            name: what it is called; `ChainManager` gives it by that name.
            window: *overflow*, *on_error*: as in `Chain`; those of a chain that is given stand if nothing else is said.

        Raises:
            CompositionError: the name is taken, or the steps make no chain.
        """
        if not isinstance(name, str):
            raise CompositionError(
                f"a managed chain has a name, got {shorten(name, 40)}\n"
                "    manager.chain(parse, charge)  # incorrect\n"
                "    manager.chain('orders', parse, charge)  # correct"
            )
        if name in self._chains:
            raise CompositionError(
                f"there is a chain {name!r} already\n"
                f"    manager.chain({name!r}, ...)  # incorrect, twice\n"
                f"    manager[{name!r}].add(...)  # correct, to change it"
            )
        made = self._chains[name] = ManagedChain(name, _chain_of(steps, window, overflow, on_error))
        return made

    def __getitem__(self, name: str) -> ManagedChain:
        """The chain called *name*."""
        try:
            return self._chains[name]
        except KeyError:
            known = ", ".join(map(repr, self._chains)) or "none"
            raise KeyError(f"no chain called {name!r}; there is {known}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._chains

    def __iter__(self) -> Iterator[str]:
        return iter(self._chains)

    def __len__(self) -> int:
        return len(self._chains)

    def __bool__(self) -> bool:
        return True

    def pause(self) -> None:
        """Pause all chains."""
        for managed in self._chains.values():
            managed.pause()

    def resume(self) -> None:
        """Let all chains go on."""
        for managed in self._chains.values():
            managed.resume()

    async def drain(self) -> None:
        """Drain all chains, work on all events that were taken; then raise what chains have failed with.

        What they were started with comes to an end first, then whoever is told of events, in the order in which they
        were added: so the events that are emitted meanwhile by those before reach those behind.
        """
        await self._all([managed.end_started for managed in self._chains.values()], self._bus.drain)

    async def stop(self) -> None:
        """Cancel all that runs, and wait for it; then raise what chains have failed with."""
        self._bus.end()
        try:
            await cancelled(self._bus.tasks())
        finally:
            await self._all([managed.stop for managed in self._chains.values()])

    async def _all(self, ends: list[Callable[[], Any]], then: Callable[[], Any] | None = None) -> None:
        found = await asyncio.gather(*(end() for end in ends), return_exceptions=True)
        if then is not None:
            await then()
        for managed in self._chains.values():
            managed.end_streams()
        errors = [error for error in found if isinstance(error, Exception)]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several chains have failed", errors)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            try:
                await self.drain()
            except asyncio.CancelledError:
                await self.stop()
                raise
            return
        try:
            await self.stop()
        except Exception as failure:
            error.add_note(f"a chain of the manager failed, too: {failure!r}")

    def statistics(self) -> ManagerStatistics:
        """States and numbers of all chains, and of whoever is told of events."""
        return ManagerStatistics(tuple(m.statistics() for m in self._chains.values()), self._bus.statistics())

    # --- events

    def on(
        self,
        event: str,
        handler: Any,
        *,
        sink: Sink | None = None,
        on_error: OnError | None = None,
    ) -> Subscription:
        """Run *handler* for each event called *event*, in the order in which they are emitted.

        Args:
            event: its name; or a pattern: ``order.*``.
            handler: a managed chain, or its name in this manager; a chain, a graph or a function, sync or async.
            sink: a function, sync or async, that is given each result.
            on_error: is told of each event that fails; without it, and where the chain has none itself, failures are
                logged. The others go on, and no other subscriber is any the wiser.

        Raises:
            CompositionError: it is none of these.
        """
        if not isinstance(event, str):
            raise CompositionError(
                f"an event is known by its name, got {shorten(event, 40)}\n"
                "    manager.on(order_created, chain)  # incorrect\n"
                "    manager.on('order.created', chain)  # correct"
            )
        if isinstance(handler, str):
            handler = self[handler]
        if not isinstance(handler, ManagedChain):
            name = handler.name if isinstance(handler, (Chain, Graph)) else name_of(handler)
            handler = ManagedChain(name or event, _chain_of((handler,), None, "error", None))
        subscription = Subscription(self._bus, event, handler, sink, on_error)
        self._bus.add(subscription)
        return subscription

    async def emit(self, event: str, payload: Any = None) -> int:
        """Tell all that are there for *event*; to be called on the event loop, also by nodes. How many there were.

        It returns when each has taken the event, not when it has been worked on: if the windows of their chains are
        full, it waits. A node that emits what comes round to its own chain may so wait for itself.
        """
        return await self._bus.emit(event, payload)

    def emit_nowait(self, event: str, payload: Any = None) -> int:
        """The same without waiting.

        Raises:
            Overflow: a window is full. All others have been told.
        """
        return self._bus.emit_nowait(event, payload)

    def events(self, event: str) -> "Observable[Any]":
        """A reactivex Observable of the payloads of *event*, or of those that a pattern names.

        It is hot: what was emitted before is gone. Observers are called where `emit` is, and nobody waits for them. It
        completes when the manager is drained or stopped.
        """
        return self._bus.observers(event).observable()

    # --- tasks

    @property
    def tasks(self) -> Graph:
        """The tasks, as the graph that they are."""
        return self._graph

    def add_task(self, node: Any, *dependencies: Any) -> None:
        """Add a task, in any order: a `ChainNode`, with those that it depends on.

        Raises:
            CompositionError: there is one of that name already.
        """
        if isinstance(node, str):
            node = ChainNode(node, dependencies)
        self._graph.add(node)

    def execute(self, item: Any = None) -> list[Any]:
        """Do all tasks, each behind those that it depends on; their results, in that order.

        Those that depend on several others, or on none, stand in the order in which they were added. Async tasks that
        depend neither way on each other go on side by side. It may be called where an event loop runs, which it blocks.

        Args:
            item: what tasks without dependencies are given, if they need an argument.

        Raises:
            CompositionError: they depend on one another in a circle, or on one that is not there.
        """
        return list(self._graph.run_sync(item).values()) if len(self._graph) else []

    async def execute_async(self, item: Any = None) -> list[Any]:
        """The same on the event loop."""
        return list((await self._graph.run(item)).values()) if len(self._graph) else []


def _chain_of(steps: tuple[Any, ...], window: int | None, overflow: OverflowPolicy, on_error: Any) -> Chain[Any, Any]:
    if len(steps) == 1 and isinstance(steps[0], Chain):
        given = steps[0]
        steps = given.steps
        window = given.window if window is None else window
        overflow = given.overflow if overflow == "error" else overflow
        on_error = given.on_error if on_error is None else on_error
    return Operator.composed(*steps, window=window, overflow=overflow, on_error=on_error)  # type: ignore[no-any-return]


__all__ = ["ChainManager"]
