"""`rxchain run`, as a process: formats, failing items, whole lines, exit status."""

import gzip
import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import Rxchain, Start, Until


def test_lines_go_in_and_out_in_order(rxchain: Rxchain) -> None:
    done = rxchain("run", "chains:uppers", stdin="a\nb\r\nä\n\nlast")
    assert done.stdout == "A\nB\nÄ\n\nLAST\n"
    assert done.stderr.startswith("rxchain: 5 items in, 5 results out, ")
    assert done.returncode == 0


def test_an_asynchronous_chain_runs_too(rxchain: Rxchain) -> None:
    assert rxchain("run", "chains:slow", "--limit", "2", stdin="a\nb\nc\n").stdout == "A\nB\n"


def test_a_factory_is_called_with_converted_parameters(rxchain: Rxchain) -> None:
    params = ["--param", "prefix=ab", "--param", "times=2", "--param", "loud=yes", "--param", 'tags=["x", "y"]']
    assert rxchain("run", "chains:prefixed", *params, stdin="1\n").stdout == "abab!xy1\n"
    assert rxchain("run", "chains:defaults", stdin="1\n").stdout == "+1\n"


def test_json_lines_become_csv_by_the_files_names(rxchain: Rxchain, folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"item": "a,b", "quantity": 2}\n\n{"item": "c", "quantity": 1}\n')
    assert rxchain("run", "chains:prices", "--from", "in.jsonl", "--to", "out.csv").returncode == 0
    assert (folder / "out.csv").read_text() == 'item,quantity,total\n"a,b",2,6\nc,1,3\n'
    done = rxchain("run", "chains:prices", "--from", "out.csv", "--to", "back.ndjson")
    assert json.loads((folder / "back.ndjson").read_text().splitlines()[0]) == {
        "item": "a,b",
        "quantity": "2",
        "total": 6,
    }
    assert done.returncode == 0


def test_gzip_is_read_and_written_by_extension_and_by_option(rxchain: Rxchain, folder: Path) -> None:
    (folder / "in.txt.gz").write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert rxchain("run", "chains:uppers", "--from", "in.txt.gz", "--to", "out.log.gz").returncode == 0
    assert gzip.decompress((folder / "out.log.gz").read_bytes()) == b"A\nB\n"
    done = rxchain("run", "chains:same", "--format", "text.gz", stdin=gzip.compress(b"a\nb"))
    assert done.stdout == "a\nb\n"


def test_truncated_gzip_keeps_what_was_read_and_says_where_it_ends(rxchain: Rxchain, folder: Path) -> None:
    lines = os.urandom(100_000).hex("\n", 20) + "\n"
    (folder / "in.txt.gz").write_bytes(gzip.compress(lines.encode())[:-30])
    done = rxchain("run", "chains:same", "--from", "in.txt.gz")
    assert done.returncode == 1
    assert lines.startswith(done.stdout)
    assert "in.txt.gz cannot be read any further after line" in done.stderr
    assert "the compressed data ends in the middle" in done.stderr


def test_stdout_is_text_if_the_first_result_is_a_string_and_json_lines_otherwise(rxchain: Rxchain) -> None:
    assert rxchain("run", "chains:lengths", stdin="ä\n").stdout == '{"line": "ä", "length": 1}\n'
    assert rxchain("run", "chains:points", stdin="ä\n").stdout == '{"x": 1, "y": "ä"}\n'


def test_items_at_the_end_of_the_stream_are_flushed(rxchain: Rxchain) -> None:
    assert rxchain("run", "chains:batches", stdin="1\n2\n3\n4\n").stdout == "1 2 3\n4\n"


def test_a_bad_line_says_where_and_why_and_reading_goes_on(rxchain: Rxchain, folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(
        b'{"quantity": 1}\n{bad\n\n{"quantity": "\xff"}\n' + b"[" * 100_000 + b'\n{"quantity": 4}\n'
    )
    done = rxchain("run", "chains:prices", "--from", "in.jsonl")
    assert [json.loads(line)["total"] for line in done.stdout.splitlines()] == [3, 12]
    assert "in.jsonl:2: not JSON: Expecting property name" in done.stderr
    assert "in.jsonl:4: not UTF-8: byte 0xff at byte 15 of the line" in done.stderr
    assert "in.jsonl:5: not JSON that can be read" in done.stderr
    assert "rxchain: 5 items in, 2 results out, 3 failed" in done.stderr
    assert done.returncode == 1


def test_csv_rows_that_do_not_fit_their_header_are_told_by_line(rxchain: Rxchain, folder: Path) -> None:
    (folder / "in.csv").write_bytes(
        b'\xef\xbb\xbfname,quantity\n"two\nlines",1\nfew\nx,1,many\nx,\xff\n\n"x"y,1\nlast,2\n"open,1\n'
    )
    done = rxchain("run", "chains:prices", "--from", "in.csv")
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["two\nlines", "last"]
    assert "in.csv:4: a row of 1 field under a header of 2: nothing for 'quantity'" in done.stderr
    assert "in.csv:5: a row of 3 fields under a header of 2: nowhere to put 'many'" in done.stderr
    assert "in.csv:6: not UTF-8: byte 0xff" in done.stderr
    assert "in.csv:8: not CSV: ',' expected" in done.stderr
    assert "in.csv:10: not CSV: unexpected end of data" in done.stderr


def test_a_header_with_a_name_twice_is_no_header(rxchain: Rxchain) -> None:
    done = rxchain("run", "chains:same", "--format", "csv", stdin="a,a\n1,2\n")
    assert "the stream failed: stdin:1: the header names the column 'a' twice" in done.stderr
    assert done.returncode == 1


def test_a_failing_item_is_one_line_with_place_node_and_error_and_the_others_go_on(rxchain: Rxchain) -> None:
    done = rxchain("run", "chains:prices", "--format", "jsonl", stdin='{"quantity": 1}\n{}\n{"quantity": 2}\n')
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.splitlines()[0] == (
        "stdin:2: node 'price' of chain 'prices': KeyError: 'quantity', with item {}"
    )
    assert done.returncode == 1


def test_twenty_failures_are_told_in_full_and_the_others_counted_by_kind(rxchain: Rxchain) -> None:
    done = rxchain("run", "chains:refusing", stdin="x\n" * 50)
    assert done.stderr.count("ValueError: no: x, with item 'x'") == 20
    assert "... and 30 more failed items: 30 × ValueError in node 'refuse' of chain 'strict'" in done.stderr


def test_debug_shows_the_traceback_of_a_failing_item_and_of_a_refusal(rxchain: Rxchain) -> None:
    assert "in refuse" in rxchain("run", "chains:refusing", "--debug", stdin="x\n").stderr
    assert "Traceback" in rxchain("run", "chains:nothing", "--debug").stderr


def test_fail_fast_stops_at_the_first_failure(rxchain: Rxchain) -> None:
    done = rxchain("run", "chains:refusing", "--fail-fast", stdin="x\ny\n")
    assert done.stderr.count("ValueError") == 1
    assert "1 item in, 0 results out, 1 failed" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("format", "lines", "said"),
    [
        ("text", "[1]", "text holds strings and numbers, and this is a list: try --to-format jsonl, with result [1]"),
        ("text", "'\\ud800'", "UTF-8 cannot hold"),
        ("jsonl", "{1, 2}", "jsonl cannot hold it: a set is no JSON value"),
        ("jsonl", "float('nan')", "jsonl cannot hold it: Out of range float"),
        ("csv", "'a'", "CSV holds a dict a row, and this is a str"),
        ("csv", "dict(b=1)", "the header is a by the first row, and this one has no 'a', 'b', which it lacks"),
        ("csv", "dict(a=[1])", "a CSV field holds text or a number, and 'a' is a list"),
    ],
)
def test_a_result_that_the_format_cannot_hold_is_a_failed_item(
    rxchain: Rxchain, format: str, lines: str, said: str
) -> None:
    good = "dict(a=1)" if format == "csv" else "1"
    done = rxchain("run", "chains:evaluated", "--to-format", format, stdin=f"{good}\n{lines}\n{good}\n")
    assert f"stdout: {said}" in done.stderr
    assert done.stdout == ("a\n1\n1\n" if format == "csv" else "1\n1\n")
    assert "3 items in, 2 results out, 1 failed" in done.stderr
    assert done.returncode == 1


def test_quiet_leaves_only_the_failures(rxchain: Rxchain) -> None:
    assert rxchain("run", "chains:uppers", "--quiet", stdin="a\n").stderr == ""
    assert rxchain("run", "chains:refusing", "--quiet", stdin="a\n").stderr.count("\n") == 1


def test_a_limit_is_reached_without_waiting_for_the_next_line(start: Start, until: Until) -> None:
    process = start("run", "chains:uppers", "--limit", "1")
    process.stdin.write(b"a\n")
    assert until(process.stdout, b"A\n") == b"A\n"
    assert process.wait(20) == 0


def test_each_line_is_seen_while_the_input_goes_on(start: Start, until: Until) -> None:
    process = start("run", "chains:uppers")
    for line in (b"a\n", b"b\n"):
        process.stdin.write(line)
        assert until(process.stdout, line.upper()) == line.upper()
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_closed_pipe_ends_quietly_with_the_status_of_sigpipe(start: Start, until: Until) -> None:
    process = start("run", "chains:uppers")
    process.stdin.write(b"a\n")
    until(process.stdout, b"A\n")
    process.stdout.close()
    process.stdin.write(b"b\n")
    assert process.wait(20) == 141
    assert process.stderr.read() == b""


def test_a_full_device_is_told_in_one_line(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rxchain", "run", "chains:uppers"],
            input=b"a\n",
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert b"the stream failed: stdout cannot be written any further: No space left on device" in done.stderr
    assert done.returncode == 1


def test_a_file_that_could_not_grow_ends_with_a_whole_line(rxchain: Rxchain, folder: Path) -> None:
    def few_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_003, 100_003))

    done = rxchain("run", "chains:uppers", "--to", "out.txt", stdin="line\n" * 100_000, preexec_fn=few_bytes)
    assert "out.txt cannot be written any further: File too large" in done.stderr
    assert (folder / "out.txt").read_bytes() == b"LINE\n" * 20_000
    assert done.returncode == 1


def test_an_output_file_is_overwritten(rxchain: Rxchain, folder: Path) -> None:
    (folder / "out.txt").write_text("something longer than the new text\n")
    rxchain("run", "chains:uppers", "--to", "out.txt", stdin="a\n")
    assert (folder / "out.txt").read_text() == "A\n"


def test_progress_is_shown_on_a_terminal_and_taken_away(start: Start, until: Until, folder: Path) -> None:
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        process = start("run", "chains:uppers", stderr=theirs)
        process.stdin.write(b"a\n")
        assert "● 1 item in, 1 result out" in until(terminal, b"1 result out").decode()
        process.stdin.close()
        assert process.wait(20) == 0
        os.close(theirs)
        assert b"rxchain: 1 item in" in until(terminal, b"items/s")


def test_progress_elsewhere_only_if_asked_for(start: Start, until: Until) -> None:
    process = start("run", "chains:uppers", "--progress")
    process.stdin.write(b"a\n")
    assert until(process.stderr, b"items/s\n").startswith(b"1 item in, 1 result out, ")
    process.stdin.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize(("descriptor", "said"), [(0, b"stdin is closed"), (1, b"stdout is closed")])
def test_closed_ends_are_told_before_anything_runs(folder: Path, descriptor: int, said: bytes) -> None:
    command = [sys.executable, "-m", "rxchain", "run", "chains:uppers"]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, preexec_fn=lambda: os.close(descriptor))
    assert said in done.stderr
    assert done.returncode == 2
