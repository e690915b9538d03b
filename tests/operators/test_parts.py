"""What a function of concat_map or flat_map may return, and when it is called."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aioreactive
import pytest
import reactivex

from rxchain import Chain
from rxchain import operators as ops

each_operator = pytest.mark.parametrize("map_many", [ops.concat_map, ops.flat_map])


def listed(item: int) -> Any:
    return [item, -item]


def tupled(item: int) -> Any:
    return item, -item


def generated(item: int) -> Iterator[int]:
    yield item
    yield -item


async def listed_later(item: int) -> Any:
    await asyncio.sleep(0)
    return [item, -item]


async def generated_later(item: int) -> AsyncIterator[int]:
    await asyncio.sleep(0)
    yield item
    await asyncio.sleep(0)
    yield -item


def returns_async_iterable(item: int) -> Any:
    return generated_later(item)


async def returns_async_iterable_later(item: int) -> Any:
    return generated_later(item)


def observable(item: int) -> Any:
    return reactivex.of(item, -item)


async def observable_later(item: int) -> Any:
    return reactivex.of(item, -item)


def async_observable(item: int) -> Any:
    return aioreactive.from_iterable([item, -item])


def observable_from_another_thread(item: int) -> Any:
    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        def deliver() -> None:
            observer.on_next(item)
            observer.on_next(-item)
            observer.on_completed()

        threading.Thread(target=deliver).start()
        return reactivex.disposable.Disposable()

    return reactivex.create(subscribe)


RETURNED: list[Callable[[int], Any]] = [
    listed,
    tupled,
    generated,
    listed_later,
    generated_later,
    returns_async_iterable,
    returns_async_iterable_later,
    observable,
    observable_later,
    async_observable,
    observable_from_another_thread,
]


@each_operator
@pytest.mark.parametrize("fn", RETURNED)
def test_what_is_returned_is_taken_apart(map_many: Any, fn: Any) -> None:
    chain = Chain(map_many(fn))
    assert sorted(chain.iterate([1, 2])) == [-2, -1, 1, 2]
    assert sorted(asyncio.run(chain.collect([1, 2]))) == [-2, -1, 1, 2]


@pytest.mark.parametrize("fn", RETURNED)
def test_concat_map_keeps_the_order(fn: Any) -> None:
    chain = Chain(ops.concat_map(fn))
    assert list(chain.iterate([1, 2])) == [1, -1, 2, -2]
    assert asyncio.run(chain.collect([1, 2])) == [1, -1, 2, -2]


@each_operator
def test_an_awaitable_is_one_part(map_many: Any) -> None:
    async def answer(item: int) -> list[int]:
        return [item]

    def promise(item: int) -> Any:
        return answer(item)

    assert list(Chain(map_many(promise)).iterate([1, 2])) == [[1], [2]]


@each_operator
@pytest.mark.parametrize("later", [False, True])
def test_what_cannot_be_taken_apart_is_said(map_many: Any, later: bool) -> None:
    def number(item: int) -> Any:
        return item

    async def number_later(item: int) -> Any:
        return item

    with pytest.raises(TypeError, match="returned int: to pass one result on, use map") as caught:
        list(Chain(map_many(number_later if later else number)).iterate([1]))
    assert caught.value.__notes__ == [f"in node '{map_many.__name__}', with item 1"]


@each_operator
def test_an_error_of_an_observable_comes_behind_its_parts(map_many: Any) -> None:
    def failing(item: int) -> Any:
        return reactivex.concat(reactivex.of(item), reactivex.throw(ValueError("boom")))

    out: list[int] = []
    with pytest.raises(ValueError, match="boom"):
        list(Chain(map_many(failing), ops.tap(out.append)).iterate([1, 2]))
    assert out == [1]


@pytest.mark.parametrize("fn", RETURNED)
def test_concat_map_calls_its_function_when_the_turn_has_come(fn: Any) -> None:
    said: list[Any] = []

    def called(item: int) -> int:
        said.append(("called", item))
        return item

    chain = Chain(ops.map(called), ops.concat_map(fn), ops.tap(said.append))
    list(chain.iterate([1, 2]))
    assert said == [("called", 1), 1, -1, ("called", 2), 2, -2]


def test_concat_map_asks_for_no_part_before_it_is_taken() -> None:
    said: list[Any] = []

    def noted(item: int) -> Iterator[int]:
        for part in range(3):
            said.append(part)
            yield part

    results = Chain(ops.concat_map(noted)).iterate([1, 2])
    assert next(results) == 0
    assert said == [0]
    results.close()
    assert said == [0]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_an_async_generator_is_closed_when_its_parts_are_no_longer_wanted(most: int) -> None:
    said: list[Any] = []

    async def noted(item: int) -> AsyncIterator[int]:
        try:
            yield item
            yield -item
        finally:
            await asyncio.sleep(0)
            said.append(f"closed {item}")

    chain: Chain[int, int] = Chain(ops.concat_map(noted), ops.take(most))
    list(chain.iterate([1, 2]))
    assert said == ["closed 1", "closed 2"][: 1 + (most > 2)]


@each_operator
def test_an_observable_is_unsubscribed_from_when_its_parts_are_no_longer_wanted(map_many: Any) -> None:
    disposed: list[int] = []

    def endless(item: int) -> Any:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            observer.on_next(item)
            return reactivex.disposable.Disposable(lambda: disposed.append(item))

        return reactivex.create(subscribe)

    assert list(Chain(map_many(endless), ops.take(1)).iterate([1, 2])) == [1]
    assert disposed == [1]
