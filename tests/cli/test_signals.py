"""Ctrl-C and SIGTERM, also while the input never comes to an end: waited for by output lines, never by sleeping."""

import gzip
import signal
from pathlib import Path

import pytest

from tests.cli.processes import Start, Until


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_whose_input_never_ends(start: Start, until: Until, number: int, status: int) -> None:
    process = start("run", "chains:uppers")
    process.stdin.write(b"a\n")
    until(process.stdout, b"A\n")
    process.send_signal(number)
    assert process.wait(20) == status
    assert b"rxchain: 1 item in, 1 result out" in process.stderr.read()


def test_a_signal_lets_what_is_in_flight_finish(start: Start, until: Until) -> None:
    process = start("run", "chains:slow")
    process.stdin.write(b"a\n")
    until(process.stdout, b"A\n")
    process.stdin.write(b"b\nc\nd\n" + b"e\n" * 1000)
    until(process.stdout, b"B\n")  # c is being worked on
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    left = process.stdout.read()
    assert left.endswith(b"\n")
    assert left.count(b"E") < 16, "no more than were in flight, or waited to be"


def test_what_a_step_held_back_is_written_at_a_signal(start: Start, until: Until) -> None:
    process = start("run", "chains:batches")
    process.stdin.write(b"1\n2\n3\n4\n")
    until(process.stdout, b"1 2 3\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert process.stdout.read() == b"4\n"


def test_a_second_ctrl_c_does_not_wait(start: Start, until: Until, folder: Path) -> None:
    process = start("run", "chains:stuck", "--progress")
    process.stdin.write(b"a\n")
    until(process.stderr, b"1 item in")
    process.send_signal(signal.SIGINT)
    until(process.stderr, b"Ctrl-C again stops at once")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert b"stopped at once" in process.stderr.read()


def test_a_signal_before_the_first_item_ends_the_run(start: Start, until: Until) -> None:
    process = start("run", "chains:uppers", "--progress")
    until(process.stderr, b"0 items in")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_compressed_output_is_complete_after_a_signal(start: Start, until: Until, folder: Path) -> None:
    process = start("run", "chains:uppers", "--to", "out.txt.gz", "--progress")
    process.stdin.write(b"a\n")
    until(process.stderr, b"1 result out")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert gzip.decompress((folder / "out.txt.gz").read_bytes()) == b"A\n"
