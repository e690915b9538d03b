"""A queue of functions, run one after the other: the founding document's own use of a task queue."""

from typing import Any

from rxchain.engine import Colour, a_kind_of, colour, run_on_loop_thread, shorten
from rxchain.errors import CompositionError


def execute(queue: Any) -> list[Any]:
    """Run what can be taken from *queue*; the results, in that order."""
    results: list[Any] = []
    while True:
        try:
            delivery = queue.get_nowait()
        except LookupError:
            return results
        with delivery as task:
            results.append(_run(task))


def _run(task: Any) -> Any:
    call = getattr(task, "execute", task)
    if not callable(call):
        raise CompositionError(
            f"a task that is executed is a function, or has one called execute, got {a_kind_of(task)}\n"
            f"    queue.add_task({shorten(task, 30)})  # incorrect\n"
            "    queue.add_task(lambda: ...)  # correct; or take it with queue.get()"
        )
    made: Any = call()
    return run_on_loop_thread(made) if colour(call) is Colour.ASYNC else made
