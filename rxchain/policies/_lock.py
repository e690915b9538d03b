"""Items with the same key exclude one another: in one node, in several, in several chains.

Rivals: `asyncio.Lock` belongs to one event loop and knows no keys; a dict of them grows with every key that was ever
seen, and two items that need two keys each can wait for one another for ever; `by=` keeps keys apart within one node
of one run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any

from rxchain.engine import Colour, a_kind_of, colour, name_of, shorten, takes
from rxchain.errors import CompositionError, LockDeadlock, LockTimeout
from rxchain.policies._lease import Held, Lease, LockBackend, inside
from rxchain.policies._local_locks import Claim, LockSnapshot, local_locks
from rxchain.policies._named import Named
from rxchain.policies._settings import check_name, check_seconds


class Keys:
    """Several keys that an item needs at once: it gets all of them, or waits holding none.

    >>> from rxchain.policies import Keys
    >>> Keys("ann", "bob", "ann")
    Keys('ann', 'bob')

    ``Keys()`` is no key at all: the item needs no lock.
    """

    __slots__ = ("keys",)

    def __init__(self, *keys: Hashable) -> None:
        self.keys = tuple(dict.fromkeys(keys))

    def __repr__(self) -> str:
        return f"Keys({', '.join(map(repr, self.keys))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and set(self.keys) == set(other.keys)

    def __hash__(self) -> int:
        return hash(frozenset(self.keys))


class Lock:
    """Let an item in once no other with the same key is inside, in any node, chain or thread that uses this name.

    >>> import asyncio
    >>> from rxchain import Chain, node
    >>> from rxchain.policies import Lock
    >>> from rxchain.testing import run
    >>> balance = {"ann": 0}
    >>> @node(lock=Lock("accounts", key=lambda name: name))
    ... async def pay_in(name: str) -> None:
    ...     before = balance[name]
    ...     await asyncio.sleep(1)
    ...     balance[name] = before + 1
    >>> async def main():
    ...     await asyncio.gather(Chain(pay_in).run("ann"), Chain(pay_in).run("ann"))
    ...     return balance, asyncio.get_running_loop().time()
    >>> run(main())
    ({'ann': 2}, 2.0)

    First come, first served for each key. An item has the lock for all its attempts and the waits between them, and
    never longer than it is in the node, however it ends. What a node runs while it has the lock is inside, too, and
    does not wait for itself. `fence` gives the node a number that grows with each lease.

    Args:
        name: what is locked; two with this name exclude one another where their keys are equal.
        key: gives an item's key, hashable, or several as `Keys`.
        timeout: seconds after which an item that waits fails with `LockTimeout`; without it, it waits.
        backend: gives out the leases; without one, the lock is this process's own.

    Raises:
        CompositionError: an argument is not what it must be, or *name* is there already with another backend.
    """

    __slots__ = ("backend", "key", "name", "timeout")

    def __init__(
        self,
        name: str,
        key: Callable[[Any], Hashable],
        *,
        timeout: float | None = None,
        backend: LockBackend | None = None,
    ) -> None:
        correct = "Lock('accounts', key=lambda order: order.account, timeout=5.0)"
        check_name("Lock", name, correct)
        if not callable(key) or colour(key) is not Colour.SYNC or not takes(key, 1):
            found = f"{colour(key).value}, {name_of(key)}" if callable(key) else f"{a_kind_of(key)}: {shorten(key, 40)}"
            raise CompositionError(
                f"Lock {name!r}: key is a plain function of one item, got {found}\n"
                f"    Lock({name!r}, key={name_of(key) if callable(key) else shorten(key, 30)})  # incorrect\n"
                f"    {correct}  # correct"
            )
        if timeout is not None:
            check_seconds("Lock", "timeout", timeout, correct)
        self.name, self.key, self.timeout, self.backend = name, key, timeout, backend
        _named.get(name, backend, repr(self), lambda: None)

    def __repr__(self) -> str:
        timeout = f", timeout={self.timeout:g}" if self.timeout is not None else ""
        backend = f", backend={self.backend!r}" if self.backend is not None else ""
        return f"Lock({self.name!r}, key={name_of(self.key)}{timeout}{backend})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lock):
            return NotImplemented
        return (self.name, self.key, self.timeout, self.backend) == (
            other.name,
            other.key,
            other.timeout,
            other.backend,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.key))

    def snapshot(self) -> LockSnapshot:
        """How many keys are held in this process, and how many calls wait for them; from any thread."""
        return local_locks.snapshot(self.name)

    @staticmethod
    def forget(name: str | None = None) -> None:
        """Begin afresh, as a test does: the next lock called *name*, or any name if it is None, is a new one.

        Calls that are inside an old one go on there.
        """
        _named.forget(name)
        local_locks.forget(name)

    def around(self, fn: Callable[[Any], Awaitable[Any]], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """An async function that does what *fn* does, while it has the item's keys."""
        name, timeout, backend = self.name, self.timeout, self.backend

        async def locked(item: Any) -> Any:
            keys = self._keys_of(item, node)
            if not keys:
                return await fn(item)
            begun = asyncio.get_running_loop().time()
            try:
                claim = await local_locks.acquire(name, keys, timeout)
            except LockDeadlock as error:
                raise LockDeadlock(name, error.keys, error.holding, node=node) from None
            if claim is None:
                assert timeout is not None
                raise LockTimeout(name, keys, timeout, node=node)
            try:
                if backend is None:
                    return await _inside(Held(name, claim, claim), fn, item)
                if not claim.keys:  # inside of what has asked the backend
                    return await _inside(Held(name, claim, _outer(name, claim)), fn, item)
                left = None if timeout is None else max(0.0, begun + timeout - asyncio.get_running_loop().time())
                lease = await backend.acquire(name, claim.keys, left)
                if lease is None:
                    assert timeout is not None
                    raise LockTimeout(name, keys, timeout, node=node)
                return await _released(lease, _inside(Held(name, claim, lease), fn, item))
            finally:
                claim.leave()

        return locked

    def _keys_of(self, item: Any, node: str) -> tuple[Hashable, ...]:
        key = self.key(item)
        if isinstance(key, Keys):
            return key.keys
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"node {node!r}: a key of lock {self.name!r} has to be hashable, and the key function gave"
                f" {a_kind_of(key)}: {shorten(key, 40)}\n"
                "    return [payer, payee]  # incorrect\n"
                "    return Keys(payer, payee)  # correct, for several keys; tuple(...) for one that is made of parts"
            ) from None
        return (key,)


def lock_of(given: Any, node: str) -> Lock:
    """The lock that a node declares: as it is, or of a key function, called after the node.

    Raises:
        CompositionError: it is neither.
    """
    if isinstance(given, Lock):
        return given
    if not callable(given):
        raise CompositionError(
            f"node {node!r}: lock is a function that gives an item's key, or a Lock, got {a_kind_of(given)}:"
            f" {shorten(given, 40)}\n"
            f"    @node(lock={shorten(given, 30)})  # incorrect\n"
            "    @node(lock=lambda order: order.account)  # correct; or lock=Lock('accounts', key=..., timeout=5.0)"
        )
    return Lock(node, given)


async def _inside(held: Held, fn: Callable[[Any], Awaitable[Any]], item: Any) -> Any:
    """*fn* of *item*, which sees what it holds."""
    # What was let go of meanwhile is no use: a task that starts another one, which starts another, would pile it up.
    token = inside.set((*[outer for outer in inside.get() if outer.claim.users], held))
    try:
        return await fn(item)
    finally:
        try:
            inside.reset(token)
        except ValueError:
            pass  # it is collected, in somebody else's context


def _outer(name: str, claim: Claim) -> Lease:
    """The lease of the innermost that has let *claim* in again."""
    return next(held.lease for held in reversed(inside.get()) if held.claim in claim.again)


async def _released(lease: Lease, work: Coroutine[Any, Any, Any]) -> Any:
    """What *work* gives; then *lease* is let go of."""
    error: BaseException | None = None
    try:
        return await work
    except BaseException as raised:
        error = raised
        raise
    finally:
        if not isinstance(error, GeneratorExit):  # else it is collected: nothing can be awaited, and the lease ends
            await _release(lease, error)
        del error


async def _release(lease: Lease, error: BaseException | None) -> None:
    """Let go of *lease* in a task that is waited for, however often this is itself cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    task = asyncio.get_running_loop().create_task(lease.release(), name="release of a lock")
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as again:
            cancelled = again
    failure = None if task.cancelled() else task.exception()
    if failure is not None:
        if error is None:
            raise failure
        error.add_note(f"and the lock was not released: {failure!r}")
    if cancelled is not None:
        raise cancelled


_named: Named[None] = Named("Lock")
