"""Each operator with arguments, for the tests that ask all of them; over streams of small numbers.

Beside it, where reactivex has the operator, reactivex's own with the same arguments.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import reactivex
from reactivex import operators as rx
from reactivex.scheduler import ImmediateScheduler

from rxchain import Chain, Operator, Retry
from rxchain import operators as ops


class BoomError(Exception):
    """What the functions below fail with."""


def double(item: int) -> int:
    if item == 7:
        raise BoomError(item)
    return item * 2


def odd(item: int) -> int:
    if item == 8:
        raise BoomError(item)
    return item % 2


def small(item: int) -> bool:
    return item < 4


def third(item: int) -> int:
    return item // 3


def add(total: int, item: int) -> int:
    if item == 9:
        raise BoomError(item)
    return total * 2 + item


def add_pair(one: int, other: int) -> int:
    return one * 10 + other


def as_pair(item: int) -> tuple[int, int]:
    return item, item + 1


def up_to(item: int) -> list[int]:
    if item == 6:
        raise BoomError(item)
    return list(range(min(item, 12)))  # sums of sums of parts would fill any memory


def counting(item: int) -> Iterator[int]:
    for part in range(item):
        if part == 5:
            raise BoomError(item)
        yield part


def ignored(item: int) -> None:
    if item == 5:
        raise BoomError(item)


def later(fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """*fn* as an async function."""

    @wraps(fn)
    async def awaited(*args: Any) -> Any:
        return fn(*args)

    del awaited.__wrapped__
    return awaited


class Example(NamedTuple):
    """An operator applied to its arguments, given the functions among them by *colour*."""

    name: str
    make: Callable[[Callable[[Any], Any]], Chain[Any, Any]]
    theirs: Callable[[reactivex.Observable[Any]], reactivex.Observable[Any]] | None = None


def _alone(make: Callable[[Callable[[Any], Any]], Operator[Any, Any]]) -> Callable[[Any], Chain[Any, Any]]:
    return lambda colour: Chain(make(colour))


def _prepared(*steps: Operator[Any, Any]) -> Chain[Any, Any]:
    return Chain(*steps)


def of_parts(item: int) -> Any:
    return reactivex.from_iterable(up_to(item), ImmediateScheduler())


EXAMPLES = [
    Example("map", _alone(lambda c: ops.map(c(double))), rx.map(double)),
    Example(
        "starmap",
        lambda c: _prepared(ops.map(as_pair), ops.starmap(c(add_pair))),
        reactivex.compose(rx.map(as_pair), rx.starmap(add_pair)),
    ),
    Example("filter", _alone(lambda c: ops.filter(c(odd))), rx.filter(odd)),  # type: ignore[arg-type]
    Example("concat_map", _alone(lambda c: ops.concat_map(c(up_to))), rx.concat_map(of_parts)),
    Example("concat_map", _alone(lambda c: ops.concat_map(counting))),
    Example("flat_map", _alone(lambda c: ops.flat_map(up_to)), rx.flat_map(of_parts)),
    Example("flat_map", _alone(lambda c: ops.flat_map(counting))),
    Example("scan", _alone(lambda c: ops.scan(c(add))), rx.scan(add)),
    Example("scan", _alone(lambda c: ops.scan(c(add), 3)), rx.scan(add, 3)),
    Example("scan", _alone(lambda c: ops.scan(c(add), 0)), rx.scan(add, 0)),
    Example("reduce", _alone(lambda c: ops.reduce(c(add))), rx.reduce(add)),
    Example("reduce", _alone(lambda c: ops.reduce(c(add), 3)), rx.reduce(add, 3)),
    *(Example("take", _alone(lambda c, n=n: ops.take(n)), rx.take(n)) for n in range(4)),  # type: ignore[misc]
    Example("take_while", _alone(lambda c: ops.take_while(c(odd))), rx.take_while(odd)),  # type: ignore[arg-type]
    Example("take_while", _alone(lambda c: ops.take_while(c(small), True)), rx.take_while(small, True)),
    *(Example("skip", _alone(lambda c, n=n: ops.skip(n)), rx.skip(n)) for n in range(4)),  # type: ignore[misc]
    Example("skip_while", _alone(lambda c: ops.skip_while(c(small))), rx.skip_while(small)),
    Example("distinct", _alone(lambda c: ops.distinct()), rx.distinct()),
    Example("distinct", _alone(lambda c: ops.distinct(c(third))), rx.distinct(third)),
    Example("distinct", _alone(lambda c: ops.distinct(c(third), memory=2))),
    Example("distinct_until_changed", _alone(lambda c: ops.distinct_until_changed()), rx.distinct_until_changed()),
    Example(
        "distinct_until_changed",
        _alone(lambda c: ops.distinct_until_changed(c(third))),
        rx.distinct_until_changed(third),
    ),
    Example("pairwise", _alone(lambda c: ops.pairwise()), rx.pairwise()),
    # In a function of the source: reactivex's map_indexed goes on counting in the next subscription.
    Example(
        "enumerate",
        _alone(lambda c: ops.enumerate(3)),
        lambda source: source.pipe(rx.map_indexed(lambda item, index: (index + 3, item))),
    ),
    Example("tap", _alone(lambda c: ops.tap(c(ignored))), rx.do_action(ignored)),
    Example("batch", _alone(lambda c: ops.batch(3)), rx.buffer_with_count(3)),
    Example("batch", _alone(lambda c: ops.batch(1)), rx.buffer_with_count(1)),
    Example("batch", _alone(lambda c: ops.batch(3, weight=c(third), max_weight=3))),
    Example("concat", _alone(lambda c: ops.concat([8, 9], (3,))), rx.concat(reactivex.of(8, 9, 3))),
    Example("concat", _alone(lambda c: ops.concat())),
    Example("unbatch", lambda c: _prepared(ops.map(up_to), ops.unbatch()), rx.flat_map(of_parts)),
    Example("start_with", _alone(lambda c: ops.start_with(8, 9)), rx.start_with(8, 9)),
    Example("start_with", _alone(lambda c: ops.start_with())),
    Example("default_if_empty", _alone(lambda c: ops.default_if_empty()), rx.default_if_empty()),
    Example("default_if_empty", _alone(lambda c: ops.default_if_empty(3)), rx.default_if_empty(3)),
    Example("first", _alone(lambda c: ops.first()), rx.first()),
    Example("first", _alone(lambda c: ops.first(c(odd))), rx.first(odd)),  # type: ignore[arg-type]
    Example("last", _alone(lambda c: ops.last()), rx.last()),
    Example("last", _alone(lambda c: ops.last(c(odd))), rx.last(odd)),  # type: ignore[arg-type]
    Example("count", _alone(lambda c: ops.count()), rx.count()),
    Example("count", _alone(lambda c: ops.count(c(odd))), rx.count(odd)),  # type: ignore[arg-type]
    Example("retry", _alone(lambda c: ops.retry(c(double), Retry(2, wait=0))), rx.map(double)),
    Example("retry", _alone(lambda c: ops.retry(ops.concat_map(c(up_to)), Retry(2, wait=0))), rx.concat_map(of_parts)),
    Example("catch", _alone(lambda c: ops.catch(c(double), -1))),
    Example("catch", _alone(lambda c: ops.catch(c(double), Chain(c(odd)), on=BoomError))),
    Example("catch", _alone(lambda c: ops.catch(ops.concat_map(c(up_to)), ops.concat_map(c(counting))))),
    Example("saga", _alone(lambda c: ops.saga(c(double))), rx.map(double)),
    Example("saga", _alone(lambda c: ops.saga(ops.concat_map(c(up_to)))), rx.concat_map(of_parts)),
]


def plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    """*fn* as it is."""
    return fn


def shown(example: Example) -> str:
    """The example as a test's name."""
    return "|".join(repr(step) for step in example.make(plain))
