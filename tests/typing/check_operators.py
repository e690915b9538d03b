"""What type checkers know of the operators; checked, not run."""

from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import assert_type

from rxchain import Chain, Operator, pipe
from rxchain import operators as ops


@dataclass
class Order:
    number: int
    open: bool


@dataclass
class Receipt:
    order: Order


def parse(line: str) -> Order:
    return Order(int(line), True)


async def fetch(line: str) -> Order:
    return Order(int(line), True)


def is_open(order: Order) -> bool:
    return order.open


async def is_paid(order: Order) -> bool:
    return order.open


async def charge(order: Order) -> Receipt:
    return Receipt(order)


def show(receipt: Receipt) -> str:
    return str(receipt)


def number(order: Order) -> int:
    return order.number


def split(order: Order) -> list[Order]:
    return [order]


def generate(order: Order) -> Iterator[Order]:
    yield order


async def split_later(order: Order) -> list[Order]:
    return [order]


async def generate_later(order: Order) -> AsyncIterator[Order]:
    yield order


def promise(order: Order) -> Awaitable[Receipt]:
    return charge(order)


def total(so_far: int, order: Order) -> int:
    return so_far + order.number


async def total_later(so_far: int, order: Order) -> int:
    return so_far + order.number


def larger(one: Order, other: Order) -> Order:
    return one


async def larger_later(one: Order, other: Order) -> Order:
    return one


def join(number: int, line: str) -> Order:
    return Order(number, bool(line))


async def join_later(number: int, line: str) -> Order:
    return Order(number, bool(line))


def pick(orders: list[Order]) -> Order:
    return orders[0]


def pair(both: tuple[Order, Order]) -> Order:
    return both[0]


def numbered(both: tuple[int, Order]) -> Order:
    return both[1]


def log(order: Order) -> None: ...


def dropped(order: Order, so_far: int) -> None: ...


async def total_of(orders: AsyncIterator[Order]) -> int:
    return len([order async for order in orders])


async def each_of(orders: AsyncIterator[Order]) -> AsyncIterator[Receipt]:
    async for order in orders:
        yield await charge(order)


async def counted() -> list[int]:
    return [number async for number in ops.interval(1)]


async def shared() -> list[str]:
    return [line async for line in ops.share(["a"])]


# alone
assert_type(ops.map(parse), Operator[str, Order])
assert_type(ops.map(charge), Operator[Order, Receipt])
assert_type(ops.starmap(join), Operator[tuple[int, str], Order])
assert_type(ops.starmap(join_later), Operator[tuple[int, str], Order])
assert_type(ops.filter(is_open), Operator[Order, Order])
assert_type(ops.filter(is_paid), Operator[Order, Order])
assert_type(ops.concat_map(split), Operator[Order, Order])
assert_type(ops.concat_map(split_later), Operator[Order, Order])
assert_type(ops.concat_map(generate), Operator[Order, Order])
assert_type(ops.concat_map(generate_later), Operator[Order, Order])
assert_type(ops.flat_map(split), Operator[Order, Order])
assert_type(ops.flat_map(split_later), Operator[Order, Order])
assert_type(ops.flat_map(generate_later, concurrency=3), Operator[Order, Order])
assert_type(ops.scan(total, 0), Operator[Order, int])
assert_type(ops.scan(total_later, 0), Operator[Order, int])
assert_type(ops.scan(larger), Operator[Order, Order])
assert_type(ops.scan(larger_later), Operator[Order, Order])
assert_type(ops.reduce(total, 0), Operator[Order, int])
assert_type(ops.reduce(total_later, 0), Operator[Order, int])
assert_type(ops.reduce(larger), Operator[Order, Order])
assert_type(ops.take_while(is_open, inclusive=True), Operator[Order, Order])
assert_type(ops.skip_while(is_paid), Operator[Order, Order])
assert_type(ops.distinct(number, memory=3), Operator[Order, Order])
assert_type(ops.distinct_until_changed(number), Operator[Order, Order])
assert_type(ops.tap(log), Operator[Order, Order])
assert_type(ops.first(is_open), Operator[Order, Order])
assert_type(ops.last(is_open), Operator[Order, Order])
assert_type(ops.count(is_open), Operator[Order, int])
assert_type(ops.start_with(1, 2), Operator[int, int])
assert_type(ops.batch(3, 0.5, weight=number, max_weight=9), Operator[Order, list[Order]])
assert_type(ops.buffer(9, "drop_oldest", dropped), Operator[Order, Order])
assert_type(ops.concat([1, 2]), Operator[int, int])
assert_type(ops.merge([1], [2]), Operator[int, int])
assert_type(ops.window(total_of, seconds=3), Operator[Order, int])
assert_type(ops.window(each_of, count=3), Operator[Order, Receipt])

# mypy accepts what follows, as chains of Any to Any; pyright knows more
MYPY = False
if not MYPY:
    # what an operator cannot know itself, it learns from its place
    assert_type(Chain(parse, ops.map(charge), show), Chain[str, str])
    assert_type(Chain(parse, ops.map(lambda order: order.number)), Chain[str, int])
    assert_type(Chain(parse, ops.filter(is_open), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.filter(lambda order: order.open), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.concat_map(split), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.concat_map(lambda order: [order.number])), Chain[str, int])
    assert_type(Chain(parse, ops.flat_map(generate_later), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.scan(total, 0)), Chain[str, int])
    assert_type(Chain(parse, ops.reduce(total, 0)), Chain[str, int])
    assert_type(Chain(parse, ops.take(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.take_while(is_open), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.skip(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.skip_while(is_open), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.distinct(), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.distinct(lambda order: order.number), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.distinct_until_changed(), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.pairwise()), Chain[str, tuple[Order, Order]])
    assert_type(Chain(parse, ops.pairwise(), pair), Chain[str, Order])
    assert_type(Chain(parse, ops.enumerate()), Chain[str, tuple[int, Order]])
    assert_type(Chain(parse, ops.enumerate(1), numbered), Chain[str, Order])
    assert_type(Chain(parse, ops.tap(print), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.batch(3)), Chain[str, list[Order]])
    assert_type(Chain(parse, ops.batch(3), pick), Chain[str, Order])
    assert_type(Chain(parse, ops.batch(3), ops.unbatch(), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.start_with(Order(1, True)), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.start_with(1)), Chain[str, Order | int])
    assert_type(Chain(parse, ops.default_if_empty()), Chain[str, Order | None])
    assert_type(Chain(parse, ops.default_if_empty(Order(1, True)), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.first(), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.last(), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.count()), Chain[str, int])
    assert_type(Chain(parse, ops.batch(3, 0.5), pick), Chain[str, Order])
    assert_type(Chain(parse, ops.batch(3, weight=lambda order: order.number, max_weight=9)), Chain[str, list[Order]])
    assert_type(Chain(parse, ops.buffer(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.debounce(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.throttle(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.sample(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.delay(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.timeout(3), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.window(total_of, seconds=3)), Chain[str, int])
    assert_type(Chain(parse, ops.window(each_of, seconds=3), show), Chain[str, str])
    assert_type(Chain(parse, ops.window(Chain(ops.map(charge)).stream, count=3)), Chain[str, Receipt])
    assert_type(Chain(parse, ops.merge([Order(1, True)]), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.merge([1])), Chain[str, Order | int])
    assert_type(Chain(parse, ops.concat([Order(1, True)]), charge), Chain[str, Receipt])
    assert_type(Chain(parse, ops.zip()), Chain[str, tuple[Order]])
    assert_type(Chain(parse, ops.zip(["a"], generate_later(Order(1, True)))), Chain[str, tuple[Order, str, Order]])
    assert_type(pipe(fetch, ops.take(3)) | ops.filter(is_paid) | charge, Chain[str, Receipt])

    # twelve steps
    assert_type(
        Chain(
            str.strip,
            ops.filter(bool),
            ops.map(fetch),
            ops.distinct(number, memory=100),
            ops.filter(is_paid),
            ops.tap(log),
            ops.concat_map(split),
            ops.batch(10),
            ops.unbatch(),
            ops.skip(1),
            charge,
            ops.map(show),
        ),
        Chain[str, str],
    )

for chain in (
    Chain(parse, ops.map(charge), ops.filter(bool), ops.take(3), show),
    Chain(parse, ops.concat_map(generate_later), ops.scan(larger), ops.first(), charge),
    Chain(parse, ops.start_with(Order(1, True)), ops.default_if_empty(), ops.batch(3), ops.unbatch(), ops.count()),
    Chain(parse, ops.pairwise(), ops.map(pair), ops.enumerate(1), numbered, ops.distinct(number), ops.last()),
):
    assert chain.run is not None

# alone in a chain, both know it
assert_type(Chain(ops.map(charge)), Chain[Order, Receipt])
assert_type(Chain(ops.flat_map(split)), Chain[Order, Order])
assert_type(Chain(ops.concat_map(generate_later)), Chain[Order, Order])
