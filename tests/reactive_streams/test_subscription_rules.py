"""Part 3 of the specification, rule by rule: what `request` and `cancel` do. Each rule, on each kind of publisher."""

import asyncio
import gc
import itertools
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import pytest

from rxchain import Chain
from rxchain import operators as ops
from rxchain.streams import Publisher, Subscription
from rxchain.testing import HangsInClose, NeverCompletes
from tests.reactive_streams.peers import KINDS, Recorder, number, play, quiet, reports, running, through_sync

Kind = Callable[[Iterable[object]], Publisher[object]]
kinds = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])


@kinds
def test_rule_3_1_subscriptions_do_not_meet(kind: Kind) -> None:
    async def main() -> None:
        one, other = Recorder[object](), Recorder[object]()
        kind("ab").subscribe(one)
        kind("cd").subscribe(other)
        one.request(1)
        await quiet()
        assert (one.items, other.items) == (["a"], [])
        one.cancel()
        other.request(3)
        await quiet()
        assert (one.items, other.items) == (["a"], ["c", "d"])

    play(main)


@kinds
def test_rule_3_2_request_within_on_subscribe_and_on_next(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=1, then=lambda s, _: s.request(1))
        kind(range(10)).subscribe(subscriber)
        await quiet()
        assert (subscriber.items, subscriber.violations) == (list(range(10)), [])

    play(main)


@kinds
def test_rule_3_3_request_and_on_next_do_not_recurse(kind: Kind) -> None:
    deepest: set[int] = set()

    def depth() -> int:
        frame, n = sys._getframe(), 0
        while frame.f_back is not None:
            frame, n = frame.f_back, n + 1
        return n

    def then(subscriber: Recorder[object], _: object) -> None:
        deepest.add(depth())
        subscriber.request(1)

    async def main() -> None:
        subscriber = Recorder[object](request=1, then=then)
        kind(range(2000)).subscribe(subscriber)
        await quiet()
        assert len(subscriber.items) == 2000

    play(main)
    assert max(deepest) - min(deepest) < 10


@kinds
def test_rules_3_4_and_3_5_request_and_cancel_run_nothing_themselves(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object]()
        kind(range(10)).subscribe(subscriber)
        subscriber.request(2**40)
        assert subscriber.items == []  # nobody had a turn yet
        subscriber.cancel()
        await quiet()
        assert (subscriber.items, subscriber.over) == ([], False)

    play(main)


@kinds
def test_rule_3_6_request_after_cancel_is_nothing(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=2)
        kind(range(10)).subscribe(subscriber)
        await quiet()
        subscriber.cancel()
        for n in (1, 2**63 - 1, 0, -1):
            subscriber.request(n)
        await quiet()
        assert (len(subscriber.items), subscriber.over) == (2, False)

    play(main)


@kinds
def test_rule_3_7_cancel_after_cancel_is_nothing(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=1)
        kind(range(10)).subscribe(subscriber)
        await quiet()
        for _ in range(3):
            subscriber.cancel()
        await quiet()
        subscriber.cancel()

    play(main)


@kinds
def test_rule_3_8_requests_add_up(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object]()
        kind(range(20)).subscribe(subscriber)
        for n in (1, 2, 3):
            subscriber.request(n)
        await quiet()
        assert len(subscriber.items) == 6
        subscriber.cancel()

    play(main)


@pytest.mark.parametrize("n", [0, -1, -(2**63)])
@kinds
def test_rule_3_9_a_request_of_none_or_less_fails_the_subscription(kind: Kind, n: int) -> None:
    async def main() -> None:
        subscriber = Recorder[object](request=2)
        kind(range(10)).subscribe(subscriber)
        await quiet()
        subscriber.request(n)
        await quiet()
        assert isinstance(subscriber.error, ValueError)
        assert "rule 3.9" in str(subscriber.error)
        assert str(n) in str(subscriber.error)
        subscriber.request(1)
        await quiet()
        assert (len(subscriber.items), subscriber.violations) == (2, [])

    play(main)


@kinds
def test_rule_3_9_within_on_subscribe_and_within_on_next(kind: Kind) -> None:
    async def main() -> None:
        early = Recorder[object](request=-5)
        late = Recorder[object](request=9, then=lambda s, item: s.request(0) if item == 1 else None)
        for subscriber in (early, late):
            kind(range(10)).subscribe(subscriber)
        await quiet()
        assert (early.items, late.items) == ([], [0, 1])
        for subscriber in (early, late):
            assert isinstance(subscriber.error, ValueError)
            assert subscriber.violations == []

    play(main)


def test_rule_3_9_while_the_source_is_waited_for() -> None:
    source = NeverCompletes([1])

    async def main() -> None:
        subscriber = Recorder[int](request=5)
        Chain(number).publisher(source).subscribe(subscriber)
        await quiet()
        subscriber.request(0)
        subscriber.request(-1)  # only the first counts
        await quiet()
        assert subscriber.items == [1]
        assert isinstance(subscriber.error, ValueError)
        assert "got 0" in str(subscriber.error)
        assert source.closed == 1

    play(main)


def test_a_request_that_is_no_number_is_the_callers_mistake() -> None:
    async def main() -> None:
        subscriber = Recorder[str]()
        through_sync("ab").subscribe(subscriber)
        for wrong in (None, "1", 1.5):
            with pytest.raises(TypeError):
                subscriber.subscription.request(wrong)  # type: ignore[arg-type]
        subscriber.request(3)
        await quiet()
        assert subscriber.items == ["a", "b"]

    play(main)


@kinds
def test_rules_3_10_and_3_11_signals_never_come_within_request(kind: Kind) -> None:
    """They may; ours do not, so that a subscriber need not expect it."""

    async def main() -> None:
        subscriber = Recorder[object]()
        kind("a").subscribe(subscriber)
        subscriber.request(2)
        assert (subscriber.items, subscriber.over) == ([], False)
        await quiet()
        assert (subscriber.items, subscriber.completed) == (["a"], 1)

    play(main)


async def seconds(n: int) -> int:
    await asyncio.sleep(n)
    return n


@pytest.mark.parametrize("waits", ["for demand", "for the source", "for a node", "for its close"])
def test_rule_3_12_cancel_ends_the_run_wherever_it_waits(waits: str) -> None:
    sources = {"for the source": NeverCompletes([1]), "for its close": HangsInClose([1])}

    async def main() -> None:
        subscriber = Recorder[int](request=1 if waits == "for demand" else 2)
        Chain(seconds).publisher(sources.get(waits, [1, 1000])).subscribe(subscriber)
        await asyncio.sleep(2)
        assert len(subscriber.items) == 1
        subscriber.cancel()
        await quiet()
        assert running() == []
        assert (len(subscriber.items), subscriber.over) == (1, False)

    play(main)


def test_rule_3_12_a_close_that_hangs_still_belongs_to_the_run() -> None:
    async def main() -> None:
        subscriber = Recorder[int](request=1)
        Chain(number).publisher(HangsInClose([1, 2])).subscribe(subscriber)
        await quiet()
        subscriber.cancel()
        await asyncio.sleep(100)
        (task,) = running()
        task.cancel()
        await quiet()
        assert running() == []

    play(main)


@kinds
def test_rule_3_13_cancel_lets_go_of_the_subscriber(kind: Kind) -> None:
    async def main() -> None:
        publisher = kind(range(10))
        subscriber = Recorder[object](request=3)
        publisher.subscribe(subscriber)
        await quiet()
        subscription: Subscription = subscriber.subscription
        gone = weakref.ref(subscriber)
        subscriber.cancel()
        del subscriber
        await quiet()
        gc.collect()
        assert gone() is None
        subscription.request(1)  # the subscription itself may be kept

    play(main)


@kinds
def test_rule_3_13_the_end_lets_go_of_the_subscriber_too(kind: Kind) -> None:
    async def main() -> None:
        kinds_of_end: list[Iterable[object]] = [[], "a", iter(lambda: 1 / 0, None)]
        for items in kinds_of_end:
            publisher = kind(items)
            subscriber = Recorder[object](request=3)
            publisher.subscribe(subscriber)
            await quiet()
            assert subscriber.over
            gone = weakref.ref(subscriber)
            subscription: Subscription = subscriber.subscription
            subscriber.error = None  # its traceback is the run's, which is over
            del subscriber
            gc.collect()
            assert gone() is None
            subscription.cancel()

    play(main)


def test_rule_3_14_a_publisher_without_subscriptions_may_be_subscribed_to_again() -> None:
    async def main() -> None:
        publisher = through_sync(range(3))
        first = Recorder[int](request=1)
        publisher.subscribe(first)
        await quiet()
        first.cancel()
        await quiet()
        second = Recorder[int](request=4)
        publisher.subscribe(second)
        await quiet()
        assert second.items == [0, 1, 2]

    play(main)


def test_rule_3_15_cancel_raises_nothing_when_closing_fails() -> None:
    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise OSError("cannot be closed")

    async def main() -> None:
        subscriber = Recorder[int](request=1)
        Chain(number).publisher(source).subscribe(subscriber)
        await quiet()
        subscriber.cancel()
        await quiet()
        assert not subscriber.over

    (told,) = reports(main)
    assert isinstance(told["exception"], OSError)


def test_rule_3_16_request_raises_nothing_when_the_source_fails() -> None:
    def source() -> Iterator[int]:
        raise OSError("cannot be opened")
        yield

    async def main() -> None:
        subscriber = Recorder[int]()
        Chain(number).publisher(source).subscribe(subscriber)
        subscriber.request(1)
        await quiet()
        assert isinstance(subscriber.error, OSError)

    play(main)


@kinds
def test_rule_3_17_any_number_of_requests_and_any_demand(kind: Kind) -> None:
    async def main() -> None:
        subscriber = Recorder[object]()
        kind(range(50)).subscribe(subscriber)
        for _ in range(1000):
            subscriber.request(2**63 - 1)
        await quiet()
        assert (len(subscriber.items), subscriber.completed, subscriber.violations) == (50, 1, [])

    play(main)


# --- cancelled where it hurts


def test_a_node_that_cancels_its_own_subscription() -> None:
    async def main() -> None:
        subscriber = Recorder[int](request=5)

        def node(n: int) -> int:
            if n == 2:
                subscriber.cancel()
            return n

        async def source() -> AsyncIterator[int]:
            try:
                for n in range(5):
                    yield n
            finally:
                await asyncio.sleep(1)  # closing is not cancelled along with the rest
                closed.append(True)

        closed: list[bool] = []
        Chain(node).publisher(source).subscribe(subscriber)
        await quiet()
        assert (subscriber.items, closed) == ([0, 1], [True])

    play(main)


def test_a_node_that_cancels_where_no_result_follows() -> None:
    async def main() -> None:
        subscriber = Recorder[int](request=5)
        taken = 0

        def source() -> Iterator[int]:
            nonlocal taken
            while True:
                taken += 1
                if taken == 10:
                    subscriber.cancel()
                yield taken

        nothing: Chain[int, int] = Chain(ops.filter(lambda _: False))
        nothing.publisher(source).subscribe(subscriber)
        (task,) = running()
        await asyncio.wait([task])
        assert not subscriber.over

    play(main)


def test_a_closing_that_takes_time_is_not_cut_short_by_cancel_in_on_next() -> None:
    closed: list[float] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(3)
            closed.append(asyncio.get_running_loop().time())

    async def main() -> None:
        subscriber = Recorder[int](request=2, then=lambda s, _: s.cancel())
        Chain(number).publisher(source).subscribe(subscriber)
        await quiet()
        assert subscriber.items == [1]

    play(main)
    assert closed == [3.0]


def test_a_thread_that_cancels_stops_a_run_that_never_suspends() -> None:
    subscriber = Recorder[int](request=2**63 - 1)
    started = threading.Event()

    def source() -> Iterator[int]:
        started.set()  # once: a lock that is taken without end is never had by the thread that waits for it
        yield from itertools.count(1)

    Chain(number).publisher(source).subscribe(subscriber)
    assert started.wait(5)
    subscriber.cancel()
    assert not subscriber.over  # and the loop's thread ends: the net under all tests looks
