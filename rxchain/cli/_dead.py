"""``rxchain dead``: looking at dead letters, replaying them, letting go of them."""

import asyncio
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rxchain.cli._commands import CHAIN, Commands, debug_option, leave, param_option, target_argument
from rxchain.cli._errors import Refusal, did_you_mean, one_line
from rxchain.cli._formats import format_called, format_of

if TYPE_CHECKING:
    from rxchain import Chain
    from rxchain.cli._writing import Output
    from rxchain.policies import DeadLetter, DeadLetterFile

F = TypeVar("F", bound=Callable[..., Any])

SHORT_ID = 8
"""Characters of an id that are shown in a table; any beginning that only one letter has will do to name it."""
TOLD = 20
"""Letters that fail again and are told in full; the others are counted."""

_file = click.argument("path", metavar="FILE")


def _filtered(command: F) -> F:
    """The options that choose letters."""
    for option in (
        click.option("--since", metavar="TIME", help="Only those since then: 2h, 3d, 2024-05-01, 2024-05-01T12:00Z."),
        click.option("--error", metavar="TYPE", help="Only those with this error: ConnectTimeout, 'httpx.*'."),
        click.option("--node", metavar="NAME", help="Only those that failed in this node; * stands for anything."),
    ):
        command = option(command)
    return command


@click.group(cls=Commands)
def dead() -> None:
    """Look at items that a chain gave up on; replay them, let go of them.

    \b
    rxchain dead list orders.dead.jsonl --since 2h
    rxchain dead show orders.dead.jsonl 3f2a
    rxchain dead replay orders.dead.jsonl orders.py:chain
    rxchain dead purge orders.dead.jsonl --settled
    """


# --- list, show


@dead.command("list")
@_file
@_filtered
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N at most.")
@click.option("--json", "as_json", is_flag=True, help="All of each letter, a JSON value on a line.")
@debug_option
def list_letters(
    path: str, node: str | None, error: str | None, since: str | None, limit: int | None, as_json: bool, debug: bool
) -> None:
    """List the letters that are open, the oldest first."""
    file = _opened(path)
    letters = _chosen(file, node, error, since)[-(limit or 0) :]
    if as_json:
        for letter in letters:
            click.echo(letter.to_json())
        return
    if letters:
        _print_table(letters)
    settled = file.count()[1]
    told = f", {settled:,} settled (rxchain dead purge {path} --settled)" if settled else ""
    click.echo(f"{_count(len(letters), 'dead letter')}{told}")


@dead.command()
@_file
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="As the line that is in the file.")
@debug_option
def show(path: str, id: str, as_json: bool, debug: bool) -> None:
    """Show all of one letter; ID may be its beginning."""
    (letter,) = _named(path, _letters(_opened(path)), [id])
    if as_json:
        click.echo(letter.to_json())
        return
    facts: list[tuple[str, object]] = [
        ("id", letter.id),
        ("time", letter.time.isoformat(sep=" ", timespec="seconds")),
        ("chain", letter.chain),
        ("node", letter.node),
        ("place", letter.place),
        ("attempts", letter.attempts),
        ("undone", ", ".join(letter.undone)),
        ("stands", ", ".join(letter.stands)),
        ("error", f"{letter.error}: {letter.message}" if letter.message else letter.error),
        ("item", pformat(letter.item, width=100)),
        ("value", "" if letter.value is letter.item else pformat(letter.value, width=100)),
    ]
    for name, fact in facts:
        if fact != "":
            click.echo(_printable(f"{name:<9} " + str(fact).replace("\n", "\n" + " " * 10)))
    if not letter.replayable:
        click.echo("          what entered the node is only here as text: it cannot be replayed from there")
    click.echo("\n" + _printable(letter.traceback).rstrip())


def _print_table(letters: Sequence["DeadLetter"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "time (UTC)", "chain", "node", "error", "tried", "item"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", justify="right" if name == "tried" else "left")
    for letter in letters:
        error = f"{letter.error.rpartition('.')[2]}: {letter.message}" if letter.message else letter.error
        cells = [
            letter.id[:SHORT_ID],
            f"{letter.time:%Y-%m-%d %H:%M:%S}",
            letter.chain,
            letter.node,
            one_line(error, 50),
            str(letter.attempts),
            one_line(repr(letter.item), 40),
        ]
        table.add_row(*[Text(_printable(cell)) for cell in cells])
    # Where nobody looks at it, as wide as it is.
    Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or 200)).print(table)


# --- replay


@dead.command(epilog=CHAIN)
@_file
@target_argument
@click.option(
    "--from",
    "from_",
    type=click.Choice(["node", "start"]),
    default="node",
    help="From the node that failed, the default: what was done ahead of it is not done again. Or from the start.",
)
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only this letter, by the beginning of its id. Several.")
@_filtered
@click.option(
    "--force", is_flag=True, help="Also letters whose replay would do a second time what could not be undone."
)
@click.option("--dry-run", is_flag=True, help="Say what would be replayed, and from where; run nothing.")
@click.option("--to", metavar="FILE", default="-", help="Where results go; - is stdout, the default.")
@click.option("--to-format", metavar="FORMAT", help="How results are written, if the file's name does not tell.")
@param_option
@debug_option
def replay(
    path: str,
    target: str,
    from_: Any,
    ids: tuple[str, ...],
    node: str | None,
    error: str | None,
    since: str | None,
    force: bool,
    dry_run: bool,
    to: str,
    to_format: str | None,
    params: tuple[str, ...],
    debug: bool,
) -> None:
    """Run letters through their chain again, one after the other.

    A letter that goes through is settled as soon as its results are written; one that fails again stays, with its new
    error and one more attempt. Letters of other chains are left alone.

    The exit status is 0 if all went through; 1 if letters failed again or could not be replayed; 2 if the command could
    not start. After Ctrl-C the letter that was being replayed is open still.
    """
    from rxchain.cli._find import find_chain
    from rxchain.cli._writing import Output

    writes = format_called(to_format, "--to-format") if to_format else None
    if writes is None and to != "-":
        writes = format_of(to, "--to-format")
    file = _opened(path)
    chain = find_chain(target, params)  # before letters are read: it brings their classes along
    chosen = _chosen(file, node, error, since)
    letters = _named(path, chosen, ids) if ids else [letter for letter in chosen if letter.chain == (chain.name or "")]
    others = 0 if ids else len(chosen) - len(letters)
    if dry_run:
        leave(_tell_plan(chain, letters, from_, force))
    output = Output(to, writes, path)
    try:
        outcomes = asyncio.run(_replay(file, chain, letters, from_, force, output))
    except BlockingIOError:
        raise Refusal(f"another replay of {path} is under way") from None
    left = f"; {_count(others, 'letter')} of other chains left alone" if others else ""
    click.echo(
        f"rxchain: {_count(outcomes['settled'], 'letter')} replayed, {outcomes['failed']:,} failed again,"
        f" {outcomes['refused']:,} could not be replayed{left}",
        err=True,
    )
    leave(0 if outcomes["settled"] == len(letters) else 1)


async def _replay(
    file: "DeadLetterFile",
    chain: "Chain[Any, Any]",
    letters: Sequence["DeadLetter"],
    from_: Any,
    force: bool,
    output: "Output",
) -> Counter[str]:
    from rxchain.cli._writing import UnfitError

    outcomes: Counter[str] = Counter()

    def write(result: Any) -> None:
        output.put(output.encode(result))
        output.flush()  # before the letter is settled

    with closing(output):
        try:
            async with aclosing(file.replaying(chain, letters, from_=from_, emit=write, force=force)) as replays:
                async for done in replays:
                    outcomes[done.outcome] += 1
                    if done.why and sum(outcomes.values()) - outcomes["settled"] <= TOLD:
                        click.echo(_printable(f"{done.letter.id[:SHORT_ID]}: {one_line(done.why)}"), err=True)
        except UnfitError as error:
            raise Refusal(f"{output.name} cannot hold a result, so its letter is still open: {error}") from error
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise
            raise Refusal(f"stopped, and letters that were not told of are still open: {error}") from error
    return outcomes


def _tell_plan(chain: "Chain[Any, Any]", letters: Sequence["DeadLetter"], from_: Any, force: bool) -> int:
    from rxchain.policies._dead_replay import NotReplayable, Replays

    replays = Replays(chain, from_, force)
    refused = 0
    for letter in letters:
        try:
            _, given = replays.entry(letter)
        except NotReplayable as why:
            refused += 1
            told = f"cannot be replayed: {why}"
        else:
            where = f"from node {letter.node!r}" if from_ == "node" else "from the start"
            told = f"{where}, with {one_line(repr(given), 60)}"
        click.echo(_printable(f"{letter.id[:SHORT_ID]}: {told}"))
    click.echo(f"rxchain: {_count(len(letters) - refused, 'letter')} would be replayed", err=True)
    return 1 if refused else 0


# --- purge


@dead.command()
@_file
@click.option("--settled", is_flag=True, help="Those that are settled.")
@click.option("--before", metavar="TIME", help="All that failed before then, also open ones: 30d, 2024-05-01.")
@click.option("--all", "everything", is_flag=True, help="All, also open ones.")
@debug_option
def purge(path: str, settled: bool, before: str | None, everything: bool, debug: bool) -> None:
    """Let go of letters: the file is written anew without them."""
    if not (settled or before or everything):
        raise Refusal("say which letters to let go of: --settled, --before TIME or --all")
    if everything and (settled or before):
        raise Refusal("--all is all of them: say it alone")
    file = _opened(path)
    try:
        done = file.purge(settled=settled, before=_moment(before, "--before") if before else None, all=everything)
    except OSError as error:
        raise Refusal(f"{path} is as it was: {error}") from error
    click.echo(f"{_count(done.dropped, 'letter')} purged, {done.kept:,} kept")


# --- which letters


def _opened(path: str) -> "DeadLetterFile":
    from rxchain.policies import DeadLetterFile

    file = DeadLetterFile(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            if file.count() == (0, 0) and os.path.getsize(path) and next(iter(file), None) is None:
                _refuse_foreign(path)
    except FileNotFoundError:
        folder = Path(path).parent
        names = os.listdir(folder) if folder.is_dir() else []
        raise Refusal(f"there is no file {path}{did_you_mean(Path(path).name, names)}") from None
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from error
    return file


def _refuse_foreign(path: str) -> None:
    with open(path, "rb") as file:
        first = file.readline(4096).decode(errors="replace")
    if '"dead_letter"' not in first:
        raise Refusal(f"{path} is no file of dead letters: its first line is {one_line(_printable(first), 60)}")


def _letters(file: "DeadLetterFile") -> list["DeadLetter"]:
    with warnings.catch_warnings(record=True) as strange:
        warnings.simplefilter("always")
        letters = list(file)
    for warning in strange:
        click.echo(f"rxchain: {warning.message}", err=True)
    return letters


def _chosen(file: "DeadLetterFile", node: str | None, error: str | None, since: str | None) -> list["DeadLetter"]:
    earliest = _moment(since, "--since") if since else None
    return [
        letter
        for letter in _letters(file)
        if (node is None or fnmatchcase(letter.node, node))
        and (error is None or fnmatchcase(letter.error, error) or fnmatchcase(letter.error.rpartition(".")[2], error))
        and (earliest is None or letter.time >= earliest)
    ]


def _named(path: str, letters: Sequence["DeadLetter"], ids: Sequence[str]) -> list["DeadLetter"]:
    found: dict[str, DeadLetter] = {}
    for id in ids:
        meant = [letter for letter in letters if letter.id.startswith(id)]
        if len(meant) != 1:
            several = ", ".join(letter.id for letter in meant[:3])
            raise Refusal(
                f"{path} has {len(meant)} open letters whose id begins with {id!r}: {several}; say more of it"
                if meant
                else f"{path} has no open letter {id!r}: see rxchain dead list {path}"
            )
        found[meant[0].id] = meant[0]
    return list(found.values())


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _moment(text: str, option: str) -> datetime:
    """``2h`` ago, or an ISO date or time; local where it names no zone."""
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal(f"{option} {text}: say how long ago, as 30m, 2h or 7d, or a time, as 2024-05-01T12:00Z") from None


# --- words


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _printable(text: str) -> str:
    """*text* without what would move a terminal's cursor or change its colours: it may be anybody's."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
