"""The errors rxchain raises itself. A user's own exception keeps its type and gains a note instead."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rxchain.policies import DeadLetter


class RxChainError(Exception):
    """The base of every error that rxchain raises itself."""


class CompositionError(RxChainError, TypeError):
    """Raised while a chain is built, when a step is not what it must be; nothing has run yet."""


class PreconditionFailed(RxChainError):
    """Raised by a node declared with ``refuse="fail"`` when its ``when=`` predicate refuses an item.

    Its logic has not run, so trying again is safe.
    """

    def __init__(self, node: str, item: object) -> None:
        super().__init__(f"node {node!r}: its precondition refused the item, and the node declares refuse='fail'")
        self.node = node
        self.item = item


class NoResult(RxChainError):
    """Raised by ``run`` and ``run_sync`` when the item was dropped on its way: one result was asked for, none came."""


class ManyResults(RxChainError):
    """Raised by ``run`` and ``run_sync`` when a second result comes, and one was asked for: use ``collect``."""


class EmptyStream(RxChainError):
    """Raised by ``first``, ``last`` and an unseeded ``reduce`` when the stream ends without an item."""


class Overflow(RxChainError):
    """Raised when a source that cannot be asked to wait has delivered more than may be held in memory."""


class Refused(RxChainError):
    """The base of errors raised in place of a call: the node's function has not run, so there is nothing to undo.

    ``node`` is the node's name.
    """

    node: str = ""


class CircuitOpen(Refused):
    """Raised in place of a call that a `CircuitBreaker` does not let through; the node's function has not run.

    Trying again before ``retry_after`` is over is refused again. ``breaker`` is the breaker's name.
    """

    def __init__(self, breaker: str, retry_after: float, *, node: str = "", why: str = "") -> None:
        caller = f"node {node!r}: " if node else ""
        because = f" after {why}" if why else ""
        super().__init__(
            f"{caller}circuit breaker {breaker!r} is open{because}; the next try is in {retry_after:.3g} s"
        )
        self.node = node
        self.breaker = breaker
        self.retry_after = retry_after
        """Seconds to the next try."""


class BulkheadFull(Refused):
    """Raised in place of a call when a `Bulkhead` is full and its queue is, too; the node's function has not run.

    Trying again later is safe. ``bulkhead`` is its name, ``at_once`` how many may be inside, ``queue`` how many may
    wait.
    """

    def __init__(self, bulkhead: str, at_once: int, queue: int, *, node: str = "") -> None:
        caller = f"node {node!r}: " if node else ""
        super().__init__(
            f"{caller}bulkhead {bulkhead!r} is full: {at_once} inside, {queue} waiting, and no more may wait"
        )
        self.node = node
        self.bulkhead = bulkhead
        self.at_once = at_once
        self.queue = queue


class LockTimeout(Refused):
    """Raised in place of a call when a `Lock` has not been got in time; the node's function has not run.

    Trying again is safe. ``lock`` is its name, ``keys`` what was asked for, ``timeout`` the seconds waited.
    """

    def __init__(self, lock: str, keys: tuple[object, ...], timeout: float, *, node: str = "") -> None:
        caller = f"node {node!r}: " if node else ""
        super().__init__(f"{caller}lock {lock!r} was not free for {_keys(keys)} within {timeout:g} s")
        self.node = node
        self.lock = lock
        self.keys = keys
        self.timeout = timeout
        """Seconds."""


class LockDeadlock(Refused):
    """Raised in place of a call that would wait for a `Lock` for ever: who has it waits for what this item holds.

    Only where a node runs something that locks, while it is itself inside a lock. The node's function has not run;
    trying again is safe once what the item holds is let go of, that is around the outer node. ``lock`` and ``keys`` are
    what was asked for; ``holding`` is what the item holds, as pairs of a lock's name and a key.
    """

    def __init__(
        self, lock: str, keys: tuple[object, ...], holding: tuple[tuple[str, object], ...], *, node: str = ""
    ) -> None:
        caller = f"node {node!r}: " if node else ""
        held = ", ".join(f"{key!r:.60} of lock {name!r}" for name, key in holding)
        super().__init__(
            f"{caller}waiting for {_keys(keys)} of lock {lock!r} would never end: who has it waits for {held},"
            " which this item holds\n"
            "    @node(lock=of_payer) that runs a chain with @node(lock=of_payee)  # incorrect\n"
            "    @node(lock=lambda t: Keys(t.payer, t.payee))  # correct: all keys at once, in the outer node"
        )
        self.node = node
        self.lock = lock
        self.keys = keys
        self.holding = holding


class TooManyDeadLetters(RxChainError):
    """Raised by `DeadLetters` when a limit is reached: it is no longer the items that are at fault.

    Its cause is the last item's error. The letters are kept, the last one too, and the items behind it have not been
    told of; mend what makes them fail before trying again. ``limit`` says which one it was, ``letters`` are the last
    few, ``path`` is the file that has them all, if it is one.
    """

    def __init__(self, limit: str, chain: str, letters: "tuple[DeadLetter, ...]", path: str | None = None) -> None:
        last = letters[-1]
        name = f"chain {chain!r}: " if chain else ""
        told = [f"    {letter}" for letter in letters]
        kept = f"\nall of them: rxchain dead list {path}" if path is not None else ""
        super().__init__(
            f"{name}{limit} stops it; the last in node {last.node!r}: {last.error}\n" + "\n".join(told) + kept
        )
        self.limit = limit
        self.letters = letters
        self.path = path


class QueueFull(RxChainError):
    """Raised by ``put_nowait``, and by ``put_sync`` after its timeout, when no more tasks may wait in a queue."""


class QueueClosed(RxChainError):
    """Raised when something is put into a queue that is closed, or taken from one of which nothing more will come."""


class DeadLetterLost(RxChainError):
    """Raised by `DeadLetters` when a letter's destination fails, and so nobody else has the letter.

    Its cause is a group of both errors. ``letter`` is what was to be kept, ``failure`` why the item failed, ``error``
    why the letter could not be kept. What the chain's nodes did for the item stands.
    """

    def __init__(self, to: str, letter: "DeadLetter", failure: Exception, error: Exception) -> None:
        chain = f" of chain {letter.chain!r}" if letter.chain else ""
        super().__init__(
            f"the dead letter of node {letter.node!r}{chain} could not go to {to}: {type(error).__name__}: {error}\n"
            f"    {letter}"
        )
        self.letter = letter
        self.failure = failure
        self.error = error


def _keys(keys: tuple[object, ...]) -> str:
    return f"key{'s' if len(keys) > 1 else ''} {', '.join(f'{key!r:.60}' for key in keys)}"
