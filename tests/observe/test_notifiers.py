"""`Webhook`, `Email`, `Loguru`: over real connections, to servers that answer, refuse, and keep silent."""

import asyncio
import builtins
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from rxchain import Chain, CompositionError, Failure
from rxchain.observe import Email, Loguru, Webhook, redacted
from rxchain.policies import ErrorHandler, Notification, Throttled
from rxchain.testing import no_leaks
from tests.observe._servers import Mails, Posts, client_context, serving


def notification(count: int = 1, text: str = "no answer") -> Notification:
    failure = Failure(TimeoutError(text), "orders", "charge", "tea", "tea")
    return Notification("orders", "charge", "TimeoutError", count, 0.0 if count == 1 else 60.0, failure)


def price(text: str) -> float:
    return float(text)


TEXTS = ["1", *["tea"] * 1000, "2"]


def told(notifier: Any) -> list[float]:
    """Run a chain in which a thousand items fail."""

    async def main() -> list[float]:
        async with no_leaks():
            return await Chain(price, name="prices", on_error=ErrorHandler(notify=notifier)).collect(TEXTS)

    return asyncio.run(main())


# --- Webhook


def test_a_thousand_failures_are_posted_once_or_twice() -> None:
    server = Posts()
    with serving(server) as port:
        assert told(Webhook(f"http://127.0.0.1:{port}/hook?key=1", headers={"X-From": "tests"})) == [1.0, 2.0]
    assert sum(body["count"] for _, _, body in server.posted) == 1000
    assert len(server.posted) <= 2
    path, headers, body = server.posted[-1]
    assert path == "/hook?key=1"
    assert headers["X-From"] == "tests"
    assert headers["Content-Type"] == "application/json"
    assert (body["chain"], body["node"], body["error"]) == ("prices", "price", "ValueError")
    assert body["text"].startswith("node 'price' of chain 'prices' failed ")


def test_what_is_posted_has_no_secrets_in_it_and_no_items() -> None:
    server = Posts()
    with serving(server) as port:
        hook = Webhook(f"http://127.0.0.1:{port}/")
        asyncio.run(hook(notification(text="password=hunter2 card 4111 1111 1111 1111")))
        own = Webhook(
            f"http://127.0.0.1:{port}/",
            body=lambda n: {"content": str(n), "token": "t", "nested": [{"note": "id=77"}]},
            redact=redacted(fields=["token", "id"]),
        )
        asyncio.run(own(notification()))
    (_, _, standard), (_, _, made) = server.posted
    assert standard["text"].endswith("TimeoutError: password=[redacted] card [redacted]")
    assert made == {
        "content": "node 'charge' of chain 'orders' failed: TimeoutError: no answer",
        "token": "[redacted]",
        "nested": [{"note": "id=[redacted]"}],
    }


@pytest.mark.parametrize("answer", [301, 404, 500])
def test_an_answer_that_is_no_success_is_an_error_and_it_is_posted_again(
    answer: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = Posts(answer)
    with serving(server) as port:
        assert told(Webhook(f"http://127.0.0.1:{port}/secret-path")) == [1.0, 2.0]
    assert len(server.posted) == (1 if "has not been told" in caplog.text else 2)
    assert f"answered {answer}" in caplog.text
    assert "secret-path" not in caplog.records[0].getMessage()


def test_a_server_that_keeps_silent_is_given_up() -> None:
    server = Posts(None)

    async def main() -> None:
        async with no_leaks():
            with pytest.raises(TimeoutError):
                await Webhook(f"http://127.0.0.1:{port}/", timeout=0.05)(notification())
            server.over.set()

    with serving(server) as port:
        asyncio.run(main())


def test_where_nobody_listens_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Posts()) as port:
        pass
    assert told(Webhook(f"http://127.0.0.1:{port}/")) == [1.0, 2.0]
    assert f"notifier Webhook('http://127.0.0.1:{port}') has not been told of 1000 failures" in caplog.text


@pytest.mark.parametrize("url", ["hooks.example.org", "ftp://example.org", "https://", "", None])
def test_a_webhook_has_a_url(url: Any) -> None:
    with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
        Webhook(url)


def test_without_httpx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(CompositionError, match=r'pip install "rxchain\[http\]"  # correct'):
        Webhook("https://hooks.example.org/")


def test_httpx_is_imported_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *args: Any) -> Any:
        assert name.partition(".")[0] != "httpx"
        return real(name, *args)

    for name in [name for name in sys.modules if name.startswith("rxchain.observe")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", guarded)
    import rxchain.observe  # noqa: F401


# --- Email


@pytest.mark.parametrize("security", ["starttls", "ssl", None])
def test_a_thousand_failures_are_a_mail_or_two(security: Any) -> None:
    server = Mails(tls=security == "ssl")
    mail = Email(["ops@example.org", "Anna <anna@example.org>"], sender="orders@example.org", host="localhost")
    with serving(server) as port:
        mail = Email(
            ["ops@example.org", "Anna <anna@example.org>"],
            sender="orders@example.org",
            port=port,
            security=security,
            context=client_context(),
        )
        assert told(mail) == [1.0, 2.0]
    assert 1 <= len(server.mails) <= 2
    message, recipients, encrypted, _ = server.mails[-1]
    assert recipients == ["ops@example.org", "anna@example.org"]
    assert encrypted is (security is not None)
    assert message["Subject"].startswith("node 'price' of chain 'prices' failed ")
    assert message["From"] == "orders@example.org"
    counts = [int(m.get_content().split("failures: ")[1].split()[0]) for m, *_ in server.mails]
    assert sum(counts) == 1000


def test_it_says_who_it_is_only_encrypted() -> None:
    server = Mails(user="us:pass word")
    with serving(server) as port:

        def sent(password: str) -> None:
            context = client_context()
            mail = Email("a@b.org", sender="c@d.org", port=port, user="us", password=password, context=context)
            asyncio.run(mail(notification()))

        sent("pass word")
        with pytest.raises(OSError, match="who"):
            sent("wrong")
    assert [(encrypted, user) for _, _, encrypted, user in server.mails] == [(True, "us")]
    with pytest.raises(CompositionError, match="would send the password unencrypted"):
        Email("a@b.org", sender="c@d.org", user="us", security=None)


def test_a_certificate_that_nobody_knows_is_not_accepted() -> None:
    server = Mails()
    with serving(server) as port, pytest.raises(OSError, match="certificate verify failed"):
        asyncio.run(Email("a@b.org", sender="c@d.org", port=port)(notification()))
    assert server.mails == []


def test_a_mail_that_is_not_taken_is_sent_again() -> None:
    server = Mails(refuse=1)

    async def main(port: int) -> None:
        mail = Email("a@b.org", sender="c@d.org", port=port, security=None)
        async with no_leaks(), ErrorHandler(notify=Throttled(mail, per=0.01)) as handler:
            await handler.handle_error(ValueError("x"))
            await asyncio.sleep(0.1)  # the second time may also come at the end of the block

    with serving(server) as port:
        asyncio.run(main(port))
    assert len(server.mails) == 1


def test_a_mail_has_no_secrets_in_it_and_no_line_breaks_in_its_subject() -> None:
    server = Mails()
    text = "token=abc\r\nBcc: all@example.org\n" + "ö" * 200
    with serving(server) as port:
        mail = Email("a@b.org", sender="c@d.org", port=port, security=None)
        asyncio.run(mail(notification(3, text)))
    ((message, recipients, _, _),) = server.mails
    assert recipients == ["a@b.org"]
    assert message["Bcc"] is None
    assert message["Subject"].startswith(
        "node 'charge' of chain 'orders' failed 3 times in 60 s; the last: TimeoutError: token=[redacted] Bcc: all@"
    )
    assert len(message["Subject"]) == 150
    assert "ö" * 200 in message.get_content()


@pytest.mark.parametrize("to", ["ops", "", [], ["a@b.org", "c"], "a@b.org\nBcc: d@e.org", [None]])
def test_a_mail_has_addresses(to: Any) -> None:
    with pytest.raises(CompositionError, match=r"# incorrect\n.*# correct"):
        Email(to, sender="c@d.org")


def test_there_are_two_kinds_of_security() -> None:
    with pytest.raises(CompositionError, match="security is 'starttls', 'ssl' or None"):
        Email("a@b.org", sender="c@d.org", security="tls")  # type: ignore[arg-type]


# --- Loguru


@pytest.fixture
def records() -> Iterator[list[Any]]:
    seen: list[Any] = []
    logger.enable("")  # whatever was said before
    sink = logger.add(lambda message: seen.append(message.record), level=0)
    yield seen
    logger.remove(sink)


def test_a_thousand_failures_are_a_line_or_two_in_the_log(records: list[Any]) -> None:
    told(Loguru("CRITICAL"))
    assert len(records) <= 2
    assert sum(record["extra"]["count"] for record in records) == 1000
    record = records[-1]
    assert record["level"].name == "CRITICAL"
    assert {"chain", "node", "item", "attempt", "error"} <= record["extra"].keys()
    assert repr(Loguru()) == "Loguru('ERROR')"
