"""The errors rxchain raises itself. A user's own exception keeps its type and gains a note instead."""


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
