"""A notifier that posts to an HTTP server: at least once, as a server that answers too late has it nevertheless."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from rxchain.errors import CompositionError
from rxchain.observe._redact import Redacted, redacted
from rxchain.policies import Notification

TIMEOUT = 10.0


class Webhook:
    """A notifier that posts each notification as JSON.

    >>> from rxchain.observe import Webhook
    >>> from rxchain.policies import ErrorHandler
    >>> ErrorHandler(notify=Webhook("https://hooks.example.org/T0/B0"))
    ErrorHandler(notify=[Webhook('https://hooks.example.org')])

    What is posted is ``text``, the line to be read, as chat services take it, and beside it ``chain``, ``node``,
    ``error``, ``count`` and ``seconds``; never an item. An answer that is no success is an error, and the notification
    is posted again later. It takes httpx: ``pip install rxchain[http]``.

    Args:
        url: where to, with ``https://`` or ``http://``. It may be a secret in itself: only its host is shown.
        headers: such as ``{"Authorization": "Bearer ..."}``.
        timeout: seconds for the whole of it.
        body: makes of a notification what is posted, if the server wants something else.
        redact: takes secrets out of the texts; see `redacted`.

    Raises:
        CompositionError: *url* is no such URL, or httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        body: Callable[[Notification], Any] | None = None,
        redact: Redacted | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise CompositionError(
                "Webhook takes httpx, and it is not installed\n"
                "    pip install rxchain  # incorrect, for this\n"
                '    pip install "rxchain[http]"  # correct'
            ) from error
        try:
            parsed = httpx.URL(url)
        except (TypeError, ValueError, httpx.InvalidURL):
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise CompositionError(
                "Webhook is given a URL\n"
                '    Webhook("hooks.example.org/T0")  # incorrect\n'
                '    Webhook("https://hooks.example.org/T0")  # correct'
            )
        self._url, self._headers, self._timeout, self._body = parsed, dict(headers or {}), timeout, body
        self._redact = redact or redacted()
        # Now: reading the certificates, and what the first transport imports, takes 0.1 s that a stream would wait.
        self._verify = httpx.create_ssl_context() if parsed.scheme == "https" else False
        httpx.AsyncHTTPTransport(verify=self._verify)

    async def __call__(self, notification: Notification) -> None:
        """Post *notification*."""
        import httpx

        # A connection of its own each time: there is one in a minute, and no run would be there to close it.
        async with asyncio.timeout(self._timeout), httpx.AsyncClient(timeout=None, verify=self._verify) as client:
            answer = await client.post(self._url, json=self._made_of(notification), headers=self._headers)
        if not answer.is_success:
            raise ConnectionError(f"{self!r} answered {answer.status_code} {answer.reason_phrase}")

    def _made_of(self, notification: Notification) -> Any:
        if self._body is not None:
            return self._redact.value(self._body(notification))
        n = notification
        return {
            "text": self._redact.text(str(n)),
            "chain": n.chain,
            "node": n.node,
            "error": n.error,
            "count": n.count,
            "seconds": round(n.seconds, 3),
        }

    def __repr__(self) -> str:
        port = "" if self._url.port is None else f":{self._url.port}"
        return f"Webhook('{self._url.scheme}://{self._url.host}{port}')"
