"""What holding a lock is: a lease with a number that only grows, by whoever gives it out; and who holds what here.

The number (a fencing token) is what makes a lock that may be lost safe: whoever stores something refuses a number that
is lower than one it has seen, and so the late write of somebody who lost the lock meanwhile.
"""

from collections.abc import Coroutine, Hashable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from rxchain.policies._local_locks import Claim


class Lease(Protocol):
    """One or several keys of a lock, held until they are let go of."""

    @property
    def fence(self) -> int:
        """Greater than that of every lease given before it for one of these keys."""
        ...

    async def renew(self) -> None:
        """Prolong it, where leases end by themselves; raise if it is lost."""
        ...

    def release(self) -> Coroutine[Any, Any, None]:
        """Let go of it. Called once, in a task that no cancellation of the item reaches, and awaited."""
        ...


class LockBackend(Protocol):
    """What gives out leases. Items of one process queue up before it: at most one of them asks for a key at a time."""

    async def acquire(self, name: str, keys: tuple[Hashable, ...], within: float | None) -> Lease | None:
        """Wait until *keys* of lock *name* are free and take them, all or none of them; None after *within* seconds.

        Whoever is cancelled in here has taken nothing.
        """
        ...


class Held(NamedTuple):
    """A lease that the code at hand is inside of."""

    name: str
    claim: "Claim"
    """The place among the items of this process."""
    lease: Lease


inside: ContextVar[tuple[Held, ...]] = ContextVar("rxchain locks", default=())
"""The innermost last. What a node starts is inside of what the node is."""


def lease(name: str | None = None) -> Lease:
    """The lease that the node at hand runs under; the innermost, or that of lock *name*.

    A node that works for long on a lock whose leases end by themselves calls ``await lease().renew()``.

    Raises:
        LookupError: it runs under none.
    """
    for held in reversed(inside.get()):
        if name is None or held.name == name:
            return held.lease
    raise LookupError(
        f"this runs under no lock{f' called {name!r}' if name is not None else ''}\n"
        "    @node  # incorrect, above a function that asks for its fence\n"
        "    @node(lock=key_function)  # correct"
    )


def fence(name: str | None = None) -> int:
    """The number of the lease that the node at hand runs under, to be stored with what it writes.

    >>> from rxchain import Chain, node
    >>> from rxchain.policies import fence
    >>> from rxchain.testing import run
    >>> @node(lock=lambda account: account)
    ... async def book(account: str) -> bool:
    ...     return fence() > 0
    >>> run(Chain(book).run("ann"))
    True

    Raises:
        LookupError: it runs under none.
    """
    return lease(name).fence
