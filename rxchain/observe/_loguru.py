"""A notifier that writes to loguru: one line for a thousand failures."""

from loguru import logger

from rxchain.policies import Notification


class Loguru:
    """A notifier that logs each notification, unless all of rxchain is disabled in loguru.

    >>> import sys
    >>> from loguru import logger
    >>> from rxchain import Chain
    >>> from rxchain.observe import Loguru
    >>> from rxchain.policies import ErrorHandler
    >>> logger.enable("rxchain.observe")
    >>> sink = logger.add(sys.stdout, format="{level} {message}")
    >>> def price(text: str) -> float:
    ...     return float(text)
    >>> handler = ErrorHandler(record=None, notify=Loguru("CRITICAL"))
    >>> list(Chain(price, name="prices", on_error=handler).iterate(["1", "tea", "2"]))
    CRITICAL node 'price' of chain 'prices' failed: ValueError: could not convert string to float: 'tea', item [1]
    [1.0, 2.0]
    >>> logger.remove(sink)

    It need not be enabled, but must not have been disabled.

    Args:
        level: the level; of loguru, or one of your own.
    """

    def __init__(self, level: str | int = "ERROR") -> None:
        self.level = level

    async def __call__(self, notification: Notification) -> None:
        """Log *notification*."""
        n = notification
        bound = logger.bind(chain=n.chain, node=n.node, item=None, attempt=n.failure.attempts, error=n.error)
        bound.bind(count=n.count).log(self.level, "{}", n)

    def __repr__(self) -> str:
        return f"Loguru({self.level!r})"
