"""The log: silent until it is asked for, cheap then; what must be seen is seen all the same."""

import ast
import asyncio
import io
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loguru import _logger as loguru_logger
from loguru import logger

import rxchain
from rxchain import Chain, DeadLetters, Retry, Undo, node
from rxchain import operators as ops
from rxchain.policies import _log
from rxchain.testing import run
from rxchain.types import Failure, Place


@pytest.fixture
def records() -> Iterator[list[Any]]:
    """What loguru is given, of whatever level."""
    seen: list[Any] = []
    sink = logger.add(lambda message: seen.append(message.record), level=0)
    yield seen
    logger.enable("")  # as it was: nothing asked for
    logger.remove(sink)


def a_failure(secret: str = "4111") -> Failure:
    try:
        raise ValueError("no such card")
    except ValueError as error:
        error.add_note(f"in node 'charge' of chain 'orders', with item {secret}")
        error.add_note("the user's own note")
        return Failure(error, "orders", "charge", secret, secret)


def test_nothing_is_said_until_it_is_asked_for(records: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    for enabled in (False, True, False):
        if enabled:
            logger.enable("rxchain")
        else:
            logger.disable("rxchain")
        _log.retried("charge", 1, 3, ValueError("x"), 0.5)
        _log.tell("INFO", "the breaker is open", node="charge")
        _log.failed(a_failure())
        assert len(records) == 3 * enabled, "asked for" if enabled else "not asked for"
        records.clear()
    assert not caplog.records


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("", False),
        ("logger.enable('')", False),  # that is what loguru begins with; a library stays silent
        ("logger.enable('rxchain')", True),
        ("logger.enable('rxchain'); logger.disable('rxchain')", False),
        ("logger.disable('rxchain'); logger.enable('rxchain')", True),
        ("logger.disable(''); logger.enable('rxchain')", True),
        ("logger.enable('rxchain'); logger.disable('')", False),
        ("logger.enable('rxchains')", False),
        ("logger.enable('rxchain.policies')", True),
        ("logger.configure(activation=[('rxchain', True)])", True),
    ],
)
def test_what_the_program_has_said_to_loguru_holds(said: str, heard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = loguru_logger  # untyped
    untouched = made.Logger(made.Core(), None, 0, False, False, False, False, True, [], {})
    lines: list[str] = []
    untouched.add(lines.append, format="{message}")
    monkeypatch.setattr(sys.modules["loguru"], "logger", untouched)
    exec(said, {"logger": untouched})
    _log.tell("INFO", "hello")
    assert lines == ["hello\n"] * heard


@pytest.mark.parametrize("loguru_first", [True, False])
def test_in_whatever_order_they_are_imported(loguru_first: bool) -> None:
    imports = ["from loguru import logger", "import rxchain"]
    program = [
        *(imports if loguru_first else reversed(imports)),
        "import sys; logger.remove(); logger.add(sys.stdout, format='{message}')",
        "from rxchain.policies import _log; _log.tell('INFO', 'silent')",
        "logger.enable('rxchain'); _log.tell('INFO', 'hello')",
    ]
    command = [sys.executable, "-c", "\n".join(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "hello\n"


def test_loguru_is_imported_by_nobody_here() -> None:
    package = Path(rxchain.__file__).parent
    importing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and "loguru" in {getattr(node, "module", None), *(alias.name for alias in node.names)}
    }
    assert {name for name in importing if not name.startswith("observe/")} == set()


def test_a_retry_is_told_with_its_node_and_attempt(records: list[Any]) -> None:
    logger.enable("rxchain")
    _log.retried("charge", 2, 5, TimeoutError("no {answer}"), 0.25)
    _log.retried("charge", 3, None, TimeoutError(), 0.5)
    assert [(r["level"].name, r["message"]) for r in records] == [
        ("WARNING", "node 'charge': attempt 2 of 5 failed, the next is in 0.25 s: TimeoutError: no {answer}"),
        ("WARNING", "node 'charge': attempt 3 failed, the next is in 0.5 s: TimeoutError"),
    ]
    for record, attempt in zip(records, (2, 3)):
        bound = {name: record["extra"][name] for name in ("chain", "node", "item", "attempt")}
        assert bound == {"chain": "", "node": "charge", "item": None, "attempt": attempt}


def flaky(items: Sequence[Any], asynchronous: bool, name: str = "charge", **declared: Any) -> Any:
    """A node that fails once with each of *items*."""
    left = list(items)

    def charge(item: Any) -> Any:
        if item in left:
            left.remove(item)
            raise ValueError("busy")
        return item

    async def charge_later(item: Any) -> Any:
        await asyncio.sleep(0)
        return charge(item)

    return node(name=name, **declared)(charge_later if asynchronous else charge)


TWICE = Retry(2, wait=0)
COUNTING = DeadLetters([])


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize(
    ("around", "named"),
    [
        (lambda part: part, "charge"),
        (lambda part: Chain(part, name="paying"), "paying/charge"),
        (lambda part: ops.saga(part), "saga/charge"),
        (lambda part: Chain(ops.catch(Chain(str.strip, ops.saga(part)), 0), name="pay"), "pay/catch/saga/charge"),
    ],
)
def test_a_retry_in_a_chain_is_told_with_its_chain_and_the_place_of_its_item(
    records: list[Any], around: Any, named: str, window: int, asynchronous: bool
) -> None:
    logger.enable("rxchain")
    timed: dict[str, Any] = {"item_timeout": 9} if asynchronous else {}
    failing = flaky(["b", "d"], asynchronous, retry=TWICE, **timed)
    chain = Chain(str.strip, around(failing), name="orders", window=window, on_error=COUNTING)
    assert run(chain.collect(["a", "b", "c", "d"])) == ["a", "b", "c", "d"]
    assert [record["message"] for record in records] == [
        f"node '{named}' of chain 'orders', item [{k}]: attempt 1 of 2 failed, the next is in 0 s: ValueError: busy"
        for k in (1, 3)
    ]
    fields = [{name: r["extra"][name] for name in ("chain", "node", "item", "attempt")} for r in records]
    assert fields == [{"chain": "orders", "node": named, "item": f"[{k}]", "attempt": 1} for k in (1, 3)]


def test_a_part_that_is_tried_again_is_told_as_itself(records: list[Any]) -> None:
    logger.enable("rxchain")
    run(Chain(ops.retry(flaky("b", True), TWICE), name="orders", on_error=COUNTING).collect("ab"))
    assert records[0]["message"].startswith("node 'retry' of chain 'orders', item [1]: attempt 1 of 2 failed")


def test_of_a_chain_that_a_node_of_another_runs_its_own_name_is_told(records: list[Any]) -> None:
    inner: Any = Chain(flaky("b", True, retry=TWICE), name="inner")

    async def order(item: str) -> Any:
        return await inner.run(item)

    logger.enable("rxchain")
    run(Chain(order, name="orders", on_error=COUNTING).collect("ab"))
    assert (records[0]["extra"]["chain"], records[0]["extra"]["node"], records[0]["extra"]["item"]) == (
        "inner", "charge", None
    )  # fmt: skip


def test_where_items_are_not_counted_a_retry_has_no_place(records: list[Any]) -> None:
    logger.enable("rxchain")
    run(Chain(flaky("b", True, retry=TWICE), name="orders").collect("ab"))
    assert records[0]["message"].startswith("node 'charge' of chain 'orders': attempt 1 of 2")
    assert records[0]["extra"]["item"] is None


def test_what_a_node_itself_tries_again_keeps_its_name(records: list[Any]) -> None:
    asking = TWICE.around(flaky("b", True).logic, "ask")

    async def order(item: str) -> Any:
        return await asking(item)

    logger.enable("rxchain")
    run(Chain(order, name="orders").collect("ab"))
    assert (records[0]["extra"]["chain"], records[0]["extra"]["node"]) == ("orders", "ask")


def test_an_undo_that_is_tried_again_stands_alone(records: list[Any]) -> None:
    undoing = flaky("b", True).logic
    logger.enable("rxchain")
    chain = Chain(node(undo=Undo(undoing, retry=TWICE))(str.strip), ops.map(int), name="orders", on_error=COUNTING)
    run(chain.collect(["1", "b"]))
    extra = records[0]["extra"]
    assert (extra["chain"], extra["node"], extra["item"]) == ("", "the undo of strip", None)


def test_a_failure_is_told_without_what_the_item_was(records: list[Any]) -> None:
    logger.enable("rxchain")
    _log.failed(a_failure())
    (record,) = records
    assert record["message"] == "node 'charge' of chain 'orders': ValueError: no such card"
    assert record["level"].name == "ERROR"
    assert record["exception"] is None
    assert record["extra"]["error"] == "ValueError"
    assert 'raise ValueError("no such card")' in record["extra"]["traceback"]
    assert record["extra"]["traceback"].endswith("ValueError: no such card\nthe user's own note")
    assert "4111" not in repr(record)


def test_a_failure_is_told_with_its_place_its_attempts_and_what_stands(records: list[Any]) -> None:
    logger.enable("rxchain")
    failure = replace(
        a_failure(), attempts=3, place=Place("orders.jsonl", 7, None), undone=("reserve",), stands=("mail", "ship")
    )
    _log.failed(failure)
    _log.failed(replace(failure, node="", chain="", place=Place(None, 0), attempts=1))
    assert [record["message"] for record in records] == [
        "node 'charge' of chain 'orders', item orders.jsonl[7], attempt 3: ValueError: no such card; undone: reserve;"
        " not undone: mail, ship",
        "item [0]: ValueError: no such card; undone: reserve; not undone: mail, ship",
    ]
    extra = records[0]["extra"]
    assert (extra["item"], extra["attempt"], extra["stands"]) == ("orders.jsonl[7]", 3, ("mail", "ship"))


def test_asked_for_the_item_is_told_too(records: list[Any]) -> None:
    logger.enable("rxchain")
    failure = a_failure()
    _log.failed(failure, "CRITICAL", payload=True)
    (record,) = records
    assert record["extra"]["payload"] == "'4111'"
    assert record["exception"].value is failure.error
    assert record["level"].name == "CRITICAL"


def test_errors_that_cannot_be_shown_are_told_all_the_same(records: list[Any]) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    logger.enable("rxchain")
    _log.failed(Failure(Mute(), "", "charge", None, None))
    assert records[0]["message"] == "node 'charge': Mute: its message cannot be shown"


def test_the_notes_with_items_are_gone_from_causes_and_groups_as_well() -> None:
    inner, other = (a_failure(card).error for card in ("card 1", "card 2"))
    try:
        raise ExceptionGroup("several", [inner, other]) from inner
    except ExceptionGroup as group:
        text = _log.traceback_of(group)
    assert "the user's own note" in text
    assert "with item" not in text
    assert "with item card 1" in inner.__notes__[0]  # the error itself is as it was


def test_what_must_be_seen_goes_to_the_standard_library_until_loguru_is_asked(
    records: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    error = a_failure().error
    _log.must_see("nobody waits", error=error, items=("4111",), chain="orders", node="charge")
    assert records == []
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rxchain", "WARNING")
    assert record.getMessage().startswith("nobody waits: ValueError: no such card\nTraceback (most recent call last)")
    assert (record.chain, record.node) == ("orders", "charge")  # type: ignore[attr-defined]
    assert "4111" not in record.getMessage()
    logger.enable("rxchain")
    _log.must_see("nobody waits", node="{charge}")
    assert len(caplog.records) == 1
    assert (records[0]["message"], records[0]["extra"]["node"]) == ("nobody waits", "{charge}")


def test_in_a_program_that_sets_up_no_logging_it_is_seen_on_stderr() -> None:
    program = "from rxchain.policies import _log; _log.must_see('look here'); _log.tell('ERROR', 'not here')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "look here\n")


def test_a_loguru_that_is_just_being_imported_has_nothing_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loguru", type(sys)("loguru"))
    assert _log.asked() is None


def test_threads_ask_while_others_enable() -> None:
    async def main() -> None:
        answers = await asyncio.gather(*[asyncio.to_thread(flip, i) for i in range(4)])
        assert answers == [None] * 4

    def flip(i: int) -> None:
        for _ in range(500):
            (logger.enable if i % 2 else logger.disable)("rxchain")
            _log.tell("TRACE", "hello")

    sink = logger.add(io.StringIO())
    try:
        asyncio.run(main())
        logger.enable("rxchain")
        assert _log.asked() is not None
        logger.disable("rxchain")
        assert _log.asked() is None
    finally:
        logger.enable("")
        logger.remove(sink)
        assert logging.getLogger("rxchain").handlers == []
