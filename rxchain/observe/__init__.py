"""Seeing what goes on: the log and what it must not show, and whom to tell of failures."""

from rxchain.observe._email import Email
from rxchain.observe._loguru import Loguru
from rxchain.observe._payloads import show_payloads
from rxchain.observe._redact import SECRET_FIELDS, SECRET_PATTERNS, Redacted, redacted
from rxchain.observe._stdlib import Bridge, from_stdlib, to_stdlib
from rxchain.observe._webhook import Webhook

__all__ = [
    "SECRET_FIELDS",
    "SECRET_PATTERNS",
    "Bridge",
    "Email",
    "Loguru",
    "Redacted",
    "Webhook",
    "from_stdlib",
    "redacted",
    "show_payloads",
    "to_stdlib",
]
