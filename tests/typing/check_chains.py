"""What type checkers know of chains and nodes; checked, not run."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

from rxchain import Chain, ChainNode, Failure, Operator, Stage, Step, node, operator, pipe


def length(text: str) -> int:
    return len(text)


async def halve(number: int) -> float:
    return number / 2


def letters(text: str) -> Iterator[str]:
    yield from text


async def ticks(number: int) -> AsyncIterator[bytes]:
    yield bytes(number)


@operator
def running_total(start: int = 0) -> Step[int, int]:
    total = start

    def step(item: int) -> Iterator[int]:
        nonlocal total
        total += item
        yield total

    return step


@operator
def framed(top: str) -> Stage[str, str]:
    def step(item: str) -> Iterator[str]:
        yield item

    def start() -> Iterator[str]:
        yield top

    return Stage(step, start=start)


@node
def priced(text: str) -> float:
    return float(text)


@node(name="charge", when=bool)
async def charged(amount: float) -> bytes:
    return str(amount).encode()


assert_type(running_total(), Operator[int, int])
assert_type(running_total(start=3), Operator[int, int])
assert_type(framed("top"), Operator[str, str])

assert_type(priced, ChainNode[str, float, float])
assert_type(charged, ChainNode[float, bytes, Coroutine[Any, Any, bytes]])

# mypy accepts these, as chains of Any to Any where it infers nothing; pyright knows more
MYPY = False
if not MYPY:
    nodes = Chain(priced, charged)
    assert_type(nodes, Chain[str, bytes])
    assert_type(pipe(priced, charged, name="paid"), Chain[str, bytes])
    assert_type(priced | charged, Chain[str, bytes])
    assert_type(Chain(nodes, nodes[:1]), Chain[str, Any])
    assert_type(Chain(letters, length, ticks), Chain[str, bytes])
    assert_type(Chain(framed("top"), length, running_total(), halve), Chain[str, float])

# Both know what is declared, and check what is given to it.
totals: Chain[str, int] = Chain(framed("top"), length, running_total())
assert_type(totals.run_sync("x"), int)
assert_type(totals.iterate(["x"]), Generator[int, None, None])
assert_type(totals.stream(["x"]), AsyncGenerator[int, None])


def told(failure: Failure) -> None: ...


async def told_later(failure: Failure) -> None: ...


async def awaited() -> None:
    assert_type(await totals.run("x"), int)
    assert_type(await totals.collect(["x"]), list[int])
    assert_type(await totals.collect(["x"], on_error=told), list[int])
    assert_type(await totals.collect(["x"], on_error=told_later), list[int])
