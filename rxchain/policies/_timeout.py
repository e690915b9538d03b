"""An end to waiting: asyncio's own timeout, in the task of the item."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from rxchain.policies._settings import check_seconds


@dataclass(frozen=True, slots=True, repr=False)
class Timeout:
    """Cancel a node's function when it has not answered for so long, and fail with `TimeoutError`.

    >>> import asyncio
    >>> from rxchain.policies import Timeout
    >>> from rxchain.testing import run
    >>> async def price(product):
    ...     await asyncio.sleep(60)
    >>> run(Timeout(2).around(price, "price")("tea"))
    Traceback (most recent call last):
    ...
    TimeoutError: node 'price' has not answered within 2 s, and was cancelled

    On a node, ``timeout=2.0`` is for each attempt and ``item_timeout=10.0`` for all attempts of an item with the waits
    between them. The function is cancelled where it waits, and waited for: one that catches its cancellation and
    answers after all has answered. A `TimeoutError` of the function's own passes, with a note that it is.

    Args:
        seconds: how long it may take.

    Raises:
        CompositionError: *seconds* is no number of seconds above 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        check_seconds("Timeout", "seconds", self.seconds, "Timeout(2.0)")

    def __repr__(self) -> str:
        return f"Timeout({self.seconds:g})"

    def around(self, fn: Callable[[Any], Awaitable[Any]], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """An async function that does what *fn* does, in time."""
        return in_time(fn, self.seconds, f"node {node!r}")


def in_time(fn: Callable[[Any], Awaitable[Any]], seconds: float, who: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """An async function that does what *fn* does, cancelled after *seconds*; *who*: for the error's message."""
    timeout = asyncio.timeout

    async def answered(item: Any) -> Any:
        own: TimeoutError | None = None
        try:
            async with timeout(seconds):
                try:
                    return await fn(item)
                except TimeoutError as error:
                    own = error
                    raise
        except TimeoutError as error:
            if error is own:
                error.add_note(f"raised by {who} itself, within the {seconds:g} s that it has")
            else:
                error.args = (f"{who} has not answered within {seconds:g} s, and was cancelled",)
            raise

    return answered
