"""One run: items from the source through the chain to the output, until the end or a signal."""

import asyncio
import os
import sys
import traceback
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from rxchain import Chain
from rxchain.cli._errors import describe
from rxchain.cli._letters import Letters
from rxchain.cli._progress import Stderr
from rxchain.cli._reading import InputError
from rxchain.cli._report import FailFastError, Report
from rxchain.cli._source import Source
from rxchain.cli._stop import STATUS_OF_CLOSED_PIPE, Stop
from rxchain.cli._telling import telling
from rxchain.cli._writing import Output, UnfitError

FAILED = 1
"""The exit status when an item failed, or the stream did."""


@dataclass(frozen=True)
class How:
    """The switches of a run; *progress* is None where the terminal decides."""

    fail_fast: bool = False
    quiet: bool = False
    progress: bool | None = None
    debug: bool = False


def run(chain: Chain[Any, Any], source: Source, output: Output, how: How, letters: Letters | None = None) -> int:
    """Run *chain*; returns the exit status."""
    stderr = Stderr()
    report = Report(
        stderr.say, source.place_of, lambda: source.taken, letters, fail_fast=how.fail_fast, debug=how.debug
    )  # fmt: skip

    def told() -> None:
        if not how.quiet:
            stderr.say("rxchain: finishing what is in flight; Ctrl-C again stops at once")

    def at_once() -> None:
        output.flush_at_once()
        stderr.show_cursor()
        os.write(2, b"rxchain: stopped at once; what was in flight is lost\n")

    with Stop(told, at_once) as stop:
        # On a terminal that shows the results the live line would be in their way.
        watched = sys.stderr.isatty() and not output.is_terminal
        if how.progress or (how.progress is None and watched and not how.quiet):
            stderr.show_progress(lambda: _progress_line(source, report))
        failed: str | None = None
        try:
            asyncio.run(_drive(chain, source, output, report, stop))
            output.close()
        except FailFastError:
            failed = ""
        except InputError as error:
            failed = str(error)
        except OSError as error:
            if error is not output.error:
                failed = _explained(error, how)
            elif isinstance(error, BrokenPipeError):
                return _closed_pipe()
            else:
                failed = f"{output.name} cannot be written any further: {error.strerror}"
        except Exception as error:
            failed = _explained(error, how)
        finally:
            stderr.end_progress()
            with suppress(OSError):
                output.close()
        if failed:
            stderr.say(f"rxchain: the stream failed: {failed}")
        if not how.quiet:
            for line in report.summary():
                stderr.say(line)
        return stop.status or (FAILED if report.failed or failed is not None else 0)


async def _drive(chain: Chain[Any, Any], source: Source, output: Output, report: Report, stop: Stop) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def write_failed() -> None:
        with suppress(RuntimeError):  # the loop has ended, and close() raises the error
            loop.call_soon_threadsafe(task.cancel)

    output.start(loop.call_soon, write_failed)
    encode, put = output.encode, output.put
    try:
        async with aclosing(chain.stream(source.items(stop, report), on_error=telling(chain, report))) as results:
            async for result in results:
                try:
                    record = encode(result)
                except UnfitError as error:
                    report.unfit(output.name, error, result)
                else:
                    put(record)
                    report.results += 1
    except asyncio.CancelledError:
        if output.error is None:
            raise
        raise output.error from None


def _progress_line(source: Source, report: Report) -> str:
    done = f"{source.position / source.size:4.0%}  " if source.size else ""
    return f"{done}{report.line()}, {report.rate()}"


def _explained(error: Exception, how: How) -> str:
    notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    trace = "\n" + "".join(traceback.format_exception(error)).rstrip() if how.debug else ""
    return f"{describe(error)}{notes}{trace}"


def _closed_pipe() -> int:
    # What user code has printed to stdout must not fail either, when the interpreter flushes it at its exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return STATUS_OF_CLOSED_PIPE
