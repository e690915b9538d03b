"""Part 1 of the specification, rule by rule: what a publisher does. Each rule, on each kind of publisher."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

import pytest
import reactivex

from rxchain import Chain, CompositionError
from rxchain import operators as ops
from rxchain.streams import Interrupted, Publisher
from rxchain.testing import VirtualLoop
from tests.reactive_streams.peers import KINDS, Recorder, later, number, play, quiet, running, through_sync, to_int

Kind = Callable[[Iterable[object]], Publisher[object]]
kinds = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])

BROKEN = ZeroDivisionError("the source is broken")


def failing(items: int) -> Iterator[int]:
    """Some items, then an error."""
    yield from range(items)
    raise BROKEN


@kinds
def test_rule_1_1_no_more_items_than_were_requested(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object]()
        kind(range(10)).subscribe(subscriber)
        await quiet()
        assert subscriber.items == []
        for requested, in_all in [(1, 1), (2, 3), (4, 7)]:
            subscriber.request(requested)
            await quiet()
            assert subscriber.items == list(range(in_all))
        subscriber.cancel()
        assert subscriber.violations == []

    play(main)


@kinds
def test_rule_1_2_fewer_items_than_were_requested_and_then_the_end(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=10)
        kind("abc").subscribe(subscriber)
        await quiet()
        assert (subscriber.items, subscriber.completed) == (["a", "b", "c"], 1)
        assert subscriber.violations == []

    play(main)


@kinds
def test_rule_1_3_signals_come_one_at_a_time(kind: Kind) -> None:
    async def main() -> None:
        # A request within a signal must not bring the next signal within it, in on_subscribe either.
        subscriber = Recorder[object](request=1, then=lambda s, _: s.request(1))
        kind(range(100)).subscribe(subscriber)
        await quiet()
        assert (subscriber.items, subscriber.completed) == (list(range(100)), 1)
        assert subscriber.violations == []

    play(main)


def test_rule_1_3_signals_of_an_own_thread_wait_for_on_subscribe_to_return() -> None:
    class Lingering(Recorder[int]):
        def on_subscribe(self, subscription: object, /) -> None:
            super().on_subscribe(subscription)  # type: ignore[arg-type]
            self._inside = "on_subscribe"
            self.ended.wait(0.02)  # time enough for an item, if it did not wait
            self._inside = None

    subscriber = Lingering(request=5)
    through_sync(range(3)).subscribe(subscriber)
    assert subscriber.ended.wait(5)
    assert (subscriber.items, subscriber.violations) == ([0, 1, 2], [])


@kinds
def test_rule_1_4_a_failure_is_signalled_as_the_object_it_is(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=10)
        kind(failing(3)).subscribe(subscriber)
        await quiet()
        assert (subscriber.items, subscriber.completed) == ([0, 1, 2], 0)
        assert subscriber.error is BROKEN
        assert subscriber.violations == []

    play(main)


def test_rule_1_4_a_failing_node_is_told_with_its_name() -> None:
    async def main() -> None:
        subscriber = Recorder[int](request=10)
        Chain(to_int).publisher(["1", "x", "3"]).subscribe(subscriber)
        await quiet()
        assert subscriber.items == [1]
        assert isinstance(subscriber.error, ValueError)
        assert any("'x'" in note for note in subscriber.error.__notes__)

    play(main)


def test_rule_1_4_a_failing_source_function_is_signalled() -> None:
    def source() -> Iterable[int]:
        raise BROKEN

    async def main() -> None:
        subscriber = Recorder[int](request=1)
        Chain(number).publisher(source).subscribe(subscriber)
        await quiet()
        assert subscriber.error is BROKEN

    play(main)


def test_rule_1_4_a_run_that_is_cancelled_from_outside_is_signalled() -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=1)
        Chain(asyncio.sleep).publisher([1000]).subscribe(subscriber)
        await asyncio.sleep(1)
        (task,) = running()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert isinstance(subscriber.error, Interrupted)
        assert subscriber.violations == []

    play(main)


def test_rule_1_4_with_on_error_failing_items_are_told_and_the_others_go_on() -> None:
    async def main() -> None:
        failed: list[object] = []
        subscriber = Recorder[int](request=10)
        publisher = Chain(to_int).publisher(["1", "x", "3"], on_error=lambda failure: failed.append(failure.item))
        publisher.subscribe(subscriber)
        await quiet()
        assert (subscriber.items, subscriber.completed, failed) == ([1, 3], 1, ["x"])

    play(main)


@kinds
def test_rule_1_5_the_end_is_signalled(kind: Kind) -> None:
    async def main() -> None:
        for items in ([], ["a"], ["a", "b"]):
            subscriber = Recorder[object](request=3)
            kind(items).subscribe(subscriber)
            await quiet()
            assert (subscriber.items, subscriber.completed) == (items, 1)

    play(main)


@kinds
def test_rule_1_6_after_the_end_the_subscription_is_cancelled(kind: Kind) -> None:
    async def main() -> None:
        for items in (range(2), failing(2)):
            subscriber = Recorder[object](request=9)
            kind(items).subscribe(subscriber)
            await quiet()
            assert subscriber.over
            subscriber.request(1)
            subscriber.request(0)
            subscriber.cancel()
            await quiet()
            assert subscriber.violations == []

    play(main)


@kinds
def test_rule_1_7_nothing_follows_the_end(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=2**63 - 1)
        kind(range(5)).subscribe(subscriber)
        await quiet()
        subscriber.request(5)
        await quiet()
        assert (len(subscriber.items), subscriber.completed, subscriber.violations) == (5, 1, [])

    play(main)


@kinds
def test_rule_1_8_a_cancelled_subscription_falls_silent(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=100, then=lambda s, item: s.cancel() if item == 3 else None)
        kind(range(100)).subscribe(subscriber)
        await quiet()
        assert (subscriber.items, subscriber.over) == ([0, 1, 2, 3], False)

    play(main)


@kinds
def test_rule_1_9_on_subscribe_comes_first_and_subscribe_returns(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=1)
        assert kind("ab").subscribe(subscriber) is None  # type: ignore[func-returns-value]
        assert (subscriber.subscribed, subscriber.items) == (1, [])
        await quiet()
        assert subscriber.items == ["a"]
        subscriber.cancel()

    play(main)


@kinds
def test_rule_1_9_no_subscriber_is_a_type_error(kind: Kind) -> None:
    class Half:
        def on_subscribe(self, subscription: object) -> None: ...

    class Awaited(Recorder[object]):
        async def on_next(self, item: object, /) -> None:  # type: ignore[override]
            ...

    async def main() -> None:
        publisher = kind("ab")
        with pytest.raises(TypeError, match=r"must not be None \(rule 1\.9"):
            publisher.subscribe(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"has no on_next\n.*# incorrect\n.*# correct"):
            publisher.subscribe(Half())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="on_next is a coroutine function"):
            publisher.subscribe(Awaited())  # type: ignore[arg-type]
        subscriber = Recorder[object](request=3)  # what was refused has taken nothing
        publisher.subscribe(subscriber)
        await quiet()
        assert subscriber.items == ["a", "b"]

    play(main)


def test_rule_1_9_a_second_subscription_to_an_iterator_is_refused_by_on_error() -> None:
    async def main() -> None:
        publisher = Chain(str.upper).publisher(iter("ab"))
        first, second = Recorder[str](request=9), Recorder[str]()
        publisher.subscribe(first)
        publisher.subscribe(second)
        await quiet()
        assert first.items == ["A", "B"]
        assert (second.subscribed, second.items, second.violations) == (1, [], [])
        assert isinstance(second.error, RuntimeError)
        assert "# correct" in str(second.error)

    play(main)


def test_rule_1_9_a_second_subscriber_of_a_processor_is_refused_by_on_error() -> None:
    async def main() -> None:
        processor = Chain(str.upper).processor()
        first, second = Recorder[str](request=9), Recorder[str]()
        processor.subscribe(first)
        processor.subscribe(second)
        through_sync("ab").subscribe(processor)
        await quiet()
        assert first.items == ["A", "B"]
        assert isinstance(second.error, RuntimeError)
        assert second.violations == []

    play(main)


def test_rule_1_10_any_number_of_subscriptions_each_with_its_subscriber() -> None:
    async def main() -> None:
        sums: Chain[int, int] = Chain(ops.scan(lambda a, b: a + b, 0))
        publisher = sums.publisher([1, 2, 3])
        subscribers = [Recorder[int](request=9) for _ in range(5)]
        for subscriber in subscribers:
            publisher.subscribe(subscriber)
        await quiet()
        assert [s.items for s in subscribers] == [[1, 3, 6]] * 5

    play(main)


@pytest.mark.parametrize("source", [[1, 2, 3], lambda: iter([1, 2, 3]), range(1, 4)], ids=["list", "function", "range"])
def test_rule_1_11_each_subscription_is_a_run_of_its_own(source: Iterable[int]) -> None:
    async def main() -> None:
        publisher = Chain(number).publisher(source)
        ahead, behind = Recorder[int](request=3), Recorder[int](request=1)
        publisher.subscribe(ahead)
        publisher.subscribe(behind)
        await quiet()
        assert (ahead.items, behind.items) == ([1, 2, 3], [1])
        behind.request(3)
        ahead.request(1)
        await quiet()
        assert (ahead.items, behind.items) == ([1, 2, 3], [1, 2, 3])
        assert (ahead.completed, behind.completed) == (1, 1)

    play(main)


# --- what the chain's own promises add


async def awaited() -> list[str]:
    return ["a"]


@pytest.mark.parametrize(
    ("source", "correct"),
    [
        (5, r"chain\.publisher\(\[5\]\)"),
        (None, r"\[None\]"),
        (awaited, "yield item"),
        (through_sync("a"), "to_async_iterable"),
        (reactivex.of("a"), r"observable\.pipe\(chain\)"),
    ],
    ids=["number", "None", "coroutine function", "publisher", "Observable"],
)
def test_what_gives_no_items_is_told_when_the_publisher_is_made(source: object, correct: str) -> None:
    with pytest.raises(CompositionError, match=rf"# incorrect\n.*{correct}.*# correct"):
        Chain(str.upper).publisher(source)  # type: ignore[arg-type]


def test_a_function_that_makes_no_items_is_told_by_on_error() -> None:
    async def main() -> None:
        subscriber = Recorder[str](request=1)
        Chain(str.upper).publisher(lambda: 5).subscribe(subscriber)  # type: ignore[arg-type, return-value]
        await quiet()
        assert isinstance(subscriber.error, CompositionError)

    play(main)


def test_a_chain_that_gives_none_fails_there() -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=3)
        Chain({"a": 1}.get).publisher(["a", "b"]).subscribe(subscriber)
        await quiet()
        assert subscriber.items == [1]
        assert isinstance(subscriber.error, TypeError)
        assert "rule 2.13" in str(subscriber.error)

    play(main)


def test_nothing_is_taken_from_the_source_before_it_is_requested() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    async def main() -> None:
        subscriber = Recorder[int]()
        Chain(number).publisher(source).subscribe(subscriber)
        await quiet()
        assert taken == []
        subscriber.request(3)
        await quiet()
        assert taken == [0, 1, 2]
        subscriber.cancel()

    play(main)


@pytest.mark.parametrize("window", [1, 3, 16])
def test_a_chain_works_ahead_of_the_demand_by_its_window_at_most(window: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    async def main() -> None:
        subscriber = Recorder[int](request=2)
        Chain(later, window=window).publisher(source).subscribe(subscriber)
        await quiet()
        assert subscriber.items == [0, 1]
        assert len(taken) <= 2 + window
        subscriber.cancel()

    play(main)


def test_the_source_is_closed_before_the_end_is_signalled() -> None:
    order: list[str] = []

    class Ordered(Recorder[int]):
        def on_complete(self) -> None:
            order.append("on_complete")
            super().on_complete()

    def source() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            order.append("closed")

    async def main() -> None:
        first: Chain[int, int] = Chain(ops.take(1))
        first.publisher(source).subscribe(Ordered(request=5))
        await quiet()

    play(main)
    assert order == ["closed", "on_complete"]


@pytest.mark.parametrize("where", ["on a loop", "on a thread of its own"])
def test_a_subscription_runs_in_the_context_of_subscribe(where: str) -> None:
    who = ContextVar("who", default="nobody")
    subscriber = Recorder[str]()

    def subscribe() -> None:
        who.set("subscribe")
        Chain(lambda _: who.get()).publisher("a").subscribe(subscriber)
        who.set("request")
        subscriber.request(2)

    async def main() -> None:
        subscribe()
        await quiet()

    if where == "on a loop":
        play(main)
    else:
        subscribe()
        assert subscriber.ended.wait(5)
    assert subscriber.items == ["subscribe"]


def test_with_no_running_loop_a_subscription_has_a_thread_that_ends_with_it() -> None:
    names: list[str] = []
    subscriber = Recorder[int](request=3, then=lambda *_: names.append(threading.current_thread().name))

    async def work(n: int) -> int:
        await asyncio.sleep(0)
        return n

    Chain(work).publisher([1, 2]).subscribe(subscriber)
    assert subscriber.ended.wait(5)
    assert (subscriber.items, set(names)) == ([1, 2], {"rxchain loop"})


def test_an_event_loop_that_ends_tells_its_subscribers() -> None:
    subscriber = Recorder[object](request=1)

    async def main() -> None:
        Chain(asyncio.sleep).publisher([1000]).subscribe(subscriber)
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
        for task in running():  # as the runner does when it closes
            task.cancel()
        runner.run(asyncio.sleep(0))
    subscriber.request(1)
    subscriber.cancel()
    assert isinstance(subscriber.error, Interrupted)
    assert subscriber.violations == []
