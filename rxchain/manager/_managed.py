"""A chain that can be changed while it runs."""

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

from rxchain.chain import Chain
from rxchain.engine import call, iterate_on_loop_thread, shorten
from rxchain.engine._crew import cancelled
from rxchain.errors import CompositionError, RxChainError
from rxchain.manager._canary import CanaryStep, Key, canary_step
from rxchain.manager._run import Run
from rxchain.manager._statistics import CanaryReport, ChainStatistics, Edit, State
from rxchain.manager._steps import (
    Place,
    Steps,
    always_one,
    check_own,
    name_of_step,
    named,
    new_step,
    numbered,
    one_step,
    paths_of,
    place_of,
    put_at,
    row_of,
    step_at,
)
from rxchain.policies import _log
from rxchain.runners import OnError
from rxchain.runners._on_error import STOP
from rxchain.types import AnyIterable

EDITS = 100
"""Edits that are remembered."""

Sink = Callable[[Any], object] | Callable[[Any], Awaitable[object]]

_inside: "contextvars.ContextVar[frozenset[ManagedChain]]" = contextvars.ContextVar(
    "rxchain managed chains that this runs in", default=frozenset()
)


class ManagedChain:
    """A chain whose nodes are added, removed and replaced by name, also while it runs; made by `ChainManager.chain`.

    Each change makes another chain, which is compiled, and becomes the plan: items that were taken before it are
    finished by the old plan, those behind it go through the new one. None is lost, none comes twice, their order stays.
    If the new chain is not one, that is a `CompositionError`, and the old one runs on.

    The old plan is at its end then, as if its source were: steps that hold items back, as ``ops.batch``, give out what
    they have, and those that count or remember, as ``ops.take``, begin anew, as does whatever `start_with` says first.

    The nodes of a chain in it are reached as errors name them, ``inner/charge``; `paths` lists them all.

    >>> from rxchain import ChainManager
    >>> numbers = ChainManager().chain("numbers", str.strip, int_of := lambda text: int(text))
    >>> numbers.names
    ('strip', '<lambda>')
    >>> numbers.rename("<lambda>", "parse")
    >>> def double(number: int) -> int:
    ...     return number * 2
    >>> results = numbers.iterate([" 1", " 2", " 3"])
    >>> next(results)
    1
    >>> numbers.insert_after("parse", double)
    >>> list(results)
    [4, 6]

    What changes, pauses and asks may be called from any thread; what is awaited, on the event loop where the chain was
    started.
    """

    def __init__(self, name: str, chain: Chain[Any, Any]) -> None:
        self.name = name
        self._chain = self._with(chain, numbered(chain.steps))
        self._lock = threading.RLock()
        self._runs: list[Run] = []
        self._gone_taken = self._gone_results = self._gone_failed = 0
        """Of runs that have ended."""
        self._edits: deque[Edit] = deque(maxlen=EDITS)
        self._last_error: BaseException | None = None
        self._paused = self._stopping = False
        self._became = State.IDLE
        """What became of the last run."""
        self._shown = State.IDLE
        self._since = time.time()
        self._task: asyncio.Task[None] | None = None
        self._started: Run | None = None
        """What the task runs."""
        self._joining = 0
        self._untold: BaseException | None = None
        """An error that no `join` has raised yet."""
        self._compiled(self._chain)

    def __repr__(self) -> str:
        return f"<managed chain {self.name!r}: {' | '.join(self.names)}; {self.state.value}>"

    @property
    def chain(self) -> Chain[Any, Any]:
        """The plan, as it stands now: a chain like any other."""
        return self._chain

    @property
    def names(self) -> tuple[str, ...]:
        """What its nodes are called; of two ``map`` in the chain it was made of, the second is ``map_2``."""
        return tuple(name_of_step(step) for step in self._chain.steps)

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of all nodes that can be changed, those of chains in it as well: ``inner``, ``inner/charge``."""
        return tuple(paths_of(self._chain.steps))

    # --- changing it

    def add(self, step: Any, name: str | None = None) -> None:
        """Put *step* behind all others.

        Args:
            step: what may stand in a chain.
            name: what it is called, if not as its function is.

        Raises:
            CompositionError: it is no step, its name is taken, or there can be no such chain; the old plan runs on.
        """
        with self._lock:
            steps = self._chain.steps
            made = new_step(self.name, steps, "", step, name, f"add({self._said(step)})")
            self._change("add", name_of_step(made), (*steps, made))

    def insert_before(self, node: str, step: Any, name: str | None = None) -> None:
        """Put *step* before the node that is called *node*; otherwise as `add`.

        Before ``inner/charge`` is in the chain ``inner``, which is made anew with it; *name* is that of the node alone.
        """
        with self._lock:
            said = f"insert_before({node!r}, {self._said(step)})"
            self._insert(node, step, name, said, lambda made, there: (made, there))

    def insert_after(self, node: str, step: Any, name: str | None = None) -> None:
        """Put *step* behind the node that is called *node*; otherwise as `insert_before`."""
        with self._lock:
            said = f"insert_after({node!r}, {self._said(step)})"
            self._insert(node, step, name, said, lambda made, there: (there, made))

    def remove(self, node: str) -> None:
        """Take the node out."""
        with self._lock:
            self._put_at(self._place(node), (), "remove", node)

    def replace(self, node: str, step: Any, *, canary: float | None = None, key: Key | None = None) -> None:
        """Put *step* in the place of a node; it takes over the name.

        Args:
            node: its name; of one in the chain ``inner`` that is ``inner/charge``, as in errors.
            canary: the share of items, more than 0 and less than 1, that goes through the new one; the others go
                through the old one, until `promote` or `roll_back`. Both keep their policies, and together they work on
                as many items at once as the more careful of them declares.
            key: a function of what enters the node that gives its key: then all items of a key go the same way, in each
                run and each process. Without it every tenth item goes through the new node, if *canary* is 0.1.
        """
        if canary is None and key is not None:
            raise CompositionError(
                f"a key says which items are the canary's, and there is none\n"
                f"    replace({node!r}, ..., key=...)  # incorrect\n"
                f"    replace({node!r}, ..., canary=0.1, key=...)  # correct"
            )
        with self._lock:
            place = self._place(node)
            old = step_at(self._chain.steps, place)
            name = name_of_step(old)
            new = one_step(step, name)
            if canary is not None:
                new = named(canary_step(self.name, node, old, new, canary, key), name)
            self._put_at(place, (new,), "replace" if canary is None else "canary", node)

    def rename(self, old: str, new: str) -> None:
        """Call the node *old* *new*; of one in the chain ``inner`` the new name is that of the node alone."""
        with self._lock:
            place = self._place(old)
            step, row = step_at(self._chain.steps, place), row_of(self._chain.steps, place)
            prefix = _prefix(old, step)
            if new != name_of_step(step) and new in map(name_of_step, row):
                raise CompositionError(
                    f"chain {self.name!r} has a node {prefix + new!r} already\n"
                    f"    rename({old!r}, {new!r})  # incorrect"
                )
            check_own(prefix, new, f"rename({old!r}, {new!r})")
            self._put_at(place, (named(step, new),), "rename", old)

    def canary(self, node: str) -> CanaryReport:
        """How the old and the new node do, side by side.

        Raises:
            CompositionError: the node has no canary.
        """
        return self._canary(node)[1].report(node)

    def promote(self, node: str) -> CanaryReport:
        """Let all items go through the canary; gives the last report."""
        with self._lock:
            place, step = self._canary(node)
            self._put_at(place, (named(step.new, step.name),), "promote", node)
            return step.report(node)

    def roll_back(self, node: str) -> CanaryReport:
        """Let all items go through the old node again; gives the last report."""
        with self._lock:
            place, step = self._canary(node)
            self._put_at(place, (named(step.old, step.name),), "roll back", node)
            return step.report(node)

    def _canary(self, node: str) -> tuple[Place, CanaryStep]:
        place = self._place(node)
        step = step_at(self._chain.steps, place)
        if not isinstance(step, CanaryStep):
            raise CompositionError(
                f"node {node!r} of chain {self.name!r} has no canary\n"
                f"    replace({node!r}, new, canary=0.1)  # correct, before that"
            )
        return place, step

    def _place(self, node: str) -> Place:
        return place_of(self.name, self._chain.steps, node)

    def _said(self, step: Any) -> str:
        name = getattr(step, "__name__", None)
        return name if isinstance(name, str) else shorten(step, 40)

    def _insert(self, node: str, step: Any, name: str | None, said: str, both: Callable[[Any, Any], Steps]) -> None:
        place = self._place(node)
        row, there = row_of(self._chain.steps, place), step_at(self._chain.steps, place)
        prefix = _prefix(node, there)
        made = new_step(self.name, row, prefix, step, name, said)
        self._put_at(place, both(made, there), "insert", prefix + name_of_step(made))

    def _put_at(self, place: Place, made: Steps, what: str, node: str) -> None:
        self._change(what, node, put_at(self._chain.steps, place, made))

    def _change(self, what: str, node: str, steps: Steps) -> None:
        made = self._with(self._chain, steps)
        self._compiled(made)
        self._chain = made
        self._edits.append(Edit(what, node, self._sum("taken"), time.time()))
        for run in tuple(self._runs):
            run.news()

    def _with(self, chain: Chain[Any, Any], steps: Steps) -> Chain[Any, Any]:
        return Chain(*steps, name=self.name, window=chain.window, overflow=chain.overflow, on_error=chain.on_error)

    def _compiled(self, chain: Chain[Any, Any]) -> None:
        """Find out what is wrong with *chain*, as those that run will need it."""
        for run in self._open() or [Run(self, (), None)]:
            run.check(chain)

    def _always_one(self, chain: Chain[Any, Any]) -> bool:
        return always_one(chain.execution.operators)

    # --- running it

    def run(self, item: Any) -> Coroutine[Any, Any, Any]:
        """Run one item through the plan; see `Chain.run`."""
        return self._chain.run(item)

    def run_sync(self, item: Any) -> Any:
        """The same from synchronous code."""
        return self._chain.run_sync(item)

    def stream(self, source: AnyIterable[Any], *, on_error: OnError | None = None) -> AsyncGenerator[Any, None]:
        """Run over *source*, as `Chain.stream` does, under one plan after the other."""
        return self._over(source, on_error).stream()

    def _over(self, source: AnyIterable[Any], on_error: OnError | None) -> Run:
        self._chain.execution._mode(source, "yield", True, STOP)  # or says what is wrong with the source
        return Run(self, source, on_error)

    def iterate(self, source: AnyIterable[Any], *, on_error: OnError | None = None) -> Generator[Any, None, None]:
        """The same from synchronous code, on an event loop in a thread of its own."""
        return iterate_on_loop_thread(lambda: self.stream(source, on_error=on_error))

    async def collect(self, source: AnyIterable[Any], *, on_error: OnError | None = None) -> list[Any]:
        """Run over all of *source*; the results in a list."""
        return [result async for result in self.stream(source, on_error=on_error)]

    def start(self, source: AnyIterable[Any], sink: Sink | None = None, *, on_error: OnError | None = None) -> None:
        """Run over *source* in a task that belongs to the manager.

        Args:
            sink: a function, sync or async, that is given each result, in order; without it results are let go.
            on_error: is told of each item that fails, as in `Chain.stream`.

        Raises:
            RxChainError: it has been started and has not come to an end.
        """
        if self._task is not None and not self._task.done():
            raise RxChainError(
                f"chain {self.name!r} is {self.state.value}: it is started again when it has come to an end\n"
                "    await orders.drain()  # correct, before that; or join(), stop()"
            )
        run = self._started = self._over(source, on_error)
        context = contextvars.copy_context()
        context.run(_inside.set, _inside.get() | {self})
        self._stopping, self._untold = False, None
        self._task = asyncio.get_running_loop().create_task(
            self._work(run, sink), name=f"{self.name}: managed", context=context
        )
        self._task.add_done_callback(self._finished)
        self._look()

    async def _work(self, run: Run, sink: Sink | None) -> None:
        outputs = run.stream()
        try:
            async for result in outputs:
                if sink is not None:
                    try:
                        await call(sink, result)
                    except Exception as error:
                        error.add_note(f"in the sink of chain {self.name!r}, with result {shorten(result)}")
                        raise
        finally:
            await outputs.aclose()

    def pause(self) -> None:
        """Take nothing more from its sources, until `resume`. What is in flight goes on; no step is flushed."""
        self._paused = True
        self._told()

    def resume(self) -> None:
        """Go on taking."""
        self._paused = False
        self._told()

    @property
    def paused(self) -> bool:
        """Whether nothing is to be taken."""
        return self._paused

    def changed_or_paused(self, plan: Chain[Any, Any]) -> bool:
        """Whether *plan* is to take nothing more."""
        return self._paused or self._chain is not plan

    async def join(self) -> None:
        """Wait for what was started to come to an end, and raise what it has failed with. To cancel this harms nothing.

        A stream that was asked for by `stream` ends when whoever asked for it has taken its results; nobody waits.
        """
        task = self._task
        if task is None or self in _inside.get():
            return
        self._joining += 1
        try:
            if not task.done():
                await asyncio.wait([task])
        finally:
            self._joining -= 1
        self._raise()

    async def drain(self) -> None:
        """Take nothing more, finish what is in flight, and wait for that; then as `join`.

        Called from within, by a node or the sink, it does not wait: nobody can wait for itself.
        """
        self.end_streams()
        await self.join()

    async def end_started(self) -> None:
        """Drain what was started, no other stream; then as `join`."""
        if self._started is not None and self._started in self._open():
            self._started.drain()
            self._look()
        await self.join()

    def end_streams(self) -> None:
        """Drain all its runs, and wait for none."""
        for run in self._open():
            run.drain()
        self._look()

    def _open(self) -> list[Run]:
        """Its runs, also the one that has been started and has not begun."""
        runs = list(self._runs)
        if self._task is not None and not self._task.done() and self._started is not None and self._started not in runs:
            runs.append(self._started)
        return runs

    async def stop(self) -> None:
        """Cancel what is in flight, undo what it did, and wait for that. Streams that others read are drained.

        Called from within, by a node or the sink, it does not wait.
        """
        task = self._task
        self._stopping = task is not None and not task.done()
        self.end_streams()
        if task is not None and self._stopping:
            if self in _inside.get():
                task.cancel()
                return
            self._joining += 1
            try:
                await cancelled([task])
            finally:
                self._joining -= 1
        self._raise()

    def _raise(self) -> None:
        error, self._untold = self._untold, None
        if error is not None:
            raise error

    # --- what its runs tell

    def _opened(self, run: Run) -> None:
        self._runs.append(run)
        self._look()

    def _closed(self, run: Run, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._last_error = error
        with self._lock:
            self._runs.remove(run)
            self._gone_taken += run.taken
            self._gone_results += run.results
            self._gone_failed += run.failed
        if isinstance(error, Exception):
            self._became = State.FAILED
        elif isinstance(error, asyncio.CancelledError):
            self._became = State.STOPPED
        else:
            self._became = State.DONE
        self._look()

    def _failed(self, error: BaseException) -> None:
        self._last_error = error

    def _finished(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._became = State.STOPPED
        elif (error := task.exception()) is not None:
            self._became, self._last_error, self._untold = State.FAILED, error, error
            if not self._joining:
                _log.must_see(f"chain {self.name!r} has failed", error=error, chain=self.name)
        else:
            self._became = State.DONE
        self._stopping = False
        self._look()

    def _told(self) -> None:
        for run in tuple(self._runs):
            run.news()
        self._look()

    def _look(self) -> None:
        state = self.state
        if state is not self._shown:
            self._shown, self._since = state, time.time()

    @property
    def state(self) -> State:
        """What it is doing."""
        runs = self._open()
        if not runs:
            return self._became
        if self._stopping:
            return State.STOPPING
        if all(run.draining for run in runs):
            return State.DRAINING
        return State.PAUSED if self._paused else State.RUNNING

    def _sum(self, what: str) -> int:
        gone: int = getattr(self, f"_gone_{what}")
        return gone + sum(int(getattr(run, what)) for run in self._runs)

    def statistics(self) -> ChainStatistics:
        """Numbers of all its runs."""
        with self._lock:
            flying = [run.in_flight for run in self._runs]
            known = [n for n in flying if n is not None]
            return ChainStatistics(
                self.name,
                self.state,
                self._since,
                len(flying),
                self._sum("taken"),
                self._sum("results"),
                self._sum("failed"),
                sum(known) if len(known) == len(flying) else None,
                tuple(self._edits),
                self._last_error,
            )


def _prefix(path: str, step: Any) -> str:
    """What stands before the step's own name in its path."""
    return path[: -len(name_of_step(step))]


__all__ = ["ManagedChain", "Sink"]
