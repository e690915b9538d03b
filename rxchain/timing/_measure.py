"""Measuring a run: another chain is made, with a clock around each node; the plain one pays nothing.

Around each attempt stands one, innermost, and around all attempts of an item another: what is between them is waiting.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Generic

from rxchain.chain import Chain
from rxchain.engine import Colour, colour
from rxchain.node import ChainNode
from rxchain.operators import map as map_
from rxchain.timing._measured import Ends, Measured, NodeLog, measured
from rxchain.timing._steps import Walk, as_chain
from rxchain.types import Out_co

if TYPE_CHECKING:
    from rxchain.runners import OnError
    from rxchain.timing._compare import Comparison
    from rxchain.timing._predict import Prediction

Clock = Callable[[], float]

AROUND_ALL = ("name", "when", "then", "refuse", "concurrency", "ordered", "by", "undo", "after")
"""What a node declares that is not about attempts."""


class Measurement(AsyncIterator[Out_co], Generic[Out_co]):
    """A run that is measured: iterate it for its results. `Chain.measure` makes it.

    >>> import asyncio
    >>> from rxchain import Chain
    >>> from rxchain.testing import run
    >>> async def fetch(number):
    ...     await asyncio.sleep(0.1 * number)
    ...     return number
    >>> async def main():
    ...     measurement = Chain(fetch).measure([1, 2, 3])
    ...     async for result in measurement:
    ...         pass
    ...     return measurement.measured()
    >>> found = run(main())
    >>> round(found["fetch"].mean, 3), round(found.total.p50, 3)
    (0.2, 0.2)
    """

    def __init__(self, what: Any, source: Any, on_error: "OnError | None" = None) -> None:
        self._logs: list[NodeLog] = []
        self._ends = Ends()
        self.clock: Clock = lambda: 0.0
        walk = Walk(self._clocked)
        inside = walk.chain(as_chain(what))
        self.chain: Chain[Any, Any] = inside._with((map_(self._enter), *inside.steps, map_(self._leave)))
        """What runs in place of the chain that is measured."""
        self._results: AsyncGenerator[Out_co, None] = self.chain.stream(source, on_error=on_error)

    def __aiter__(self) -> "Measurement[Out_co]":
        return self

    async def __anext__(self) -> Out_co:
        self.clock = asyncio.get_running_loop().time
        return await anext(self._results)

    async def aclose(self) -> None:
        """End the run, as leaving a stream does."""
        await self._results.aclose()

    async def finish(self) -> Measured:
        """Take all results, and keep none; gives what was measured."""
        try:
            async for _ in self:
                pass
        finally:
            await self.aclose()
        return self.measured()

    def measured(self) -> Measured:
        """What was measured so far."""
        return measured(self._logs, self._ends)

    def compare(self, prediction: "Prediction") -> "Comparison":
        """What was measured so far beside what was predicted, with the error of the prediction."""
        return self.measured().compare(prediction)

    # --- the clocks

    def _enter(self, item: Any) -> Any:
        before = self._entry()  # an item that has not come out
        around = before.around if before is not None else _entered.get(None)
        _entered.set(_Entry(self._ends, around, self.clock()))
        self._ends.entered += 1
        return item

    def _entry(self) -> "_Entry | None":
        """The item at hand."""
        entry = _entered.get(None)
        while entry is not None and entry.ends is not self._ends:
            entry = entry.around  # it is of a run in a node, and has not come out
        return entry

    def _leave(self, item: Any) -> Any:
        # Behind a step that gives several results, others than who came in go on with them: nobody knows since when.
        entry = self._entry()
        if entry is not None:
            now = self.clock()
            self._ends.add(entry.number, now, now - entry.began, _covered(entry.spans))
            _entered.set(entry.around)
        return item

    def _worked(self, began: float, ended: float) -> float:
        """Note that a node worked on the item at hand; how long."""
        entry = self._entry()
        if entry is not None:
            entry.spans.append((began, ended))
        return ended - began

    def _clocked(self, name: str, node: ChainNode[Any, Any, Any], after: tuple[str, ...]) -> ChainNode[Any, Any, Any]:
        log = NodeLog(name)
        self._logs.append(log)
        around_all: dict[str, Any] = {key: value for key, value in node.declared.items() if key in AROUND_ALL}
        if node.values[1]:
            fn = self._generator(node, log)
            declared: dict[str, Any] = {**node.declared, "name": node.name, "on": "loop"}
            return ChainNode(fn, **declared)
        policies: dict[str, Any] = {
            key: value for key, value in node.declared.items() if key not in AROUND_ALL and key != "on"
        }
        logic = node.placed if node.placed is not None else node.logic
        inner: ChainNode[Any, Any, Any] = ChainNode(self._attempt(logic), name=node.name, **policies)
        fn = self._item(inner.values[0], inner.values[6], log)
        # No retry, whatever is declared for all nodes: it is inside.
        around_all |= {"name": node.name, "retry": None}
        return ChainNode(fn, **around_all)

    def _attempt(self, logic: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """*logic*, each call of which is an attempt."""
        mine = _attempts
        if colour(logic) is Colour.ASYNC:

            async def attempt(item: Any) -> Any:
                attempts, began = mine.get(), self.clock()
                try:
                    result = await logic(item)
                except BaseException:
                    attempts.failed.append((began, self.clock()))
                    raise
                attempts.succeeded.append((began, self.clock()))
                return result

            return attempt

        def attempt_now(item: Any) -> Any:
            attempts, began = mine.get(), self.clock()
            try:
                result = logic(item)
            except BaseException:
                attempts.failed.append((began, self.clock()))
                raise
            attempts.succeeded.append((began, self.clock()))
            return result

        return attempt_now

    def _item(self, runs: Callable[[Any], Any], recover: Any, log: NodeLog) -> Callable[[Any], Any]:
        """All attempts of an item, with what stands around them."""
        mine = _attempts
        awaits = colour(runs) is Colour.ASYNC
        awaits_recovery = recover is not None and colour(recover) is Colour.ASYNC
        if awaits or awaits_recovery:

            async def item_through(item: Any) -> Any:
                attempts = _Item(self.clock())
                token = mine.set(attempts)
                try:
                    try:
                        result = await runs(item) if awaits else runs(item)
                    except Exception as error:
                        if recover is None:
                            raise
                        result = await recover(item, error) if awaits_recovery else recover(item, error)
                except Exception:
                    self._ended(attempts, log, False)
                    raise
                finally:
                    _reset(mine, token)
                self._ended(attempts, log, True)
                return result

            return item_through

        def item_through_now(item: Any) -> Any:
            attempts = _Item(self.clock())
            token = mine.set(attempts)
            try:
                try:
                    result = runs(item)
                except Exception as error:
                    if recover is None:
                        raise
                    result = recover(item, error)
            except Exception:
                self._ended(attempts, log, False)
                raise
            finally:
                _reset(mine, token)
            self._ended(attempts, log, True)
            return result

        return item_through_now

    def _ended(self, attempts: "_Item", log: NodeLog, succeeded: bool) -> None:
        now = self.clock()
        self._worked(attempts.began, now)
        attempts.ends(log, now, succeeded)

    def _generator(self, node: ChainNode[Any, Any, Any], log: NodeLog) -> Callable[[Any], Any]:
        """A generator's function, of which only the time counts that it takes itself."""
        logic = node.logic
        if colour(logic) is Colour.ASYNC_GENERATOR:

            async def each_awaited(item: Any) -> AsyncIterator[Any]:
                spent, results = 0.0, logic(item)
                try:
                    while True:
                        began = self.clock()
                        try:
                            result = await anext(results)
                        except StopAsyncIteration:
                            break
                        finally:
                            spent += self._worked(began, self.clock())
                        yield result
                except Exception:
                    log.failures += 1
                    log.failed_attempts.add(spent)
                    raise
                finally:
                    await results.aclose()
                log.items.add(spent)
                log.attempts.add(spent)

            return each_awaited

        def each(item: Any) -> Any:
            spent, results = 0.0, logic(item)
            try:
                while True:
                    began = self.clock()
                    try:
                        result = next(results)
                    except StopIteration:
                        break
                    finally:
                        spent += self._worked(began, self.clock())
                    yield result
            except Exception:
                log.failures += 1
                log.failed_attempts.add(spent)
                raise
            finally:
                results.close()
            log.items.add(spent)
            log.attempts.add(spent)

        return each


class _Item:
    """The attempts of one item at one node."""

    __slots__ = ("began", "failed", "succeeded")

    def __init__(self, began: float) -> None:
        self.began = began
        self.failed: list[tuple[float, float]] = []
        self.succeeded: list[tuple[float, float]] = []

    def ends(self, log: NodeLog, now: float, succeeded: bool) -> None:
        for began, ended in self.failed:
            log.failed_attempts.add(ended - began)
        for began, ended in self.succeeded:
            log.attempts.add(ended - began)
        log.waited += max(0.0, now - self.began - _covered([*self.failed, *self.succeeded]))
        if succeeded:
            log.items.add(now - self.began)
        else:
            log.failures += 1


class _Entry:
    """When an item came in, as which, and when nodes worked on it."""

    __slots__ = ("around", "began", "ends", "number", "spans")

    def __init__(self, ends: Ends, around: "_Entry | None", began: float) -> None:
        self.ends, self.number, self.began = ends, ends.entered, began
        self.around = around
        """The item that the run is in, if that is measured as well."""
        self.spans: list[tuple[float, float]] = []


_entered: "ContextVar[_Entry | None]" = ContextVar("rxchain entered")
_attempts: "ContextVar[_Item]" = ContextVar("rxchain attempts")


def _covered(spans: list[tuple[float, float]]) -> float:
    """Seconds that are in one of these or several, which may lie beside one another."""
    covered, until = 0.0, -1e300
    for began, ended in sorted(spans):
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered


def _reset(variable: ContextVar[Any], token: Token[Any]) -> None:
    try:
        variable.reset(token)
    except ValueError:
        pass  # it ends in another context than it began in
