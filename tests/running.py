"""Runs a chain in each of the ways there are, and tells what came of it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rxchain import Chain, Failure
from rxchain.engine import driven, interpret
from rxchain.testing._leaks import is_closing


@dataclass(eq=False)
class Outcome:
    """What came of one run; equal outcomes cannot be told apart by a user.

    Items in flight may be ahead of the results that are asked for: then more may have been taken from the source, and
    more failures told, when the stream ends early.
    """

    outputs: list[Any] = field(default_factory=list)
    error: str | None = None
    notes: tuple[str, ...] = ()
    failures: list[tuple[str, str, Any, Any]] = field(default_factory=list)
    closed: int = 0
    taken: int = 0
    ahead: int = 0
    """How many items may have been taken beyond those that the results needed."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        if self.ahead < other.ahead:
            return other == self
        seen = (self.outputs, self.error, self.notes, self.closed)
        failures = self.failures[: len(other.failures)] if self.ahead else self.failures
        return (
            seen == (other.outputs, other.error, other.notes, other.closed)
            and failures == other.failures
            and other.taken <= self.taken <= other.taken + self.ahead
        )

    __hash__ = None  # type: ignore[assignment]

    def failed(self, error: BaseException) -> None:
        self.error = f"{type(error).__name__}: {error}"
        self.notes = notes_of(error)

    def skipped(self, failure: Failure) -> None:
        shown = f"{type(failure.error).__name__}: {failure.error} {notes_of(failure.error)}"
        self.failures.append((shown, failure.node, failure.item, failure.value))


def notes_of(error: BaseException) -> tuple[str, ...]:
    """The notes on *error*, but for what depends on the time, and on who else was on the way."""
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("abandoned")]
    return tuple(re.sub(r"^(attempt .*), \S+ s later:", r"\1:", note) for note in notes)


class Source:
    """Items, and a count of how many were taken and how often it was closed."""

    def __init__(self, items: list[Any], outcome: Outcome) -> None:
        self._items = iter(items)
        self._outcome = outcome

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = next(self._items)
        self._outcome.taken += 1
        if isinstance(item, SourceFailure):
            raise item
        return item

    def close(self) -> None:
        self._outcome.closed += 1


class AsyncSource(Source):
    """The same, asynchronous; suspends before each item."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        try:
            return Source.__next__(self)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self._outcome.closed += 1

    __iter__ = None  # type: ignore[assignment]


class SourceFailure(Exception):
    """An item of a source that fails when it is taken."""


Run = Callable[[Chain[Any, Any], list[Any], bool, int | None], Outcome]


def interpreted(chain: Chain[Any, Any], items: list[Any], skip: bool = False, most: int | None = None) -> Outcome:
    """The reference."""
    outcome = Outcome()
    execution = chain.execution

    async def on_error(error: Exception, step: int, item: object, value: object) -> None:
        name, value = execution.label.whose(step, error, value)
        outcome.skipped(Failure(error, "", name, item, value))

    source: Any = Source(items, outcome)
    stream = interpret(execution.operators, source, execution.label, on_error if skip else None)
    if execution.plan.asynchronous:
        asyncio.run(_drain(stream, outcome, most))
        return outcome
    generator = driven(stream)
    return _drain_sync(generator, outcome, most)


def iterated(chain: Chain[Any, Any], items: list[Any], skip: bool = False, most: int | None = None) -> Outcome:
    outcome = Outcome(ahead=ahead(chain))
    source = Source(items, outcome)
    return _drain_sync(chain.iterate(source, on_error=outcome.skipped if skip else None), outcome, most)


def ahead(chain: Chain[Any, Any]) -> int:
    """How far the nodes of a chain may be ahead of its results."""
    execution = chain.execution
    return execution.window * len(execution.operators) if execution.plan.asynchronous and execution.window > 1 else 0


def streamed(chain: Chain[Any, Any], items: list[Any], skip: bool = False, most: int | None = None) -> Outcome:
    outcome = Outcome(ahead=ahead(chain))
    source = Source(items, outcome)
    asyncio.run(_drain(chain.stream(source, on_error=outcome.skipped if skip else None), outcome, most))
    return outcome


def streamed_async(chain: Chain[Any, Any], items: list[Any], skip: bool = False, most: int | None = None) -> Outcome:
    outcome = Outcome(ahead=ahead(chain))

    async def on_error(failure: Failure) -> None:
        await asyncio.sleep(0)
        outcome.skipped(failure)

    async def main() -> None:
        source: Any = AsyncSource(items, outcome)
        await _drain(chain.stream(source, on_error=on_error if skip else None), outcome, most)

    asyncio.run(main())
    return outcome


def collected(chain: Chain[Any, Any], items: list[Any], skip: bool = False) -> Outcome:
    """Without `most`: a list is complete or it is not there."""
    outcome = Outcome(ahead=ahead(chain))
    source = Source(items, outcome)
    try:
        outcome.outputs = asyncio.run(chain.collect(source, on_error=outcome.skipped if skip else None))
    except Exception as error:
        outcome.failed(error)
    return outcome


def observed(chain: Chain[Any, Any], items: list[Any]) -> Outcome:
    """On a reactivex Observable; a synchronous chain."""
    import reactivex

    outcome = Outcome()

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        from reactivex.disposable import Disposable

        ended = [False]

        def close() -> None:
            ended[0] = True

        for item in items:
            outcome.taken += 1
            if isinstance(item, SourceFailure):
                observer.on_error(item)
                break
            observer.on_next(item)
            if ended[0]:
                break
        else:
            observer.on_completed()
        return Disposable(close)

    reactivex.create(subscribe).pipe(chain).subscribe(
        outcome.outputs.append, outcome.failed, lambda: outcome.outputs.append("|")
    )
    return outcome


async def _drain(stream: Any, outcome: Outcome, most: int | None) -> None:
    before = asyncio.all_tasks()
    try:
        if most != 0:
            async for output in stream:
                outcome.outputs.append(output)
                if len(outcome.outputs) == most:
                    break
    except Exception as error:
        outcome.failed(error)
    finally:
        await stream.aclose()
    left = [task for task in asyncio.all_tasks() - before if not is_closing(task)]
    assert not left, "a task was left behind"


def _drain_sync(generator: Any, outcome: Outcome, most: int | None) -> Outcome:
    try:
        if most != 0:
            for output in generator:
                outcome.outputs.append(output)
                if len(outcome.outputs) == most:
                    break
    except Exception as error:
        outcome.failed(error)
    finally:
        generator.close()
    return outcome
