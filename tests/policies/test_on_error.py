"""on_error: what is done about an item that fails, wherever the chain runs."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import reactivex
from aioreactive import AsyncSubject
from reactivex.subject import Subject

from rxchain import (
    Chain,
    CompositionError,
    DeadLetters,
    Failure,
    Place,
    Resume,
    Retry,
    TooManyDeadLetters,
    node,
)
from rxchain import operators as ops
from rxchain.policies import ErrorHandler
from rxchain.streams import to_async_iterable
from rxchain.testing import no_leaks, run


def number(text: str) -> int:
    return int(text)


async def number_later(text: str) -> int:
    await asyncio.sleep(0.001)
    return int(text)


async def items_of(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0.5)
        yield item


both = pytest.mark.parametrize("logic", [number, number_later])


# --- what may be said, on the chain or for a run


@both
@pytest.mark.parametrize("said", ["stop", None])
def test_stop_gives_what_is_ahead_then_the_error(logic: Any, said: Any) -> None:
    got: list[int] = []

    async def main() -> None:
        async for item in Chain(logic, on_error=said).stream(["1", "x", "3"]):
            got.append(item)

    with pytest.raises(ValueError, match="'x'"):
        run(main())
    assert got == [1]


@both
def test_skip_leaves_it_out(logic: Any) -> None:
    assert run(Chain(logic, on_error="skip").collect(["1", "x", "3"])) == [1, 3]
    assert run(Chain(logic).collect(["1", "x", "3"], on_error="skip")) == [1, 3]


@both
def test_what_a_run_says_goes_before_what_the_chain_says(logic: Any) -> None:
    told: list[Failure] = []
    chain = Chain(logic, on_error="skip")
    assert run(chain.collect(["1", "x"], on_error=told.append)) == [1]
    assert [failure.item for failure in told] == ["x"]
    with pytest.raises(ValueError, match="'x'"):
        run(chain.collect(["1", "x"], on_error="stop"))
    assert list(chain.iterate(["1", "x", "3"])) == [1, 3]


@both
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_function_is_told_in_the_order_of_the_items(logic: Any, asynchronous: bool) -> None:
    told: list[Failure] = []

    async def later(failure: Failure) -> None:
        await asyncio.sleep(3)
        told.append(failure)

    chain = Chain(logic, name="numbers", on_error=later if asynchronous else told.append)
    assert run(chain.collect(["1", "x", "3", "y"])) == [1, 3]
    assert [(f.chain, f.node, f.item, f.value, f.attempts, f.place) for f in told] == [
        ("numbers", logic.__name__, item, item, 1, None) for item in "xy"
    ]


def test_a_plain_chain_with_an_async_function_runs_on_an_event_loop_wherever_it_is() -> None:
    told: list[Any] = []

    async def tell(failure: Failure) -> None:
        await asyncio.sleep(0)
        told.append(failure.item)

    chain = Chain(number, on_error=tell)
    assert chain.is_async
    assert list(chain.iterate(["1", "x", "3"])) == [1, 3]
    assert list(Chain(number).iterate(["1", "x", "3"], on_error=tell)) == [1, 3]
    got: list[int] = []
    done = asyncio.Event()

    async def main() -> None:
        async with no_leaks():
            reactivex.of("1", "x", "3").pipe(chain).subscribe(got.append, on_completed=done.set)
            await done.wait()

    asyncio.run(main())
    assert got == [1, 3]
    assert told == ["x"] * 3


@both
def test_what_it_raises_ends_the_stream(logic: Any) -> None:
    def tell(failure: Failure) -> None:
        raise RuntimeError("told") from failure.error

    got: list[int] = []

    async def main() -> None:
        async for item in Chain(logic, on_error=tell).stream(["1", "x", "3"]):
            got.append(item)

    with pytest.raises(RuntimeError, match="told") as raised:
        run(main())
    assert got == [1]
    assert isinstance(raised.value.__cause__, ValueError)


def test_attempts_and_undone_are_told() -> None:
    told: list[Failure] = []
    undone: list[str] = []
    chain = Chain(node(undo=undone.append)(str.strip), node(retry=Retry(3, wait=0))(number))
    assert run(chain.collect([" x"], on_error=told.append)) == []
    assert [(f.item, f.value, f.attempts, f.undone) for f in told] == [(" x", "x", 3, ("strip",))]
    assert undone == [" x"]


@pytest.mark.parametrize(
    ("given", "correct"),
    [
        ("ignore", r"on_error=lambda failure: ...  # correct"),
        ("dead_letter", r'on_error=DeadLetters\("dead.jsonl"\)  # correct'),
        (3, "on_error=lambda failure"),
        (lambda: None, "on_error=lambda failure"),
        (lambda a, b: None, "on_error=lambda failure"),
        (Resume, r"on_error=Resume  # incorrect\n    on_error=Resume\(...\)  # correct"),
        (DeadLetters, r"on_error=DeadLetters\(...\)  # correct"),
    ],
)
def test_what_cannot_be_told_is_refused_while_the_chain_is_built(given: Any, correct: str) -> None:
    with pytest.raises(CompositionError, match=f"on_error is 'stop', 'skip', or a function(?s:.*){correct}"):
        Chain(number, on_error=given)
    with pytest.raises(CompositionError, match=correct):
        Chain(number).stream([], on_error=given)


@pytest.mark.parametrize("name", [None, "inner"])
def test_a_chain_in_a_chain_has_none(name: str | None) -> None:
    inner = Chain(number, on_error="skip", name=name)
    for compose in (
        lambda: Chain(inner),
        lambda: inner | str,
        lambda: ops.retry(inner, 3),
        lambda: ops.catch(inner, 0),
    ):
        with pytest.raises(CompositionError, match="errors of a stream"):
            compose()
    with pytest.raises(CompositionError, match="errors of a stream"):
        ops.saga(inner)


def test_it_is_part_of_what_a_chain_is() -> None:
    one, other = Chain(number, on_error="skip"), Chain(number, on_error="stop")
    assert one == Chain(number, on_error="skip") != other
    assert hash(one) == hash(Chain(number, on_error="skip"))
    assert repr(one) == "Chain(number, on_error='skip')"
    assert one[:1].on_error == "skip"
    assert one.retry(3).on_error == "skip"
    assert Chain(number, on_error=Resume(0)) == Chain(number, on_error=Resume(0)) != Chain(number, on_error=Resume(1))
    assert repr(Chain(number, on_error=Resume(0))) == "Chain(number, on_error=Resume(0))"


@both
def test_what_run_is_asked_for_fails_with_the_error_itself(logic: Any) -> None:
    for said in ("skip", Resume(0), print):
        chain = Chain(logic, on_error=said)
        with pytest.raises(ValueError, match="'x'"):
            run(chain.run("x"))
        with pytest.raises(ValueError, match="'x'"):
            chain.run_sync("x")


# --- places


class Places:
    """Asks for places, and keeps them."""

    places = True

    def __init__(self) -> None:
        self.found: list[tuple[Any, Place | None]] = []

    def __call__(self, failure: Failure) -> None:
        self.found.append((failure.item, failure.place))


class Named:
    """A source with a name, as a file has one."""

    name = "orders.jsonl"

    def __init__(self, items: list[str]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)


class NamedLater:
    name = "orders.jsonl"

    def __init__(self, items: list[str]) -> None:
        self._items = items

    def __aiter__(self) -> AsyncIterator[str]:
        return items_of(self._items)


def torn(item: str) -> list[str]:
    return item.split("+")


CHAINS: dict[str, Callable[[Any], Chain[Any, Any]]] = {
    "one node": lambda logic: Chain(logic),
    "one after the other": lambda logic: Chain(logic, window=1),
    "several at once": lambda logic: Chain(ops.map(logic, concurrency=3)),
    "as they come": lambda logic: Chain(ops.map(logic, concurrency=3, ordered=False)),
    "behind a filter": lambda logic: Chain(ops.filter(bool), logic),
    "behind concat_map": lambda logic: Chain(ops.concat_map(torn), logic),
    "behind two programs": lambda logic: Chain(
        ops.concat_map(torn), logic, ops.concat_map(lambda n: [n]), ops.map(str)
    ),
    "in a part": lambda logic: Chain(ops.saga(logic)),
    "too deep for one program": lambda logic: Chain(*[ops.concat_map(torn)] * 40, logic),
}


ids_of = {make: name for name, make in CHAINS.items()}


@both
@pytest.mark.parametrize("make", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("source", [Named, NamedLater])
def test_a_place_is_the_items_number_in_its_source(logic: Any, make: Any, source: Any) -> None:
    if logic is number and ids_of[make] in ("several at once", "as they come"):
        pytest.skip("a plain function works on one item at a time")
    items = ["1", "x", "", "2", "y", "3+z"]
    bad = {"x": 1, "y": 4, "": 2, "3+z": 5}
    told = Places()
    run(make(logic).collect(source(items), on_error=told))
    assert [item for item, _ in told.found] == sorted((item for item, _ in told.found), key=lambda item: bad[item])
    assert {"x", "y", "3+z"} <= {item for item, _ in told.found}
    assert all(place == Place("orders.jsonl", bad[item]) for item, place in told.found)


def test_from_synchronous_code_too_and_a_source_without_a_name_has_none() -> None:
    told = Places()
    assert list(Chain(number, on_error=told).iterate(iter(["1", "x"]))) == [1]
    assert told.found == [("x", Place(None, 1))]


Told = tuple[list[Any], Exception | None]


async def on_an_observable(chain: Chain[Any, Any], items: list[str]) -> Told:
    done, got = asyncio.get_running_loop().create_future(), list[Any]()
    subject = Subject[str]()
    subscription = subject.pipe(chain).subscribe(got.append, done.set_result, lambda: done.set_result(None))
    for item in items:
        subject.on_next(item)
        await asyncio.sleep(0.01)
    subject.on_completed()
    error = await done
    subscription.dispose()
    return got, error


async def on_an_async_observable(chain: Chain[Any, Any], items: list[str]) -> Told:
    done, got = asyncio.get_running_loop().create_future(), list[Any]()

    async def keep(result: Any) -> None:
        got.append(result)

    async def failed(error: Exception) -> None:
        done.set_result(error)

    async def ended() -> None:
        done.set_result(None)

    subject: Any = AsyncSubject()
    subscription = await chain(subject).subscribe_async(keep, failed, ended)
    for item in items:
        await subject.asend(item)
        await asyncio.sleep(0.01)
    await subject.aclose()
    error = await done
    await subscription.dispose_async()
    return got, error


on_observables = pytest.mark.parametrize("host", [on_an_observable, on_an_async_observable])


@both
@on_observables
@pytest.mark.parametrize("window", [1, 16])
def test_on_an_observable_a_place_is_the_items_number_since_the_subscription(
    host: Any, logic: Any, window: int
) -> None:
    for before in ([], [ops.filter(str.strip)], [ops.flat_map(str.split)]):
        told = Places()
        chain: Chain[Any, Any] = Chain(*before, logic, on_error=told, window=window)
        for _ in range(2):
            assert run(host(chain, ["1", "x", "2", "y"])) == ([1, 2], None)
        assert told.found == [("x", Place(None, 1)), ("y", Place(None, 3))] * 2


@both
@on_observables
def test_behind_a_step_that_takes_an_observable_as_a_whole_there_is_no_place(host: Any, logic: Any) -> None:
    told = Places()
    assert run(host(Chain(ops.delay(1), logic, on_error=told), ["1", "x"])) == ([1], None)
    assert told.found == [("x", None)]


@both
@on_observables
def test_limits_of_dead_letters_count_on_an_observable(host: Any, logic: Any) -> None:
    letters: list[Any] = []
    chain: Chain[Any, Any] = Chain(logic, on_error=DeadLetters(letters, streak=2))
    got, error = run(host(chain, ["1", "x", "2", "y", "z", "3"]))
    assert got == [1, 2]
    assert isinstance(error, TooManyDeadLetters)
    assert [letter.position for letter in letters] == [1, 3, 4]


def test_a_source_with_places_is_closed_all_the_same() -> None:
    closed: list[int] = []

    def source() -> Iterator[str]:
        try:
            yield from itertools.repeat("x")
        finally:
            closed.append(1)

    async def main() -> None:
        async with no_leaks():
            for chain in (Chain(number_later), Chain(number_later, window=1), Chain(number)):
                stream = chain.stream(source(), on_error=Ends())
                with pytest.raises(RuntimeError, match="enough"):
                    await anext(stream)
                await stream.aclose()

    class Ends(Places):
        def __call__(self, failure: Failure) -> None:
            super().__call__(failure)
            if len(self.found) == 3:
                raise RuntimeError("enough")

    run(main())
    assert closed == [1] * 3


# --- aclose


class Closes:
    """Has to be closed when a run ends."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def __call__(self, failure: Failure) -> None:
        self.log.append(failure.item)

    async def aclose(self) -> None:
        await asyncio.sleep(0.01)
        self.log.append("closed")


class ClosesLater(Closes):
    async def __call__(self, failure: Failure) -> None:  # type: ignore[override]
        await asyncio.sleep(0.01)
        self.log.append(failure.item)


handlers = pytest.mark.parametrize("made", [Closes, ClosesLater])


@both
@handlers
@pytest.mark.parametrize("window", [1, None])
@pytest.mark.parametrize("how", ["end", "break", "fail", "cancel", "collect"])
def test_at_each_end_the_handler_is_closed(logic: Any, made: type[Closes], how: str, window: int | None) -> None:
    handler = made()
    chain = Chain(logic, on_error=handler, window=window)

    def source() -> Iterator[str]:
        yield from ["x", "1", "2"]
        if how == "fail":
            raise OSError("source")

    async def consume() -> None:
        if how == "collect":
            await chain.collect(source())
            return
        stream = chain.stream(source())
        try:
            async for _ in stream:
                if how == "break":
                    break
                if how == "cancel":
                    await asyncio.sleep(100)
        finally:
            await stream.aclose()

    async def main() -> None:
        async with no_leaks():
            task = asyncio.ensure_future(consume())
            await asyncio.wait([task], timeout=50)
            task.cancel()
            await asyncio.wait([task])
            assert how != "fail" or isinstance(task.exception(), OSError)
            assert handler.log == ["x", "closed"]

    run(main())


@handlers
def test_from_synchronous_code_it_is_closed_too(made: type[Closes]) -> None:
    handler = made()
    assert list(Chain(number, on_error=handler).iterate(["1", "x"])) == [1]
    assert handler.log == ["x", "closed"]
    stream = Chain(number, on_error=handler).iterate(["x", "1", "x"])
    assert next(stream) == 1
    stream.close()
    assert handler.log[2:] in (["x", "closed"], ["x", "x", "closed"])


@both
@handlers
def test_on_an_observable_it_is_closed_before_the_end_is_told(logic: Any, made: type[Closes]) -> None:
    async def main() -> None:
        async with no_leaks():
            handler = made()
            done = asyncio.Event()
            log = handler.log

            def completed() -> None:
                log.append("completed")
                done.set()

            reactivex.of("1", "x").pipe(Chain(logic, on_error=handler)).subscribe(on_completed=completed)
            await done.wait()
            assert log == ["x", "closed", "completed"]

    run(main())


@handlers
def test_on_an_observable_that_is_disposed_of_it_is_closed(made: type[Closes]) -> None:
    from reactivex.subject import Subject

    from rxchain import disposed

    async def main() -> None:
        async with no_leaks():
            handler = made()
            source: Subject[str] = Subject()
            subscription = source.pipe(Chain(number, on_error=handler)).subscribe()
            source.on_next("x")
            await asyncio.sleep(1)
            subscription.dispose()
            await disposed()
            assert handler.log == ["x", "closed"]

    run(main())


@both
@handlers
@pytest.mark.parametrize("disposes", [False, True])
def test_on_an_async_observable_it_is_closed(logic: Any, made: type[Closes], disposes: bool) -> None:
    import aioreactive

    async def main() -> None:
        async with no_leaks():
            handler = made()
            done = asyncio.Event()
            got: list[int] = []
            source: Any = aioreactive.AsyncSubject()

            async def asend(item: int) -> None:
                got.append(item)

            async def aclose() -> None:
                done.set()

            chain = Chain(logic, on_error=handler)
            observer = aioreactive.AsyncAnonymousObserver(asend, aclose=aclose)
            subscription = await chain(source).subscribe_async(observer)
            await source.asend("1")
            await source.asend("x")
            await asyncio.sleep(5)
            if disposes:
                await subscription.dispose_async()
            else:
                await source.aclose()
                await done.wait()
            assert got == [1]
            assert handler.log == ["x", "closed"]
            await subscription.dispose_async()

    run(main())


@both
@handlers
def test_of_a_publisher_it_is_closed(logic: Any, made: type[Closes]) -> None:
    async def main() -> None:
        async with no_leaks():
            handler = made()
            publisher = Chain(logic, on_error=handler).publisher(["1", "x", "3"])
            assert [item async for item in to_async_iterable(publisher)] == [1, 3]
            assert handler.log == ["x", "closed"]
            told = made()
            processor = Chain(logic).processor(on_error=told)
            Chain(ops.map(str)).publisher(["1", "x", "3"]).subscribe(processor)
            assert [item async for item in to_async_iterable(processor)] == [1, 3]
            assert told.log == ["x", "closed"]

    run(main())


def test_an_error_handler_retries_for_a_run() -> None:
    tries: dict[str, int] = {}

    def flaky(item: str) -> str:
        tries[item] = tries.get(item, 0) + 1
        if tries[item] < 3:
            raise ConnectionError(item)
        return item

    handler = ErrorHandler(retry=Retry(3, wait=0))
    assert list(Chain(flaky).iterate("ab", on_error=handler)) == ["a", "b"]
    assert handler.failures == ()
