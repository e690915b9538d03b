"""What becomes of an item that fails, in one object: retried, undone, written down, told, and then skipped or not.

It decides nothing that its parts do not decide: the chain applies ``retries`` and ``undo``, the dead letters have their
limits, the throttle says who is told when. What is here is their order, and that none of them is forgotten.
"""

import asyncio
import inspect
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, overload

from rxchain.engine import Colour, a_kind_of, call, colour, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.policies import _log
from rxchain.policies._dead_letters import DeadLetters
from rxchain.policies._history import attempt_count
from rxchain.policies._notify import Notifier, Throttled
from rxchain.policies._outlet import Outlet
from rxchain.policies._retry import Retry
from rxchain.types import Failure

R = TypeVar("R")

Handles: TypeAlias = Callable[[Failure], object] | Callable[[Failure], Awaitable[object]]
"""What is called with a `Failure`, sync or async: a function, `DeadLetters`, `Resume`."""

MOST_COUNTED = 1000
"""So many pairs of node and type of error are counted apart; what comes beyond is counted under two empty names."""


@dataclass(frozen=True, slots=True)
class ErrorStatistics:
    """What an `ErrorHandler` has seen until now.

    >>> from rxchain.policies import ErrorHandler
    >>> ErrorHandler().statistics()
    ErrorStatistics(failures=0, by_node_and_error={}, notified=0, not_notified=0)
    """

    failures: int
    """Items that failed for good."""
    by_node_and_error: Mapping[tuple[str, str], int]
    """The same, by the node's name and the name of the error's type."""
    notified: int
    """Failures that notifiers have been told of; each notifier counts on its own."""
    not_notified: int
    """Failures that they have not been told of yet."""


class _Seen:
    """What a handler has seen in all runs, and how many hold it open."""

    def __init__(self, keep: int) -> None:
        self.failures: deque[Failure] = deque(maxlen=keep)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.lock = threading.Lock()  # streams in several threads may share a handler
        self.holders = 0

    def add(self, failure: Failure) -> None:
        """Count and keep *failure*."""
        kind = (failure.node, type(failure.error).__name__)
        with self.lock:
            self.failures.append(failure)
            self.counts[kind if kind in self.counts or len(self.counts) < MOST_COUNTED else ("", "")] += 1


class ErrorHandler:
    """Retry, undo, record, keep and tell of what fails, for a chain as a whole.

    >>> from rxchain import Chain
    >>> from rxchain.policies import ErrorHandler
    >>> handler = ErrorHandler()
    >>> def price(text: str) -> float:
    ...     return float(text)
    >>> list(Chain(price, on_error=handler).iterate(["1.5", "free", "2"]))
    [1.5, 2.0]
    >>> [failure.item for failure in handler.failures]
    ['free']

    For each item that fails for good, in this order: it is counted, and kept in `failures`; it is recorded in the log
    (loguru, silent until ``logger.enable("rxchain")``); the notifiers are told, beside the stream; the dead letters get
    it; and then it is skipped, or whatever *then* says. With notifiers, or parts that are async functions, a chain of
    plain functions runs on an event loop, as if it had an asynchronous node.

    Args:
        retry: a `Retry`, or a number of attempts, for the chain's nodes that declare none of their own.
        undo: whether the ``undo=`` of the nodes that the item has passed are run.
        dead_letters: is called with each `Failure`: `DeadLetters(...)`. What it raises ends the stream.
        record: the level at which failures are recorded; None for not at all.
        payload: whether the record shows the item, and the error with all its notes. If None, what
            `rxchain.observe.show_payloads` says: not.
        notify: who is told: functions, sync or async, of a `Notification`, `Webhook`, `Email`; each at most once in 60
            seconds of failures of a kind, or as `Throttled` says. One that fails is told again, and a warning says so.
        then: what the stream does: ``"skip"`` the item, ``"stop"``, or what a function or object of a `Failure` says,
            such as `Resume`.
        keep: how many failures are kept in `failures`, the last ones; with them are kept the items, and whatever the
            errors' frames hold.

    Raises:
        CompositionError: one of these is not what it must be.
    """

    # The class is what tells whether its instances are called or awaited: see `colour`.
    def __new__(
        cls, *, dead_letters: Handles | None = None, notify: object = (), then: object = "skip", **_: Any
    ) -> Self:
        waits = notify not in ((), []) or any(_waits(part) for part in (dead_letters, then))
        return super().__new__(cls if waits or cls is not ErrorHandler else _PlainHandler)  # type: ignore[return-value]

    def __init__(
        self,
        *,
        retry: Retry | int | None = None,
        undo: bool = True,
        dead_letters: Handles | None = None,
        record: str | int | None = "ERROR",
        payload: bool | None = None,
        notify: Notifier | Throttled | Iterable[Notifier | Throttled] = (),
        then: Literal["skip", "stop"] | Handles = "skip",
        keep: int = 100,
    ) -> None:
        if not (isinstance(then, str) and then in _THEN):
            _checked("then", then, 'then="skip", then="stop" or then=Resume(...)')
        if dead_letters is not None:
            _checked("dead_letters", dead_letters, "dead_letters=DeadLetters(...)")
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
            raise CompositionError(f"keep is a number of failures, 0 or more, got {shorten(keep, 30)}")
        self.retries = retry if retry is None or isinstance(retry, Retry) else Retry(retry)
        """How the chain's nodes are retried that declare nothing of that; None for not."""
        self.undo = undo
        """Whether the effects of nodes that the item has passed are undone."""
        self.dead_letters, self.record, self.payload, self.then = dead_letters, record, payload, then
        self._then: Handles = _THEN[then] if isinstance(then, str) else then
        self._outlets = [Outlet(one) for one in _each(notify)]
        self._seen = _Seen(keep)

    @property
    def resumes(self) -> bool:
        """Whether what it returns goes on in the item's place."""
        return bool(getattr(self.then, "resumes", False))

    @property
    def places(self) -> bool:
        """Whether a `Failure` is to come with its place: whether anybody reads it. It costs each item a little."""
        read = getattr(self.dead_letters, "places", False) or getattr(self.then, "places", False)
        return bool(read or self._outlets or (self.record is not None and _log.asked() is not None))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The last failures, the oldest first; as many as ``keep`` says."""
        with self._seen.lock:
            return tuple(self._seen.failures)

    def statistics(self) -> ErrorStatistics:
        """Count what has failed, and what has been told."""
        with self._seen.lock:
            counts = dict(self._seen.counts)
        told, untold = sum(one.told for one in self._outlets), sum(one.untold for one in self._outlets)
        return ErrorStatistics(sum(counts.values()), counts, told, untold)

    # --- for a chain

    def fresh(self) -> Self:
        """The same for another run, in which the limits of dead letters count from the start; all else is of both."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        if isinstance(made.dead_letters, DeadLetters):
            made.dead_letters = made.dead_letters.fresh()
        return made

    async def __call__(self, failure: Failure) -> Any:
        """Handle one item that has failed for good; a chain calls it."""
        self._tell(failure)
        if self.dead_letters is not None:
            await _answer(self.dead_letters, failure)
        return await _answer(self._then, failure)

    def _tell(self, failure: Failure) -> None:
        """Count, keep, record; and have the notifiers told, beside the stream."""
        self._seen.add(failure)
        if self.record is not None:
            _log.failed(failure, self.record, self.payload)
        for outlet in self._outlets:
            outlet.add(failure)

    async def aclose(self) -> None:
        """Tell the notifiers what they have not been told; a chain calls it at the end of each run.

        The handler can be used again. Inside ``async with handler:`` it does nothing: the end of the block does.
        """
        if not self._seen.holders:
            await self._close()

    async def __aenter__(self) -> Self:
        """Hold the handler open over several runs, so that notifiers are told of all of them together."""
        self._seen.holders += 1
        for outlet in self._outlets:
            outlet.home = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._seen.holders -= 1
        if not self._seen.holders:
            for outlet in self._outlets:
                outlet.home = None
            await self._close()

    async def _close(self) -> None:
        await asyncio.gather(*[outlet.aclose() for outlet in self._outlets])
        for part in (self.dead_letters, self.then):
            close = getattr(part, "aclose", None)
            if close is not None:
                await close()

    # --- alone

    @overload
    async def retry(self, task: Callable[..., Awaitable[R]], /, *args: Any, **kwargs: Any) -> R: ...
    @overload
    async def retry(self, task: Callable[..., R], /, *args: Any, **kwargs: Any) -> R: ...
    async def retry(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call *task*, sync or async, and again where it fails, as ``retry=`` says: 3 times in all if it says nothing.

        The last error is raised.
        """
        return await self._around(task, args, kwargs)(None)

    async def handle_error(self, error: Exception, task: Callable[..., Any] | None = None, /, *args: Any) -> Any:
        """Handle an error that your own code has caught: call *task* again, or handle it as one of a chain's.

        >>> import asyncio
        >>> from rxchain.policies import ErrorHandler, Retry
        >>> answers = iter([ConnectionError("busy"), "yes"])
        >>> def ask(name: str) -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> async def main() -> str:
        ...     async with ErrorHandler(retry=Retry(3, wait=0)) as handler:
        ...         try:
        ...             return ask("tea")
        ...         except ConnectionError as error:
        ...             return await handler.handle_error(error, ask, "tea")
        >>> asyncio.run(main())
        'yes'

        Args:
            error: what was caught.
            task: what failed with it, called again as ``retry=`` says, *error* being that of the first attempt. If it
                fails for good, or there is none, the failure is recorded and told of; what is returned or raised then
                is up to *then*: None, the error, a value.
        """
        node = "" if task is None else name_of(task)
        if task is not None:
            first = True

            async def attempt(_: object) -> Any:
                nonlocal first
                if first:
                    first = False
                    raise error
                return await call(task, *args)

            try:
                return await (self.retries or Retry()).around(attempt, node)(None)
            except Exception as last:
                error = last
        item = args[0] if len(args) == 1 else args or None
        return await _answer(self, Failure(error, "", node, item, item, attempts=attempt_count(error)))

    def _around(self, task: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        async def attempt(_: object) -> Any:
            result = task(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return (self.retries or Retry()).around(attempt, name_of(task))

    def __repr__(self) -> str:
        shown = []
        for name, value, default in (
            ("retry", self.retries, None),
            ("undo", self.undo, True),
            ("dead_letters", self.dead_letters, None),
            ("record", self.record, "ERROR"),
            ("payload", self.payload, None),
        ):
            if value != default:
                shown.append(f"{name}={value!r}")
        if self._outlets:
            shown.append(f"notify=[{', '.join(outlet.shown for outlet in self._outlets)}]")
        if self.then != "skip":
            shown.append(f"then={self.then!r}")
        return f"ErrorHandler({', '.join(shown)})"


class _PlainHandler(ErrorHandler):
    """One of plain parts, that has nobody to notify: it needs no event loop."""

    aclose = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __call__(self, failure: Failure) -> Any:
        self._tell(failure)
        if self.dead_letters is not None:
            self.dead_letters(failure)
        return self._then(failure)


def _skip(failure: Failure) -> None:
    """Leave the item out."""


def _stop(failure: Failure) -> None:
    """End the stream with the item's error."""
    raise failure.error


_THEN: dict[str, Handles] = {"skip": _skip, "stop": _stop}


def _waits(part: object) -> bool:
    """Whether a part has to be awaited, when it is called or at the end of a run."""
    return callable(part) and (colour(part) is Colour.ASYNC or getattr(part, "aclose", None) is not None)


async def _answer(handles: Handles, failure: Failure) -> Any:
    result = handles(failure)
    return await result if inspect.isawaitable(result) else result


def _each(notify: Any) -> list[Any]:
    """The notifiers, where one or several were given."""
    return [notify] if callable(notify) or isinstance(notify, (Throttled, str)) else list(notify)


def _checked(name: str, given: object, correct: str) -> None:
    if isinstance(given, str) or not callable(given) or not takes(given, 1):
        raise CompositionError(
            f"{name} is called with a Failure, got {a_kind_of(given)}: {shorten(given, 60)}\n"
            f"    ErrorHandler({name}={shorten(given, 30)})  # incorrect\n"
            f"    ErrorHandler({correct})  # correct"
        )
