"""buffer: items wait here, so that the source need not; and what is done when there are too many."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

from rxchain.engine import Step, call, operator, shorten
from rxchain.errors import Overflow
from rxchain.operators._counts import is_count, wrong_count
from rxchain.operators._feed import Feeds, always
from rxchain.types import OverflowPolicy, T

POLICIES = get_args(OverflowPolicy)


@operator
def buffer(
    size: int,
    overflow: OverflowPolicy = "block",
    on_drop: Callable[[T, int], Awaitable[object] | object] | None = None,
) -> Step[T, T]:
    """Take items before they are asked for, *size* of them; *overflow* says what happens when all are waiting.

    ``"block"``
        the source waits
    ``"drop_oldest"``
        the one that has waited longest is dropped
    ``"drop_newest"``
        the one that comes is dropped
    ``"latest"``
        all that wait are dropped for the one that comes
    ``"error"``
        the stream ends with `Overflow`, behind those that wait

    >>> from rxchain import Chain, operators as ops
    >>> lost = []
    >>> chain = Chain(ops.buffer(2, "drop_oldest", on_drop=lambda item, dropped: lost.append((item, dropped))))
    >>> list(chain.iterate("abcd")), lost
    (['c', 'd'], [('a', 1), ('b', 2)])

    Args:
        on_drop: is called with each item that is dropped, and with how many this run has dropped so far; sync or async.

    :Emits:     the items that were not dropped, in source order.
    :Buffers:   up to *size* items.
    :Fails:     with the source, with *on_drop*, or with `Overflow`; behind the items before.
    :Completes: with the source, behind the items that wait.
    :Disposes:  of the source, and of its task, which is cancelled and awaited.
    """
    if not is_count(size, at_least=1):
        raise wrong_count("buffer", "size", size, at_least=1)
    if overflow not in POLICIES:
        raise wrong_policy(overflow)

    async def over(source: Any) -> AsyncIterator[Any]:
        waiting: deque[Any] = deque()
        dropped = 0

        def put(item: Any) -> Awaitable[None] | None:
            feeds.ring()
            if len(waiting) == size:
                return no_room(item)
            waiting.append(item)
            return None

        async def no_room(item: Any) -> None:
            nonlocal dropped
            if overflow == "error":
                raise Overflow(
                    f"buffer: {size} items wait to be taken, and another has come\n"
                    f"    ops.buffer({size}, 'error')  # makes this an error\n"
                    f"    ops.buffer({size}, 'drop_oldest')  # loses items instead; 'block' makes the source wait"
                )
            if overflow == "drop_newest":
                lost = [item]
            else:
                lost = [waiting.popleft() for _ in range(1 if overflow == "drop_oldest" else size)]
                waiting.append(item)
            for one in lost:
                dropped += 1
                if on_drop is not None:
                    await call(on_drop, one, dropped)

        async with Feeds() as feeds:
            feed = feeds.take(source, put, (lambda: len(waiting) < size) if overflow == "block" else always)
            while True:
                if waiting:
                    item = waiting.popleft()
                    feed.resume()
                    yield item
                elif not feed.ended:
                    await feeds.wait()
                elif feed.error is not None:
                    raise feed.error
                else:
                    break

    return over


def wrong_policy(found: object) -> ValueError:
    """The error that says which policies there are."""
    return ValueError(
        f"buffer: overflow is one of {', '.join(map(repr, POLICIES))}, got {shorten(found, 30)}\n"
        f"    ops.buffer(100, {shorten(found, 30)})  # incorrect\n"
        f"    ops.buffer(100, 'drop_oldest')  # correct"
    )
