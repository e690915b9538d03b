"""One run of a managed chain: a source, worked on by one plan after the other.

A plan gets a `Segment`: it looks like a source, and ends when the plan has changed. The old plan then finishes what it
has taken, with nothing left to do but that; the next begins with the next item. So an item belongs to the plan that was
current when it was taken, and results keep their order without anybody sorting them. The rivals: to begin the new plan
at once, beside the old one, would keep the pipeline full, and let two items into a node that declares one at a time; to
change nodes in place would leave items whose first half the old plan has done.
"""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rxchain.chain import Chain
from rxchain.engine._arrival import Arrived, leave
from rxchain.manager._feed import MISSING, Feed, feed_of
from rxchain.runners import OnError
from rxchain.runners._on_error import handler_for
from rxchain.types import Failure

if TYPE_CHECKING:
    from rxchain.manager._managed import ManagedChain


class Run:
    """A managed chain over one source."""

    def __init__(
        self,
        managed: "ManagedChain",
        source: Any,
        on_error: OnError | None,
        end: Callable[[], object] | None = None,
    ) -> None:
        self.managed, self.source = managed, source
        self._end = end
        """Ends a source whose items are all to be worked on, also when nothing more is to be taken."""
        self.on_error = on_error if on_error is not None else managed.chain.on_error
        self.handler = handler_for(self.on_error)
        self.draining = False
        """Whether it is to come to an end."""
        self.ending = False
        """Whether nothing more is to be taken."""
        self.taken = self.results = self.failed = 0
        self.settled = 0
        """Items that had come to an end when the current plan began."""
        self.told_before = 0
        """Results and failures when the current plan began."""
        self.segment: Segment | None = None
        self.first: Any = MISSING
        """The item that the next plan begins with."""
        self._feed: Feed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None

    # --- told by the manager

    def drain(self) -> None:
        """Take nothing more."""
        self.draining = True
        if self._end is None:
            self.ending = True
        else:
            self._end()
        self.news()

    def news(self) -> None:
        """Look again at what the manager wants; from any thread."""
        loop = self._loop
        if loop is None:
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._wake()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def check(self, chain: Chain[Any, Any]) -> None:
        """Compile *chain* as this run will need it.

        Raises:
            CompositionError: it cannot be a plan of this run.
        """
        execution, _ = self._made(chain, 0)
        mode, _ = execution._mode(_NoItems(), "yield", True, self.handler)
        execution.bind(mode, self.handler)

    @property
    def _stands(self) -> bool:
        return self.managed.paused and not self.draining

    @property
    def in_flight(self) -> int | None:
        """Items that were taken and have not come to an end, as far as that can be told."""
        segment = self.segment
        if segment is None:
            return 0
        if not segment.asynchronous:
            return int(segment.inside)
        if segment.always_one:
            return self.taken - self.settled - (self.results + self.failed - self.told_before)
        return None if self.taken > self.settled else 0

    # --- the results

    async def stream(self) -> AsyncGenerator[Any, None]:
        """All results, of all plans."""
        managed = self.managed
        self._loop = asyncio.get_running_loop()
        self._feed = feed_of(self.source, managed.name, self._wake)
        managed._opened(self)
        error: BaseException | None = None
        try:
            while (plan := await self._next_plan()) is not None:
                execution, told = self._made(plan, self.taken - (self.first is not MISSING))
                segment = self.segment = Segment(self, plan)
                outputs = execution.stream(segment, told)
                try:
                    async for output in outputs:
                        self.results += 1
                        yield output
                finally:
                    await outputs.aclose()
                if not segment.cut:
                    break
        except BaseException as raised:
            error = raised
            if self.handler.tell is None and isinstance(raised, Exception) and raised is not self._feed.error:
                self.failed += 1
            raise
        finally:
            try:
                await self._close(error)
            except BaseException as raised:
                error = raised if error is None else error
                raise
            finally:
                managed._closed(self, error)

    async def _next_plan(self) -> "Chain[Any, Any] | None":
        """Wait for an item; the plan that is current then, to which it belongs. None if none comes."""
        self.settled, self.told_before = self.taken, self.results + self.failed
        first, self.segment = self.segment is None, None
        feed, managed = self._feed, self.managed
        while True:
            if feed.held() and not self._stands:
                self.first = self._taken()
                return managed.chain
            if self.ending:
                return None
            if not self._stands and feed.look() and not feed.held():
                return managed.chain if first or feed.error is not None else None
            if not feed.held() or self._stands:
                await self._wait()

    def at_hand(self, segment: "Segment") -> Any:
        """The next item for *segment*'s plan, if that is there without waiting and nothing has changed."""
        if self.first is not MISSING or self.draining or self.managed.changed_or_paused(segment.plan):
            return MISSING
        item = self._feed.at_hand()
        if item is not MISSING:
            if self.managed.changed_or_paused(segment.plan):  # the source itself has changed it
                self._feed.keep(item)
                return MISSING
            self.taken += 1
        return item

    async def next_item(self, segment: "Segment") -> Any:
        """The next item of the source for *segment*'s plan; MISSING if it is to end."""
        if self.first is not MISSING:
            item, self.first = self.first, MISSING
            return item
        feed, managed = self._feed, self.managed
        while True:
            if managed.chain is not segment.plan or (self.ending and not feed.held()):
                segment.cut = True
                return MISSING
            if feed.held() and not self._stands:
                return self._taken()
            if self._stands or not feed.look():
                await self._wait()
            elif not feed.held():
                if feed.error is not None:
                    raise feed.error
                return MISSING

    def _taken(self) -> Any:
        self.taken += 1
        return self._feed.pop()

    async def _wait(self) -> None:
        assert self._loop is not None
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _close(self, error: BaseException | None) -> None:
        self.segment = None
        try:
            await self._feed.aclose()
        except Exception as failure:
            if error is None or isinstance(error, GeneratorExit):
                raise
            if failure is not error:
                error.add_note(f"closing the source failed, too: {failure!r}")
        finally:
            if self.handler.aclose is not None:
                await self.handler.aclose()

    # --- errors

    def _made(self, plan: "Chain[Any, Any]", before: int) -> tuple[Any, Any]:
        """What runs *plan*, behind *before* items, and what is told of those that fail."""
        told = self._told(before)
        return plan._execution_with(told), told

    def _told(self, before: int) -> Any:
        if self.handler.tell is None:
            return "stop"
        tell, placed = self.handler.tell, self.handler.places

        def noted(failure: Failure) -> Failure:
            self.failed += 1
            self.managed._failed(failure.error)
            place = failure.place
            if placed and place is not None and place.position is not None:
                place = replace(place, source=self._name, position=place.position + before)
                return replace(failure, place=place)
            return failure

        def tells(failure: Failure) -> Any:
            return tell(noted(failure))

        async def waits(failure: Failure) -> Any:
            return await tell(noted(failure))

        told: Any = waits if self.handler.how == "await" else tells
        for what in ("resumes", "places", "retries", "undo"):  # not aclose: one run, whatever the number of plans
            if hasattr(self.on_error, what):
                setattr(told, what, getattr(self.on_error, what))
        return told

    @property
    def _name(self) -> str | None:
        name = getattr(self.source, "name", None)
        return name if isinstance(name, str) else None


class Segment:
    """What of a source belongs to one plan."""

    def __init__(self, run: Run, plan: "Chain[Any, Any]") -> None:
        self.run, self.plan = run, plan
        execution = plan.execution
        self.asynchronous = execution.plan.asynchronous and execution.window > 1
        self.always_one = run.managed._always_one(plan)
        self.cut = False
        """Whether it has ended for another reason than that the source has."""
        self.inside = False
        """Whether an item has been given, and the next not been asked for."""

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        run = self.run
        tokens: list[contextvars.Token[Any]] = []
        try:
            while True:
                item = run.at_hand(self)
                if item is MISSING:
                    item = await run.next_item(self)
                    if item is MISSING:
                        return
                if type(item) is Arrived:
                    tokens, item = item.enter(), item.item
                self.inside = True
                yield item
                self.inside = False
                if tokens:
                    tokens = _left(tokens)
        finally:
            self.inside = False
            if tokens:
                _left(tokens)


def _left(tokens: list[contextvars.Token[Any]]) -> list[contextvars.Token[Any]]:
    """Leave an item's context; what is to be left then."""
    with suppress(ValueError):  # who asks each time in another task has a copy of the context, which has gone
        leave(tokens)
    return []


class _NoItems:
    """Stands for an asynchronous source where a plan is only compiled."""

    def __aiter__(self) -> "_NoItems":
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


__all__ = ["Run", "Segment"]
