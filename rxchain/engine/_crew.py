"""Workers: one stream's items worked on side by side, without a task per item.

The first worker runs in whoever asks for the results, and as long as nothing suspends it is the only one: a plain loop.
Once it is found suspended inside a node, others are called in, each a task that takes item after item. An item enters
a node by its gate (`_gate`), so that each node sees the items in order; the last gate is that of the results.

An asynchronous source is opened, asked and closed by one task of its own: generators that hold a task group, a timeout
or a context variable insist on it. Then the first worker only hands out results.
"""

import asyncio
import sys
import weakref
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager
from contextvars import Context, Token, copy_context
from dataclasses import dataclass
from types import CellType, FrameType, FunctionType
from typing import Any, cast

from rxchain.engine._arrival import Arrived, leave
from rxchain.engine._effects import abandoned
from rxchain.engine._failure import Fallen
from rxchain.engine._gate import ANY_NUMBER, OUTSIDE, AnyGate, Gate, Line, OneByOne, Several, opened_gates
from rxchain.engine._inlet import Inlet
from rxchain.engine._support import aclose, close

_SHOWN = 5
"""Items that are named when they are abandoned."""


@dataclass(frozen=True)
class Layout:
    """What a crew knows of the program that it runs."""

    gates: tuple[Gate, ...]
    """The gates, in the order of the chain; the last is that of the results."""
    several: bool
    """Whether an item may give more than one result."""
    straight: bool
    """Whether nothing is done with an item before it comes to the first gate."""
    keys: tuple[str, ...]
    """For each gate the name of the variable that holds an item's key there, or nothing."""
    gate_at: Callable[[int], int | None]
    """The gate that a line of the program is behind, if that is inside a node."""
    whereabouts: Callable[[FrameType], str | None]
    """Which item is where, as a person wants to read it."""
    source_failed: Callable[[Exception], None]
    """Notes on an error of the source that it was that."""
    watching: Callable[[Callable[[FrameType], str | None]], AbstractContextManager[object]]
    """Reports what blocks the event loop, while it is entered; is told how to name what stands in a frame."""
    node_at: Callable[[FrameType], str | None]
    """The node that a frame of the program stands in."""
    not_taken: Callable[[Any], Coroutine[Any, Any, None]] | None = None
    """What is done about a result that nobody has taken when all ends."""


class Worker:
    """Takes an item, takes it through the chain, and takes the next."""

    __slots__ = (
        *("__weakref__", "at", "busy", "context", "crew", "delivered", "done", "first", "gate", "held", "key", "moved"),
        *("number", "run", "spent", "then", "tokens", "waiter"),
    )

    context: Context
    """What it runs in, if it has a task of its own."""

    def __init__(self, crew: "Crew", *, first: bool = False) -> None:
        self.crew, self.first = crew, first
        self.gate: AnyGate | None = None
        """The gate that its item is inside of, or waits for."""
        self.at = OUTSIDE
        """The last gate that its item came out of, where `gate` doesn't tell."""
        self.busy = not first
        """Whether it has an item, or has been called in to take one."""
        self.delivered = False
        """Whether its item's place in the window has passed on to a result."""
        self.run: Callable[[], Any] = lambda: None
        """What runs the program for it, if that is still there."""
        self.number = -1
        self.tokens: list[Token[Any]] = []
        """What its item's context has set here."""
        self.spent = False
        """Whether an item has left something in its context: the next one gets a fresh worker."""
        self.key: Hashable = None
        self.held: Hashable = None
        self.done = False
        self.waiter: asyncio.Future[Any] | None = None
        self.then: AnyGate | None = None
        self.moved: Callable[[], None] | None = None

    def items(self) -> Iterable[Any]:
        """Where it takes items from."""
        crew = self.crew
        if self.first:
            crew.open()
            if crew.many:
                return ()
        if crew.fed:
            return self._alone() if self.first else self._handed_out()
        return cast("Iterable[Any]", crew.items)

    def _alone(self) -> Iterator[Any]:
        """What has come from an asynchronous source, as long as nobody else takes it."""
        crew = self.crew
        while crew.waiting and not crew.many:
            try:
                item = crew.waiting.popleft()
            except IndexError:  # it gave way to another, which is about to come
                return
            if type(item) is Arrived:
                self.tokens = item.enter()
                item = item.item
            yield item
            if self.tokens:
                leave(self.tokens)
                self.tokens = []
            crew.freed()

    async def refilled(self) -> bool:
        """Whether there is more to take, after all that was there; an asynchronous source is waited for."""
        return self.first and self.crew.fed and await self.crew.refilled()

    def _handed_out(self) -> Iterator[Any]:
        crew = self.crew
        while True:
            item = crew.waiting.popleft()
            if not crew.waiting:
                crew.ask_again()
            if type(item) is Arrived:
                self.tokens = item.enter()
                item = item.item
            yield item

    def wait(self) -> None:
        self.waiter = self.crew.loop.create_future()

    def wake(self) -> None:
        assert self.waiter is not None
        if not self.waiter.done():
            self.waiter.set_result(True)

    async def turn(self) -> None:
        """Wait until it is this item's turn."""
        assert self.waiter is not None
        if self.crew.closed:
            raise asyncio.CancelledError  # somebody swallowed it
        await self.waiter
        if self.moved is not None:
            self.moved()
            self.moved = None
        if self.then is not None:
            gate, self.then = self.then, None
            if gate.keeps_waiting(self):
                await self.turn()

    async def tells(self, error: Exception) -> None:
        """Wait until it is this item's turn to be told of, having failed with *error*."""
        try:
            await self.last_turn()
        except asyncio.CancelledError:
            abandoned(error)
            raise

    async def last_turn(self) -> None:
        """Wait until all that is ahead has come out: what became of an item is told in order, whatever it was."""
        crew = self.crew
        gate = self.gate
        if isinstance(gate, (Line, Several)) and gate.lines_up and not gate.last and gate.holds_back(self):
            await self.turn()
        at = self.at if self.gate is None else self.gate.at
        for gate in crew.gates[max(at, -1) + 1 :]:
            self.key = object()
            if gate.keeps_waiting(self):
                await self.turn()
            if not isinstance(gate, OneByOne) and gate.lines_up and not gate.last and gate.holds_back(self):
                await self.turn()
        if not isinstance(crew.gates[-1], OneByOne) and crew.teller.keeps_waiting(self):
            await self.turn()

    def told(self) -> None:
        """What became of the item has been told: it is another's turn."""
        teller = self.crew.teller
        if self.gate is teller:
            teller.leave(self)
            self.gate, self.at = None, self.crew.last

    async def fails(self, error: BaseException) -> None:
        """Wait until it is this item's turn to end the stream with *error*."""
        crew = self.crew
        if self.first:
            return  # nobody is ahead of its item
        crew.take_no_more()
        try:
            await self.last_turn()
        except asyncio.CancelledError:
            if crew.tells_of_others():
                crew.too_late.append(error)
            else:
                abandoned(error)
            raise

    async def stop(self) -> None:
        """End the stream behind this item: those behind it are abandoned."""
        crew = self.crew
        crew.take_no_more()
        if crew.many:
            await self.last_turn()
        crew.ended = True
        crew.wake()

    def has_no_item(self) -> bool:
        """Be done with an item, and go on to another; True if `another` has to be awaited for it."""
        crew = self.crew
        exit_, line = crew.exit, crew.line
        if (
            # What is done below, where nothing is out of the ordinary: one item's place is the next one's.
            exit_ is not None
            and (self.gate is exit_ or (self.gate is None and self.at == exit_.at - 1))
            and not self.first
            and (
                (crew.door is None or crew.door.admits(crew.taking))
                if line is None
                else line.inside + crew.taking < line.most and not line.waiting
            )
            and not (self.delivered and crew.count >= crew.window)
            and self.context == crew.context
        ):
            if self.gate is exit_:
                if exit_.waiting:
                    exit_.waiting.popleft().wake()
                else:
                    exit_.taken = False
            if self.delivered:
                self.delivered = False
                crew.count += 1
            if line is None:
                self.gate = None
                self.at = OUTSIDE
                crew.taking += 1
                return False
            self.gate = line  # as it would by `keeps_waiting` and `entered`
            self.number = crew.came
            crew.came += 1
            line.inside += 1
            if line.inside < line.most and crew.count < crew.window:
                crew.more()
            return False
        if self.tokens:
            leave(self.tokens)
            self.tokens = []
        if not self.first and self.context != crew.context:
            self.spent = True
        self.finish()
        if self.first or self.spent or not crew.may_take():
            return True
        crew.take(self)
        return False

    async def another(self) -> bool:
        """Wait for another item to take; False when there is none."""
        crew = self.crew
        if self.first or self.spent:
            crew.more()
            return False
        while not (crew.stopped or crew.all_taken()):
            self.wait()
            crew.idle.append(self)
            assert self.waiter is not None
            if not await self.waiter:
                break
            crew.calling = False
            if crew.may_take():  # otherwise another was quicker, which did not suspend
                crew.take(self)
                return True
        return False

    def finish(self) -> None:
        """Let go of its item, wherever that is."""
        crew = self.crew
        if not self.busy:
            return
        self.busy = False
        gate, at = self.gate, self.at
        if gate is not None:
            gate.leave(self)
            self.gate, at = None, gate.at
        elif at == OUTSIDE:
            crew.taking -= 1
        if crew.lines and at != OUTSIDE and at != crew.last:
            for line in crew.lines:
                if line.at > at:
                    line.skip(self.number)
        self.at = OUTSIDE
        crew.flying -= 1
        if self.delivered:
            self.delivered = False
        else:
            crew.freed()
        if not crew.flying:
            crew.wake()


class Crew:
    """All workers on one stream."""

    def __init__(self, source: Any, layout: Layout, window: int, name: str) -> None:
        self.source, self.layout, self.window, self.name = source, layout, window, name
        self.gates = opened_gates(layout.gates, window, self)
        self.teller = OneByOne(len(self.gates), True, self)
        """Where the last gate lets several in, what became of them is told one by one all the same."""
        self.lines = [gate for gate in self.gates if isinstance(gate, Line)]
        self.last = len(self.gates) - 1
        first = self.gates[0]
        self.door = None if isinstance(first, Line) and first.most == ANY_NUMBER else first
        """The first gate, where it may be closed."""
        self.line = first if isinstance(first, Line) and layout.straight else None
        """The first gate, where nothing stands before it."""
        self.fed = isinstance(source, AsyncIterable)
        self.exit = self.gates[-1] if isinstance(self.gates[-1], OneByOne) and not self.fed else None
        """The last gate, as long as whoever has come to it may take another item from the source itself."""
        self.came = 0
        """Items that have come to the first gate."""
        self.many = False
        """Whether there is more than the first worker."""
        self.items: Any = source
        self.count = 0
        """Items in flight or waiting, and results that have not been taken."""
        self.flying = 0
        """Workers that are busy."""
        self.taking = 0
        """Those of them that have not come to the first gate yet."""
        self.stopped = False
        """Whether nothing more is taken from the source."""
        self.ended = False
        """Whether no more results come."""
        self.error: BaseException | None = None
        self.too_late: list[BaseException] = []
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []
        self.tasks: dict[asyncio.Task[None], None] = {}  # in their order: so they are cancelled
        self.results: deque[Any] = deque()
        self.closed = False
        self._closed_by: BaseException | None = None
        self._done: Callable[[], None] | None = source.follow() if isinstance(source, Inlet) else None
        """Tells a source that cannot wait that an item is done with."""
        self._opened = False
        self._many: CellType
        self._unwatched: CellType
        """The program's: whether the first worker may suspend without anybody noticing."""
        self._watcher: AbstractContextManager[object] | None = None
        self._feeder: asyncio.Task[None] | None = None
        self.waiting: deque[Any] = deque()
        self.exhausted = False
        self.calling = False
        """Whether another worker has been called in and has not come yet."""
        self._watch: asyncio.Handle | None = None
        self._call: asyncio.Handle | None = None
        self._hungry: asyncio.Future[None] | None = None
        self._full: deque[asyncio.Future[None]] = deque()
        self._sated: asyncio.Future[None] | None = None

    def start(self, work: FunctionType, beside: Callable[[Worker], Coroutine[Any, Any, None]]) -> Any:
        """Run *work* for the first worker; for others, if any, *beside*."""
        self._beside = beside
        # Where items overtake each other, what they come to must not wait for the first worker's own item, nor that for
        # one that has ended the stream.
        self._first_only_gives = not all(gate.ordered for gate in self.layout.gates)
        first = Worker(self, first=True)
        variables = dict(zip(work.__code__.co_freevars, work.__closure__ or ()))
        self._many, self._unwatched = variables["many"], variables["unwatched"]
        run = work(first)
        first.run = weakref.ref(run)
        self.first = first
        return run

    def open(self) -> None:
        """Begin on the source."""
        if self._opened:
            return
        self._opened = True
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self._watcher = self.layout.watching(self._blocked)
        self._watcher.__enter__()
        self._become(many=self._first_only_gives)
        self._unwatched.cell_contents = not self.many
        if isinstance(self.source, Inlet) and not self.many:
            self.waiting = self.source.waiting  # no need of a task that hands them over, as long as one takes them
            return
        if self.fed:
            self._begin_to_feed()
            return
        self.items = iter(cast("Iterable[Any]", self.source))
        if self.many:
            self.more()

    def _become(self, *, many: bool) -> None:
        # The program has a variable of its own for it, which costs a third of asking the crew.
        self.many = self._many.cell_contents = many

    def _blocked(self, frame: FrameType) -> str | None:
        return self.layout.node_at(frame) if frame.f_locals.get("crew") is self else None

    def _begin(
        self, work: Any, role: str, went: Callable[[Any], object] | None = None, context: Context | None = None
    ) -> "asyncio.Task[None]":
        if context is None:
            context = self.context.copy()
        task = asyncio.Task(work, loop=self.loop, name=f"{self.name}: {role}", context=context)
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop if went is None else went)
        return task

    # --- calling workers in

    def watch(self) -> None:
        """Be told when the event loop runs, which it does when the first worker is suspended."""
        self._unwatched.cell_contents = False
        self._watch = self.loop.call_soon(self._suspended)

    def _suspended(self) -> None:
        run = self.first.run()
        frame = getattr(run, "ag_frame", None) or getattr(run, "cr_frame", None)
        if frame is None or self.closed:
            return
        at = self.layout.gate_at(frame.f_lineno)
        if at is None:  # it waits for whoever takes the results, or breathes
            self._unwatched.cell_contents = True
            return
        first = self.first
        first.key = frame.f_locals.get(self.layout.keys[at])
        first.busy = True
        self._become(many=True)
        self.flying = 1
        if self.fed and self._feeder is None:
            self._begin_to_feed()
        if not self.fed or isinstance(self.source, Inlet):
            self.count = 1
        first.number, self.came = 0, 1
        for line in self.lines:
            if line.at < at:
                line.skip(0)
        first.at = at
        self.gates[at].keeps_waiting(first)
        self.more()

    def take_no_more(self) -> None:
        self.stopped = True
        self.exit = None

    def may_take(self) -> bool:
        if self.stopped or (self.door is not None and not self.door.admits(self.taking)):
            return False
        return len(self.waiting) > self.taking if self.fed else self.count < self.window and not self.exhausted

    def all_taken(self) -> bool:
        return self.exhausted and not self.waiting

    def take(self, worker: Worker) -> None:
        worker.busy = True
        self.taking += 1
        self.flying += 1
        if not self.fed:
            self.count += 1

    def entered(self, worker: Worker, room: bool) -> None:
        """An item of the source has come to the first gate; there may be room for another."""
        worker.number = self.came
        self.came += 1
        self.taking -= 1
        if room and (self.count < self.window or self.fed):
            self.more()

    def left(self) -> None:
        """There is room behind the first gate."""
        if self.count < self.window or self.fed:
            self.more()

    def more(self) -> None:
        """Call in another worker if there is something for it to do, once all that run now are suspended."""
        if self.calling or not self.may_take():
            return
        self.calling = True
        if self.idle:
            self.idle.pop().wake()
        else:
            self._call = self.loop.call_soon(self._call_in)

    def _call_in(self) -> None:
        self.calling = False
        # As many again as there are: one at a time, it would take two rounds of the event loop for each.
        for _ in range(max(1, self.flying)):
            if not self.may_take():
                return
            self._call_one_in()

    def _call_one_in(self) -> None:
        worker = Worker(self)
        try:
            run = self._beside(worker)  # which may have to be compiled
        except BaseException as error:
            self.take_no_more()
            self._fail(error)
            raise
        self.take(worker)
        self.workers.append(worker)
        worker.run = lambda: run
        worker.context = self.context.copy()
        self._begin(run, "worker", lambda task: self._went(worker, task), worker.context)

    def _went(self, worker: Worker, task: "asyncio.Task[None]") -> None:
        """A worker has nothing more to do, or has failed."""
        cancelled = task.cancelled()
        del self.tasks[task]
        self.workers.remove(worker)
        error: BaseException | None
        try:
            error = task.exception()
        except asyncio.CancelledError as raised:
            error = raised
        if error is None:
            if not (self.ended or worker.spent):
                self.exhausted = True
                self.exit = None
                worker.finish()
                self._dismiss()
            return
        self.take_no_more()
        if self.closed:
            # One that failed just before, as nobody wanted more, is abandoned like those that wait for their turn to.
            if cancelled:
                return
            if task.cancelling() or self.tells_of_others():
                self.too_late.append(error)
            else:
                abandoned(error)
        elif cancelled and not task.cancelling():
            self._begin(self._gave_up(worker, error), "failure")
        else:
            self._fail(error)

    async def _gave_up(self, worker: Worker, error: BaseException) -> None:
        """A node has cancelled itself."""
        await worker.fails(error)
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self.ended = True
        self.wake()

    def tells_of_others(self) -> bool:
        """Whether the stream ends with an error that whoever takes the results is told: others are noted on it.

        Who leaves before that is told of none: one that has ended the stream is abandoned as those behind it are.
        """
        return self.error is not None and not isinstance(self._closed_by, GeneratorExit)

    def _dismiss(self) -> None:
        """There is nothing more to take: who waits for an item goes home."""
        for worker in self.idle:
            assert worker.waiter is not None
            if not worker.waiter.done():
                worker.waiter.set_result(False)
        self.idle.clear()
        if not self.flying:
            self.wake()

    # --- an asynchronous source

    def _begin_to_feed(self) -> None:
        self.waiting = deque()
        self._feeder = self._begin(self._feed(), "source")

    async def _feed(self) -> None:
        items: Any = self.source
        try:
            try:
                items = aiter(self.source)
                async for item in items:
                    context = copy_context()
                    arrived = context == self.context or type(item) is Arrived
                    self.waiting.append(item if arrived else Arrived(item, context))
                    self.count += 1
                    if self.many:
                        self.more()
                    else:
                        self.wake()
                    while not self.stopped and (self.count >= self.window or self._is_ahead()):
                        self._sated = self.loop.create_future()
                        await self._sated
                    if self.stopped:
                        break
            finally:
                await aclose(items)
        except BaseException as error:
            if self.closed:
                if not isinstance(error, asyncio.CancelledError):
                    self.too_late.append(error)
                raise
            if isinstance(error, Exception):
                self.layout.source_failed(error)
            if all(gate.ordered for gate in self.layout.gates):
                self._source_error = error
            elif not self.stopped:  # nothing is ahead of it
                self.take_no_more()
                self._fail(error)
            else:
                abandoned(error)
        self.exhausted = True
        self._dismiss()

    _source_error: BaseException | None = None

    async def refilled(self) -> bool:
        """Wait for the source, as long as the first worker is the only one."""
        while self._opened and not (self.many or self.waiting or self.exhausted):
            if self._feeder is None:
                await self._from_inlet()
                continue
            self._hungry = self.loop.create_future()
            await self._hungry
        return bool(self.waiting) and not self.many

    async def _from_inlet(self) -> None:
        try:
            self.exhausted = not await self.source.holds()
        except Exception as error:
            self.layout.source_failed(error)
            self._source_error = error
            self.exhausted = True

    def _is_ahead(self) -> bool:
        """Whether an item waits that nobody can take: the source is asked one ahead of the first node, no further."""
        if not (self.many and self.waiting) or self.door is None:
            return False
        return not self.door.admits(len(self.waiting) - 1)

    # --- results

    def wake(self) -> None:
        """Let whoever takes the results look again."""
        hungry, self._hungry = self._hungry, None
        if hungry is not None and not hungry.done():
            hungry.set_result(None)

    def delivers(self, worker: Worker, result: Any) -> bool:
        """Give out a result; True if `room` has to be awaited before there is another.

        The one result of an item keeps its place in the window. Where items give several, as many may wait as items may
        be in flight: one that gives many would otherwise keep all others out.
        """
        self.results.append(result)
        if self._hungry is not None:
            self.wake()
        if self.layout.several:
            return len(self.results) >= self.window or bool(self._full)
        worker.delivered = True
        return False

    async def room(self) -> None:
        """Wait until there is a place for another result; each in its turn."""
        waiter = self.loop.create_future()
        self._full.append(waiter)
        await waiter

    def freed(self) -> None:
        """One place in the window is free."""
        self.count -= 1
        if self._done is not None:
            self._done()
        if self._sated is not None:
            self.ask_again()

    def ask_again(self) -> None:
        """Let the source be asked for more, if there is room."""
        sated, self._sated = self._sated, None
        if sated is not None and not sated.done():
            sated.set_result(None)

    def _finished(self) -> bool:
        return self.ended or (not self.flying and (self.stopped or self.all_taken()))

    def __aiter__(self) -> "Crew":
        """The results of all workers but the first, in order."""
        return self

    async def __anext__(self) -> Any:
        if not self.results:
            await self.finished()
            if not self.results:
                raise StopAsyncIteration
        result = self.results.popleft()
        if self.layout.several:
            if self._full and not (waiter := self._full.popleft()).done():
                waiter.set_result(None)
        else:
            self.freed()
            self.more()
        return result

    async def finished(self) -> None:
        """Wait until there is a result to take, or all is done."""
        while not self.results:
            if not self.many or self._finished():
                await self._end()
                return
            self._hungry = self.loop.create_future()
            await self._hungry

    async def _end(self) -> None:
        if not self.ended:  # otherwise the source failed behind the end, or behind another failure
            self.error = self._source_error
        if self.error is not None:
            raise self.error
        await self.close()
        self._become(many=False)  # what is flushed goes through the chain alone

    async def close(self) -> None:
        """Cancel and await all that is left, and close the source."""
        if self.closed:
            return
        self.closed = True
        self.take_no_more()
        error = self._closed_by = sys.exc_info()[1]
        for call in (self._watch, self._call):
            if call is not None:
                call.cancel()
        if isinstance(error, Exception):
            self._report_abandoned(error)
        try:
            await cancelled(self.tasks)
        finally:
            if self._watcher is not None:
                self._watcher.__exit__(None, None, None)
            if not self.fed:
                close(self.items)
            elif self._feeder is None:
                await aclose(self.source)
            self._leave_fallen()
            await self._leave_results()
        report(self.too_late, None if isinstance(error, GeneratorExit) else error)

    def _leave_fallen(self) -> None:
        """See to items that failed before they came here, or on their way to where they would be told of."""
        for held in (*self.waiting, *self.results):
            pair = held.item if type(held) is Arrived else held
            if type(pair) is tuple and pair and type(pair[-1]) is Fallen:
                abandoned(pair[-1])
        for error in (self._source_error, self.error):
            if error is not None and error is not self._closed_by:
                abandoned(error)

    async def _leave_results(self) -> None:
        """See to results that were handed over and not taken; whatever happens meanwhile."""
        if self.layout.not_taken is None or not self.results:
            return
        left, self.results = [*self.results], deque()
        tasks = [self.loop.create_task(self.layout.not_taken(result)) for result in left]
        interrupted: asyncio.CancelledError | None = None
        while pending := [task for task in tasks if not task.done()]:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def _report_abandoned(self, error: Exception) -> None:
        """Say which items were on their way behind the one that failed."""
        frames = (getattr(worker.run(), "cr_frame", None) for worker in self.workers if worker.busy)
        found = [where for frame in frames if frame is not None and (where := self.layout.whereabouts(frame))]
        if self.waiting and self._feeder is not None:  # otherwise they are the inlet's
            found.append(f"{len(self.waiting)} not begun")
        if found:
            more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            error.add_note(f"abandoned: {', '.join(found[:_SHOWN])}{more}")


async def cancelled(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel *tasks* and wait for them all, whatever happens meanwhile."""
    interrupted: asyncio.CancelledError | None = None
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def report(too_late: list[BaseException], raised: BaseException | None) -> None:
    """Errors that came while the tasks were being cancelled: noted on the one that caused it, or raised."""
    if raised is None and too_late:
        raised = too_late.pop(0)
        report(too_late, raised)
        raise raised
    for error in too_late:
        assert raised is not None
        raised.add_note(f"another item failed, too: {error!r}")
        abandoned(error)
