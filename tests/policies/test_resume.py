"""Resume: something that goes on in the place of an item that failed, wherever it did."""

import asyncio
from typing import Any

import pytest
import reactivex

from rxchain import Chain, CompositionError, Failure, Resume, StopStream, operator
from rxchain import operators as ops
from rxchain.policies import ErrorHandler
from rxchain.streams import to_async_iterable
from rxchain.testing import run


def number(text: str) -> int:
    return int(text)


async def number_later(text: str) -> int:
    await asyncio.sleep(len(text) / 1000)
    return int(text)


async def shown_later(failure: Failure) -> str:
    await asyncio.sleep(1)
    return f"not {failure.item}"


both = pytest.mark.parametrize("logic", [number, number_later])
values = pytest.mark.parametrize(
    ("to", "instead"),
    [
        (Resume(-1), -1),
        (Resume(None), None),
        (Resume(lambda failure: f"not {failure.item}"), "not x"),
        (Resume(shown_later), "not x"),
        (Resume(lambda failure: failure.node), "number"),
    ],
)


@both
@values
@pytest.mark.parametrize("window", [1, None])
def test_it_goes_on_in_the_items_place(logic: Any, to: Any, instead: Any, window: int | None) -> None:
    instead = instead if instead != "number" else logic.__name__
    chain = Chain(logic, ops.map(lambda n: n), window=window)
    assert run(chain.collect(["1", "x", "2"], on_error=to)) == [1, instead, 2]
    assert run(Chain(*chain, on_error=to).collect(["x", "x"])) == [instead] * 2
    assert list(chain.iterate(["1", "x"], on_error=to)) == [1, instead]


@both
@values
def test_so_it_does_on_an_observable(logic: Any, to: Any, instead: Any) -> None:
    instead = instead if instead != "number" else logic.__name__
    got: list[Any] = []

    async def main() -> None:
        done = asyncio.Event()
        reactivex.of("1", "x", "2").pipe(Chain(logic, on_error=to)).subscribe(got.append, on_completed=done.set)
        await done.wait()

    run(main())
    assert got == [1, instead, 2]


@both
@values
def test_so_it_does_on_an_async_observable_and_of_a_publisher(logic: Any, to: Any, instead: Any) -> None:
    import aioreactive

    instead = instead if instead != "number" else logic.__name__
    got: list[Any] = []

    async def main() -> None:
        done = asyncio.Event()

        async def asend(item: Any) -> None:
            got.append(item)

        async def aclose() -> None:
            done.set()

        chain = Chain(logic, on_error=to)
        source: Any = aioreactive.from_iterable(["1", "x", "2"])
        await chain(source).subscribe_async(aioreactive.AsyncAnonymousObserver(asend, aclose=aclose))
        await done.wait()
        if instead is not None:  # which the standard has no item for
            got.append([item async for item in to_async_iterable(chain.publisher(["1", "x"]))])

    run(main())
    assert got == [1, instead, 2] + ([[1, instead]] if instead is not None else [])


def test_it_does_not_go_through_the_steps_behind() -> None:
    seen: list[Any] = []
    chain = Chain(number, ops.tap(seen.append), ops.filter(lambda n: False), on_error=Resume("instead"))
    assert list(chain.iterate(["1", "x"])) == ["instead"]
    assert seen == [1]


def test_of_several_results_one_that_fails_is_replaced_alone() -> None:
    chain = Chain(str.split, ops.unbatch(), number, on_error=Resume(lambda failure: failure.value))
    assert list(chain.iterate(["1 x 2", "y"])) == [1, "x", 2, "y"]
    assert run(Chain(*chain, on_error=Resume(0)).collect(["1 x 2", "y"])) == [1, 0, 2, 0]


def test_in_order_with_concurrency() -> None:
    async def slow(item: int) -> int:
        await asyncio.sleep(10 - item)
        if item % 2:
            raise ValueError(item)
        return item

    chain = Chain(ops.map(slow, concurrency=4), on_error=Resume(lambda failure: -failure.item))
    assert run(chain.collect(range(8))) == [0, -1, 2, -3, 4, -5, 6, -7]


def test_what_fails_before_the_first_item_or_behind_the_last_is_replaced_too() -> None:
    @operator
    def fails_at_the_end() -> Any:
        from rxchain import Stage

        def step(item: int) -> Any:
            yield item

        def flush() -> Any:
            raise ValueError("flush")
            yield

        return Stage(step, flush=flush)

    assert list(Chain(fails_at_the_end()).iterate([1], on_error=Resume("end"))) == [1, "end"]


def test_an_error_of_what_makes_it_ends_the_stream() -> None:
    def make(failure: Failure) -> int:
        raise RuntimeError("no idea")

    with pytest.raises(RuntimeError, match="no idea"):
        list(Chain(number).iterate(["x"], on_error=Resume(make)))


@pytest.mark.parametrize(
    "steps",
    [
        (number, ops.debounce(1)),
        (ops.delay(1), number),
        (ops.concat_map(str.split), number_later),
    ],
)
def test_a_chain_of_more_than_one_program_has_no_place_for_it(steps: Any) -> None:
    with pytest.raises(CompositionError, match=r"would have to go through(?s:.*)ops.catch\(part"):
        run(Chain(*steps, on_error=Resume(0)).collect(["x"]))


def test_one_after_the_other_it_has() -> None:
    chain = Chain(ops.concat_map(str.split), number_later, window=1, on_error=Resume(0))
    assert run(chain.collect(["1 x", "y"])) == [1, 0, 0]


def test_an_error_handler_may_resume() -> None:
    handler = ErrorHandler(then=Resume(0))
    assert list(Chain(number, on_error=handler).iterate(["1", "x"])) == [1, 0]
    assert [failure.item for failure in handler.failures] == ["x"]


def test_the_end_of_the_stream_is_not_replaced() -> None:
    chain: Chain[str, Any] = Chain(ops.take_while(lambda text: text != "x"), on_error=Resume(0))
    assert list(chain.iterate(["1", "x", "2"])) == ["1"]
    assert StopStream.__mro__[1] is BaseException


def test_it_is_given_a_result_or_a_function_of_the_failure() -> None:
    with pytest.raises(CompositionError, match="Resume is given a result, or a function of the Failure"):
        Resume(lambda: 0)
    assert repr(Resume(0)) == "Resume(0)"
    assert repr(Resume(shown_later)) == "Resume(shown_later)"
    assert Resume(shown_later) == Resume(shown_later) != Resume(number)
    assert isinstance(Resume(shown_later), Resume)
