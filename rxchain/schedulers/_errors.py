"""What goes wrong between the event loop and another thread or process; each names the node."""

from rxchain.errors import RxChainError


class PoolClosed(RxChainError):
    """Raised by a node whose pool its owner has closed: the call has not begun, so trying again elsewhere is safe."""


class Unwanted(RxChainError):
    """A call that was cancelled before it began; nobody hears of it."""


class Unpicklable(RxChainError, TypeError):
    """Raised by a node on processes when an item cannot go there, or its result or error cannot come back.

    An item that could not go has not been touched; after a result that could not come back the function has run.
    """


class WorkerDied(RxChainError):
    """Raised by a node on processes when a worker process ends by itself while calls are out.

    Which of them ended it cannot be known, so all of them fail; each may have run to any point. ``exit_codes`` are
    those of the processes: negative for a signal, as -9 when the system was out of memory.
    """

    def __init__(self, why: str, exit_codes: tuple[int, ...] = ()) -> None:
        super().__init__(why)
        self.exit_codes = exit_codes
