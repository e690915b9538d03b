"""With failures and cancellations everywhere each item ends in one outcome, and what it did stands or is undone.

Random chains of nodes with policies of all kinds, alone and around parts, in virtual time. What a node does with one
depends on the item's number, so that a run can be looked at afterwards: who was called, how often, what of it stands.
"""

import asyncio
import itertools
from collections import Counter
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain, CircuitBreaker, Failure, Fallback, Refused, Retry, node
from rxchain import operators as ops
from rxchain.policies import Bulkhead, Undo
from rxchain.testing import run

NUMBERS = itertools.count()


class Step(NamedTuple):
    """A node: what it does with which item, and what is done about that."""

    fails: tuple[int, ...] = ()
    """For each item, by its number, how many attempts fail."""
    delays: tuple[float | None, ...] = (None,)
    retry: int | None = None
    wait: float = 0
    timeout: float | None = None
    fallback: bool = False
    undo: bool = False
    not_undone: int | None = None
    """The item whose undo fails."""
    breaker: bool = False
    bulkhead: int | None = None
    concurrency: int = 1
    drops: int | None = None
    """The item that a precondition drops."""
    around: str | None = None


class Done(NamedTuple):
    """What a run left behind."""

    results: list[int]
    failures: list[Failure]
    calls: Counter[tuple[int, int]]
    began: Counter[tuple[int, int]]
    undone: Counter[tuple[int, int]]
    dropped: set[int]
    error: BaseException | None
    cancelled_by_itself: bool


class Shop:
    """Makes the chain, and counts."""

    def __init__(self, steps: tuple[Step, ...], window: int) -> None:
        self.calls: Counter[tuple[int, int]] = Counter()
        self.began: Counter[tuple[int, int]] = Counter()
        self.undone: Counter[tuple[int, int]] = Counter()
        self.dropped: set[int] = set()
        self.failures: list[Failure] = []
        self.results: list[int] = []
        self.inside = 0
        self.told: list[Any] = []
        self.chain: Chain[int, int] = Chain(*[self._made(k, step) for k, step in enumerate(steps)], window=window)

    def _made(self, k: int, step: Step) -> Any:
        async def work(item: int) -> int:
            self.calls[k, item] += 1
            self.inside += 1
            try:
                delay = step.delays[item % len(step.delays)]
                if delay is not None:
                    await asyncio.sleep(delay)
                if step.fails and self.calls[k, item] <= step.fails[item % len(step.fails)]:
                    raise ValueError(f"{k}: {item}")
                return item
            finally:
                self.inside -= 1

        async def undo(item: int) -> None:
            await asyncio.sleep(0.3)
            if item == step.not_undone:
                raise OSError(item)
            self.undone[k, item] += 1

        def admitted(item: int) -> bool:
            if item == step.drops:
                self.dropped.add(item)
                return False
            self.began[k, item] += 1
            return True

        policies: dict[str, Any] = {"when": admitted, "concurrency": step.concurrency}
        if step.retry is not None:
            policies["retry"] = Retry(step.retry, wait=step.wait)
        if step.timeout is not None:
            policies["timeout"] = step.timeout
        if step.fallback:
            policies["fallback"] = [
                Fallback(lambda item: item, on=TimeoutError),
                Fallback(lambda item: item, on=ValueError),
            ]
        if step.breaker:
            policies["breaker"] = CircuitBreaker(f"of test_outcomes {next(NUMBERS)}", failures=2, open_for=1)
        if step.bulkhead is not None:
            policies["bulkhead"] = Bulkhead(f"of test_outcomes {next(NUMBERS)}", step.bulkhead, queue=100)
        if step.undo:
            policies["undo"] = Undo(undo, retry=Retry(2, wait=0.1))
        made = node(name=f"n{k}", **policies)(work)
        if step.around == "saga":
            return ops.saga(made)
        if step.around == "retry":
            return ops.retry(made, Retry(2, wait=0), concurrency=step.concurrency)
        if step.around == "catch":
            return ops.catch(made, lambda item: item, on=ValueError)
        return made

    def play(self, items: int, until: float | None, skip: bool, closes: int | None) -> Done:
        return run(self._play(items, until, skip, closes), max_seconds=100_000)

    async def _play(self, items: int, until: float | None, skip: bool, closes: int | None) -> Done:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.told.append(context))
        error: BaseException | None = None

        async def consume() -> None:
            stream = self.chain.stream(range(items), on_error=self.failures.append if skip else None)
            try:
                async for result in stream:
                    self.results.append(result)
                    if len(self.results) == closes:
                        break
            finally:
                await stream.aclose()

        task = asyncio.ensure_future(consume())
        await asyncio.wait([task], timeout=until)
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left behind"
        assert self.inside == 0, "a call goes on"
        if not task.cancelled():
            error = task.exception()
        return Done(
            self.results,
            self.failures,
            self.calls,
            self.began,
            self.undone,
            self.dropped,
            error,
            task.cancelled() and until is None,
        )


ITEMS = 10
DELAYS = st.lists(st.sampled_from([None, None, 0, 0.1, 1, 3]), min_size=1, max_size=4).map(tuple)
STEPS = st.builds(
    Step,
    fails=st.lists(st.sampled_from([0, 0, 0, 1, 2, 9]), max_size=4).map(tuple),
    delays=DELAYS,
    retry=st.none() | st.integers(1, 4),
    wait=st.sampled_from([0, 0.2, 2]),
    timeout=st.sampled_from([None, None, 0.5, 2]),
    fallback=st.sampled_from([False, False, True]),
    undo=st.booleans(),
    not_undone=st.sampled_from([None, None, 0, 3]),
    breaker=st.sampled_from([False, False, True]),
    bulkhead=st.sampled_from([None, None, 1, 2]),
    concurrency=st.integers(1, 3),
    drops=st.sampled_from([None, None, 1, 4]),
    around=st.sampled_from([None, None, "saga", "retry", "catch"]),
)
CHAINS = st.lists(STEPS, min_size=1, max_size=4).map(tuple)
WINDOWS = st.sampled_from([1, 2, 5, 16])


def check_each_once(done: Done) -> None:
    outcomes = [*done.results, *(failure.item for failure in done.failures), *done.dropped]
    assert len(outcomes) == len(set(outcomes)), "an item has two outcomes"
    assert not any(isinstance(failure.error, asyncio.CancelledError) for failure in done.failures)
    assert done.results == sorted(done.results)


def check_attempts(done: Done, steps: tuple[Step, ...]) -> None:
    for (k, _), calls in done.calls.items():
        most = (steps[k].retry or 1) * (2 if steps[k].around == "retry" else 1)
        assert calls <= most


def check_what_stands(done: Done, steps: tuple[Step, ...], items: int, ended: bool) -> None:
    """What an item did stands if it has come through or was dropped; if it failed, what was said to stand does."""
    failures = {failure.item: failure for failure in done.failures}
    for k, step in enumerate(steps):
        if not step.undo:
            continue
        # An attempt that the breaker refused has been begun, has done nothing, and is tried again.
        refused = int(step.breaker and step.around == "retry")
        for item in range(items):
            stands = done.began[k, item] - done.undone[k, item]
            if item in failures:
                error, said = failures[item].error, failures[item].stands.count(f"n{k}")
                if isinstance(error, Refused) and error.node == f"n{k}":
                    assert stands >= said  # the call that was refused has done nothing
                elif step.around != "saga":  # which stands once it is through
                    assert said <= stands <= said + refused
            elif item in done.results or (item in done.dropped and ended):
                # What a catch has put in the place of a part, the part has taken back.
                caught = step.around == "catch" and done.undone[k, item] > 0
                once = 1 if done.began[k, item] and not caught else 0
                assert once <= stands <= once + refused
            elif not ended and step.not_undone != item and step.around != "saga" and item not in done.dropped:
                assert 0 <= stands <= step.breaker + refused  # abandoned: undone, but for calls that were refused


@given(CHAINS, st.integers(0, ITEMS), WINDOWS)
def test_results_failures_and_drops_add_up_to_the_items(steps: tuple[Step, ...], items: int, window: int) -> None:
    done = Shop(steps, window).play(items, None, True, None)
    assert done.error is None
    assert not done.cancelled_by_itself
    check_each_once(done)
    check_attempts(done, steps)
    assert {*done.results, *(failure.item for failure in done.failures), *done.dropped} == set(range(items))
    assert len(done.results) + len(done.failures) + len(done.dropped) == items
    assert [failure.item for failure in done.failures] == sorted(failure.item for failure in done.failures)
    check_what_stands(done, steps, items, ended=True)


@given(CHAINS, st.integers(0, ITEMS), WINDOWS, st.floats(0, 15, width=16), st.booleans())
def test_cancelled_at_any_time_nothing_is_doubled_and_what_was_begun_is_undone(
    steps: tuple[Step, ...], items: int, window: int, until: float, skip: bool
) -> None:
    done = Shop(steps, window).play(items, until, skip, None)
    check_each_once(done)
    check_attempts(done, steps)
    check_what_stands(done, steps, items, ended=False)


@given(CHAINS, st.integers(0, ITEMS), WINDOWS, st.integers(1, 5))
def test_left_early_it_is_the_same(steps: tuple[Step, ...], items: int, window: int, closes: int) -> None:
    done = Shop(steps, window).play(items, None, True, closes)
    check_each_once(done)
    check_attempts(done, steps)
    check_what_stands(done, steps, items, ended=False)


@given(CHAINS, st.integers(0, ITEMS), WINDOWS)
@settings(max_examples=50)
def test_stopped_by_the_first_failure_all_before_it_have_come_through(
    steps: tuple[Step, ...], items: int, window: int
) -> None:
    done = Shop(steps, window).play(items, None, False, None)
    check_each_once(done)
    check_what_stands(done, steps, items, ended=False)
    skipped = Shop(steps, window).play(items, None, True, None)
    if not any(step.breaker for step in steps):  # whose state depends on who comes next
        first = min((failure.item for failure in skipped.failures), default=items)
        assert (done.error is None) == (first == items)
        assert done.results == [item for item in skipped.results if item < first]
