"""The command: run the benchmarks, print their tables, say which bars are met."""

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from rxchain import __version__

from ._measure import Report, Settings
from .concurrency import async_in_flight, async_keyed, async_keyed_yield, async_ordered, async_sequence
from .graphs import graph_async_calls, graph_branches, graph_calls
from .hosts import host_memory, on_aioreactive, on_reactivex
from .imports import importing
from .items import async_item, build_and_run, sync_item
from .memory import memory
from .policies import (
    catch_async,
    catch_async_failing,
    catch_plain,
    catch_plain_failing,
    other_policies,
    retry_async,
    retry_async_failing,
    retry_plain,
    retry_plain_failing,
)
from .prediction import graph_predicted, row_predicted
from .producer import event_loop_blocked, producer_memory
from .queues import (
    queue_between_threads,
    queue_bounded,
    queue_fifo,
    queue_priority,
    queue_threads,
    queue_threads_priority,
)
from .streams import async_collect, async_stream, mixed_stream, sync_stream
from .threads import blocking_in_threads, cheap_in_threads

Benchmark = Callable[[Settings], Report]

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.__name__: benchmark
    for benchmark in (
        sync_stream,
        mixed_stream,
        async_collect,
        async_stream,
        sync_item,
        async_item,
        build_and_run,
        on_reactivex,
        on_aioreactive,
        host_memory,
        async_sequence,
        async_in_flight,
        async_ordered,
        async_keyed,
        async_keyed_yield,
        blocking_in_threads,
        cheap_in_threads,
        graph_calls,
        graph_async_calls,
        graph_branches,
        queue_fifo,
        queue_bounded,
        queue_priority,
        queue_threads,
        queue_threads_priority,
        queue_between_threads,
        retry_plain,
        retry_plain_failing,
        retry_async,
        retry_async_failing,
        catch_plain,
        catch_plain_failing,
        catch_async,
        catch_async_failing,
        other_policies,
        row_predicted,
        graph_predicted,
        importing,
        producer_memory,
        event_loop_blocked,
        memory,
    )
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(sorted(BENCHMARKS)), help="Run this one; may be repeated.")
@click.option("--repeat", type=click.IntRange(min=5), help="Repetitions; otherwise each benchmark has its own number.")
@click.option("--items", type=click.IntRange(min=100), help="Items of one repetition; otherwise as for --repeat.")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there, too.")
def main(only: tuple[str, ...], repeat: int | None, items: int | None, file: Path | None) -> None:
    """Compare rxchain with the loop written by hand and with its peers. Fails only if an answer is wrong."""
    console = Console(highlight=False, width=120)
    settings = Settings(repeat, items)
    reports = []
    for name, benchmark in BENCHMARKS.items():
        if not only or name in only:
            report = benchmark(settings)
            reports.append(report)
            _show(console, report)
    _summarise(console, reports)
    if file is not None:
        file.write_text(json.dumps(_as_json(reports), indent=2, ensure_ascii=False) + "\n")
    sys.exit(1 if any(report.wrong for report in reports) else 0)


def _show(console: Console, report: Report) -> None:
    console.print(f"\n[bold]{report.name}[/bold]  {report.question}")
    table = Table(box=None, pad_edge=True, show_header=True)
    table.add_column("", min_width=44)
    table.add_column("cost", justify="right")
    table.add_column(f"x {report.beside}", justify="right")
    for row in report.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        style = "bold" if row.variant.startswith(("rxchain", "import rxchain")) else ""
        table.add_row(row.variant, _figure(row.value, report.unit), ratio, style=style)
    for skipped in report.skipped:
        table.add_row(skipped, "skipped", "", style="dim")
    console.print(table)
    for wrong in report.wrong:
        console.print("  WRONG: ", style="bold red", end="")
        console.print(wrong, markup=False)


def _figure(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / 1e6:.2f} MB"
    for factor, name in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if value * factor < 10_000:
            return f"{value * factor:.{0 if value * factor >= 100 else 1}f} {name}"
    return f"{value:.2f} s"


def _summarise(console: Console, reports: list[Report]) -> None:
    table = Table(title=f"rxchain {__version__}, Python {platform.python_version()}", title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("bar", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for report in reports:
        for bar in report.bars:
            met = bar.verdict == "met"
            ours, limit = f"{bar.got:.2f} {bar.unit}", f"<= {bar.limit:g} {bar.unit}"
            table.add_row(report.name, bar.of, ours, limit, bar.verdict, style="green" if met else "yellow")
        if report.wrong:
            table.add_row(report.name, "", "", "", f"{len(report.wrong)} wrong", style="bold red")
    console.print()
    console.print(table)


def _as_json(reports: list[Report]) -> dict[str, object]:
    made = []
    for report in reports:
        plain = asdict(report)
        for bar, its in zip(report.bars, plain["bars"]):
            its["verdict"] = bar.verdict
        made.append(plain)
    return {
        "rxchain": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "benchmarks": made,
    }


if __name__ == "__main__":
    main()
