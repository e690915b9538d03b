"""The way back from other threads to an event loop: many results, one wake-up.

Waking a loop is what a call in a thread costs: a write to a socket, in which the interpreter's lock changes hands.
Results are put down where the loop will find them, and it is woken only if nobody has done so since it last looked: a
thread that is quick finishes all that waits for it before the loop comes to look. The rival, a
`call_soon_threadsafe` a result as in `asyncio.wrap_future`, costs six times as much.
"""

import threading
import weakref
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rxchain.schedulers._placed import Call

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a function returned, or what it raised."""


class Outlet:
    """Where the results for one event loop are put down; made and emptied on its thread, filled from any."""

    __slots__ = ("_awake", "_done", "_loop", "hold")

    hold: Callable[[], AbstractContextManager[None]] | None
    """A loop with a time of its own lets it stand still while a thread is waited for."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._done: deque[tuple[Call, Outcome]] = deque()
        self._awake = False
        self.hold = getattr(loop, "hold", None)

    def is_of(self, loop: AbstractEventLoop) -> bool:
        return self._loop() is loop

    def deliver(self, call: "Call", value: Any, error: BaseException | None) -> None:
        """Put down an outcome, from any thread."""
        self._done.append((call, (value, error)))
        loop = self._loop()
        if loop is None or loop.is_closed():
            self._give_up()
        elif not self._awake:
            self._awake = True
            try:
                loop.call_soon_threadsafe(self._empty)
            except RuntimeError:  # closed this moment
                self._give_up()

    def _empty(self) -> None:
        # First this: what is put down from now on wakes the loop again, what was before is found below.
        self._awake = False
        done = self._done
        while done:
            call, outcome = done.popleft()
            future = call.future
            if future.done():
                call.abandoned(outcome[1])
            else:
                future.set_result(outcome)

    def _give_up(self) -> None:
        """The loop is gone, and with it all who waited."""
        while self._done:
            try:
                call, (_, error) = self._done.popleft()
            except IndexError:  # another thread does the same
                return
            call.abandoned(error)


class _Here(threading.local):
    outlet: Outlet | None = None


_here = _Here()


def outlet_here() -> tuple[Outlet, "Future[Outcome]"]:
    """The outlet of the running loop, and a future for one outcome."""
    loop = get_running_loop()
    outlet = _here.outlet
    if outlet is None or not outlet.is_of(loop):
        outlet = _here.outlet = Outlet(loop)
    return outlet, loop.create_future()
