"""What was predicted beside what was measured."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from rxchain.timing._measured import Measured
    from rxchain.timing._predict import Prediction


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure, predicted and measured."""

    of: str
    """A node, ``worked`` or ``throughput``."""
    figure: str
    """``mean``, ``p50``, ``p95``, ``p99``; ``items/s`` of the throughput."""
    predicted: float
    """Seconds, as is what was measured; of the throughput items a second."""
    measured: float

    @property
    def error(self) -> float:
        """How far the prediction is off, as a share of what was measured: 0.1 is a tenth too long."""
        if self.predicted == self.measured:
            return 0.0
        if math.isinf(self.measured):
            return -1.0
        return (self.predicted - self.measured) / self.measured if self.measured else math.inf


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was predicted beside what was measured; `Measurement.compare` makes it.

    An item's time is compared with the time that nodes worked on it, ``worked``, since no prediction knows of the items
    ahead; what it waited for them stands apart. The throughput that is predicted is a bound.

    Printed it is a table; rich shows it as one of its own.
    """

    rows: tuple[Compared, ...]
    between: float
    """Seconds an item was between nodes, on average, which no prediction contains; as `Measured.between`."""

    def __getitem__(self, which: tuple[str, str]) -> Compared:
        """One figure: ``comparison["worked", "p95"]``."""
        for row in self.rows:
            if (row.of, row.figure) == which:
                return row
        raise KeyError(f"nothing is compared of {which!r}")

    def __str__(self) -> str:
        from rxchain.timing._table import table_of_comparison

        return table_of_comparison(self)

    def __rich__(self) -> "Table":
        from rxchain.timing._table import rich_table

        return rich_table(self)


def compared(prediction: "Prediction", measured: "Measured") -> Comparison:
    """Both, side by side; nodes that only one of them has are left out."""
    rows = [
        Compared(node.name, "mean", task.mean, node.mean)
        for task in prediction.tasks
        for node in measured.nodes
        if node.name == task.name
    ]
    for figure in ("mean", "p50", "p95", "p99"):
        rows.append(Compared("worked", figure, getattr(prediction, figure), getattr(measured.worked, figure)))
    rows.append(Compared("throughput", "items/s", prediction.throughput, measured.throughput))
    return Comparison(tuple(rows), measured.between)
