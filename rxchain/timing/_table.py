"""Predictions, measurements and both side by side, for people."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from rxchain.timing._compare import Compared, Comparison
    from rxchain.timing._measured import Measured
    from rxchain.timing._predict import Prediction


def seconds(value: float) -> str:
    """A time, with three figures."""
    if math.isnan(value):
        return "-"
    if not value:
        return "0 s"
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (math.inf, 1.0, "s")):
        if value < limit:
            return f"{value * factor:.3g} {unit}" if value * factor < 100 else f"{value * factor:.0f} {unit}"
    return f"{value} s"


def rate(value: float) -> str:
    """So many a second, with three figures."""
    return "-" if math.isnan(value) else f"{value:.3g}"


def table_of_prediction(prediction: "Prediction") -> str:
    """Its tasks, and what they come to."""
    header = ("", "mean", "attempts", "slack", "critical")
    rows = [
        (one.name, seconds(one.mean), f"{one.attempts:.3g}", seconds(one.slack), f"{one.critical:.0%}")
        for one in prediction.tasks
    ]
    figures = (
        f"an item: mean {seconds(prediction.mean)}, p50 {seconds(prediction.p50)}, p95 {seconds(prediction.p95)},"
        f" p99 {seconds(prediction.p99)}; {prediction.success:.1%} come through\n"
        f"one task after the other {seconds(prediction.sequential)}, critical path {seconds(prediction.critical)}\n"
        f"at most {prediction.throughput:.3g} items a second: {prediction.bottleneck}"
    )
    return f"{_aligned((header, *rows))}\n{figures}"


def table_of_measured(measured: "Measured") -> str:
    """Its nodes, and the whole."""
    header = ("", "items", "failed", "mean", "p50", "p95", "p99", "attempts", "waited")
    rows = [
        (
            *(one.name, str(one.count), str(one.failures)),
            *(seconds(value) for value in (one.mean, one.p50, one.p95, one.p99)),
            *(str(one.attempt.count + one.failed_attempt.count), seconds(one.waited)),
        )
        for one in measured.nodes
    ]
    for name, times in (("worked", measured.worked), ("total", measured.total)):
        figures = (seconds(value) for value in (times.mean, times.p50, times.p95, times.p99))
        rows.append((name, str(times.count), "", *figures, "", ""))
    return f"{_aligned((header, *rows))}\n{rate(measured.throughput)} items a second; {_between(measured.between)}"


COMPARED = ("", "", "predicted", "measured", "error")


def compared_rows(comparison: "Comparison") -> list[tuple[str, ...]]:
    """Its rows, as text."""
    return [
        (row.of, row.figure, *_figures(row), "-" if math.isnan(row.error) else f"{round(row.error, 3) + 0.0:+.1%}")
        for row in comparison.rows
    ]


def _figures(row: "Compared") -> tuple[str, str]:
    text = rate if row.of == "throughput" and row.figure == "items/s" else seconds
    return text(row.predicted), text(row.measured)


def _between(value: float) -> str:
    return f"on average an item was {seconds(value)} between nodes"


def table_of_comparison(comparison: "Comparison") -> str:
    """Predicted, measured, and the error."""
    return f"{_aligned((COMPARED, *compared_rows(comparison)), left=2)}\n{_between(comparison.between)}"


def rich_table(comparison: "Comparison") -> "Table":
    """The same for rich."""
    from rich.table import Table

    table = Table(box=None, caption=_between(comparison.between), caption_justify="left")
    for k, title in enumerate(COMPARED):
        table.add_column(title, justify="left" if k < 2 else "right")
    for row in compared_rows(comparison):
        table.add_row(*row)
    return table


def _aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = [cell.ljust(w) if k < left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
