"""Servers that are really there: one for HTTP, one for mail, each in a thread, on a port of this machine."""

import base64
import email
import email.policy
import http.server
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""For ``localhost``, signed by itself; its key is beside it, and good for nothing but these tests."""


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


@contextmanager
def serving(server: Any) -> Iterator[int]:
    """The port of a server that runs in a thread until the block ends, and is gone then."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Posts(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it; answers with the next of *answers*, or 200; ``None`` is not to answer."""

    daemon_threads = False

    def __init__(self, *answers: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.answers = list(answers)
        self.posted: list[tuple[str, dict[str, str], Any]] = []
        self.over = threading.Event()

    def shutdown(self) -> None:
        self.over.set()
        super().shutdown()


class _Post(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast("Posts", self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.posted.append((self.path, dict(self.headers), body))
        answer = server.answers.pop(0) if server.answers else 200
        if answer is None:
            server.over.wait(10)
            return
        self.send_response(answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Mails(socketserver.ThreadingTCPServer):
    """Keeps the mails that it takes, and how they came: encrypted or not, as which user."""

    daemon_threads = False

    def __init__(self, *, tls: bool = False, user: str | None = None, refuse: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.tls, self.user, self.refuse = tls, user, refuse
        self.mails: list[tuple[EmailMessage, list[str], bool, str | None]] = []


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321, 3207, 4954) as a client needs that wants to get rid of a mail."""

    def handle(self) -> None:
        server = cast("Mails", self.server)
        self.encrypted, self.user = False, None
        if server.tls:
            self.encrypt()
        recipients: list[str] = []
        self.say("220 localhost")
        while line := self.rfile.readline().decode().strip():
            word, _, rest = line.partition(" ")
            match word.upper():
                case "EHLO":
                    offers = [] if self.encrypted else ["STARTTLS"]
                    offers += ["AUTH PLAIN"] if server.user and self.encrypted else []
                    for offer in ["localhost", *offers]:
                        self.say(f"250-{offer}")
                    self.say("250 8BITMIME")
                case "STARTTLS":
                    self.say("220 go on")
                    self.encrypt()
                case "AUTH":
                    _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                    right = f"{user}:{password}" == server.user
                    self.user = user if right else None
                    self.say("235 welcome" if right else "535 who?")
                case "MAIL":
                    if server.user and self.user is None:
                        self.say("530 say who you are first")
                    else:
                        self.say("250 fine")
                case "RCPT":
                    recipients.append(rest.partition("<")[2].partition(">")[0])
                    self.say("250 fine")
                case "DATA":
                    if server.refuse:
                        server.refuse -= 1
                        self.say("451 not now")
                        continue
                    self.say("354 go on")
                    body = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        body += part.removeprefix(b".") if part.startswith(b"..") else part
                    mail = email.message_from_bytes(body, policy=email.policy.default)
                    server.mails.append((mail, recipients, self.encrypted, self.user))
                    self.say("250 taken")
                case "QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("250 fine")

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def encrypt(self) -> None:
        self.connection = server_context().wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.encrypted = True

    def finish(self) -> None:
        for file in (self.wfile, self.rfile, self.connection):
            try:
                file.close()
            except OSError:
                pass
