"""What a server says about when to come back."""

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any


def retry_after(error: Exception) -> float | None:
    """Give the seconds that a response's ``Retry-After`` asks for, a number or a date; None where it says nothing.

    >>> from rxchain.policies import Retry, retry_after
    >>> Retry(5, total=60, hint=retry_after)
    Retry(5, total=60, hint=retry_after)
    >>> class Busy(Exception):
    ...     headers = {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:29 GMT"}
    >>> retry_after(Busy())
    30.0

    The headers are looked for where httpx and requests have them (``error.response.headers``), where aiohttp and urllib
    do (``error.headers``), and at a result that was refused (``error.result.headers``). A date is compared with the
    server's own, which its responses carry, and with this machine's where one doesn't; one that is past is 0.
    """
    for holder in (getattr(error, "response", None), getattr(error, "result", None), error):
        headers = getattr(holder, "headers", None)
        if headers is not None and hasattr(headers, "get"):
            said = _header(headers, "Retry-After")
            return None if said is None else _seconds(said, _header(headers, "Date"))
    return None


def _header(headers: Any, name: str) -> str | None:
    """A header's text, be *headers* a plain dict or one that knows no case."""
    found = headers.get(name)
    if found is None:
        found = headers.get(name.lower())
    if isinstance(found, bytes):
        found = found.decode("latin-1")
    return None if found is None else str(found).strip()


def _seconds(said: str, date: str | None) -> float | None:
    try:
        number = float(said)
    except ValueError:
        until = _timestamp(said)
        if until is None:
            return None
        since = None if date is None else _timestamp(date)
        return max(0.0, until - (time.time() if since is None else since))
    return number if 0 <= number < math.inf else None


def _timestamp(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
