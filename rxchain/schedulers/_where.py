"""From what people write as ``on=`` to a function that runs there."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal, TypeAlias

from rxchain.engine import Colour, a_kind_of, colour, name_of, shorten
from rxchain.errors import CompositionError
from rxchain.schedulers._foreign import OnExecutor, OnProcessExecutor, OnScheduler, SchedulerLike
from rxchain.schedulers._placed import Placed, Pool
from rxchain.schedulers._processes import Processes, shared_processes
from rxchain.schedulers._threads import Threads, shared_threads

On: TypeAlias = Literal["loop", "threads", "processes"] | Threads | Processes | Executor | SchedulerLike
"""Where a node may run."""


def placed(fn: Callable[..., Any], on: On, *, name: str | None = None) -> Callable[..., Any]:
    """Give *fn* a place: what is returned is called, and awaited, from the event loop, and runs *fn* there.

    >>> import asyncio, threading
    >>> from rxchain.schedulers import placed
    >>> def where(item: str) -> str:
    ...     return f"{item} in a {type(threading.current_thread()).__name__.strip('_')}"
    >>> asyncio.run(placed(where, on="threads")("tea"))
    'tea in a Worker'
    >>> placed(where, on="loop") is where
    True

    The function runs in a copy of its caller's context, as with `asyncio.to_thread`. A caller that is cancelled goes on
    at once: what has not begun never begins, what runs already runs on, and fails into the log if it fails.

    Args:
        fn: a plain function; for ``"loop"`` any.
        on: ``"loop"``, ``"threads"``, ``"processes"``, a pool of your own (`Threads`, `Processes`), an executor of
            `concurrent.futures`, or a reactivex scheduler. Whoever made the last three ends them.
        name: what errors call it; the function's own name if not given.

    Raises:
        CompositionError: *on* is none of these, or *fn* cannot run there: it is async, a generator, or on processes one
            that they cannot find.
    """
    name = name_of(fn) if name is None else name
    if isinstance(on, str) and on == "loop":
        return fn
    pool = _pool(on, name)
    kind = colour(fn)
    if kind is not Colour.SYNC:
        raise CompositionError(_wrong_colour(kind, name, on))
    if isinstance(pool, (Processes, OnProcessExecutor)):
        from rxchain.schedulers._by_name import check_sendable  # pickle is imported for those who need it

        check_sendable(fn, name)
    return Placed((fn,), (name,), on, pool)


def joined(*row: Placed) -> Placed:
    """Let functions that stand in a row on one pool share a hop: there, one is called after the other.

    Each runs in a context of its own, as it would alone; `failed_at` says which of them failed.

    Raises:
        ValueError: they are not on one pool; ask `joinable`.
    """
    if not row or any(not joinable(row[0], other) for other in row[1:]):
        raise ValueError(f"only functions on one pool can share a hop: {', '.join(map(repr, row)) or 'none'}")
    functions = tuple(fn for one in row for fn in one.functions)
    names = tuple(name for one in row for name in one.names)
    return Placed(functions, names, row[0].on, row[0].pool)


def joinable(one: object, other: object) -> bool:
    """Whether two functions that stand next to one another can share a hop."""
    return isinstance(one, Placed) and isinstance(other, Placed) and one.pool == other.pool


def _pool(on: Any, name: str) -> Pool:
    if isinstance(on, str):
        if on == "threads":
            return shared_threads
        if on == "processes":
            return shared_processes
    elif isinstance(on, (Threads, Processes)):
        return on
    elif isinstance(on, Executor):
        return _executor(on)
    elif not isinstance(on, type) and callable(getattr(on, "schedule", None)) and hasattr(on, "schedule_relative"):
        inner = getattr(on, "executor", None)
        if isinstance(inner, Executor):  # ThreadPoolScheduler, which would start a loop of its own there for each call
            return _executor(inner)
        return OnScheduler(on, _only_from(on))
    raise CompositionError(_wrong_place(on, name))


def _executor(executor: Executor) -> Pool:
    # By name, so that those of other libraries count too, and concurrent.futures.process is not imported for it.
    if any(kind.__name__ == "ProcessPoolExecutor" for kind in type(executor).__mro__):
        return OnProcessExecutor(executor)
    return OnExecutor(executor)


def _only_from(scheduler: object) -> AbstractEventLoop | None:
    """The event loop on whose thread alone a scheduler may be used, if there is one."""
    names = {kind.__name__ for kind in type(scheduler).__mro__}
    if "AsyncIOScheduler" not in names or "AsyncIOThreadSafeScheduler" in names:
        return None
    loop = getattr(scheduler, "_loop", None)
    return loop if isinstance(loop, AbstractEventLoop) else None


def _wrong_place(on: object, name: str) -> str:
    choices = (
        "a node runs on 'loop', 'threads', 'processes', Threads(size), Processes(size), an executor, or a reactivex"
        " scheduler"
    )
    given = repr(on.__name__) if isinstance(on, type) else shorten(on, 40)
    if isinstance(on, type):
        given, instead = on.__name__, f"{on.__name__}(...)"
    elif isinstance(on, str):
        import difflib

        close = difflib.get_close_matches(on, ["loop", "threads", "processes"], n=1, cutoff=0.5)
        instead = repr(close[0] if close else "threads")
    elif type(on) is int:
        instead = f"Threads({on})"
    else:
        instead = "'threads'"
    what = f"the class {given}" if isinstance(on, type) else f"{a_kind_of(on)}: {given}"
    return (
        f"node {name!r}: {choices}; got {what}\n"
        f"    node(..., on={given})  # incorrect\n"
        f"    node(..., on={instead})  # correct"
    )


def _wrong_colour(kind: Colour, name: str, on: object) -> str:
    shown = repr(on) if isinstance(on, str) else shorten(on, 40)
    if kind is Colour.ASYNC:
        return (
            f"node {name!r} is an async function, and on= says where a plain one runs: an async one belongs to the"
            " event loop, on which what it awaits was made\n"
            f"    node(on={shown})  # incorrect, with `async def {name}`\n"
            f"    node(on={shown})  # correct, with `def {name}`; or without on=, where it only awaits"
        )
    return (
        f"node {name!r} is {kind.value}, and on= says where a function runs that returns: between its items a generator"
        " would be resumed on one thread after another\n"
        f"    node(on={shown})  # incorrect, with `yield` in {name!r}\n"
        f"    node(on={shown})  # correct, with `return [...]` in {name!r}, and ops.unbatch() behind it"
    )
