"""A chain on an aioreactive AsyncObservable: who sends waits for room, and nothing is left when it has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import aioreactive as rx
import pytest
from aioreactive.observables import AsyncAnonymousObservable
from expression import pipe
from expression.system import AsyncDisposable
from hypothesis import given, settings
from hypothesis import strategies as st

from rxchain import Chain, CompositionError
from rxchain import operators as ops
from rxchain.runners import disposed, to_async_iterable, to_async_observable
from rxchain.testing import FailsMidway, NeverCompletes, no_leaks, run


async def later(x: Any) -> Any:
    await asyncio.sleep(1)
    return x


def plain(x: Any) -> Any:
    return x


async def forever(x: Any) -> Any:
    return await asyncio.get_running_loop().create_future()


class Seen(rx.AsyncObserver[Any]):
    """An observer that writes everything down, and may be slow."""

    def __init__(self, pause: float = 0) -> None:
        self.log: list[Any] = []
        self.ended = asyncio.Event()
        self.pause = pause

    async def asend(self, value: Any) -> None:
        if self.pause:
            await asyncio.sleep(self.pause)
        self.log.append(value)

    async def athrow(self, error: Exception) -> None:
        self.log.append(repr(error))
        self.ended.set()

    async def aclose(self) -> None:
        self.log.append("|")
        self.ended.set()


async def played(observable: Any) -> list[Any]:
    async with no_leaks():
        seen = Seen()
        subscription = await observable.subscribe_async(seen)
        await seen.ended.wait()
        await subscription.dispose_async()
        await disposed()
    return seen.log


def cold(*signals: Any, disposals: list[str] | None = None) -> Any:
    """Sends while it is being subscribed to; "|" ends, an exception fails."""

    async def subscribe(observer: Any) -> AsyncDisposable:
        for signal in signals:
            if signal == "|":
                await observer.aclose()
            elif isinstance(signal, Exception):
                await observer.athrow(signal)
            else:
                await observer.asend(signal)

        async def dispose() -> None:
            if disposals is not None:
                disposals.append("disposed")

        return AsyncDisposable.create(dispose)

    return AsyncAnonymousObservable(subscribe)


each_way = pytest.mark.parametrize(
    "step",
    [later, plain, ops.concat_map(lambda x: [x])],
    ids=["asynchronous", "in the sender", "several of one"],
)
"""The three ways in which a chain runs here."""


# --- the grammar


@each_way
def test_items_pass_in_order_and_then_the_end(step: Any) -> None:
    assert run(played(Chain(step, ops.map(str))(cold(1, 2, 3, "|")))) == ["1", "2", "3", "|"]


@each_way
def test_a_chain_stands_among_other_operators(step: Any) -> None:
    chain = Chain(step)
    mapped: Any = pipe(cold(1, 2, 3, "|"), rx.map(str), chain, rx.map(int))  # type: ignore[misc]  # not with an overload
    assert run(played(mapped)) == [1, 2, 3, "|"]
    assert run(played(chain(rx.AsyncRx(cold(1, 2, "|")).map(str)))) == ["1", "2", "|"]


@each_way
def test_its_own_methods_follow(step: Any) -> None:
    made: Any = Chain(step)(cold(1, 2, 3, "|"))
    assert isinstance(made, rx.AsyncRx)
    assert run(played(made.take(2))) == [1, 2, "|"]


@each_way
def test_a_source_of_aioreactive_in_tasks_of_its_own(step: Any) -> None:
    async def main() -> list[Any]:
        return await played(Chain(step)(rx.from_iterable(range(30))))

    assert run(main()) == [*range(30), "|"]


@each_way
def test_an_error_of_the_source_comes_behind_its_items(step: Any) -> None:
    assert run(played(Chain(step)(cold(1, ValueError("e"), 2, "|")))) == [1, "ValueError('e')"]


@each_way
def test_an_error_of_a_node_names_it_and_ends_the_source(step: Any) -> None:
    def refuses(x: int) -> int:
        if x == 2:
            raise ValueError("two")
        return x

    errors: list[Any] = []
    disposals: list[str] = []

    async def main() -> None:
        async def athrow(error: Exception) -> None:
            errors.append(error)

        async with no_leaks():
            observable = Chain(step, refuses, name="c")(cold(1, 2, 3, disposals=disposals))
            subscription = await observable.subscribe_async(None, athrow)
            await asyncio.sleep(10)
            assert disposals == ["disposed"]
            await subscription.dispose_async()

    run(main())
    assert [repr(e) for e in errors] == ["ValueError('two')"]
    assert errors[0].__notes__[0] == "in node 'refuses' of chain 'c', with item 2"
    assert disposals == ["disposed"]


@each_way
def test_nothing_follows_the_end(step: Any) -> None:
    async def main() -> list[Any]:
        seen = Seen()
        await Chain(step)(cold(1, "|", 2, ValueError("e"), "|")).subscribe_async(seen)
        await asyncio.sleep(10)
        return seen.log

    assert run(main()) == [1, "|"]


@each_way
def test_what_is_held_is_flushed_at_the_end(step: Any) -> None:
    assert run(played(Chain(step, ops.batch(2))(cold(1, 2, 3, "|")))) == [[1, 2], [3], "|"]


@each_way
def test_an_early_end_lets_go_of_the_source(step: Any) -> None:
    disposals: list[str] = []
    assert run(played(Chain(step, ops.take(2))(cold(1, 2, 3, 4, disposals=disposals)))) == [1, 2, "|"]
    assert disposals == ["disposed"]


def test_a_chain_that_ends_before_its_first_item_does_not_subscribe() -> None:
    disposals: list[str] = []
    chain: Chain[Any, Any] = Chain(ops.take(0), ops.default_if_empty("none"))
    assert run(played(chain(cold(1, disposals=disposals)))) == ["none", "|"]
    assert disposals == []


@each_way
def test_a_producer_that_never_looks_leaves_the_loop_alive(step: Any) -> None:
    async def endless(observer: Any) -> AsyncDisposable:
        while True:
            await observer.asend(1)

    async def main() -> list[Any]:
        seen = Seen()
        subscribing = asyncio.create_task(
            Chain(step, ops.take(2))(AsyncAnonymousObservable(endless)).subscribe_async(seen)
        )
        await seen.ended.wait()
        subscribing.cancel()
        await asyncio.wait([subscribing])
        await disposed()
        return seen.log

    assert run(main()) == [1, 1, "|"]


@each_way
def test_a_subscription_that_fails_is_told_to_who_subscribes(step: Any) -> None:
    async def fails(observer: Any) -> AsyncDisposable:
        raise ValueError("subscribe")

    async def main() -> None:
        async with no_leaks():
            with pytest.raises(ValueError, match="subscribe"):
                await Chain(step)(AsyncAnonymousObservable(fails)).subscribe_async(Seen())

    run(main())


@each_way
def test_two_subscriptions_share_no_state(step: Any) -> None:
    async def main() -> None:
        subject = rx.AsyncSubject[int]()
        observable = Chain(step, ops.enumerate(), ops.take(2))(subject)
        one, other = Seen(), Seen()
        async with no_leaks():
            await observable.subscribe_async(one)
            await subject.asend(5)
            await observable.subscribe_async(other)
            await subject.asend(6)
            await subject.asend(7)
            await one.ended.wait()
            await other.ended.wait()
            await asyncio.sleep(0)
        assert one.log == [(0, 5), (1, 6), "|"]
        assert other.log == [(0, 6), (1, 7), "|"]

    run(main())


def test_an_observer_that_raises_in_the_sender_is_told_to_the_sender() -> None:
    async def broken(x: int) -> None:
        raise RuntimeError("observer")

    async def main() -> None:
        subject = rx.AsyncSubject[int]()
        await Chain(plain)(subject).subscribe_async(broken)
        with pytest.raises(RuntimeError, match="observer"):
            await subject.asend(1)
        await subject.asend(2)

    run(main())


def test_an_observer_that_raises_in_the_run_is_told_to_the_loop() -> None:
    told: list[Any] = []

    async def broken(x: int) -> None:
        raise RuntimeError("observer")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        subject = rx.AsyncSubject[int]()
        async with no_leaks():
            await Chain(later)(subject).subscribe_async(broken)
            await subject.asend(1)
            await asyncio.sleep(5)
            await subject.asend(2)

    run(main())
    assert [(c["message"], repr(c["exception"])) for c in told] == [
        ("the chain on an AsyncObservable ends: its observer raised", "RuntimeError('observer')")
    ]


# --- the sender


def test_a_synchronous_chain_makes_no_task() -> None:
    async def main() -> None:
        subject = rx.AsyncSubject[int]()
        seen = Seen()
        await Chain(plain, ops.filter(lambda x: x != 2), ops.batch(2))(subject).subscribe_async(seen)
        for i in range(6):
            await subject.asend(i)
            assert len(asyncio.all_tasks()) == 1
        assert seen.log == [[0, 1], [3, 4]]
        await subject.aclose()
        assert seen.log == [[0, 1], [3, 4], [5], "|"]

    run(main())


def test_to_send_awaits_room_in_the_window() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        subject = rx.AsyncSubject[int]()
        subscription = await Chain(later, window=3)(subject).subscribe_async(Seen())
        times = []
        async with no_leaks():
            for i in range(8):
                await subject.asend(i)
                times.append(loop.time())
            await subscription.dispose_async()
        return times

    times = run(main())
    assert times[0] == 0
    assert times[-1] >= 2  # eight, of which at most three wait besides three in flight
    assert times == sorted(times)


@each_way
def test_several_that_send_at_once_keep_their_order(step: Any) -> None:
    async def main() -> list[Any]:
        async with no_leaks():
            subject = rx.AsyncSubject[int]()
            seen = Seen(pause=0.1)
            await Chain(step, window=2)(subject).subscribe_async(seen)
            sends = [asyncio.create_task(subject.asend(i)) for i in range(12)]
            await asyncio.gather(*sends)
            await subject.aclose()
            await seen.ended.wait()
            await asyncio.sleep(0)
        return seen.log

    assert run(main()) == [*range(12), "|"]


def test_those_who_send_again_and_again_take_turns() -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[str]()
        seen = Seen(pause=0.1)
        await Chain(plain)(subject).subscribe_async(seen)

        async def send(name: str) -> None:
            for i in range(3):
                await subject.asend(f"{name}{i}")

        await asyncio.gather(send("a"), send("b"))
        await subject.aclose()
        await seen.ended.wait()
        await asyncio.sleep(0)
        return seen.log

    assert run(main()) == ["a0", "b0", "a1", "b1", "a2", "b2", "|"]


@each_way
def test_an_end_comes_behind_those_that_wait_to_send(step: Any) -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[int]()
        seen = Seen(pause=0.1)
        await Chain(step, window=1)(subject).subscribe_async(seen)
        sends = [asyncio.create_task(subject.asend(i)) for i in range(4)]
        await asyncio.sleep(0)
        await subject.aclose()
        await asyncio.gather(*sends)
        await seen.ended.wait()
        await asyncio.sleep(0)
        return seen.log

    assert run(main()) == [0, 1, 2, 3, "|"]


def test_a_cancelled_sender_takes_its_item_back() -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[int]()
        seen = Seen()
        await Chain(later, window=1)(subject).subscribe_async(seen)
        sends = [asyncio.create_task(subject.asend(i)) for i in range(6)]
        await asyncio.sleep(0.5)
        sends[4].cancel()
        await asyncio.wait(sends)
        await subject.aclose()
        await seen.ended.wait()
        await asyncio.sleep(0)
        return seen.log

    assert run(main()) == [0, 1, 2, 3, 5, "|"]


@pytest.mark.parametrize("step", [plain, ops.concat_map(lambda x: [x])])
def test_an_observer_may_send_another_item(step: Any) -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[int]()
        log: list[Any] = []

        async def again(x: int) -> None:
            log.append(x)
            if x < 3:
                await subject.asend(x + 1)
                await subject.asend(9)

        subscription = await Chain(step)(subject).subscribe_async(again)
        await subject.asend(1)
        await asyncio.sleep(1)
        await subscription.dispose_async()
        return log

    assert run(main()) == [1, 2, 9, 3, 9]


def test_a_sender_that_is_cancelled_does_not_end_the_others() -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[int]()
        seen = Seen(pause=1)
        await Chain(plain)(subject).subscribe_async(seen)
        sends = [asyncio.create_task(subject.asend(i)) for i in range(4)]
        await asyncio.sleep(0.5)
        sends[0].cancel()
        sends[2].cancel()
        await asyncio.wait(sends)
        await subject.aclose()
        return seen.log

    assert run(main()) == [1, 3, "|"]


who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.mark.parametrize("wait", [True, False])
def test_the_context_of_who_sends_holds_in_the_nodes(wait: bool) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        def notes(x: int) -> int:
            seen.append(who.get())
            return x

        async def send(name: str, item: int) -> None:
            who.set(name)
            await subject.asend(item)

        subject = rx.AsyncSubject[int]()
        end = Seen()
        chain: Chain[int, int] = Chain(later, notes, window=2) if wait else Chain(notes)
        await chain(subject).subscribe_async(end)
        await asyncio.gather(*[asyncio.create_task(send(name, 1)) for name in ("ada", "bob", "cyd", "dan", "eve")])
        await subject.asend(1)
        await subject.aclose()
        await end.ended.wait()
        await asyncio.sleep(0)
        return seen

    assert run(main()) == ["ada", "bob", "cyd", "dan", "eve", "nobody"]


# --- disposal


@each_way
def test_disposal_cancels_and_awaits(step: Any) -> None:
    async def main() -> None:
        log: list[str] = []

        async def waits(x: Any) -> None:
            try:
                await forever(x)
            finally:
                await asyncio.sleep(1)
                log.append("let go")

        async with no_leaks():
            subject = rx.AsyncSubject[int]()
            chain = Chain(step, waits) if step is later else Chain(waits)
            subscription = await chain(subject).subscribe_async(Seen())
            await subject.asend(1)
            await asyncio.sleep(2)
            await subscription.dispose_async()
            await subscription.dispose_async()
            assert log == ["let go"]
            await subject.asend(2)

    run(main())


@each_way
def test_disposal_lets_go_of_who_is_sending(step: Any) -> None:
    async def main() -> None:
        async with no_leaks():
            subject = rx.AsyncSubject[int]()
            observer = Seen(pause=50)
            subscription = await Chain(step, window=1)(subject).subscribe_async(observer)
            sends = [asyncio.create_task(subject.asend(i)) for i in range(5)]
            await asyncio.sleep(10)
            await subscription.dispose_async()
            await asyncio.wait(sends)
            assert asyncio.get_running_loop().time() <= 60
            assert observer.log in ([], [0])

    run(main())


@each_way
def test_an_observer_can_dispose_of_its_own_subscription(step: Any) -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[int]()
        log: list[Any] = []

        async def once(x: int) -> None:
            log.append(x)
            await subscription.dispose_async()

        async with no_leaks():
            subscription = await Chain(step)(subject).subscribe_async(once)
            for i in range(3):
                await subject.asend(i)
            await asyncio.sleep(3)
            await disposed()
        return log

    assert run(main()) == [0]


def test_a_node_can_dispose_of_its_own_run() -> None:
    async def main() -> list[Any]:
        subject = rx.AsyncSubject[int]()

        async def ends(x: int) -> None:
            await subscription.dispose_async()

        seen = Seen()
        async with no_leaks():
            subscription = await Chain(ends)(subject).subscribe_async(seen)
            await subject.asend(1)
            await asyncio.sleep(3)
            await disposed()
        return seen.log

    assert run(main()) == []


def test_a_subscription_that_is_cancelled_leaves_nothing() -> None:
    async def never(observer: Any) -> AsyncDisposable:
        await observer.asend(1)
        return await forever(1)  # type: ignore[no-any-return]

    async def main() -> None:
        async with no_leaks():
            subscribing = asyncio.create_task(Chain(later)(AsyncAnonymousObservable(never)).subscribe_async(Seen()))
            await asyncio.sleep(0.5)
            subscribing.cancel()
            await asyncio.wait([subscribing])
            assert subscribing.cancelled()

    run(main())


@each_way
def test_many_subscriptions_and_disposals_leave_nothing(step: Any) -> None:
    async def main() -> None:
        subject = rx.AsyncSubject[int]()
        observable = Chain(step)(subject)
        async with no_leaks():
            for i in range(200):
                subscription = await observable.subscribe_async(Seen())
                await subject.asend(i)
                await subscription.dispose_async()
            assert len(asyncio.all_tasks()) == 1
            assert subject._observers == []

    run(main())


# --- async iterables


@pytest.mark.parametrize("source", [[1, 2, 3], range(1, 4), iter([1, 2, 3])], ids=lambda items: type(items).__name__)
def test_an_iterable_becomes_an_observable(source: Any) -> None:
    async def main() -> list[Any]:
        return await played(to_async_observable(source))

    assert run(main()) == [1, 2, 3, "|"]


def test_an_async_iterable_becomes_an_observable_and_is_closed() -> None:
    async def main() -> None:
        source = NeverCompletes("abc")
        seen = Seen()
        async with no_leaks():
            subscription = await to_async_observable(source).subscribe_async(seen)
            await asyncio.sleep(1)
            await subscription.dispose_async()
        assert (seen.log, source.closed) == (["a", "b", "c"], 1)

    run(main())


def test_what_iterating_raises_arrives() -> None:
    async def main() -> list[Any]:
        return await played(to_async_observable(FailsMidway("ab", ValueError("source"))))

    assert run(main()) == ["a", "b", "ValueError('source')"]


def test_the_next_item_is_asked_for_when_the_observer_has_returned() -> None:
    async def main() -> int:
        source = NeverCompletes("abc")
        subscription = await to_async_observable(source).subscribe_async(Seen(pause=10))
        await asyncio.sleep(5)
        asked = source.asked
        await subscription.dispose_async()
        return asked

    assert run(main()) == 1


def test_what_cannot_be_iterated_over_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"got an int\n    to_async_observable\(3\)  # incorrect"):
        to_async_observable(3)  # type: ignore[arg-type]


def test_an_observable_becomes_an_async_iterable() -> None:
    async def main() -> list[int]:
        async with no_leaks():
            return [x async for x in to_async_iterable(rx.from_iterable(range(5)))]

    assert run(main()) == [0, 1, 2, 3, 4]


def test_an_observables_error_arrives() -> None:
    async def main() -> None:
        found = []
        with pytest.raises(ValueError, match="e"):
            async for x in to_async_iterable(cold(1, 2, ValueError("e"))):
                found.append(x)
        assert found == [1, 2]

    run(main())


def test_to_leave_disposes_of_the_subscription_and_lets_go_of_who_is_sending() -> None:
    async def main() -> None:
        subject = rx.AsyncSubject[int]()
        async with no_leaks():
            async with aclosing(to_async_iterable(subject)) as items:
                first = asyncio.create_task(anext(items))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                sends = [asyncio.create_task(subject.asend(i)) for i in range(5)]
                assert await first == 0
            await asyncio.gather(*sends)
            assert subject._observers == []

    run(main())


def test_a_subscription_that_fails_is_told_to_who_iterates() -> None:
    async def fails(observer: Any) -> AsyncDisposable:
        raise ValueError("subscribe")

    async def main() -> None:
        with pytest.raises(ValueError, match="subscribe"):
            await anext(to_async_iterable(AsyncAnonymousObservable(fails)))

    run(main())


def test_there_and_back() -> None:
    async def main() -> list[int]:
        async def source() -> AsyncIterator[int]:
            for i in range(5):
                await asyncio.sleep(1)
                yield i

        async with no_leaks():
            return [x async for x in to_async_iterable(Chain(later)(to_async_observable(source())))]

    assert run(main()) == [0, 1, 2, 3, 4]


# --- laws


def delayed(delays: dict[int, int], bad: int | None) -> Callable[[int], Any]:
    async def node(x: int) -> int:
        for _ in range(delays.get(x, 0)):
            await asyncio.sleep(0.5)
        if x == bad:
            raise ValueError(x)
        return x

    return node


numbers = st.lists(st.integers(0, 9), max_size=12)
pauses = st.dictionaries(st.integers(0, 9), st.integers(0, 3))


@given(numbers, pauses, pauses, st.none() | st.integers(0, 9), st.integers(1, 5), st.floats(0, 2), st.booleans())
@settings(max_examples=25)
def test_it_gives_what_a_stream_gives_and_a_second_subscription_the_same(
    items: list[int],
    first: dict[int, int],
    second: dict[int, int],
    bad: int | None,
    window: int,
    pause: float,
    synchronous: bool,
) -> None:
    def refuses(x: int) -> int:
        if x == bad:
            raise ValueError(x)
        return x

    nodes: list[Any] = [plain, refuses] if synchronous else [delayed(first, None), delayed(second, bad)]
    chain: Chain[int, int] = Chain(
        nodes[0],
        ops.filter(lambda x: x != 5),
        ops.scan(lambda a, b: (a + b) % 10, 0),
        nodes[1],
        window=window,
    )

    async def streamed() -> list[Any]:
        log: list[Any] = []
        try:
            async for x in chain.stream(items):
                log.append(x)
            log.append("|")
        except ValueError as error:
            log.append(repr(error))
        return log

    async def observed() -> list[Any]:
        observable = chain(cold(*items, "|"))
        async with no_leaks():
            one, other = Seen(pause), Seen()
            await observable.subscribe_async(one)
            await observable.subscribe_async(other)
            await one.ended.wait()
            await other.ended.wait()
            await asyncio.sleep(0)
            await disposed()
        assert one.log == other.log
        return one.log

    assert run(observed()) == run(streamed())


@given(st.integers(1, 5), st.integers(1, 25), pauses, st.integers(1, 3))
@settings(max_examples=25)
def test_what_is_sent_and_not_done_with_is_bounded(window: int, count: int, delays: dict[int, int], tasks: int) -> None:
    async def main() -> int:
        sent = done = most = 0
        subject = rx.AsyncSubject[int]()

        async def work(x: int) -> int:
            nonlocal done
            await delayed(delays, None)(x % 10)
            done += 1
            return x

        async def send(first: int) -> None:
            nonlocal sent, most
            for x in range(first, count, tasks):
                await subject.asend(x)
                sent += 1
                most = max(most, sent - done)

        async with no_leaks():
            seen = Seen()
            await Chain(work, window=window)(subject).subscribe_async(seen)
            await asyncio.gather(*[send(first) for first in range(tasks)])
            await subject.aclose()
            await seen.ended.wait()
            await asyncio.sleep(0)
        assert sorted(seen.log[:-1]) == list(range(count))
        return most

    assert run(main()) <= 2 * window + tasks


@given(st.integers(0, 12), st.integers(1, 4), st.integers(0, 12), st.booleans())
@settings(max_examples=25)
def test_disposal_at_any_time_leaves_nothing(count: int, window: int, rounds: int, slow: bool) -> None:
    async def main() -> None:
        async with no_leaks():
            subject = rx.AsyncSubject[int]()
            seen = Seen(pause=0.7 if slow else 0)
            subscription = await Chain(later, plain, later, window=window)(subject).subscribe_async(seen)
            sends = [asyncio.create_task(subject.asend(i)) for i in range(count)]
            for _ in range(rounds):
                await asyncio.sleep(0.5)
            await subscription.dispose_async()
            told = list(seen.log)
            await asyncio.gather(*sends)
            assert seen.log == told == list(range(len(told)))
            assert subject._observers == []

    run(main())
