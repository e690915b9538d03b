"""What type checkers know of publishers and processors; checked, not run."""

from collections.abc import AsyncIterable, Iterator
from typing import assert_type

from rxchain import Chain
from rxchain.streams import Processor, Publisher, Subscriber, Subscription, to_async_iterable


def length(text: str) -> int:
    return len(text)


async def halve(number: int) -> float:
    return number / 2


def lines() -> Iterator[str]:
    yield "a"


class Anything:
    def on_subscribe(self, subscription: Subscription) -> None: ...

    def on_next(self, item: object) -> None: ...

    def on_error(self, error: Exception) -> None: ...

    def on_complete(self) -> None: ...


class Texts:
    def on_subscribe(self, subscription: Subscription) -> None: ...

    def on_next(self, item: str) -> None: ...

    def on_error(self, error: Exception) -> None: ...

    def on_complete(self) -> None: ...


chain: Chain[str, float] = Chain(length, halve)
assert_type(chain.publisher(["a"]), Publisher[float])
assert_type(chain.publisher(lines), Publisher[float])
assert_type(chain.publisher(lines()), Publisher[float])
assert_type(chain.processor(), Processor[str, float])
assert_type(to_async_iterable(chain.publisher(["a"])), AsyncIterable[float])
chain.publisher([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

subscriber: Subscriber[float] = Anything()
chain.publisher(["a"]).subscribe(Anything())
chain.publisher(["a"]).subscribe(Texts())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
chain.publisher(to_async_iterable(Chain(str.upper).publisher(["a"])))
Chain(str.upper).publisher(["a"]).subscribe(chain.processor())
Chain(length).publisher(["a"]).subscribe(chain.processor())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
