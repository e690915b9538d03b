"""A notifier that sends mail, in a thread: the standard library's SMTP waits for the server."""

import asyncio
import smtplib
import ssl
from collections.abc import Iterable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal

from rxchain.engine import shorten
from rxchain.errors import CompositionError
from rxchain.observe._redact import Redacted, redacted
from rxchain.policies import Notification

TIMEOUT = 20.0
_PORTS = {"starttls": 587, "ssl": 465, None: 25}


class Email:
    """A notifier that sends each notification as a mail of a few lines; never an item.

    >>> from rxchain.observe import Email
    >>> from rxchain.policies import ErrorHandler, Throttled
    >>> mail = Email("ops@example.org", sender="orders@example.org", host="mail.example.org", user="us", password="...")
    >>> ErrorHandler(notify=Throttled(mail, per=3600))
    ErrorHandler(notify=[Throttled(Email('ops@example.org'), per=3600)])

    Args:
        to: one address, or several.
        sender: the address that it comes from.
        host: the mail server.
        port: if not given, 587 for ``"starttls"``, 465 for ``"ssl"``, 25 without either.
        security: ``"starttls"``, the connection is encrypted before anything is said; ``"ssl"``, it is from the start;
            None, never: for a server on this machine.
        user, password: for servers that ask who it is.
        context: what certificates are accepted; the system's if not given.
        timeout: seconds for each answer of the server.
        redact: takes secrets out of the text; see `redacted`.

    Raises:
        CompositionError: an address has no ``@`` or a line break in it, there is no such security, or a password would
            be sent unencrypted.
    """

    def __init__(
        self,
        to: str | Iterable[str],
        *,
        sender: str,
        host: str = "localhost",
        port: int | None = None,
        security: Literal["starttls", "ssl"] | None = "starttls",
        user: str | None = None,
        password: str = "",
        context: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
        redact: Redacted | None = None,
    ) -> None:
        self._to = (to,) if isinstance(to, str) else tuple(to)
        for address in (*self._to, sender) if self._to else ("",):
            if not isinstance(address, str) or "@" not in address or {"\n", "\r"} & set(address):
                raise CompositionError(
                    f"Email is sent from an address to addresses, got {shorten(address, 60)}\n"
                    '    Email("ops", sender="orders")  # incorrect\n'
                    '    Email("ops@example.org", sender="orders@example.org")  # correct'
                )
        if security not in _PORTS:
            raise CompositionError(f"security is 'starttls', 'ssl' or None, got {shorten(security, 30)}")
        if user is not None and security is None:
            raise CompositionError(
                "Email would send the password unencrypted\n"
                '    Email(..., user="orders", security=None)  # incorrect\n'
                '    Email(..., user="orders", security="starttls")  # correct'
            )
        self._sender, self._host, self._security = sender, host, security
        self._port = _PORTS[security] if port is None else port
        self._user, self._password, self._context, self._timeout = user, password, context, timeout
        self._redact = redact or redacted()

    async def __call__(self, notification: Notification) -> None:
        """Send *notification*."""
        await asyncio.to_thread(self._send, self._message(notification))

    def _message(self, notification: Notification) -> EmailMessage:
        n = notification
        text = self._redact.text(str(n))
        message = EmailMessage()
        message["Subject"] = " ".join(text.split())[:150]
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Date"] = formatdate(localtime=True)
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2].strip("> "))
        message["Auto-Submitted"] = "auto-generated"  # so that no holiday message answers it
        message.set_content(
            f"{text}\n\nchain: {n.chain}\nnode: {n.node}\nerror: {n.error}\nfailures: {n.count}\n"
            f"within: {n.seconds:.3g} s\n"
        )
        return message

    def _send(self, message: EmailMessage) -> None:
        context = self._context or ssl.create_default_context()
        if self._security == "ssl":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        with server:
            if self._security == "starttls":
                server.starttls(context=context)
            if self._user is not None:
                server.login(self._user, self._password)
            server.send_message(message)

    def __repr__(self) -> str:
        return f"Email({', '.join(map(repr, self._to))})"
