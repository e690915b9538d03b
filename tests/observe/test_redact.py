"""`redacted`: what must not be shown is not, in a text, in a value, in a record with an exception; the rest is."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from rxchain.observe import SECRET_FIELDS, redacted

SECRET = "hunter2-S3cr3t"


@dataclass
class Login:
    user: str
    password: str


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.fixture
def patched() -> Iterator[Any]:
    """loguru with the patcher, and without it again."""
    logger.configure(patcher=redacted())
    yield logger
    logger.configure(patcher=lambda record: None)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("password=hunter2, user=anna", "password=[redacted], user=anna"),
        ('{"password": "a b\\" c", "x": 1}', '{"password": "[redacted]", "x": 1}'),
        ("{'api_key': 'abc', 'n': 2}", "{'api_key': '[redacted]', 'n': 2}"),
        ("Authorization: Bearer abc.def-jkl==", "Authorization: [redacted]"),
        ('"Authorization": "Basic dXNlcjpwYXNz"', '"Authorization": "[redacted]"'),
        ("sent with bearer abcdefgh.12345", "sent with bearer [redacted]"),
        ("Order(card_number=4111111111111111, n=1)", "Order(card_number=[redacted], n=1)"),
        ("https://u:p@h/x?access_token=abc&x=1", "https://[redacted]@h/x?access_token=[redacted]&x=1"),
        ("X-Api-Key: k3y; q", "X-Api-Key: [redacted]; q"),
        ("Set-Cookie: a=b; c=d\nHost: h", "Set-Cookie: [redacted]\nHost: h"),
        ("Basic dXNlcjpwYXNz", "Basic [redacted]"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln", "jwt [redacted]"),
        ("paid with 4111-1111-1111-1111.", "paid with [redacted]."),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[redacted]"),
        # and what stays
        ("a token is no secret, a password neither", "a token is no secret, a password neither"),
        ("at 1700000000000 item 1234567890123456789", "at 1700000000000 item 1234567890123456789"),
        ("0x4111111111111111 and 3.14159265358979", "0x4111111111111111 and 3.14159265358979"),
        (
            "https://host:8080/a@b basic education of a bearer anonymous",
            "https://host:8080/a@b basic education of a bearer anonymous",
        ),
        ("", ""),
    ],
)
def test_a_text(text: str, clean: str) -> None:
    assert redacted().text(text) == clean


@given(
    st.sampled_from(SECRET_FIELDS),
    st.sampled_from(["{}", "{}_1", "user_{}", "X-{}", "my-{}-is"]),
    st.sampled_from(["_", "-", ""]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from(["{}={}", "{}: {}", "{} = '{}'", '"{}": "{}"', "{}=>{}", "f(x=1, {}='{}')", "?a=1&{}={}"]),
)
def test_a_fields_name_is_known_however_it_is_written(field: str, name: str, gap: str, case: Any, form: str) -> None:
    written = case(name.format(field.replace("_", gap)))
    assert SECRET not in redacted().text(form.format(written, SECRET))
    assert redacted().value({"outer": [{written: SECRET}]}) == {"outer": [{written: "[redacted]"}]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from(["tea", "cake", "1"]) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
            | st.tuples(inner, inner)
        ),
    )
)
def test_what_has_no_secret_is_as_it_was(value: Any) -> None:
    assert repr(redacted().value(value)) == repr(value)


def test_a_value_is_looked_into_and_not_changed() -> None:
    given_ = {"login": Login("anna", SECRET), "deep": [({"token": SECRET},)], "n": 1, "card": 4111111111111111}
    clean = redacted().value(given_)
    assert clean == {
        "login": "Login(user='anna', password='[redacted]')",
        "deep": [({"token": "[redacted]"},)],
        "n": 1,
        "card": "[redacted]",
    }
    assert given_["login"] == Login("anna", SECRET)
    plain = Login("anna", "")
    assert redacted(fields=[]).value(plain) is plain
    assert redacted().value(Broken()) == "<Broken whose repr raised RuntimeError>"
    endless: list[Any] = []
    endless.append(endless)
    assert redacted().value(endless)


def test_fields_and_patterns_are_those_that_are_given() -> None:
    own = redacted(fields=["order no"], patterns=[r"\bDE\d+"], cards=False)
    assert own.text("order_no=7 OrderNo: 8 DE123 password=x 4111111111111111") == (
        "order_no=[redacted] OrderNo: [redacted] [redacted] password=x 4111111111111111"
    )
    assert redacted(fields=(*SECRET_FIELDS, "mail")).text("mail=a password=b") == "mail=[redacted] password=[redacted]"
    assert redacted(fields=[], patterns=[]).text("password=x") == "password=x"


@pytest.mark.parametrize("serialize", [False, True])
def test_a_record_shows_nothing_in_any_sink(patched: Any, serialize: bool) -> None:
    out = io.StringIO()
    sink = patched.add(out, serialize=serialize, format="{message} {extra}\n{exception}", diagnose=True, backtrace=True)
    secret = SECRET  # a variable, whose value loguru would show

    def login(password: str) -> None:
        raise ValueError(f"refused: password={password}")

    try:
        try:
            login(secret)
        except ValueError as error:
            error.add_note(f"in node 'login', with item {{'token': '{secret}'}}")
            raise RuntimeError("no way in") from error
    except RuntimeError:
        patched.bind(headers={"Authorization": secret}, login=Login("anna", secret)).exception(
            "api_key={} {}", secret, "4111 1111 1111 1111"
        )
    patched.remove(sink)
    text = out.getvalue()
    assert secret not in text
    assert "4111" not in text
    assert "refused: password=[redacted]" in text
    assert "RuntimeError: no way in" in text
    assert "login(secret)" in text, "the lines of the source are shown"
    if serialize:
        record = json.loads(text)["record"]
        assert record["extra"]["headers"] == {"Authorization": "[redacted]"}
        assert record["exception"] is None


def test_what_cannot_be_shown_does_no_harm(patched: Any) -> None:
    out = io.StringIO()
    sink = patched.add(out, format="{message} {extra[broken]}")
    patched.bind(broken=Broken()).info("hello")
    patched.remove(sink)
    assert out.getvalue() == "hello <Broken whose repr raised RuntimeError>\n"


@pytest.mark.parametrize(
    "evil", ["token", "a", '"', 'password="\\', "1 ", "-", "://a:", "bearer ", "password= ", "eyJ"]
)
def test_long_texts_take_no_longer_than_they_are_long(evil: str) -> None:
    redact = redacted()
    redact.text(evil * (200_000 // len(evil)))  # a quadratic expression would take hours
