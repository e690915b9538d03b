"""A circuit breaker: calls to what is broken are refused at once, until a probe finds it whole.

A phase is an object: closed, open or half-open, with what is counted in it. A call keeps the phase that it was let in
by and reports to that; when the breaker has moved on meanwhile, nobody listens. So an answer that is late by a phase
counts for nothing, without a flag or a number to compare.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from rxchain.engine import Colour, colour, shorten, takes
from rxchain.errors import CircuitOpen, CompositionError
from rxchain.policies._named import Named
from rxchain.policies._settings import check_count, check_name, check_seconds, check_share, wrong

State: TypeAlias = Literal["closed", "open", "half-open"]

Counts: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]
"""Which errors count as failures: exception types, or a predicate of the error."""


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A circuit breaker at one moment."""

    name: str
    state: State
    calls: int
    """Calls that count in this state: those of the window if there is one, else since the last that succeeded."""
    failures: int
    """Those of them that failed."""
    refused: int
    """Calls that were refused with `CircuitOpen` since it last opened."""
    opened_at: float | None
    """When it last opened, by the clock of the event loop, in seconds; None while it is closed."""
    retry_after: float
    """Seconds to the next try; 0 if the next call is let through."""


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """What a listener of a circuit breaker is told."""

    name: str
    before: State
    after: State
    why: str
    """What brought it about: ``5 failures in a row``."""


class CircuitBreaker:
    """Refuse calls, with `CircuitOpen`, to what has failed too often, and try again after a while.

    >>> from rxchain import Chain, CircuitOpen, node
    >>> from rxchain.policies import CircuitBreaker
    >>> asked = []
    >>> @node(breaker=CircuitBreaker("payments", failures=2))
    ... async def charge(order):
    ...     asked.append(order)
    ...     raise ConnectionError
    >>> failures = []
    >>> list(Chain(charge).iterate("abcd", on_error=failures.append))
    []
    >>> asked
    ['a', 'b']
    >>> print(failures[-1].error)
    node 'charge': circuit breaker 'payments' is open after 2 failures in a row; the next try is in 30 s
    >>> CircuitBreaker("payments", failures=2).state
    'open'
    >>> CircuitBreaker.forget("payments")

    It is *closed* as long as calls go through; it *opens* after so many failures in a row, or at a rate of them, and
    refuses all calls for *open_for* seconds. Then it is *half-open*: a few probes are let through, the others refused.
    When all of those have succeeded it is closed again; when one has failed it is open again. A probe that has not
    answered within *open_for* seconds gives its place to another one.

    Cancelled calls count as nothing, and a cancelled probe gives its place back. Errors that do not count, by *on*, are
    answers like any other. Two breakers with the same name are the same one, whatever thread or event loop they are on.

    Args:
        name: what it stands for; two with this name and the same settings are one.
        failures: so many in a row open it; 5 if neither this nor *rate* is given.
        rate: the share of calls that fail which opens it, above 0, up to 1.
        window: with *rate*, of the calls of the last *window* seconds, counted in tenths of it; 60 if nothing is said.
        last: with *rate*, of the last so many calls instead.
        at_least: with *rate*, how many calls there must be in the window.
        open_for: seconds for which all calls are refused.
        probes: how many calls must succeed before it closes again, and how many are let through for that.
        on: the exception types that count as failures, or a predicate of the error; any if nothing is said.

    Raises:
        CompositionError: an argument is not what it must be, or *name* is there already with other settings.
    """

    __slots__ = ("_shared", "_shown", "name")

    def __init__(
        self,
        name: str,
        *,
        failures: int | None = None,
        rate: float | None = None,
        window: float | None = None,
        last: int | None = None,
        at_least: int = 10,
        open_for: float = 30.0,
        probes: int = 1,
        on: Counts = Exception,
    ) -> None:
        check_name("CircuitBreaker", name, "CircuitBreaker('payments')")
        self.name = name
        count, settings = _counting(failures, rate, window, last, at_least)
        check_seconds("CircuitBreaker", "open_for", open_for, "CircuitBreaker('payments', open_for=30)")
        check_count("CircuitBreaker", "probes", probes, "CircuitBreaker('payments', probes=1)")
        counts = _predicate(on)
        settings |= {"open_for": float(open_for), "probes": probes, "on": on}
        shown = [f"{key}={_names(on) if key == 'on' else value}" for key, value in settings.items()]
        self._shown = f"CircuitBreaker({name!r}, {', '.join(shown)})"
        self._shared = _named.get(
            name, settings, self._shown, lambda: _Shared(Circuit(name, count, open_for, probes), counts)
        )

    def __repr__(self) -> str:
        return self._shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CircuitBreaker) and self._shared is other._shared

    def __hash__(self) -> int:
        return hash(self._shared)

    @property
    def state(self) -> State:
        """``"closed"``, ``"open"``, or ``"half-open"``, which it is from the first call that is let through again."""
        return self._shared.circuit.phase.state

    def snapshot(self) -> BreakerSnapshot:
        """State, counts, and the time to the next try; from any thread."""
        with self._shared.lock:
            return self._shared.circuit.snapshot(_now())

    def on_change(self, listener: Callable[[BreakerChange], object]) -> Callable[[], None]:
        """Have *listener* told of each change of the state; what is returned ends that.

        It is called where the call that brought the change about is, so it should be quick. What it raises goes to the
        event loop's exception handler, and not to that call.
        """
        listeners = self._shared.listeners
        listeners.append(listener)

        def end() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return end

    def reset(self) -> None:
        """Close it, with nothing counted."""
        self._shared.reset()

    @staticmethod
    def forget(name: str | None = None) -> None:
        """Begin afresh, as a test does: the next breaker called *name*, or any name if it is None, is a new one.

        The nodes that were given an old one keep it; it is closed, with nothing counted, and nobody listens to it.
        """
        for shared in _named.forget(name):
            shared.listeners.clear()
            shared.reset()

    def around(self, fn: Callable[[Any], Awaitable[Any]], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """An async function that does what *fn* does, unless the breaker is open."""
        shared = self._shared
        counts = shared.counts

        async def guarded(item: Any) -> Any:
            clock = asyncio.get_running_loop().time
            phase = shared.admit(clock(), node)
            try:
                result = await fn(item)
            except Exception as error:
                try:
                    failed = bool(counts(error))
                except BaseException:
                    shared.give_back(phase)
                    raise
                shared.report(phase, clock(), failed)
                raise
            except BaseException:  # a cancellation, an early end: neither tells how the service is
                shared.give_back(phase)
                raise
            shared.report(phase, clock(), failed=False)
            return result

        return guarded


# --- what is counted


class Counter(Protocol):
    """What tells when there have been too many failures; told each outcome, and when it came."""

    calls: int
    failures: int

    def add(self, failed: bool, now: float) -> str | None:
        """Count one; why that is too many, if it is."""


class InARow:
    """So many failures in a row."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.calls = 0
        self.failures = 0

    def add(self, failed: bool, now: float) -> str | None:
        """Count one; why that is too many, if it is."""
        self.calls = self.failures = self.failures + 1 if failed else 0
        if self.failures < self._limit:
            return None
        return f"{self.failures} failures in a row" if self.failures > 1 else "a failure"


class OfTheLast:
    """A share of the last so many calls."""

    def __init__(self, rate: float, at_least: int, last: int) -> None:
        self._rate = rate
        self._at_least = at_least
        self._seen: deque[bool] = deque(maxlen=last)
        self.calls = 0
        self.failures = 0

    def add(self, failed: bool, now: float) -> str | None:
        """Count one; why that is too many, if it is."""
        if len(self._seen) == self._seen.maxlen:
            self.failures -= self._seen[0]
        self._seen.append(failed)
        self.calls = len(self._seen)
        self.failures += failed
        return _too_many(self, failed, self._rate, self._at_least)


class OfTheTime:
    """A share of the calls of the last so many seconds, in tenths of them: memory does not grow with the calls."""

    def __init__(self, rate: float, at_least: int, window: float) -> None:
        self._rate = rate
        self._at_least = at_least
        self._tenth = window / 10
        self._tenths: deque[list[int]] = deque()  # which tenth, calls, failures
        self.calls = 0
        self.failures = 0

    def add(self, failed: bool, now: float) -> str | None:
        """Count one; why that is too many, if it is."""
        tenth = int(now // self._tenth)
        while self._tenths and not tenth - 10 < self._tenths[0][0] <= tenth:
            _, calls, failures = self._tenths.popleft()
            self.calls -= calls
            self.failures -= failures
        if not self._tenths or self._tenths[-1][0] != tenth:
            self._tenths.append([tenth, 0, 0])
        self._tenths[-1][1] += 1
        self._tenths[-1][2] += failed
        self.calls += 1
        self.failures += failed
        return _too_many(self, failed, self._rate, self._at_least)


def _too_many(counted: Counter, failed: bool, rate: float, at_least: int) -> str | None:
    if failed and counted.calls >= at_least and counted.failures >= rate * counted.calls:
        return f"{counted.failures} failures in {counted.calls} calls"
    return None


# --- what is decided


class Closed:
    """Calls go through, and are counted."""

    __slots__ = ("counter",)
    state: State = "closed"

    def __init__(self, counter: Counter) -> None:
        self.counter = counter


class Open:
    """Calls are refused, until it has been open for long enough."""

    __slots__ = ("refused", "since", "why")
    state: State = "open"

    def __init__(self, since: float, why: str) -> None:
        self.since = since
        self.why = why
        self.refused = 0


class HalfOpen:
    """A few calls are let through, to see."""

    __slots__ = ("opened", "out", "since", "succeeded")
    state: State = "half-open"

    def __init__(self, since: float, opened: Open, succeeded: int = 0) -> None:
        self.since = since  # when the last probe was let through
        self.opened = opened
        self.out = 0
        self.succeeded = succeeded


Phase: TypeAlias = Closed | Open | HalfOpen


class Circuit:
    """The decisions of a breaker: pure, told the time, one caller at a time."""

    def __init__(self, name: str, count: Callable[[], Counter], open_for: float, probes: int) -> None:
        self.name = name
        self._count = count
        self._open_for = open_for
        self._probes = probes
        self.phase: Phase = Closed(count())

    def admit(self, now: float, node: str = "") -> Closed | HalfOpen:
        """Let a call through; what it reports to.

        Raises:
            CircuitOpen: it is refused.
        """
        phase = self.phase
        if isinstance(phase, Closed):
            return phase
        opened = phase if isinstance(phase, Open) else phase.opened
        if not self._may_try(phase, now):
            opened.refused += 1
            raise CircuitOpen(self.name, phase.since + self._open_for - now, node=node, why=opened.why)
        if isinstance(phase, Open):
            phase = self.phase = HalfOpen(now, opened)
        elif phase.out + phase.succeeded >= self._probes:  # those that are out have been waited for long enough
            phase = self.phase = HalfOpen(now, opened, phase.succeeded)
        phase.out += 1
        phase.since = now
        return phase

    def _may_try(self, phase: Open | HalfOpen, now: float) -> bool:
        if isinstance(phase, HalfOpen) and phase.out + phase.succeeded < self._probes:
            return True
        return now >= phase.since + self._open_for

    def report(self, phase: Closed | HalfOpen, now: float, failed: bool) -> str | None:
        """Count the outcome of a call that *phase* let through; why the state has changed, if it has."""
        if phase is not self.phase:
            return None
        if isinstance(phase, Closed):
            why = phase.counter.add(failed, now)
            if why is not None:
                self.phase = Open(now, why)
            return why
        if failed:
            self.phase = Open(now, "a probe that failed")
            return "a probe that failed"
        phase.out -= 1
        phase.succeeded += 1
        if phase.succeeded < self._probes:
            return None
        self.reset()
        return f"{self._probes} probes that succeeded" if self._probes > 1 else "a probe that succeeded"

    def give_back(self, phase: Closed | HalfOpen) -> None:
        """Forget a call that *phase* let through: another probe may have its place."""
        if phase is self.phase and isinstance(phase, HalfOpen):
            phase.out -= 1

    def reset(self) -> None:
        """Close it, with nothing counted."""
        self.phase = Closed(self._count())

    def snapshot(self, now: float) -> BreakerSnapshot:
        """How it is."""
        phase = self.phase
        if isinstance(phase, Closed):
            counter = phase.counter
            return BreakerSnapshot(self.name, phase.state, counter.calls, counter.failures, 0, None, 0.0)
        opened = phase if isinstance(phase, Open) else phase.opened
        left = 0.0 if self._may_try(phase, now) else phase.since + self._open_for - now
        calls = phase.succeeded if isinstance(phase, HalfOpen) else 0
        return BreakerSnapshot(self.name, phase.state, calls, 0, opened.refused, opened.since, left)


class _Shared:
    """What all breakers of one name share: the circuit, behind a lock, and who listens.

    The lock is one that its holder may take again: a coroutine collected while it is held gives back right then.
    """

    def __init__(self, circuit: Circuit, counts: Callable[[Exception], object]) -> None:
        self.circuit = circuit
        self.counts = counts
        self.listeners: list[Callable[[BreakerChange], object]] = []
        self.lock = threading.RLock()

    def admit(self, now: float, node: str) -> Closed | HalfOpen:
        phase = self.circuit.phase
        if isinstance(phase, Closed):  # nothing is changed by that
            return phase
        with self.lock:
            before = self.circuit.phase
            phase = self.circuit.admit(now, node)
        if isinstance(before, Open):
            self._tell(before, phase, "the time it is open for is over")
        return phase

    def report(self, phase: Closed | HalfOpen, now: float, failed: bool) -> None:
        with self.lock:
            why = self.circuit.report(phase, now, failed)
            after = self.circuit.phase
        if why is not None:
            self._tell(phase, after, why)

    def give_back(self, phase: Closed | HalfOpen) -> None:
        with self.lock:
            self.circuit.give_back(phase)

    def reset(self) -> None:
        with self.lock:
            before = self.circuit.phase
            self.circuit.reset()
            after = self.circuit.phase
        if not isinstance(before, Closed):
            self._tell(before, after, "a reset")

    def _tell(self, before: Phase, after: Phase, why: str) -> None:
        change = BreakerChange(self.circuit.name, before.state, after.state, why)
        for listener in list(self.listeners):
            try:
                listener(change)
            except Exception as error:
                try:
                    loop = asyncio.get_running_loop()
                except RuntimeError:
                    raise error from None
                message = f"a listener of circuit breaker {self.circuit.name!r} failed"
                loop.call_exception_handler({"message": message, "exception": error})


_named: Named[_Shared] = Named("CircuitBreaker")


def _now() -> float:
    """The time of the running event loop; where there is none, of the clock that event loops have."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


# --- what is declared


def _counting(
    failures: int | None, rate: float | None, window: float | None, last: int | None, at_least: int
) -> tuple[Callable[[], Counter], dict[str, Any]]:
    """What makes the counter, and the settings that say so."""
    policy, by_rate = "CircuitBreaker", "CircuitBreaker('payments', rate=0.5, window=60.0, at_least=10)"
    if rate is None:
        for parameter, found in (("window", window), ("last", last)):
            if found is not None:
                raise CompositionError(
                    f"CircuitBreaker: {parameter} says of which calls a rate is, and there is no rate\n"
                    f"    CircuitBreaker('payments', {parameter}={shorten(found, 30)})  # incorrect\n"
                    f"    CircuitBreaker('payments', rate=0.5, {parameter}={shorten(found, 30)})  # correct"
                )
        in_a_row = 5 if failures is None else failures
        check_count(policy, "failures", in_a_row, "CircuitBreaker('payments', failures=5)")
        return lambda: InARow(in_a_row), {"failures": in_a_row}
    if failures is not None:
        raise CompositionError(
            "CircuitBreaker: it opens after so many failures in a row, or at a rate of them, not both\n"
            f"    CircuitBreaker('payments', failures={shorten(failures, 20)}, rate={shorten(rate, 20)})  # incorrect\n"
            f"    {by_rate}  # correct; or failures=5 alone"
        )
    if window is not None and last is not None:
        raise CompositionError(
            "CircuitBreaker: a rate is of the calls of the last *window* seconds, or of the *last* so many, not both\n"
            f"    CircuitBreaker('payments', rate=0.5, window=60.0, last=100)  # incorrect\n"
            f"    {by_rate}  # correct; or last=100"
        )
    check_share(policy, "rate", rate, by_rate)
    check_count(policy, "at_least", at_least, by_rate)
    share = float(rate)
    if last is not None:
        size = last
        check_count(policy, "last", size, "CircuitBreaker('payments', rate=0.5, last=100)")
        if size < at_least:
            raise wrong(policy, "last", f"{at_least} or more, which is at_least", size, "..., last=100, at_least=10")
        return lambda: OfTheLast(share, at_least, size), {"rate": share, "last": size, "at_least": at_least}
    check_seconds(policy, "window", 60.0 if window is None else window, by_rate)
    seconds = 60.0 if window is None else float(window)
    return lambda: OfTheTime(share, at_least, seconds), {"rate": share, "window": seconds, "at_least": at_least}


def _predicate(on: Counts) -> Callable[[Exception], object]:
    kinds = on if isinstance(on, tuple) else (on,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        return lambda error: isinstance(error, kinds)  # type: ignore[arg-type]
    if callable(on) and not isinstance(on, type) and colour(on) is Colour.SYNC and takes(on, 1):
        return on
    raise CompositionError(
        f"CircuitBreaker: on is the types of Exception that count, or a predicate of the error; got {shorten(on, 40)}\n"
        f"    CircuitBreaker('payments', on={shorten(on, 30)})  # incorrect\n"
        "    CircuitBreaker('payments', on=(TimeoutError, ConnectionError))  # correct"
    )


def _names(on: Counts) -> str:
    kinds = on if isinstance(on, tuple) else (on,)
    names = [getattr(kind, "__name__", None) or shorten(kind, 30) for kind in kinds]
    return f"({', '.join(names)})" if isinstance(on, tuple) else names[0]
