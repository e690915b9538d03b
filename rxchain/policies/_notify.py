"""Whom to tell of failures, and when: of a thousand alike, once, with their number.

A decision without a clock: it is told the time. What has not been told is a count, so that it stays small however long
whoever is told takes; a queue of messages would have to grow, or to lose some.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from rxchain.engine import a_kind_of, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.policies._log import called, place_of, said_by
from rxchain.types import Failure

DEFAULT_PER = 60.0
"""Seconds between two notifications of the same kind, where nothing else is said."""

MOST_KINDS = 1000
"""So many kinds of failures are kept apart; what comes beyond is counted together."""


class Kind(NamedTuple):
    """What failures have in common that are told of together; each may be empty."""

    chain: str
    node: str
    error: str


OTHERS = Kind("", "", "")
"""What is beyond the number of kinds that are kept apart."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What a notifier is told: one failure, or how many of a kind there were since the last time.

    ``str`` of it is a line to be sent as it is, without what any item was.

    >>> from rxchain import Failure
    >>> from rxchain.policies import Notification
    >>> failure = Failure(TimeoutError("no answer"), "orders", "charge", item="tea", value="tea")
    >>> str(Notification("orders", "charge", "TimeoutError", count=1, seconds=0.0, failure=failure))
    "node 'charge' of chain 'orders' failed: TimeoutError: no answer"
    >>> str(Notification("orders", "charge", "TimeoutError", count=999, seconds=60.0, failure=failure))
    "node 'charge' of chain 'orders' failed 999 times in 60 s; the last: TimeoutError: no answer"
    """

    chain: str
    """The chain's name; empty where it has none."""
    node: str
    """The node's name; empty for failures of several kinds."""
    error: str
    """The error's type, by name; empty for failures of several kinds."""
    count: int
    """How many failures this tells of."""
    seconds: float
    """How long ago the first of them was."""
    failure: Failure
    """The last of them."""

    def __str__(self) -> str:
        what = called(self.chain, self.node) if self.node else "a call" if self.error else "calls of many kinds"
        said = said_by(self.failure.error)
        place = place_of(self.failure)
        if place is not None:
            said += f", item {place}"
        if self.count == 1:
            return f"{what} failed: {said}"
        return f"{what} failed {self.count} times in {self.seconds:.3g} s; the last: {said}"


Notifier: TypeAlias = Callable[[Notification], object] | Callable[[Notification], Awaitable[object]]
"""What is called with a `Notification`: an async function, or a plain one, which then runs in a thread."""


class Throttled:
    """A notifier that is told of the same kind of failure once in *per* seconds, instead of once in 60.

    >>> from rxchain.policies import ErrorHandler, Throttled
    >>> ErrorHandler(notify=[Throttled(print, per=3600)])
    ErrorHandler(notify=[Throttled(print, per=3600)])

    The same kind is: the same chain, node and type of error. The first failure is told of at once; those after it are
    counted, and told of together when the time is over, or when the run ends.

    Args:
        notifier: a function, sync or async, of a `Notification`; `Webhook`, `Email`.
        per: seconds, more than 0.

    Raises:
        CompositionError: *notifier* cannot be called with a notification, *per* is no such number.
    """

    __slots__ = ("notifier", "per")

    def __init__(self, notifier: Notifier, *, per: float = DEFAULT_PER) -> None:
        if isinstance(notifier, Throttled) or not callable(notifier) or not takes(notifier, 1):
            raise CompositionError(
                f"a notifier is a function of a notification, got {a_kind_of(notifier)}: {shorten(notifier, 60)}\n"
                f"    notify=[{shorten(notifier, 30)}]  # incorrect\n"
                "    notify=[lambda notification: print(notification)]  # correct; or Webhook(url), Email(...)"
            )
        if isinstance(per, bool) or not isinstance(per, (int, float)) or not 0 < per < float("inf"):
            raise CompositionError(
                f"per is in seconds, more than 0, got {shorten(per, 30)}\n"
                f"    Throttled({name_of(notifier)}, per={shorten(per, 30)})  # incorrect\n"
                f"    Throttled({name_of(notifier)}, per=60)  # correct"
            )
        self.notifier, self.per = notifier, per

    def __repr__(self) -> str:
        return f"Throttled({shown(self.notifier)}, per={self.per:g})"


def shown(notifier: Notifier) -> str:
    """What a person knows *notifier* by: a function's name, what an object says of itself."""
    return name_of(notifier) if hasattr(notifier, "__name__") else shorten(notifier, 80)


class _Told:
    """One kind of failure: how many have not been told of, and until when nothing is to be."""

    __slots__ = ("count", "last", "since", "until")

    def __init__(self, now: float, failure: Failure) -> None:
        self.until = self.since = now
        self.count = 0
        self.last = failure


class Throttle:
    """Say what is to be told when: the first of a kind at once, the others as a number once in *per* seconds.

    Each failure is in exactly one notification. Pure: no clock, no lock.
    """

    def __init__(self, per: float, most_kinds: int = MOST_KINDS) -> None:
        self.per, self.most_kinds = per, most_kinds
        self._kinds: dict[Kind, _Told] = {}

    def add(self, failure: Failure, now: float) -> bool:
        """Count *failure*; say whether there is something to be told now."""
        kind = Kind(failure.chain, failure.node, type(failure.error).__name__)
        return self._add(kind, failure, 1, now, now).until <= now

    def take(self, now: float) -> list[Notification]:
        """What is to be told now; it counts as told."""
        found: list[Notification] = []
        for kind, told in list(self._kinds.items()):
            if told.until > now:
                continue
            if told.count:
                found.append(_notification(kind, told, now))
                told.count, told.until = 0, now + self.per
            else:
                del self._kinds[kind]
        return found

    def take_all(self, now: float) -> list[Notification]:
        """What has not been told, be it time or not; the next failure is the first of its kind again."""
        found = [_notification(kind, told, now) for kind, told in self._kinds.items() if told.count]
        self._kinds.clear()
        return found

    def put_back(self, notification: Notification, taken: float, now: float) -> None:
        """Take it that *notification*, taken then, has not been told: the next, in *per* seconds, tells of it too."""
        n, since = notification, taken - notification.seconds
        told = self._add(Kind(n.chain, n.node, n.error), n.failure, n.count, since, now)
        told.since = min(told.since, since)
        told.until = now + self.per

    def next_at(self) -> float | None:
        """When there will be something to be told; None where all has been."""
        return min((told.until for told in self._kinds.values() if told.count), default=None)

    @property
    def untold(self) -> int:
        """How many failures have not been told of."""
        return sum(told.count for told in self._kinds.values())

    def _add(self, kind: Kind, failure: Failure, count: int, since: float, now: float) -> _Told:
        told = self._kinds.get(kind)
        if told is None:
            if len(self._kinds) >= self.most_kinds:
                self._forget(now)
            if len(self._kinds) >= self.most_kinds:
                kind = OTHERS
            told = self._kinds.setdefault(kind, _Told(now, failure))
        if not told.count:
            told.since = since
        told.count += count
        told.last = failure
        return told

    def _forget(self, now: float) -> None:
        """Forget the kinds of which there is nothing to be told, and of which something may be told again."""
        for kind in [kind for kind, told in self._kinds.items() if not told.count and told.until <= now]:
            del self._kinds[kind]


def _notification(kind: Kind, told: _Told, now: float) -> Notification:
    return Notification(*kind, told.count, now - told.since, told.last)
