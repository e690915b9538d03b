"""Whether the log shows items."""

from rxchain.policies import _log


def show_payloads(shown: bool = True) -> None:
    """Let rxchain's messages show what items are, until they are not to any more; or, with False, not to any more.

    >>> from rxchain.observe import show_payloads
    >>> show_payloads()
    >>> show_payloads(False)

    Without it they only say where an item stands. For one handler alone there is ``ErrorHandler(payload=True)``.
    """
    _log.payloads = shown
