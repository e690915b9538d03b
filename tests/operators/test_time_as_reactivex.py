"""Operators with time do what reactivex's do, tick by tick; where they mean to differ, that is here too."""

from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as rx
from reactivex.testing import ReactiveTest, TestScheduler

from rxchain import Chain, Operator
from rxchain import operators as ops
from rxchain.testing import Marbles
from rxchain.testing._diagram import Kind, parse

SUBSCRIBED = ReactiveTest.subscribed
TICK = 100
"""Of reactivex's virtual time: whole numbers, there."""


def messages(marbles: str) -> list[Any]:
    """A diagram in reactivex's words."""
    made = []
    for event in parse(marbles).events:
        time = event.tick * TICK
        if event.kind is Kind.ITEM:
            made.append(ReactiveTest.on_next(time, event.symbol))
        elif event.kind is Kind.ERROR:
            made.append(ReactiveTest.on_error(time, ValueError("#")))
        else:
            made.append(ReactiveTest.on_completed(time))
    return made


def by_reactivex(marbles: str, make: Callable[[Callable[[str], Any]], Any]) -> list[tuple[float, str, Any]]:
    """What reactivex makes of it: when, what."""
    scheduler = TestScheduler()

    def cold(line: str) -> Any:
        return scheduler.create_cold_observable(messages(line))

    observer = scheduler.start(lambda: cold(marbles).pipe(make(cold)), disposed=SUBSCRIBED + 100 * TICK)
    seen = []
    for message in observer.messages:
        told: Any = message.value
        seen.append(((message.time - SUBSCRIBED) / TICK, told.kind, told.value if told.kind == "N" else None))
    return seen


def by_rxchain(marbles: str, make: Callable[[Callable[[str], Any]], Operator[Any, Any]]) -> list[Any]:
    """What rxchain makes of it."""
    m = Marbles()
    output: list[Any] = []
    drawn = m.play(marbles, make(m.source), ops.tap(m.probe()), ops.map(lambda item: item), until="-" * 99 + "!")
    for event in parse(drawn).events:
        kind = {Kind.ITEM: "N", Kind.ERROR: "E", Kind.END: "C"}[event.kind]
        output.append((float(event.tick), kind, event.symbol if kind == "N" else None))
    return output


def ticks(seen: list[Any]) -> list[Any]:
    """To the tick, as ours are drawn; of several in one, what merge does first is nobody's business."""
    whole = [(float(int(time)), kind, value) for time, kind, value in seen]
    return sorted(whole, key=lambda message: (message[0], message[1] != "N", message[2]))


lines = st.text("---.", min_size=1, max_size=20).map(
    lambda text: "-" + "".join(chr(97 + i) if c == "." else "-" for i, c in enumerate(text))
)
"""From 1 on; no two items at once."""

ALIKE: list[tuple[str, Any, Any, str]] = [
    # ours, theirs, and the ends for which they are alike
    ("debounce", lambda _: ops.debounce(1.5), lambda _: rx.debounce(150), "|"),
    ("debounce", lambda _: ops.debounce(3.5), lambda _: rx.debounce(350), "|"),
    ("throttle", lambda _: ops.throttle(2.5), lambda _: rx.throttle_first(250), "|#"),
    ("throttle", lambda _: ops.throttle(1), lambda _: rx.throttle_first(100), "|#"),
    ("sample", lambda _: ops.sample(2.73), lambda _: rx.sample(273), ""),
    ("delay", lambda _: ops.delay(2), lambda _: rx.delay(200), "|"),
    ("delay", lambda _: ops.delay(3.5), lambda _: rx.delay(350), "|"),
    ("merge", lambda s: ops.merge(s("-x----y|")), lambda s: rx.merge(s("-x----y|")), "|"),
    ("concat", lambda s: ops.concat(s("-x-y|")), lambda s: rx.concat(s("-x-y|")), "|#"),
    ("timeout", lambda _: ops.timeout(3.5), lambda _: rx.timeout(350), "|#"),
]


@pytest.mark.parametrize(("name", "ours", "theirs", "ends"), ALIKE, ids=[f"{a[0]} {i}" for i, a in enumerate(ALIKE)])
@given(lines, st.integers(0, 3))
@settings(max_examples=40)
def test_they_are_alike(name: str, ours: Any, theirs: Any, ends: str, line: str, end: int) -> None:
    marbles = line + ["", *ends][end % (len(ends) + 1)]
    assert ticks(by_rxchain(marbles, ours)) == ticks(by_reactivex(marbles, theirs))


@given(lines, lines)
@settings(max_examples=60)
def test_zip_is_alike(line: str, other: str) -> None:
    """In its tuples: reactivex's goes on until the shorter one's missing item is known to be missing."""

    def tuples(seen: list[Any]) -> list[Any]:
        return [message for message in seen if message[1] == "N"]

    ours = by_rxchain(line + "|", lambda s: Chain(ops.zip(s(other + "|")), ops.map("".join)))
    theirs = by_reactivex(line + "|", lambda s: reactivex.compose(rx.zip(s(other + "|")), rx.map("".join)))
    assert tuples(ours) == ticks(tuples(theirs))


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.sampled_from([0.83, 1.37, 2.73]))
@settings(max_examples=60)
def test_windows_count_the_same(items: list[bool], seconds: float) -> None:
    line = "-" + "".join("o" if item else "-" for item in items) + "|"
    counted = by_rxchain(line, lambda _: ops.window(Chain(ops.count()).stream, seconds=seconds))

    def count(window: Any) -> Any:
        return window.pipe(rx.count())

    windows = reactivex.compose(rx.window_with_time(round(seconds * TICK)), rx.flat_map(count))
    theirs = by_reactivex(line, lambda _: windows)
    assert [value for _, kind, value in counted if kind == "N"] == [str(v) for _, kind, v in theirs if kind == "N"]


# --- where we mean to differ


def test_what_a_debounce_holds_is_not_lost_to_an_error() -> None:
    assert by_rxchain("-a#", lambda _: ops.debounce(3)) == [(2, "N", "a"), (2, "E", None)]
    assert by_reactivex("-a#", lambda _: rx.debounce(300)) == [(2, "E", None)]


def test_the_last_sample_does_not_wait_for_a_stream_that_has_ended() -> None:
    assert by_rxchain("-ab|", lambda _: ops.sample(5)) == [(3, "N", "b"), (3, "C", None)]
    assert by_reactivex("-ab|", lambda _: rx.sample(500)) == [(5, "N", "b"), (5, "C", None)]


def test_an_error_does_not_overtake_the_delayed() -> None:
    assert by_rxchain("-a#", lambda _: ops.delay(3)) == [(4, "N", "a"), (5, "E", None)]
    assert by_reactivex("-a#", lambda _: rx.delay(300)) == [(2, "E", None)]
