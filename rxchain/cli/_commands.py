"""The commands and their options."""

import sys
from typing import Any, NoReturn

import click

from rxchain import __version__
from rxchain.cli._errors import Refusal, did_you_mean
from rxchain.cli._formats import format_called, format_of


class Commands(click.Group):
    """A group that knows what a mistyped command was to be."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            commands = self.list_commands(ctx)
            raise Refusal(
                f"there is no command {name!r}{did_you_mean(name, commands)}; there are {', '.join(commands)}"
            )
        return super().resolve_command(ctx, args)


class _Main(Commands):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # while a module is imported, or a fifo opened; click would say 1
            leave(130)
        except Refusal:
            if "--debug" in sys.argv:
                import traceback

                traceback.print_exc()
            raise


def leave(status: int) -> NoReturn:
    raise click.exceptions.Exit(status)


CHAIN = """
MODULE_OR_FILE:CHAIN is a module with dots (the current directory is importable) or a .py file, and a name in it: a
Chain, a node or an operator, or a function that makes one, called with --param. ":CHAIN" may be left out where the
module has one Chain.
"""

target_argument = click.argument("target", metavar="MODULE_OR_FILE:CHAIN")
param_option = click.option(
    "--param",
    "params",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of the function that makes the chain. Several.",
)
debug_option = click.option("--debug", is_flag=True, help="Show tracebacks.")


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rxchain")
def main() -> None:
    """Run chains of plain Python functions over files and pipes.

    \b
    rxchain demo                                   see one at work
    rxchain run orders.py:chain --from in.jsonl --to out.csv
    tail -f app.log | rxchain run alarms.py        a stream that does not end
    rxchain graph orders.py:chain                  draw it (Mermaid)
    rxchain explain orders.py:chain                the program it is compiled to
    rxchain dead list orders.dead.jsonl            items that a chain gave up on; show, replay, purge
    """


@main.command(epilog=CHAIN)
@target_argument
@click.option("--from", "from_", metavar="FILE", default="-", help="Where items come from; - is stdin, the default.")
@click.option("--to", metavar="FILE", default="-", help="Where results go; - is stdout, the default.")
@click.option(
    "--format",
    "from_format",
    metavar="FORMAT",
    help="How items are read, if the file's name does not tell; stdin: text.",
)
@click.option(
    "--to-format",
    metavar="FORMAT",
    help="How results are written, if the file's name does not tell; stdout: text if the first is a str, else jsonl.",
)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Take N items at most.")
@param_option
@click.option("--fail-fast", is_flag=True, help="Stop at the first item that fails; otherwise the others go on.")
@click.option(
    "--dead-letters", metavar="FILE", help="Keep failed items there too, for rxchain dead; JSON lines, appended."
)
@click.option("--quiet", is_flag=True, help="No summary and no progress on stderr; failed items are still told.")
@click.option("--progress/--no-progress", default=None, help="Progress on stderr; by default on terminals.")
@debug_option
def run(
    target: str,
    from_: str,
    to: str,
    from_format: str | None,
    to_format: str | None,
    limit: int | None,
    params: tuple[str, ...],
    fail_fast: bool,
    dead_letters: str | None,
    quiet: bool,
    progress: bool | None,
    debug: bool,
) -> None:
    """Run a chain over the items of a file or pipe.

    \b
    Examples:
      rxchain run orders.py:chain --from orders.jsonl --to paid.csv
      rxchain run shop.orders:priced --param currency=EUR --from orders.csv.gz --to-format jsonl
      tail -f app.log | rxchain run alarms.py:chain
      rxchain run orders.py:chain --from orders.jsonl --limit 10 --fail-fast --debug

    \b
    Formats, by the file's name or by option, each also with .gz:
      text   a line is an item, without its line break   .txt .log
      jsonl  a JSON value on each line                   .jsonl .ndjson
      csv    a row is a dict, by the header              .csv

    An item that fails, or a line that cannot be read, is told on stderr with its place, and the others go on;
    --dead-letters keeps it for "rxchain dead replay". The chain's own on_error is told first, if it has one.

    The exit status is 0; 1 if items failed; 2 if the command could not start; 130 after Ctrl-C, 143 after SIGTERM: then
    the items in flight are finished first (a second Ctrl-C does not wait).
    """
    from rxchain.cli._find import find_chain
    from rxchain.cli._letters import Letters
    from rxchain.cli._run import How
    from rxchain.cli._run import run as run_chain
    from rxchain.cli._source import Source
    from rxchain.cli._writing import Output

    reads = format_called(from_format, "--format") if from_format else None
    writes = format_called(to_format, "--to-format") if to_format else None
    if writes is None and to != "-":
        writes = format_of(to, "--to-format")
    chain = find_chain(target, params)
    source = Source(from_, reads, limit)
    letters = None if dead_letters is None else Letters(dead_letters, chain.name or "", [from_, to])
    output = Output(to, writes, from_)  # the last: nothing else may refuse once a file has been emptied
    leave(run_chain(chain, source, output, How(fail_fast, quiet, progress, debug), letters))


@main.command(epilog=CHAIN)
@target_argument
@param_option
@debug_option
def explain(target: str, params: tuple[str, ...], debug: bool) -> None:
    """Print the program that a chain is compiled to."""
    from rxchain.cli._find import find_chain

    find_chain(target, params).explain()


@main.command(epilog=CHAIN)
@target_argument
@param_option
@debug_option
def graph(target: str, params: tuple[str, ...], debug: bool) -> None:
    """Print a chain as a Mermaid flowchart."""
    from rxchain.cli._find import find_chain

    click.echo(find_chain(target, params).to_mermaid(), nl=False)


@main.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False))
def demo(folder: str | None) -> None:
    """Measure every file of Python's standard library, or of FOLDER, with one chain.

    Files that cannot be decoded or parsed are told at the end. Its source, rxchain/demo.py, is the first example.
    """
    import warnings

    from rxchain.demo import run

    with warnings.catch_warnings(action="ignore"):  # old code among the files that are parsed
        run(folder)
