"""A chain between a publisher and a subscriber: an inbox on the one side, a subscription on the other."""

from collections.abc import AsyncGenerator, Callable

from rxchain.streams._emission import Emission
from rxchain.streams._inbox import Inbox, Taking
from rxchain.streams._protocols import Processor, Subscriber, Subscription
from rxchain.streams._publisher import check_subscriber
from rxchain.types import AnyIterable, In, Out


class ChainProcessor(Processor[In, Out]):
    """A `Processor` that runs a chain, once, for one subscriber.

    Args:
        stream: runs the chain over a source: ``chain.stream``.
        window: how many items are requested of the publisher ahead.
    """

    def __init__(self, stream: Callable[[AnyIterable[In]], AsyncGenerator[Out, None]], window: int) -> None:
        self._stream = stream
        self._inbox: Inbox[In] = Inbox(window, self._upstream_ended)
        self._emission: Emission[Out] | None = None
        self._takers = iter([True])

    # --- as a subscriber

    def on_subscribe(self, subscription: Subscription, /) -> None:
        """Take the publisher's subscription, and request the first items; a second one is cancelled."""
        self._inbox.on_subscribe(subscription)

    def on_next(self, item: In, /) -> None:
        """Take an item."""
        self._inbox.on_next(item)

    def on_error(self, error: Exception, /) -> None:
        """Pass on the error, behind what the items before it became."""
        self._inbox.on_error(error)

    def on_complete(self) -> None:
        """End the chain's source: what it still holds is flushed, then it completes."""
        self._inbox.on_complete()

    # --- as a publisher

    def subscribe(self, subscriber: Subscriber[Out], /) -> None:
        """Run the chain for *subscriber*, on the event loop that runs here, else on one in a thread of its own.

        Raises:
            TypeError: *subscriber* is None, or no subscriber.
        """
        check_subscriber(subscriber)
        if not next(self._takers, False):
            refusal = RuntimeError(
                "a processor runs once, for one subscriber, and it has one\n"
                "    processor.subscribe(another)  # incorrect\n"
                "    chain.processor().subscribe(another)  # correct: one processor each"
            )
            Emission(subscriber, self._open, refusal=refusal).begin()
            return
        emission = self._emission = Emission(subscriber, self._open, ending=self._is_ending, done=self._inbox.close)
        emission.begin()

    def _open(self) -> AsyncGenerator[Out, None]:
        return self._stream(Taking(self._inbox))

    def _is_ending(self) -> bool:
        return self._inbox.ended

    def _upstream_ended(self) -> None:
        if self._emission is not None:
            self._emission.look()
