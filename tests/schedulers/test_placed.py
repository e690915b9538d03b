"""`placed`: what may stand in ``on=``, what is refused and how, what a placed function is to the engine."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rxchain.engine import Colour, colour, name_of, takes
from rxchain.errors import CompositionError
from rxchain.schedulers import Placed, Processes, Threads, placed


def double(x: int) -> int:
    return x * 2


async def adouble(x: int) -> int:
    return x * 2


def twice(x: int) -> Iterator[int]:
    yield x
    yield x


async def atwice(x: int) -> AsyncIterator[int]:
    yield x


def threads(fn: Callable[..., Any], name: str | None = None) -> Placed:
    made = placed(fn, "threads", name=name)
    assert isinstance(made, Placed)
    return made


def test_on_the_loop_nothing_is_added() -> None:
    for fn in (double, adouble, twice, atwice):
        assert placed(fn, "loop") is fn


def test_a_placed_function_is_an_async_one_of_the_same_signature_and_name() -> None:
    made = threads(double)
    assert colour(made) is Colour.ASYNC
    assert inspect.signature(made) == inspect.signature(double)
    assert takes(made, 1)
    assert not takes(made, 2)
    assert name_of(made) == "double"
    assert repr(made) == "<'double' on threads>"
    assert asyncio.run(made(21)) == 42


def test_two_of_equal_parts_are_equal() -> None:
    assert threads(double) == threads(double)
    assert hash(threads(double)) == hash(threads(double))
    assert threads(double) != threads(double, name="other")
    assert threads(double) != threads(name_of)
    own = Threads(2)
    assert placed(double, own) == placed(double, own) != placed(double, Threads(2))
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(1) as other:
        assert placed(double, executor) == placed(double, executor) != placed(double, other)
        assert hash(placed(double, executor)) == hash(placed(double, executor))
    assert threads(double) != double


@pytest.mark.parametrize(
    ("on", "says"),
    [
        ("thread", "got a str: 'thread'\n    node(..., on='thread')  # incorrect\n    node(..., on='threads')"),
        ("process", "    node(..., on='processes')  # correct"),
        ("elsewhere", "    node(..., on='threads')  # correct"),
        (16, "got an int: 16\n    node(..., on=16)  # incorrect\n    node(..., on=Threads(16))  # correct"),
        (None, "got a NoneType: None"),
        (Threads, "got the class Threads\n    node(..., on=Threads)  # incorrect\n    node(..., on=Threads(...))"),
        (threading, "    node(..., on='threads')  # correct"),
    ],
)
def test_a_wrong_place_is_refused_with_the_choices(on: Any, says: str) -> None:
    with pytest.raises(CompositionError) as caught:
        placed(double, on, name="price")
    assert str(caught.value).startswith("node 'price': a node runs on 'loop', 'threads', 'processes', Threads(size), ")
    assert says in str(caught.value)


@pytest.mark.parametrize("on", ["threads", "processes", Threads(1), Processes(1)])
def test_an_async_function_belongs_to_the_loop(on: Any) -> None:
    with pytest.raises(CompositionError, match=r"node 'adouble' is an async function, and on= says where a plain one"):
        placed(adouble, on)


@pytest.mark.parametrize(("fn", "kind"), [(twice, "a generator function"), (atwice, "an async generator function")])
def test_a_generator_is_refused_as_it_would_change_threads_between_its_items(fn: Any, kind: str) -> None:
    with pytest.raises(CompositionError, match=rf"node '{fn.__name__}' is {kind}, .*\n.*\n.*ops\.unbatch\(\)"):
        placed(fn, "threads")


@pytest.mark.parametrize("size", [0, -1, 1.5, "4", True, None])
def test_a_pool_has_a_size(size: Any) -> None:
    with pytest.raises(CompositionError, match=r"a pool's size is a number of threads, 1 or more, got .*\n.*\n.*16"):
        Threads(size)
    if size is not None:
        with pytest.raises(CompositionError, match=r"a pool's size is a number of processes, from 1"):
            Processes(size)


@pytest.mark.parametrize("idle", [-1, "1", float("nan"), None])
def test_idle_is_a_number_of_seconds(idle: Any) -> None:
    for kind in (Threads, Processes):
        with pytest.raises(CompositionError, match=rf"{kind.__name__}: idle is a number of seconds, 0 or more, got "):
            kind(2, idle=idle)
