"""A node's policies around its function: in one fixed order, so that what is declared says what happens.

From the innermost: a timeout for each attempt, the rate limit that each attempt asks, a second attempt beside a slow
one, attempts one after the other, a timeout for all of them, the breaker that counts what came of them, the bulkhead
that lets only so many in, the lock of the item's key, the fallback for what is left.

The lock stands outside the bulkhead: who waits for a key takes up no place in it, else the items of one busy key would
take all of them. Who waits for a place, or for the rate limit, has the key meanwhile: that keeps only items of the same
key waiting, and these would come after it anyway. It stands outside the breaker, so that waiting for a key is nobody's
failure, and outside the attempts, so that no other item comes in between two of them. The fallback has no lock.
"""

from collections.abc import Callable, Hashable, Mapping
from types import FunctionType
from typing import Any, TypedDict

from rxchain.engine import Colour, a_kind_of, colour, shorten
from rxchain.errors import CompositionError
from rxchain.policies._breaker import CircuitBreaker
from rxchain.policies._bulkhead import Bulkhead
from rxchain.policies._fallback import Recover, answer_for, fallbacks, recovery
from rxchain.policies._hedge import Hedge
from rxchain.policies._lock import Lock, lock_of
from rxchain.policies._rate_limit import RateLimit
from rxchain.policies._retry import Retry
from rxchain.policies._timeout import Timeout
from rxchain.policies._undo import Undo

Async = Callable[[Any], Any]
"""An async function of one item."""


class Declared(TypedDict, total=False):
    """What a node may declare about failures of its logic."""

    retry: Retry | int | None
    timeout: Timeout | float | None
    item_timeout: Timeout | float | None
    hedge: Hedge | float | None
    rate_limit: RateLimit | None
    breaker: CircuitBreaker | None
    bulkhead: Bulkhead | None
    lock: Lock | Callable[[Any], Hashable] | None
    fallback: Any
    undo: Undo | Callable[..., object] | None


INSIDE = ("timeout", "rate_limit", "hedge")
"""What goes around each attempt, from the innermost."""
OUTSIDE = ("item_timeout", "breaker", "bulkhead", "lock")
"""What goes around all attempts, from the innermost."""
_INTERRUPTS = ("timeout", "item_timeout", "hedge")

_KINDS: dict[str, tuple[type, type | tuple[type, ...], str]] = {
    "retry": (Retry, int, "3"),
    "timeout": (Timeout, (int, float), "2.0"),
    "item_timeout": (Timeout, (int, float), "10.0"),
    "hedge": (Hedge, (int, float), "0.1"),
    "rate_limit": (RateLimit, (), "RateLimit(100, per=1.0)"),
    "breaker": (CircuitBreaker, (), "CircuitBreaker('name')"),
    "bulkhead": (Bulkhead, (), "Bulkhead('name', 8)"),
}
"""What each must be, what else one may be made of, an example."""


def declared(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The policies that a node declares, checked and made of what was given for them.

    Raises:
        CompositionError: one is not what it must be.
    """
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key == "fallback":
            made[key] = fallbacks(value, f"node {name!r}")
        elif key == "lock" and value is not None:
            made[key] = lock_of(value, name)
        elif value is not None:
            made[key] = _policy(key, value, name)
    return made


def _policy(key: str, value: Any, name: str) -> Any:
    kind, short, example = _KINDS[key]
    if isinstance(value, kind):
        return value
    if isinstance(value, short) and not isinstance(value, bool):
        return kind(value)
    raise CompositionError(
        f"node {name!r}: {key} is a {kind.__name__}{' or a number' if short else ''},"
        f" got {a_kind_of(value)}: {shorten(value, 40)}\n"
        f"    @node({key}={shorten(value, 30)})  # incorrect\n"
        f"    @node({key}={example})  # correct"
    )


def guarded(
    fn: Callable[[Any], Any], name: str, generates: bool, given: Mapping[str, Any]
) -> tuple[Callable[[Any], Any], Recover | None]:
    """What a node calls in place of *fn*, and what it calls when that has raised.

    A retry and a fallback need nothing but the second: until something fails they cost a ``try``.

    Raises:
        CompositionError: a policy is not what it must be, or can do nothing for such a function.
    """
    policies = declared(given, name)
    if generates and "lock" in policies:
        raise CompositionError(
            f"node {name!r}: its items go on while it is still at work, and a lock is held no longer than an item is in"
            " the node: a generator takes none\n"
            "    @node(lock=...)  # incorrect, above a generator function\n"
            "    @node(lock=...)  # correct, above a function whose result is a list; then ops.unbatch()"
        )
    if policies and generates:
        raise CompositionError(
            f"node {name!r}: its items cannot be taken back when it fails after some of them:"
            f" a generator takes no {next(iter(policies))}\n"
            f"    @node({next(iter(policies))}=...)  # incorrect, above a generator function\n"
            f"    ops.retry({name}, 3)  # correct: its items go on when it has given all of them"
        )
    if colour(fn) is not Colour.ASYNC:
        for key in _INTERRUPTS:
            if key in policies:
                raise CompositionError(
                    f"node {name!r}: {key} is for functions that wait, and this is no async function:"
                    " nothing can interrupt it\n"
                    f"    @node({key}=...)  # incorrect, above a plain function\n"
                    f'    @node({key}=..., on="threads")  # correct: the thread works on, and nobody waits for it'
                )
    own = fn
    for key in INSIDE:
        if key in policies:
            fn = policies[key].around(lifted(fn), name)
    recover: Recover | None = None
    retry: Retry | None = policies.get("retry")
    if retry is not None:
        if retry.inlined and not any(key in policies for key in OUTSIDE):
            recover = retry.recover(fn, name)
        else:
            fn = retry.around(lifted(fn), name)
    for key in OUTSIDE:
        if key in policies:
            fn = policies[key].around(lifted(fn), name)
    if isinstance(fn, FunctionType) and fn is not own:
        fn.__name__ = name  # what `explain` prints
    if "fallback" in policies:
        last = recovery(policies["fallback"], answer_for(name))
        recover = last if recover is None else _then(recover, last)
    return fn, recover


def lifted(fn: Callable[[Any], Any]) -> Async:
    """An async function that does what *fn* does."""
    if colour(fn) is Colour.ASYNC:
        return fn

    async def awaited(item: Any) -> Any:
        return fn(item)

    return awaited


def _then(first: Recover, second: Recover) -> Recover:
    """*second*, when *first* has raised too."""
    if colour(first) is not Colour.ASYNC and colour(second) is not Colour.ASYNC:

        def recover_now(item: Any, error: Exception) -> Any:
            try:
                return first(item, error)
            except Exception as last:
                return second(item, last)

        return recover_now

    async def recover(item: Any, error: Exception) -> Any:
        try:
            result = first(item, error)
            return await result if colour(first) is Colour.ASYNC else result
        except Exception as last:
            result = second(item, last)
            return await result if colour(second) is Colour.ASYNC else result

    return recover
