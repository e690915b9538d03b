"""So many calls in a time, by waiting: a leaky bucket for each key, and a queue before each.

A bucket is one number: when it will be empty. Each call fills it for a while; a call that would make it overflow waits
first, at the head of the queue, for a time that is known then. Rivals: aiolimiter's buckets belong to one event loop,
so that chains in several threads, or `run_sync` for each item, are not limited together; and as it measures again after
each wait, a rest too small for the clock makes it ask for ever where time stands still meanwhile, as in a test.
"""

import asyncio
import sys
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Protocol

from rxchain.engine import Colour, a_kind_of, colour, shorten, takes
from rxchain.errors import CompositionError
from rxchain.policies._gate import Gate, Waiter
from rxchain.policies._settings import check_rate, check_seconds


class Limiter(Protocol):
    """A limiter of somebody else's, aiolimiter's ``AsyncLimiter`` for one."""

    async def acquire(self) -> object:
        """Wait until one more may begin."""


class RateLimit:
    """Let *max_rate* attempts begin in *per* seconds; those that are too early wait, first come, first served.

    >>> import asyncio
    >>> from rxchain.policies import RateLimit
    >>> from rxchain.testing import run
    >>> async def ask(number):
    ...     return asyncio.get_running_loop().time()
    >>> async def main():
    ...     limited = RateLimit(2, per=1.0).around(ask, "ask")
    ...     return [await limited(number) for number in range(5)]
    >>> run(main())
    [0.0, 0.0, 0.5, 1.0, 1.5]

    It is a leaky bucket: after a rest *max_rate* may begin at once, and then one every *per* / *max_rate* seconds. So
    in the first *per* seconds there may be up to twice *max_rate*; ``RateLimit(1, per=0.5)`` is the same rate without
    that. One RateLimit given to several nodes is one limit for all of them, on whatever threads and event loops they
    run. An attempt that is cancelled while it waits has taken nothing.

    Args:
        max_rate: how many may begin in *per* seconds, from 1 on.
        per: seconds.
        key: a function of the item that gives its key, hashable: each key has the rate for itself. The bucket of a key
            is let go of when it is empty, which it is *per* seconds after its last call, or earlier.

    Raises:
        CompositionError: an argument is not what it must be.
    """

    __slots__ = ("_by_key", "_limiter", "_lock", "_loop", "_only", "_seen", "key", "max_rate", "per")

    def __init__(self, max_rate: float, per: float, *, key: Callable[[Any], Hashable] | None = None) -> None:
        check_rate("RateLimit", "max_rate", max_rate, "RateLimit(100, per=1.0)")
        check_seconds("RateLimit", "per", per, "RateLimit(100, per=1.0)")
        if key is not None and not (callable(key) and colour(key) is Colour.SYNC and takes(key, 1)):
            raise CompositionError(
                f"RateLimit: key is a plain function of the item, got {shorten(key, 40)}\n"
                f"    RateLimit({max_rate:g}, per={per:g}, key={shorten(key, 30)})  # incorrect\n"
                f"    RateLimit({max_rate:g}, per={per:g}, key=lambda order: order.customer)  # correct"
            )
        self.max_rate = max_rate
        self.per = per
        self.key = key
        self._limiter: Limiter | None = None
        self._lock = threading.Lock()
        self._only = Bucket(max_rate, per)
        self._by_key: OrderedDict[Hashable, Bucket] = OrderedDict()  # in the order of their last use; under the lock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen = 0.0

    @classmethod
    def by(cls, limiter: Limiter) -> "RateLimit":
        """Ask a limiter of your own before each attempt: one that several processes share, say.

        >>> from rxchain import Chain, node
        >>> from rxchain.policies import RateLimit
        >>> class Turnstile:
        ...     async def acquire(self):
        ...         print("one more")
        >>> @node(rate_limit=RateLimit.by(Turnstile()))
        ... async def ask(number):
        ...     return number * 10
        >>> list(Chain(ask).iterate([1, 2]))
        one more
        one more
        [10, 20]

        Raises:
            CompositionError: *limiter* has no async ``acquire``.
        """
        acquire = getattr(limiter, "acquire", None)
        if acquire is None or colour(acquire) is not Colour.ASYNC:
            raise CompositionError(
                f"RateLimit.by: a limiter has `async def acquire()`, got {a_kind_of(limiter)}: {shorten(limiter, 40)}\n"
                f"    RateLimit.by({shorten(limiter, 30)})  # incorrect\n"
                "    RateLimit.by(AsyncLimiter(100, 1))  # correct; without one: RateLimit(100, per=1)"
            )
        made = cls(1, 1)
        made._limiter = limiter
        return made

    def __repr__(self) -> str:
        if self._limiter is not None:
            return f"RateLimit.by({shorten(self._limiter, 60)})"
        key = f", key={getattr(self.key, '__name__', None) or shorten(self.key, 30)}" if self.key is not None else ""
        return f"RateLimit({self.max_rate:g}, per={self.per:g}{key})"

    def around(self, fn: Callable[[Any], Awaitable[Any]], node: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """An async function that does what *fn* does, when it is its turn."""
        limiter, key = self._limiter, self.key

        async def limited_elsewhere(item: Any) -> Any:
            assert limiter is not None
            await limiter.acquire()
            return await fn(item)

        async def limited(item: Any) -> Any:
            loop = asyncio.get_running_loop()
            if loop is not self._loop:
                self._meet(loop)
            if key is None:
                bucket = self._only
                waiter = bucket.gate.enter()
            else:
                bucket, waiter = self._entered(key(item), loop.time())
            if waiter is not None:
                await bucket.gate.let_in(waiter)
            try:
                wait = bucket.wait(loop.time())
                if wait > 0:
                    await asyncio.sleep(wait)
                self._seen = now = loop.time()
                bucket.fill(now)
            finally:
                bucket.gate.leave()
            return await fn(item)

        return limited if limiter is None else limited_elsewhere

    def _entered(self, key: Hashable, now: float) -> "tuple[Bucket, Waiter | None]":
        """The bucket of *key*, in whose queue this call stands from now on."""
        with self._lock:  # with it held a bucket is found and entered, so that none is let go of in between
            bucket = self._by_key.get(key)
            if bucket is None:
                self._let_go(now)
                bucket = self._by_key[key] = Bucket(self.max_rate, self.per)
            else:
                self._by_key.move_to_end(key)
            return bucket, bucket.gate.enter()

    def _let_go(self, now: float) -> None:
        """Forget up to two buckets that are empty: one more comes, so they grow fewer if they can."""
        for _ in range(min(2, len(self._by_key))):
            key, bucket = next(iter(self._by_key.items()))
            if bucket.gate.inside or bucket.empty_at > now:
                self._by_key.move_to_end(key)
            else:
                del self._by_key[key]

    def _meet(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin afresh on an event loop whose time is before the last one's: it has another clock, as in tests."""
        with self._lock:
            if self._loop is not None and self._loop.is_closed() and loop.time() < self._seen:
                self._only = Bucket(self.max_rate, self.per)
                self._by_key.clear()
                self._seen = 0.0
            self._loop = loop


class Bucket:
    """A leaky bucket, told the time; and the gate before it, through which one call goes at a time."""

    __slots__ = ("_each", "_slack", "empty_at", "gate")

    def __init__(self, max_rate: float, per: float) -> None:
        self._each = per / max_rate
        self._slack = per - self._each
        self.empty_at = 0.0
        self.gate = Gate(1, sys.maxsize)

    def wait(self, now: float) -> float:
        """Seconds until one more fits in; 0 or less if it does."""
        return self.empty_at - self._slack - now

    def fill(self, now: float) -> None:
        """Put one more in."""
        self.empty_at = max(self.empty_at, now) + self._each
