"""What takes back what a node has done, when its item does not come through."""

from collections.abc import Awaitable, Callable
from typing import Any

from rxchain.engine import Colour, a_kind_of, colour, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.policies._retry import Retry


class Undo:
    """A compensation: run when a later node fails for good, the node itself does, or the item is cancelled on its way.

    Those of the nodes that an item has passed run one after the other, the last first. Each is registered before its
    node begins: it must be safe to call where nothing was done. No cancellation reaches it.

    >>> import asyncio
    >>> from rxchain import Chain, node
    >>> stock = {"tea": 2}
    >>> async def put_back(name):
    ...     stock[name] += 1
    >>> @node(undo=put_back)
    ... async def take(name):
    ...     stock[name] -= 1
    ...     return name
    >>> def refuse(name):
    ...     raise ValueError("no such address")
    >>> asyncio.run(Chain(take, refuse).collect(["tea"], on_error="skip")), stock
    ([], {'tea': 2})

    Args:
        fn: a function, sync or async, of the item that entered the node, or of the item and the node's result, which is
            None if there was none yet.
        retry: how often it is tried. One that fails for good is told: the item's error says which effects stand.
    """

    __slots__ = ("fn", "retry")

    def __init__(self, fn: Callable[..., Awaitable[object] | object], *, retry: Retry | int | None = None) -> None:
        if not callable(fn) or not (takes(fn, 1) or takes(fn, 2)):
            found = f"{name_of(fn)!r}, which takes neither" if callable(fn) else f"{a_kind_of(fn)}: {shorten(fn, 40)}"
            raise CompositionError(
                f"an undo is a function of the item, or of the item and the node's result, got {found}\n"
                f"    undo={name_of(fn) if callable(fn) else shorten(fn, 30)}  # incorrect\n"
                "    undo=lambda order, receipt: ...  # correct"
            )
        self.fn = fn
        self.retry = Retry(retry) if isinstance(retry, int) else retry

    def __repr__(self) -> str:
        return f"Undo({name_of(self.fn)}{f', retry={self.retry!r}' if self.retry is not None else ''})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Undo) and (self.fn, self.retry) == (other.fn, other.retry)

    def __hash__(self) -> int:
        return hash(self.fn)


def compensation(given: Any, name: str, generates: bool) -> Callable[[Any, Any], Awaitable[object]] | None:
    """What undoes node *name*: called with the item and the result."""
    if given is None:
        return None
    if generates:
        raise CompositionError(
            f"node {name!r}: a generator's items go on one by one, and what is undone is what was done for one item\n"
            "    @node(undo=...)  # incorrect, above a generator function\n"
            "    @node(undo=...)  # correct, above a function whose result is a list; then ops.unbatch()"
        )
    undo = given if isinstance(given, Undo) else Undo(given)
    fn, alone, asynchronous = undo.fn, takes(undo.fn, 1), colour(undo.fn) is Colour.ASYNC

    async def compensate(done: tuple[Any, Any]) -> object:
        item, result = done
        made: Any = fn(item) if alone else fn(item, result)
        return await made if asynchronous else made

    tried = compensate if undo.retry is None else undo.retry.around(compensate, f"the undo of {name}")

    async def undo_it(item: Any, result: Any) -> object:
        return await tried((item, result))

    return undo_it
