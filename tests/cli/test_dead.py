"""`rxchain dead`: list, show, replay, purge; and the letters that `rxchain run` writes."""

import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rxchain import Failure
from rxchain.cli import main
from rxchain.policies import DeadLetter, DeadLetterFile
from rxchain.policies._dead_lock import locked
from tests.cli.processes import Rxchain, Start, Until

SHOP = """
import asyncio
import os
from dataclasses import dataclass

from rxchain import Chain, node
from rxchain.policies import DeadLetters, Resume


@dataclass
class Order:
    number: int


def parse(line: str) -> Order:
    return Order(int(line))


def charge(order: Order) -> str:
    if os.path.exists("down"):
        raise ConnectionError("the bank is down")
    return f"charged {order.number}"


async def wait(text: str) -> str:
    if os.path.exists("stuck"):
        print("waiting", flush=True)
        await asyncio.sleep(3600)
    return text


def orders(prefix: str = "") -> Chain:
    return Chain(parse, charge, lambda text: prefix + text, name="orders")


waits = Chain(parse, charge, wait, name="orders")
kept = Chain(parse, charge, name="orders", on_error=DeadLetters("kept.jsonl"))
strict = Chain(parse, charge, name="orders", on_error=DeadLetters("kept.jsonl", streak=2))
resumed = Chain(parse, charge, name="orders", on_error=Resume("none"))
stopping = Chain(parse, charge, name="orders", on_error="stop")
points = Chain(parse, name="orders")
"""

NOW = datetime.now(UTC)


@pytest.fixture
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with ``shop.py`` in it, and three letters in ``dead.jsonl``."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / "shop.py").write_text(SHOP)
    file = DeadLetterFile("dead.jsonl")
    for n, (node, error, item) in enumerate(
        [("parse", ValueError("no number"), "x"), ("charge", ConnectionError("down"), "2"), ("parse", TypeError(), "3")]
    ):
        failure = Failure(error, "orders", node, item, item, attempts=n + 1)
        file.append(DeadLetter.of(failure, time=NOW - timedelta(hours=3 - n), source="orders.txt"))
    yield folder
    for name in ("shop", "shop_to_run"):
        sys.modules.pop(name, None)


def letters(path: str = "dead.jsonl") -> list[DeadLetter]:
    return list(DeadLetterFile(path))


def dead(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, ["dead", *arguments])


def refused(*arguments: str) -> str:
    result = dead(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


# --- list


def test_a_table_has_a_line_for_each_letter(shop: Path) -> None:
    lines = dead("list", "dead.jsonl").stdout.splitlines()
    first = letters()[0]
    assert lines[0].split() == ["id", "time", "(UTC)", "chain", "node", "error", "tried", "item"]
    cells = f"{first.id[:8]} {first.time:%Y-%m-%d %H:%M:%S} orders parse ValueError: no number 1 'x'"
    assert lines[1].split() == cells.split()
    assert lines[4:] == ["3 dead letters"]


@pytest.mark.parametrize(
    ("options", "items"),
    [
        (["--node", "parse"], "x3"),
        (["--node", "*rg*"], "2"),
        (["--error", "ValueError"], "x"),
        (["--error", "*Error"], "x23"),
        (["--since", "150m"], "23"),
        (["--since", (NOW - timedelta(minutes=90)).isoformat()], "3"),
        (["--since", "1d", "--limit", "2"], "23"),
        (["--node", "parse", "--error", "TypeError"], "3"),
        (["--node", "nowhere"], ""),
    ],
)
def test_letters_are_chosen_by_options(shop: Path, options: list[str], items: str) -> None:
    listed = dead("list", "dead.jsonl", "--json", *options).stdout.splitlines()
    assert [json.loads(line)["item"] for line in listed] == list(items)
    assert f"{len(items)} dead letter" in dead("list", "dead.jsonl", *options).stdout


def test_settled_letters_are_counted_only(shop: Path) -> None:
    file = DeadLetterFile("dead.jsonl")
    file.settle(letters()[0].id)
    assert dead("list", "dead.jsonl").stdout.splitlines()[-1] == (
        "2 dead letters, 1 settled (rxchain dead purge dead.jsonl --settled)"
    )


def test_what_would_change_a_terminal_is_shown_as_text(shop: Path) -> None:
    failure = Failure(ValueError("\x1b[31mred\a[bold]"), "orders", "par\x1bse", "\x1b[2J", "\x1b[2J")
    DeadLetterFile("evil.jsonl").append(DeadLetter.of(failure))
    for shown in (dead("list", "evil.jsonl"), dead("show", "evil.jsonl", letters("evil.jsonl")[0].id)):
        assert shown.exit_code == 0
        assert "\x1b" not in shown.output
        assert "\a" not in shown.output
        assert r"\x1b[31mred\x07[bold]" in shown.output


def test_a_line_that_was_cut_off_is_told_and_the_others_are_listed(shop: Path) -> None:
    with open("dead.jsonl", "a") as file:
        file.write('{"dead_letter": 1, "id": "abc')
    result = dead("list", "dead.jsonl")
    assert result.exit_code == 0
    assert "3 dead letters" in result.stdout
    assert (
        result.stderr == "rxchain: dead.jsonl:4 is passed over: it is no whole dead letter, or one of a newer rxchain\n"
    )


# --- show


def test_all_of_a_letter_is_shown_by_the_beginning_of_its_id(shop: Path) -> None:
    for letter in letters():
        shown = dead("show", "dead.jsonl", letter.id[:6]).stdout
        for fact in (letter.id, letter.node, "orders.txt", repr(letter.item), letter.error):
            assert fact in shown
        assert shown.rstrip().endswith(letter.traceback.rstrip())
        assert json.loads(dead("show", "dead.jsonl", letter.id, "--json").stdout)["id"] == letter.id


def test_what_cannot_be_replayed_is_said(shop: Path) -> None:
    lost = object()
    DeadLetterFile("lost.jsonl").append(DeadLetter.of(Failure(ValueError(), "", "n", "x", lost)))
    shown = dead("show", "lost.jsonl", letters("lost.jsonl")[0].id).stdout
    assert repr(lost) in shown
    assert "cannot be replayed" in shown


# --- replay


def test_a_replay_settles_what_goes_through_and_keeps_what_does_not(rxchain: Rxchain, shop: Path) -> None:
    (shop / "orders.txt").write_text("1\nx\n2\n3\n")
    (shop / "down").touch()
    done = rxchain("run", "shop.py:orders", "--from", "orders.txt", "--dead-letters", "d.jsonl", "--quiet")
    assert done.returncode == 1
    assert [(letter.node, letter.item) for letter in letters("d.jsonl")] == [
        ("charge", "1"), ("parse", "x"), ("charge", "2"), ("charge", "3"),
    ]  # fmt: skip
    plan = rxchain("dead", "replay", "d.jsonl", "shop.py:orders", "--dry-run")
    assert "from node 'charge', with Order(number=1)" in plan.stdout
    assert plan.stderr == "rxchain: 4 letters would be replayed\n"
    assert plan.returncode == 0
    (shop / "down").unlink()
    again = rxchain("dead", "replay", "d.jsonl", "shop.py:orders", "--param", "prefix=late ")
    assert again.stdout == "late charged 1\nlate charged 2\nlate charged 3\n"
    bad = letters("d.jsonl")[0]
    assert again.stderr == (
        f"{bad.id[:8]}: orders.txt:2: node 'parse': ValueError: invalid literal for int() with base 10: 'x'\n"
        "rxchain: 3 letters replayed, 1 failed again, 0 could not be replayed\n"
    )
    assert again.returncode == 1
    assert [(letter.item, letter.attempts) for letter in letters("d.jsonl")] == [("x", 2)]
    assert DeadLetterFile("d.jsonl").count() == (1, 3)


def test_results_go_where_they_are_told_and_from_the_start_too(rxchain: Rxchain, shop: Path) -> None:
    numbers = [letter.id for letter in letters() if letter.item != "x"]
    done = rxchain(
        "dead", "replay", "dead.jsonl", "shop.py:orders", "--from", "start", "--to", "out.jsonl",
        "--id", numbers[0][:8], "--id", numbers[1],
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert (shop / "out.jsonl").read_text() == '"charged 2"\n"charged 3"\n'
    assert [letter.item for letter in letters()] == ["x"]


def test_a_result_that_the_format_cannot_hold_leaves_its_letter_open(rxchain: Rxchain, shop: Path) -> None:
    done = rxchain("dead", "replay", "dead.jsonl", "shop.py:points", "--error", "TypeError", "--to", "out.txt")
    assert done.returncode == 2
    assert "out.txt cannot hold a result, so its letter is still open" in done.stderr
    assert len(letters()) == 3


def test_ctrl_c_leaves_the_letter_that_was_being_replayed_open(start: Start, until: Until, shop: Path) -> None:
    import signal

    (shop / "stuck").touch()
    process = start("dead", "replay", "dead.jsonl", "shop.py:waits", "--from", "start", "--node", "charge")
    until(process.stdout, b"waiting")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert b"Traceback" not in process.stderr.read()
    assert len(letters()) == 3
    with locked("dead.jsonl.replay.lock", wait=False):
        pass


def test_letters_of_other_chains_are_left_alone(shop: Path) -> None:
    DeadLetterFile("dead.jsonl").append(DeadLetter.of(Failure(ValueError(), "billing", "sum", 1, 1)))
    plan = dead("replay", "dead.jsonl", "shop.py:orders", "--dry-run")
    assert "4 letters" not in plan.stderr
    (shop / "out.txt").touch()
    done = dead("replay", "dead.jsonl", "shop.py:orders", "--node", "sum", "--to", "out.txt")
    assert done.stderr == (
        "rxchain: 0 letters replayed, 0 failed again, 0 could not be replayed; 1 letter of other chains left alone\n"
    )
    assert done.exit_code == 0


def test_what_cannot_be_replayed_is_told_and_the_status_says_so(shop: Path) -> None:
    for more in (["--dry-run"], ["--to", "out.txt"]):
        done = dead("replay", "dead.jsonl", "shop.py:points", *more, "--node", "charge")
        assert done.exit_code == 1
        assert "chain 'orders' has no node 'charge'; it has 'parse'" in done.output


def test_what_would_be_done_a_second_time_is_refused_in_a_line_unless_forced(shop: Path) -> None:
    failure = Failure(ValueError("no room"), "orders", "charge", "7", "7", stands=("parse",))
    DeadLetterFile("twice.jsonl").append(DeadLetter.of(failure))
    (letter,) = letters("twice.jsonl")
    again = ["replay", "twice.jsonl", "shop.py:orders", "--from", "start", "--to", "out.txt"]
    why = (
        "what parse did could not be undone, and would be done a second time;"
        " once that is seen to: force=True, or --force"
    )
    plan = dead(*again, "--dry-run")
    assert (plan.stdout, plan.exit_code) == (f"{letter.id[:8]}: cannot be replayed: {why}\n", 1)
    done = dead(*again)
    assert done.stderr == (
        f"{letter.id[:8]}: {why}\nrxchain: 0 letters replayed, 0 failed again, 1 could not be replayed\n"
    )
    assert (done.exit_code, letters("twice.jsonl")) == (1, [letter])
    assert "from the start" in dead(*again, "--force", "--dry-run").stdout
    assert dead(*again, "--force").exit_code == 0
    assert letters("twice.jsonl") == []


def test_one_replay_at_a_time(shop: Path) -> None:
    with locked("dead.jsonl.replay.lock"):
        said = dead("replay", "dead.jsonl", "shop.py:orders", "--to", "out.txt")
    assert said.exit_code == 2
    assert said.stderr == "rxchain: another replay of dead.jsonl is under way\n"


# --- purge


def test_purge_lets_go_of_what_is_said(shop: Path) -> None:
    file = DeadLetterFile("dead.jsonl")
    file.settle(letters()[1].id)
    assert dead("purge", "dead.jsonl", "--settled").stdout == "1 letter purged, 2 kept\n"
    assert dead("purge", "dead.jsonl", "--before", "90m").stdout == "1 letter purged, 1 kept\n"
    assert [letter.item for letter in letters()] == ["3"]
    assert dead("purge", "dead.jsonl", "--all").stdout == "1 letter purged, 0 kept\n"
    assert (shop / "dead.jsonl").read_bytes() == b""
    assert dead("list", "dead.jsonl").stdout == "0 dead letters\n"


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lits", "dead.jsonl"], "there is no command 'lits' (did you mean 'list'?)"),
        (["list", "daed.jsonl"], "there is no file daed.jsonl (did you mean 'dead.jsonl'"),
        (["list", "."], "cannot be read"),
        (["list", "shop.py"], "shop.py is no file of dead letters: its first line is"),
        (["purge", "shop.py", "--all"], "shop.py is no file of dead letters"),
        (["list", "dead.jsonl", "--since", "tomorrow"], "--since tomorrow: say how long ago, as 30m, 2h or 7d"),
        (["show", "dead.jsonl", "nobody"], "has no open letter 'nobody': see rxchain dead list dead.jsonl"),
        (["show", "dead.jsonl", ""], "3 open letters whose id begins with ''"),
        (["purge", "dead.jsonl"], "say which letters to let go of"),
        (["purge", "dead.jsonl", "--all", "--settled"], "say it alone"),
        (["purge", "dead.jsonl", "--before", "x"], "--before x: say"),
        (["replay", "dead.jsonl", "shop.py:nothing"], "has no 'nothing'"),
        (["replay", "dead.jsonl", "shop.py:orders", "--to", "dead.jsonl", "--to-format", "text"], "are the same file"),
        (["replay", "dead.jsonl", "shop.py:orders", "--id", "zzz"], "has no open letter 'zzz'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line(shop: Path, arguments: list[str], said: str) -> None:
    before = (shop / "dead.jsonl").read_bytes()
    told = refused(*arguments)
    assert said in told
    assert told.count("\n") == 1
    assert (shop / "dead.jsonl").read_bytes() == before
    assert not os.path.exists("shop.py.lock")


# --- rxchain run


def test_whatever_fails_in_a_run_has_a_letter(rxchain: Rxchain, shop: Path) -> None:
    (shop / "in.jsonl").write_text('"1"\n{bad\n"x"\n')
    done = rxchain("run", "shop:points", "--from", "in.jsonl", "--to", "out.txt", "--dead-letters", "d.jsonl")
    assert not re.search(r"\b1 item\b", done.stderr)
    kept = {letter.node: letter for letter in letters("d.jsonl")}
    assert kept.keys() == {"(input)", "(output)", "parse"}
    assert (kept["(input)"].place, kept["(input)"].restartable) == ("in.jsonl:2", False)
    assert repr(kept["(input)"].item) == "{bad"
    assert kept["parse"].place == "in.jsonl:3"
    assert "Order(number=1)" in repr(kept["(output)"].value)
    assert {letter.chain for letter in kept.values()} == {"orders"}
    again = rxchain("dead", "replay", "d.jsonl", "shop:points")
    assert again.stderr.count("has no node '(") == 2
    assert again.returncode == 1


def test_a_letter_is_kept_before_the_run_is_stopped(rxchain: Rxchain, shop: Path) -> None:
    rxchain("run", "shop:orders", "--dead-letters", "d.jsonl", "--fail-fast", stdin="1\nx\ny\n")
    assert [letter.item for letter in letters("d.jsonl")] == ["x"]


@pytest.mark.parametrize(
    ("path", "said"), [("nowhere/d.jsonl", "there is no folder"), ("in.txt", "same file"), ("out.txt", "same file")]
)
def test_a_file_that_cannot_have_letters_is_refused(shop: Path, path: str, said: str) -> None:
    (shop / "in.txt").write_text("1\n")
    arguments = ["run", "shop:orders", "--from", "in.txt", "--to", "out.txt", "--dead-letters", path]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not os.path.exists("out.txt")


def test_what_the_chain_itself_does_about_failures_is_done_and_told(rxchain: Rxchain, shop: Path) -> None:
    done = rxchain("run", "shop:kept", stdin="1\nx\n2\n")
    assert done.stdout == "charged 1\ncharged 2\n"
    assert "stdin:2: node 'parse'" in done.stderr
    assert done.returncode == 1
    assert [letter.position for letter in letters("kept.jsonl")] == [1]
    limited = rxchain("run", "shop:strict", stdin="x\ny\nz\n2\n")
    assert "the stream failed: TooManyDeadLetters: chain 'orders': 2 items in a row failed" in limited.stderr
    assert [letter.item for letter in letters("kept.jsonl")] == ["x", "x", "y"]


def test_a_chain_that_goes_on_or_stops_by_itself_does_so_here(rxchain: Rxchain, shop: Path) -> None:
    resumed = rxchain("run", "shop:resumed", stdin="1\nx\n2\n")
    assert (resumed.stdout, resumed.returncode) == ("charged 1\nnone\ncharged 2\n", 0)
    stopped = rxchain("run", "shop:stopping", stdin="1\nx\n2\n")
    assert (stopped.stdout, stopped.returncode) == ("charged 1\n", 1)
    assert "the stream failed: ValueError" in stopped.stderr
