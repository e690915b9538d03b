"""`from_stdlib`, `to_stdlib`: each record crosses once, with its level, its caller, its exception and its fields."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from rxchain.observe import from_stdlib, show_payloads, to_stdlib
from rxchain.policies import _log


@pytest.fixture
def records() -> Iterator[list[Any]]:
    seen: list[Any] = []
    logger.enable("")  # whatever was said before
    sink = logger.add(lambda message: seen.append(message.record), level=0)
    yield seen
    logger.remove(sink)


def state(*names: str) -> list[Any]:
    found = (logging.getLogger(name) for name in ("", *names))
    return [(source.name, source.handlers[:], source.level, source.propagate) for source in found]


def test_a_record_comes_with_its_level_its_caller_and_its_fields(records: list[Any]) -> None:
    with from_stdlib("shop"):
        logging.getLogger("shop.orders").warning("%s of %d {braces}", "one", 2, extra={"order": 7})
    (record,) = records
    assert record["message"] == "one of 2 {braces}"
    assert record["level"].name == "WARNING"
    assert (record["name"], record["function"]) == (
        __name__,
        "test_a_record_comes_with_its_level_its_caller_and_its_fields",
    )
    assert record["extra"] == {"logger": "shop.orders", "order": 7}
    assert record["exception"] is None


def test_exceptions_stacks_and_levels_of_ones_own_come_along(records: list[Any]) -> None:
    logging.addLevelName(33, "NOTICE")
    with from_stdlib("shop", level="DEBUG"):
        source = logging.getLogger("shop")
        try:
            raise ValueError("x")
        except ValueError:
            source.exception("failed")
        source.error("nothing", exc_info=True)  # there is none
        source.log(33, "noticed", stack_info=True, extra={"logger": "mine"})
        source.debug("detail")
    failed, nothing, noticed, detail = records
    assert repr(failed["exception"].value) == "ValueError('x')"
    assert nothing["exception"] is None
    assert noticed["level"].no == 33
    assert "Stack (most recent call last)" in noticed["message"]
    assert noticed["extra"]["logger"] == "mine"
    assert detail["level"].name == "DEBUG"


@given(st.lists(st.sampled_from(["", "shop", "shop.orders"]), max_size=3, unique=True), st.booleans())
def test_taken_down_all_is_as_it_was(names: list[str], only: bool) -> None:
    before = state("shop", "shop.orders")
    bridge = from_stdlib(*names, level="INFO", only=only)
    bridge.close()
    bridge.close()
    assert state("shop", "shop.orders") == before


def test_handlers_that_others_add_meanwhile_stay() -> None:
    mine = logging.NullHandler()
    source = logging.getLogger("shop")
    with from_stdlib("shop"):
        source.addHandler(mine)
    assert source.handlers == [mine]
    source.removeHandler(mine)


def test_not_alone_the_other_handlers_get_it_too(records: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    for only in (True, False):
        with from_stdlib("shop", only=only):
            logging.getLogger("shop").warning("hello")
    assert len(records) == 2
    assert len(caplog.records) == 1


def test_what_loguru_has_disabled_for_a_module_stays_silent(records: list[Any]) -> None:
    logger.disable(__name__)
    with from_stdlib("shop"):
        logging.getLogger("shop").warning("hello")
    logger.enable(__name__)
    assert records == []


def test_what_must_be_seen_comes_by_the_bridge_as_well(records: list[Any]) -> None:
    with from_stdlib("rxchain"):
        _log.must_see("look here", chain="orders", node="charge")
    (record,) = records
    assert (record["message"], record["extra"]["chain"], record["extra"]["logger"]) == (
        "look here",
        "orders",
        "rxchain",
    )


def test_the_other_way_it_is_the_logger_of_the_module(caplog: pytest.LogCaptureFixture) -> None:
    with to_stdlib(), caplog.at_level(5):
        logger.bind(order=7, name="not the logger's").warning("one of {}", 2)
        try:
            raise ValueError("x")
        except ValueError:
            logger.exception("failed")
        logger.trace("finely")
    logger.warning("not any more")
    one, failed, finely = caplog.records
    assert (one.name, one.levelname, one.getMessage()) == (__name__, "WARNING", "one of 2")
    assert one.funcName == "test_the_other_way_it_is_the_logger_of_the_module"
    assert one.order == 7  # type: ignore[attr-defined]
    assert failed.exc_info is not None
    assert repr(failed.exc_info[1]) == "ValueError('x')"
    assert (finely.levelname, finely.levelno) == ("TRACE", 5)


def test_of_one_module_and_from_a_level_on(caplog: pytest.LogCaptureFixture) -> None:
    logger.enable("rxchain")
    with to_stdlib("rxchain", level="ERROR"):
        logger.error("mine")
        _log.tell("INFO", "too little")
        _log.tell("ERROR", "enough")
    logger.enable("")
    assert [(r.name, r.getMessage()) for r in caplog.records] == [("rxchain.policies._log", "enough")]


def test_a_level_that_the_logger_does_not_want_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    with to_stdlib(), caplog.at_level("ERROR"):
        logger.info("hello")
    assert caplog.records == []


@pytest.mark.parametrize("way", ["loguru", "logging"])
def test_both_at_once_do_not_go_round_in_circles(
    way: str, records: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with from_stdlib(only=False), to_stdlib():
        if way == "loguru":
            logger.warning("hello")
        else:
            logging.getLogger("shop").warning("hello")
    assert len(records) == 1
    assert len(caplog.records) == 1


def test_threads_cross_on_their_own(records: list[Any]) -> None:
    def work() -> None:
        for _ in range(50):
            logging.getLogger("shop").warning("hello")

    with from_stdlib("shop"):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(records) == 200


def test_a_message_that_cannot_be_made_does_no_harm(
    records: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with from_stdlib("shop"):
        logging.getLogger("shop").warning("%d", "no number")
        logging.getLogger("shop").warning("hello")
    assert [record["message"] for record in records] == ["hello"]
    assert "Logging error" in capsys.readouterr().err


def test_items_are_shown_when_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    show_payloads()
    try:
        _log.must_see("given up", items=("tea", 7))
    finally:
        show_payloads(False)
    _log.must_see("given up", items=("tea", 7))
    assert [record.getMessage() for record in caplog.records] == ["given up, with item 'tea', 7", "given up"]
