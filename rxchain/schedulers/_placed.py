"""A function with the place where it runs: calling it is awaiting what it does there."""

from asyncio import CancelledError, Future
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Protocol

from rxchain.schedulers._abandoned import report_failure
from rxchain.schedulers._errors import PoolClosed, Unwanted
from rxchain.schedulers._outlet import Outcome, outlet_here

if TYPE_CHECKING:
    from rxchain.schedulers._lane import Lane


class Pool(Protocol):
    """Where calls are run."""

    def submit(self, call: "Call") -> None:
        """Take *call*, and deliver its outcome later; raises where it takes none any more."""


class Placed:
    """A function that runs elsewhere: an async function to whoever calls it. Made by `placed` and `joined`.

    Two are equal when their functions, their pool and their name are.
    """

    __slots__ = ("fn", "functions", "name", "names", "on", "pool")

    fn: Callable[..., Any]
    """The function; the first of them, where several share a hop."""
    functions: tuple[Callable[..., Any], ...]
    names: tuple[str, ...]
    """What the functions are called, one by one."""
    name: str
    on: object
    """What was given as ``on=``."""
    pool: Pool

    def __init__(self, functions: tuple[Callable[..., Any], ...], names: tuple[str, ...], on: object, pool: Pool):
        self.fn = functions[0]
        self.functions = functions
        self.names = names
        self.name = " + ".join(names)
        self.on = on
        self.pool = pool

    async def __call__(self, *args: Any) -> Any:
        call = Call(self, args)
        self.pool.submit(call)
        return await call.outcome()

    # The layers below know a placed function by these two, and import nothing for it.

    def lane(self, at_once: int, *, stops: bool = False) -> "Lane":
        """A `Lane` of this function, for one run."""
        from rxchain.schedulers._lane import Lane

        return Lane(self, at_once, stops=stops)

    def failed_at(self, error: BaseException) -> tuple[int, Any] | None:
        """Which of several functions that share a hop failed; see the function of this name."""
        return failed_at(error)

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.fn  # its signature is the placed one's, to whoever inspects it

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Placed):
            return NotImplemented
        return (self.functions, self.names, self.pool) == (other.functions, other.names, other.pool)

    def __hash__(self) -> int:
        return hash((self.functions, self.names, self.pool))

    def __repr__(self) -> str:
        return f"<{self.name!r} on {self.on if isinstance(self.on, str) else repr(self.on)}>"


class Call:
    """One call on its way: what is to be done, and for whom."""

    __slots__ = ("args", "context", "future", "lane", "outlet", "placed")

    future: "Future[Outcome]"

    def __init__(self, placed: Placed, args: tuple[Any, ...], lane: "Lane | None" = None) -> None:
        self.placed = placed
        self.args = args
        self.lane = lane
        self.context = copy_context()
        self.outlet, self.future = outlet_here()

    async def outcome(self) -> Any:
        """Wait for it, on the event loop: what the function returns, or raises."""
        future, hold = self.future, self.outlet.hold
        try:
            if hold is None:
                value, error = await future
            else:
                with hold():
                    value, error = await future
        except CancelledError:
            if future.done() and not future.cancelled():  # it came in the very moment
                self.abandoned(future.result()[1])
            raise
        if error is None:
            return value
        try:
            raise error
        finally:
            # Frames of its traceback hold this call, and this one: were the error held by them, it would stay until the
            # next collection, and the item with it.
            del self.future, future, error

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for it any more; from any thread."""
        return self.future.cancelled()

    def run(self) -> "Call | None":
        """Do it, on this thread, and deliver the outcome; unless nobody waits for it any more.

        The call that comes next, if this one was in a lane: whoever runs this one sees to that, too.
        """
        lane = self.lane
        if not self.future.cancelled():
            try:
                value = self.execute()
            except BaseException as error:
                if lane is not None:
                    lane.failed()
                self.outlet.deliver(self, None, error)
            else:
                self.outlet.deliver(self, value, None)
        return None if lane is None else lane.next()

    def execute(self) -> Any:
        """Call the function, or one after the other, in the item's context. What they set there stays there."""
        functions = self.placed.functions
        if len(functions) == 1:
            return self.context.run(functions[0], *self.args)
        return in_a_row(functions, self.context, self.args)

    def deliver(self, value: Any, error: BaseException | None) -> None:
        """Say how it ended, from any thread."""
        lane = self.lane
        if lane is not None and error is not None:
            lane.failed()
        self.outlet.deliver(self, value, error)
        if lane is not None and (after := lane.next()) is not None:
            after.begin()

    def begin(self) -> None:
        """Hand it to its pool, where nobody is there who could be told that it does not take it: it fails, then."""
        call: Call | None = self
        while call is not None:
            try:
                return call.placed.pool.submit(call)
            except Exception as error:
                lane = call.lane
                if lane is not None:
                    lane.failed()
                call.outlet.deliver(call, None, error)
                call = None if lane is None else lane.next()
        return None

    def abandoned(self, error: BaseException | None) -> None:
        """It has ended, and nobody waited any more."""
        if error is not None and not isinstance(error, (PoolClosed, Unwanted)):  # who closes a pool says so himself
            report_failure(self.placed.name, self.args, error)


def in_a_row(functions: tuple[Callable[..., Any], ...], context: Context | None, args: tuple[Any, ...]) -> Any:
    """Call one function after the other, each with what the one before returned.

    Each has a context of its own, as it would have had alone: that they share a hop must not be seen.
    """
    value: Any = args[0] if len(args) == 1 else args
    for index, fn in enumerate(functions):
        given = (value,) if index else args
        # Assigned last: while fn runs, `index` and `value` say where it is and with what; see failed_at.
        value = fn(*given) if context is None else context.copy().run(fn, *given)
    return value


def failed_there(error: BaseException, index: int, value: object) -> None:
    """Have the traceback of an error that came from elsewhere say what `in_a_row` would have left in it."""
    try:
        raise error
    except BaseException:
        del error


def failed_at(error: BaseException) -> tuple[int, Any] | None:
    """Which of several functions that shared a hop failed, counted from 0, and what had entered it.

    Known from the traceback, so that it costs nothing until then; None where *error* comes from no such hop.
    """
    found: tuple[int, Any] | None = None
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code in (in_a_row.__code__, failed_there.__code__):
            there = frame.f_locals
            if "index" in there:
                found = there["index"], there["value"]
                break
        traceback = traceback.tb_next
    return found
