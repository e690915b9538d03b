"""What a log must not show: replaced by the names of fields, and by what the text looks like.

It works on each record before any sink sees it, so that a file, a terminal and a shipper are all served. The price of
that is the exception: loguru would format it once for each sink, with the values of variables; here it becomes text.
"""

import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

SECRET_FIELDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "api_key",
    "access_key",
    "private_key",
    "credential",
    "cookie",
    "session_id",
    "card_number",
    "cvv",
    "cvc",
    "iban",
)
"""Fields whose name contains one of these, whatever its case; ``_`` stands for ``-``, ``_``, a space, or nothing."""

HIDDEN = "[redacted]"

SECRET_PATTERNS = (
    r"(?<=\b[Bb]earer )(?=\S{0,64}[A-Z\d])[\w.~+/-]{8,}=*",  # "bearer certificate" is none
    r"(?<=\b[Bb]asic )(?=\S{0,64}[A-Z\d])[A-Za-z\d+/]{8,}=*",
    r"(?i)(?<=\bcookie: )[^\n\"']+",
    r"\beyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*",  # a JSON web token
    r"(?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)",  # user and password in a URL
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{0,4096}?-----END [A-Z ]*PRIVATE KEY-----",
)
"""What looks like a secret; and besides, digits that can be a card's number."""

_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w])")
_DEPTH = 8
"""So deep values are looked into; what is further inside is only shown as text."""


class Redacted:
    """Replaces secrets in texts, values and loguru's records; made by `redacted`."""

    def __init__(self, fields: Iterable[str], patterns: Iterable[str | re.Pattern[str]], cards: bool) -> None:
        fields = tuple(fields)
        self._fields = tuple(_plain(field) for field in fields)
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._cards = cards
        names = "|".join("[-_ ]?".join(map(re.escape, re.split("[-_ ]", field))) for field in fields)
        self._stems = tuple({re.split("[-_ ]", field.lower())[0] for field in fields})
        # A value is what is in quotes, or goes on to a separator.
        self._named = re.compile(
            rf"""(?ix)
            (?<![\w-]) ( ["']? [\w-]{{0,64}}? (?:{names}) [\w-]{{0,64}} ["']? \s{{0,8}} (?: => | [=:] ) \s{{0,8}} )
            ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*'
            | (?: (?:bearer|basic|digest|token) \s+ )? [^\s,;&)\]}}"']+ )"""
        )

    def text(self, text: str) -> str:
        """*text* without secrets."""
        lower = text.lower()
        for stem in self._stems:
            if stem in lower:  # ten times quicker than the expression, which most texts need not be put to
                text = self._named.sub(_hide_value, text)
                break
        for pattern in self._patterns:
            text = pattern.sub(HIDDEN, text)
        return _CARD.sub(_hide_card, text) if self._cards else text

    def value(self, value: Any, depth: int = _DEPTH) -> Any:
        """*value* without secrets: the same if it has none, else a copy, in which what is not plain data is text."""
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if depth and isinstance(value, Mapping):
            return {k: HIDDEN if self.is_secret(k) else self.value(v, depth - 1) for k, v in value.items()}
        if depth and type(value) in (list, tuple, set, frozenset):
            return type(value)(self.value(one, depth - 1) for one in value)
        try:
            shown = str(value) if isinstance(value, BaseException) else repr(value)
        except Exception as error:
            return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
        clean = self.text(shown)
        return value if clean == shown else clean

    def is_secret(self, name: object) -> bool:
        """Whether a field of that name is to be hidden."""
        plain = _plain(name) if isinstance(name, str) else ""
        return any(field in plain for field in self._fields)

    def __call__(self, record: Any) -> None:
        """Redact a record of loguru: its message, its extra fields; its exception becomes a part of the message."""
        exception = record["exception"]
        if exception is not None:
            record["exception"] = None
            shown = "".join(traceback.format_exception(exception.type, exception.value, exception.traceback))
            record["message"] = f"{record['message']}\n{shown.rstrip()}"
        record["message"] = self.text(record["message"])
        record["extra"] = self.value(record["extra"])


def redacted(
    fields: Iterable[str] = SECRET_FIELDS,
    patterns: Iterable[str | re.Pattern[str]] = SECRET_PATTERNS,
    *,
    cards: bool = True,
) -> Redacted:
    """Make a patcher for loguru that takes secrets out of each record before any sink gets it.

    >>> from loguru import logger
    >>> from rxchain.observe import redacted
    >>> logger.configure(patcher=redacted())
    []
    >>> logger.configure(patcher=lambda record: None)    # and away with it
    []
    >>> redacted().text("POST https://anna:s3cret@shop/pay?api_key=8d2f card=4111 1111 1111 1111")
    'POST https://[redacted]@shop/pay?api_key=[redacted] card=[redacted]'
    >>> redacted(fields=["mail"], patterns=[r"\\bDE\\d{20}\\b"]).text("mail=anna@example.org, DE02120300000000202051")
    'mail=[redacted], [redacted]'

    An exception becomes text, a part of the message, without the values of variables that loguru would show.

    Args:
        fields: a field is hidden whose name contains one of these, whatever its case: the extra fields of records, keys
            in values of theirs however deep, and what texts show as ``name=value`` or ``"name": "value"``.
            ``SECRET_FIELDS`` are those of passwords, tokens, keys, cookies; ``(*SECRET_FIELDS, "email")`` adds one.
        patterns: regular expressions; what they match is hidden. ``SECRET_PATTERNS`` are those of bearer tokens, JSON
            web tokens, passwords in URLs, private keys.
        cards: whether digits that can be the number of a card (13 to 19, with the right check digit) are hidden.
    """
    return Redacted(fields, patterns, cards)


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()


def _hide_value(match: re.Match[str]) -> str:
    quote = match[2][0] if match[2][0] in "\"'" else ""
    return f"{match[1]}{quote}{HIDDEN}{quote}"


def _hide_card(match: re.Match[str]) -> str:
    """Hide digits whose check digit (Luhn's) is right: nine in ten other numbers stay."""
    digits = [int(c) for c in match[0] if c.isdigit()][::-1]
    total = sum(digits[::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])
    return match[0] if total % 10 else HIDDEN
