"""concat_map: many items of one, one item after the other.

reactivex calls the mapper for every item as it arrives and queues the results without bound; here it is called when the
item's turn has come.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, overload

from rxchain.engine import Operator, Parts, Step, call, operator, parts
from rxchain.types import T, U


@overload
def concat_map(mapper: Callable[[T], Coroutine[Any, Any, Parts[U]]]) -> Operator[T, U]: ...
@overload
def concat_map(mapper: Callable[[T], Parts[U]]) -> Operator[T, U]: ...
@operator
def concat_map(mapper: Callable[[Any], Any]) -> Step[Any, Any]:
    """Take apart what *mapper* returns for each item, all of it before the next item is taken.

    *mapper* returns an iterable, an async iterable, an Observable of reactivex or aioreactive, or an awaitable, which
    is one part: what it gives. A generator function of either kind does; an async function is awaited and its result
    taken apart.

    >>> from rxchain import Chain, operators as ops
    >>> list(Chain(ops.concat_map(str.split)).iterate(["a b", "c"]))
    ['a', 'b', 'c']

    :Emits:     the parts of each item, in source order; *mapper* is called when the item's turn has come.
    :Buffers:   nothing; of a reactivex Observable, which cannot be asked to wait, up to 65536 parts, then `Overflow`.
    :Fails:     with the source, with *mapper* or with what it returned, after the parts that came before.
    :Completes: when the source has and the last item's parts are out.
    :Disposes:  of the item's parts that are being taken, then of the source.
    """

    async def step(item: Any) -> AsyncIterator[Any]:
        async for part in parts(await call(mapper, item)):
            yield part

    return step
