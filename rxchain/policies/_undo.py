"""What takes back what a node has done, when its item does not come through."""

from collections.abc import Awaitable, Callable
from typing import Any

from rxchain.engine import Colour, a_kind_of, colour, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.policies._retry import Retry
from rxchain.policies._settings import check_seconds
from rxchain.policies._timeout import in_time


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
        timeout: the seconds after which a try that has not answered is cancelled and has failed; *fn* is async then.
            Without it one that hangs holds the chain.

    Raises:
        CompositionError: *fn* can be called neither way, or *timeout* is no number of seconds above 0, or is given for
            a function that nothing can interrupt.
    """

    __slots__ = ("fn", "retry", "timeout")

    def __init__(
        self,
        fn: Callable[..., Awaitable[object] | object],
        *,
        retry: Retry | int | None = None,
        timeout: float | None = None,
    ) -> None:
        if not callable(fn) or not (takes(fn, 1) or takes(fn, 2)):
            found = f"{name_of(fn)!r}, which takes neither" if callable(fn) else f"{a_kind_of(fn)}: {shorten(fn, 40)}"
            raise CompositionError(
                f"an undo is a function of the item, or of the item and the node's result, got {found}\n"
                f"    undo={name_of(fn) if callable(fn) else shorten(fn, 30)}  # incorrect\n"
                "    undo=lambda order, receipt: ...  # correct"
            )
        if timeout is not None:
            check_seconds("Undo", "timeout", timeout, "Undo(refund, timeout=5.0)")
            if colour(fn) is not Colour.ASYNC:
                raise CompositionError(
                    f"Undo: nothing can interrupt a plain function, so {name_of(fn)!r} takes no timeout\n"
                    f"    Undo({name_of(fn)}, timeout={timeout:g}), with def {name_of(fn)}  # incorrect\n"
                    f"    Undo({name_of(fn)}, timeout={timeout:g}), with async def {name_of(fn)}  # correct"
                )
        self.fn = fn
        self.retry = Retry(retry) if isinstance(retry, int) else retry
        self.timeout = timeout

    def __repr__(self) -> str:
        shown = [name_of(self.fn)]
        shown += [f"retry={self.retry!r}"] if self.retry is not None else []
        shown += [f"timeout={self.timeout:g}"] if self.timeout is not None else []
        return f"Undo({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Undo):
            return NotImplemented
        return (self.fn, self.retry, self.timeout) == (other.fn, other.retry, other.timeout)

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

    tried: Callable[[tuple[Any, Any]], Awaitable[object]] = compensate
    if undo.timeout is not None:
        tried = in_time(tried, undo.timeout, f"the undo of {name!r}")
    if undo.retry is not None:
        tried = undo.retry.around(tried, f"the undo of {name}")

    async def undo_it(item: Any, result: Any) -> object:
        return await tried((item, result))

    return undo_it
