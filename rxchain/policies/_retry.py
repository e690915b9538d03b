"""Trying a call again: because of what, how often, after which wait.

Whether to try again is a decision of its own, `Retry.decide`, without a clock or a sleep. Of one item, never of the
stream: a retry of the whole replays what is done, and on a source that cannot replay it loses the item that failed.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import timedelta
from random import Random
from typing import Any, TypeAlias

from rxchain.engine import Colour, colour, name_of, shorten
from rxchain.errors import CircuitOpen, RxChainError
from rxchain.policies import _log
from rxchain.policies._budget import RetryBudget
from rxchain.policies._history import KEPT, Attempt, note_attempts, remember
from rxchain.policies._retry_checked import checked
from rxchain.policies._state import RetryState, takes_state
from rxchain.policies._waits import Wait, exponential, fixed

Stop: TypeAlias = Callable[[Any], bool]
"""tenacity's ``stop_*``: called with the state of a call."""
Waits: TypeAlias = float | Wait | Callable[[Any], float | timedelta]
"""Seconds; or what gives them, called with the state of a call: `exponential(...)`, tenacity's ``wait_*``."""
On: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Any], bool | float | timedelta]
"""Types; or what is asked about the exception, or, being one of tenacity's ``retry_*``, about the state of a call."""

DEFAULT_WAIT = exponential(0.1, max=5)
"""Short, as the items behind one that waits wait with it."""

GIVE_WAY = 16
"""After so many attempts without a wait the event loop gets to run, so that an endless row of them holds up nobody."""


class ResultRefused(RxChainError):
    """Raised by a node whose last attempt, too, gave a result that ``Retry(on_result=...)`` is to retry.

    That is ``result``. The call has been made and has come back, so that whether it may be made once more is for the
    author of the predicate to know.
    """

    def __init__(self, node: str, result: object) -> None:
        super().__init__(f"node {node!r}: a result that is to be retried: {shorten(result)}")
        self.node = node
        self.result = result


@dataclass(frozen=True, slots=True, repr=False)
class Retry:
    """Call again when a call has failed: at most *attempts* times in all, the first included.

    >>> from rxchain.policies import Retry, exponential
    >>> from rxchain.testing import run
    >>> answers = iter([ConnectionError("refused"), "tea"])
    >>> async def fetch(number: int) -> str:
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> run(Retry(3, wait=exponential(0.1, max=5), on=ConnectionError).around(fetch, "fetch")(7))
    'tea'

    The last error is raised as itself, with a note for each attempt; `attempts_of` gives their errors. A cancellation
    is never retried, and ends a wait at once.

    Args:
        attempts: how many, the first included; None for as many as *total* has time for. Or tenacity's ``stop_*``.
        wait: seconds between two attempts, or what gives them: `exponential`, `linear`, `fixed`, tenacity's ``wait_*``.
            If not given, up to 0.1 seconds, then up to 0.2, 0.4, and so on to 5, each a random part of that. 0 is not
            to wait: the next attempt follows at once. After `CircuitOpen` it is at least the time that this says.
        total: seconds, from the beginning of the first attempt, after which no other begins. An attempt that would
            begin later is not waited for: the error arrives at once. What has begun is not interrupted; for that there
            are timeouts.
        on: the exceptions that are worth it: a type, several, or a predicate of the exception. A predicate that gives a
            number or a `timedelta` instead of True says the wait. Or tenacity's ``retry_*``. Others arrive at once.
        on_result: a predicate of the result: one that it is true of is retried, too, and in the end `ResultRefused`.
        hint: gives the seconds that the other side asks for, of an exception, or None; no attempt is made earlier. For
            ``Retry-After`` it is `retry_after`.
        budget: a `RetryBudget`, shared by all that call the same service.
        random: where chance comes from; for tests.

    Raises:
        CompositionError: one of these is not what it must be.
    """

    attempts: int | Stop | None = 3
    _: KW_ONLY
    wait: Waits = DEFAULT_WAIT
    total: float | None = None
    on: On = Exception
    on_result: Callable[[Any], object] | None = None
    hint: Callable[[Exception], float | timedelta | None] | None = None
    budget: RetryBudget | None = None
    random: Random | None = None
    _told: bool = field(init=False, compare=False)
    """Whether *on* is told of the call, its results too, as tenacity's ``retry_*`` are."""

    def __post_init__(self) -> None:
        if isinstance(self.wait, (int, float)) and not isinstance(self.wait, bool):
            object.__setattr__(self, "wait", fixed(self.wait))
        checked(self)
        object.__setattr__(self, "_told", not isinstance(self.on, (type, tuple)) and takes_state(self.on))

    @property
    def inlined(self) -> bool:
        """Whether nothing needs to be known of a call that succeeds, so that `recover` is enough.

        If not, a call has to be seen as it begins: for the time, for the budget, for its result; `around` does that.
        """
        return not self._foreign and (self.total, self.on_result, self.budget) == (None, None, None)

    @property
    def _foreign(self) -> bool:
        """Whether somebody has to be told of the state of a call."""
        return self._told or not isinstance(self.wait, Wait) or callable(self.attempts)

    @property
    def waits(self) -> bool:
        """Whether there may be a wait between two attempts: then only an async function can be retried."""
        return self.wait != fixed(0) or self.hint is not None or not isinstance(self.on, (type, tuple))

    def decide(self, attempt: int, elapsed: float, error: Exception, now: float) -> float | None:
        """Say how many seconds to wait before trying again; None for giving up.

        >>> from rxchain.policies import Retry
        >>> retry = Retry(3, wait=2, total=10, on=ConnectionError)
        >>> retry.decide(1, 0.5, ConnectionError(), now=100.5)
        2.0
        >>> retry.decide(2, 8.5, ConnectionError(), now=108.5)    # 10.5 s would be too late
        >>> retry.decide(1, 0.5, ValueError(), now=100.5)

        Args:
            attempt: the number of the one that failed, the first being 1.
            elapsed: the seconds since the first one began.
            error: what it failed with.
            now: the time, for the budget; what it allows is counted.
        """
        state = RetryState(self, None, (), now - elapsed)
        state.came_to(attempt, None, error, now)
        verdict = self._verdict(attempt, elapsed, error, now, state, False)
        return None if isinstance(verdict, str) else verdict

    def around(self, fn: Callable[[Any], Any], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """Give an async function of one item that tries again; *node* is its name for errors and the log."""
        again = _again_later(self, fn, node, True)
        if self.inlined:

            async def retried_on_error(item: Any) -> Any:
                try:
                    return await fn(item)
                except Exception as error:
                    return await again(item, error, 0.0, None, False)

            return retried_on_error

        budget, unwanted, foreign, results = self.budget, self._unwanted, self._foreign, self._results

        async def retried(item: Any) -> Any:
            began = asyncio.get_running_loop().time()
            state = RetryState(self, fn, (item,), began) if foreign else None
            if budget is not None:
                budget.call(began)
            try:
                result = await fn(item)
            except Exception as error:
                return await again(item, error, began, state, False)
            if results and unwanted(1, result, state):
                return await again(item, ResultRefused(node, result), began, state, True)
            return result

        return retried

    def recover(self, fn: Callable[[Any], Any], node: str) -> Callable[[Any, Exception], Any]:
        """Give what makes the attempts after the first, called with the item and the first one's error.

        Plain where *fn* is and there is nothing to wait for, async otherwise. Only where `inlined` is true.
        """
        asynchronous = colour(fn) is Colour.ASYNC
        if not asynchronous and not self.waits:
            return _again_at_once(self, fn, node)
        again = _again_later(self, fn, node, asynchronous)

        async def recover(item: Any, error: Exception) -> Any:
            return await again(item, error, 0.0, None, False)

        return recover

    @property
    def _results(self) -> bool:
        """Whether results are looked at, too."""
        return self.on_result is not None or self._told

    def _unwanted(self, attempt: int, result: Any, state: RetryState | None) -> bool:
        """Whether a result is to be retried."""
        if state is not None:
            state.came_to(attempt, result, None, asyncio.get_running_loop().time())
        if self.on_result is not None and self.on_result(result):
            return True
        return self._told and bool(self.on(state))  # type: ignore[operator]

    def _verdict(
        self,
        attempt: int,
        elapsed: float,
        error: Exception,
        now: float,
        state: RetryState | None,
        refused: bool,
    ) -> float | str:
        """How long to wait before trying again; or why not to.

        *state* is only needed by what was written for tenacity, *elapsed* for a total, *now* for a budget. *refused* is
        whether *error* stands for a result.
        """
        asked: float | None = None
        if not refused:
            on = self.on
            if isinstance(on, (type, tuple)):
                if not isinstance(error, on):
                    return "which is not retried"
            else:
                answer = on(state if self._told else error)
                if isinstance(answer, (int, float, timedelta)) and not isinstance(answer, bool):
                    asked = _seconds(answer, "on")
                elif not answer:
                    return "which is not retried"
        most, wait = self.attempts, self.wait
        if isinstance(most, int) and attempt >= most:
            return ""
        if asked is not None:
            seconds = asked
        elif isinstance(wait, Wait):
            seconds = wait.seconds(attempt, self.random)
        else:
            assert callable(wait)
            seconds = _seconds(wait(state), "wait")
        if self.hint is not None and (hinted := self.hint(error)) is not None:
            seconds = max(seconds, _seconds(hinted, "hint"))
        if isinstance(error, CircuitOpen):  # until then it would be refused again
            seconds = max(seconds, error.retry_after)
        if callable(most):
            assert state is not None
            state.upcoming_sleep = seconds
            if most(state):
                return f"{name_of(most)} says so"
        if self.total is not None and elapsed + seconds > self.total:
            return f"another one, {seconds:.3g} s later, would be past the total of {self.total:g} s"
        if self.budget is not None and not self.budget.take(now):
            return f"and the budget for retries is spent: {self.budget!r}"
        return seconds

    def __repr__(self) -> str:
        shown = []
        for parameter in fields(self):
            value = getattr(self, parameter.name)
            if parameter.name == "attempts":
                shown.append(_shown(value))
            elif parameter.init and value != parameter.default:
                shown.append(f"{parameter.name}={_shown(value)}")
        return f"Retry({', '.join(shown)})"


def _again_later(
    retry: Retry, fn: Callable[[Any], Any], node: str, asynchronous: bool
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The attempts after the first, with waits between.

    They are called with the item, the first one's error, when it began (where somebody wants to know), the state (where
    somebody is to be told), and whether the error stands for a result.
    """
    most = retry.attempts if isinstance(retry.attempts, int) else None
    verdict, unwanted, budget, results = retry._verdict, retry._unwanted, retry.budget, retry._results

    async def again(item: Any, error: Exception, began: float, state: RetryState | None, refused: bool) -> Any:
        clock = asyncio.get_running_loop().time
        now = first = clock()
        failed = [Attempt(error, 0.0)]
        attempt = 1
        at_once = 0
        try:
            while True:
                if state is not None and not refused:
                    state.came_to(attempt, None, error, now)
                wait = verdict(attempt, now - began, error, now, state, refused)
                if isinstance(wait, str):
                    _give_up(failed, attempt, most, wait)
                    raise error
                _log.retried(node, attempt, most, error, wait)
                if state is not None:
                    state.idle_for += wait
                if wait or at_once >= GIVE_WAY:
                    at_once = 0
                    try:
                        await asyncio.sleep(wait)
                    except BaseException:  # cancelled: the attempt is not made
                        if budget is not None:
                            budget.give_back(now)
                        raise
                at_once += 1
                attempt += 1
                try:
                    result = fn(item)
                    if asynchronous:
                        result = await result
                except Exception as raised:
                    error, refused = raised, False
                else:
                    if not results or not unwanted(attempt, result, state):
                        return result
                    error, refused = ResultRefused(node, result), True
                now = clock()
                failed.append(Attempt(error, now - first))
                if len(failed) > KEPT:
                    del failed[0]
        finally:
            # This frame stands in the tracebacks of those errors: no cycles, no work for the garbage collector.
            del failed, error

    return again


def _again_at_once(retry: Retry, fn: Callable[[Any], Any], node: str) -> Callable[[Any, Exception], Any]:
    """The attempts after the first, where there is nothing to wait for and nobody to give way to."""
    most = retry.attempts if isinstance(retry.attempts, int) else None
    verdict, on = retry._verdict, retry.on
    # Where only types and numbers count, and nothing has to be asked, there is no need for all the questions.
    types = on if isinstance(on, (type, tuple)) and not (retry.hint or retry.total or retry.budget) else ()

    def recover(item: Any, error: Exception) -> Any:
        first = time.monotonic()
        failed = [Attempt(error, 0.0)]
        attempt = 1
        try:
            while True:
                wait: float | str = 0.0
                if not (
                    most is not None
                    and attempt < most
                    and isinstance(error, types)
                    and not isinstance(error, CircuitOpen)
                ):
                    wait = verdict(attempt, 0.0, error, first, None, False)
                    if wait and not isinstance(wait, str):  # a breaker, further in
                        wait = f"another one is refused for {wait:.3g} s, and a plain function does not wait"
                if isinstance(wait, str):
                    _give_up(failed, attempt, most, wait)
                    raise error
                _log.retried(node, attempt, most, error, wait)
                attempt += 1
                try:
                    return fn(item)
                except Exception as raised:
                    error = raised
                failed.append(Attempt(error, time.monotonic() - first))
                if len(failed) > KEPT:
                    del failed[0]
        finally:
            del failed, error

    return recover


def _give_up(failed: list[Attempt], count: int, most: int | None, why: str) -> None:
    """Let the last error tell of all attempts; one that never was to be retried has nothing to tell."""
    if count == 1 and why in ("", "which is not retried"):
        return
    note_attempts(failed, count, most, why)
    remember(failed[-1].error, [attempt.error for attempt in failed], count)


def _seconds(value: Any, parameter: str) -> float:
    """What a function given as *parameter* answers, as seconds."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"Retry: what is given for {parameter} answers with a finite number of seconds, got {value!r}")
    return value


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, (int, float)):
        return f"{value:.12g}"
    plain = isinstance(value, type) or hasattr(value, "__name__")
    return name_of(value) if plain else repr(value)
