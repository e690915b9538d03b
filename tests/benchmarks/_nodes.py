"""The eight functions of which the benchmarks' chains are made, plain and async.

They do next to nothing, so that what is timed is what lies between them. No two may change places without changing the
answer.
"""

from collections.abc import Callable, Coroutine
from typing import Any


def increment(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


def negate(x: int) -> int:
    return -x


def add_seven(x: int) -> int:
    return x + 7


def triple(x: int) -> int:
    return x * 3


def wrap(x: int) -> int:
    return x % 1_000_003


def decrement(x: int) -> int:
    return x - 1


def flip(x: int) -> int:
    return x ^ 5


async def aincrement(x: int) -> int:
    return x + 1


async def adouble(x: int) -> int:
    return x * 2


async def anegate(x: int) -> int:
    return -x


async def aadd_seven(x: int) -> int:
    return x + 7


async def atriple(x: int) -> int:
    return x * 3


async def awrap(x: int) -> int:
    return x % 1_000_003


async def adecrement(x: int) -> int:
    return x - 1


async def aflip(x: int) -> int:
    return x ^ 5


def all_by_hand(x: int) -> int:
    return flip(decrement(wrap(triple(add_seven(negate(double(increment(x))))))))


async def aall_by_hand(x: int) -> int:
    x = await aincrement(x)
    x = await adouble(x)
    x = await anegate(x)
    x = await aadd_seven(x)
    x = await atriple(x)
    x = await awrap(x)
    x = await adecrement(x)
    return await aflip(x)


Plain = Callable[[int], int]
Async = Callable[[int], Coroutine[Any, Any, int]]

PLAIN: tuple[Plain, Plain, Plain, Plain, Plain, Plain, Plain, Plain] = (
    increment,
    double,
    negate,
    add_seven,
    triple,
    wrap,
    decrement,
    flip,
)
ASYNC: tuple[Async, Async, Async, Async, Async, Async, Async, Async] = (
    aincrement,
    adouble,
    anegate,
    aadd_seven,
    atriple,
    awrap,
    adecrement,
    aflip,
)


def is_even(x: int) -> bool:
    return x % 2 == 0


def twice(x: int) -> tuple[int, int]:
    return (x, x)


def add(total: int, x: int) -> int:
    return total + x
