"""The four protocols of Reactive Streams. Numbers in brackets are the specification's rules."""

from typing import Protocol, TypeVar, runtime_checkable

from rxchain.types import In_contra, Out_co

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


@runtime_checkable
class Subscription(Protocol):
    """What a subscriber holds of its publisher: demand, and the end of it.

    Both calls return at once, raise nothing, may come from any thread, and do nothing once the subscription has ended
    (3.4 to 3.7, 3.15, 3.16).
    """

    def request(self, n: int, /) -> None:
        """Ask for *n* items more than were asked for so far; 0 or less fails the subscription (3.8, 3.9)."""

    def cancel(self) -> None:
        """Ask for nothing more, ever: signals cease, and the subscriber is let go of (3.12, 3.13)."""


@runtime_checkable
class Subscriber(Protocol[T_contra]):
    """Takes a publisher's signals: `on_subscribe` once, items as they were requested, then at most one end.

    Signals come one at a time (1.3), and must return quickly and raise nothing (2.13).
    """

    def on_subscribe(self, subscription: Subscription, /) -> None:
        """Take the subscription, before every other signal (1.9); nothing comes without a request on it (2.1)."""

    def on_next(self, item: T_contra, /) -> None:
        """Take one of the items that were requested (1.1)."""

    def on_error(self, error: Exception, /) -> None:
        """The stream has failed; nothing follows (1.4, 1.7)."""

    def on_complete(self) -> None:
        """The stream has ended; nothing follows (1.5, 1.7)."""


@runtime_checkable
class Publisher(Protocol[T_co]):
    """Gives items to those who subscribe, and to each no more than it has requested."""

    def subscribe(self, subscriber: Subscriber[T_co], /) -> None:
        """Begin a subscription: *subscriber* is given it by `on_subscribe` (1.9).

        Raises:
            TypeError: *subscriber* is None, or no subscriber. Whatever else is wrong, `on_error` is told.
        """


@runtime_checkable
class Processor(Subscriber[In_contra], Publisher[Out_co], Protocol[In_contra, Out_co]):
    """A subscriber that publishes what it makes of its items; held to the rules of both (4.1)."""
