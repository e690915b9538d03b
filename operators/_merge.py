"""merge: several streams as one, each item as it comes."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from rxchain.engine import Step, operator, parts
from rxchain.operators._feed import Feeds
from rxchain.operators._others import Other, is_stream, wrong_stream
from rxchain.types import T


@operator
def merge(*others: Other[T]) -> Step[T, T]:
    """Emit the items, and those of *others*, as they come.

    Each of *others* is an iterable, an async iterable or an Observable of reactivex or aioreactive; taken from anew in
    each run.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> m = Marbles()
    >>> m.play("-a--b--|", ops.merge(m.source("--x---y--|")))
    '-ax-b-y--|'

    :Emits:     the items of all, those of each in order, as they come; where several have items ready, in turn.
    :Buffers:   one item of each; of a reactivex Observable, which cannot be asked to wait, up to 65536 items, then
                `Overflow`.
    :Fails:     with the source, or with one of *others*, behind the items that have come before.
    :Completes: when all have.
    :Disposes:  of all, and of a task for each, which is cancelled and awaited.
    """
    if not all(map(is_stream, others)):
        raise wrong_stream("merge", others)

    async def over(source: Any) -> AsyncIterator[Any]:
        ready: deque[tuple[int, Any]] = deque()
        streams = [source, *map(parts, others)]
        holds = [False] * len(streams)
        failed = False

        async with Feeds() as feeds:

            def begin(number: int, stream: Any) -> Any:
                def put(item: Any) -> None:
                    holds[number] = True
                    ready.append((number, item))
                    feeds.ring()

                return feeds.take(stream, put, lambda: not holds[number] and not failed)

            merged = [begin(number, stream) for number, stream in enumerate(streams)]
            while True:
                error = next((feed.error for feed in merged if feed.error is not None), None)
                failed = error is not None  # then nothing more is taken: an error must not wait for ever
                if ready:
                    number, item = ready.popleft()
                    holds[number] = False
                    merged[number].resume()
                    yield item
                elif error is not None:
                    raise error
                elif all(feed.ended for feed in merged):
                    break
                else:
                    await feeds.wait()

    return over
