"""What every test is held to, without asking: it leaves nothing running behind it, and no warning unread.

Nothing here is a fixture. A test that means to leave something says so: `@pytest.mark.leaves_behind("why")`.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

from rxchain.testing._leaks import is_closing
from rxchain.testing._waiting import describe

CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

GRACE = 1.0
"""Seconds that a thread which is about to end is given."""

hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("dev", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("brief", hypothesis.settings.get_profile("ci"), max_examples=25)
hypothesis.settings.register_profile("deep", hypothesis.settings.get_profile("dev"), max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if CI else "dev"))


# --- what a test leaves behind

_cancelled_at_the_end: list[str] = []
"""Tasks that were still pending when their event loop closed."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves_behind(why): the test may leave tasks or threads running")
    runners: Any = sys.modules["asyncio.runners"]
    cancel_all = runners._cancel_all_tasks

    def noticing(loop: asyncio.AbstractEventLoop) -> None:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            if not is_closing(task):
                _cancelled_at_the_end.append(describe(task))
        if pending:
            cancel_all(loop)

    runners._cancel_all_tasks = noticing
    config.add_cleanup(lambda: setattr(runners, "_cancel_all_tasks", cancel_all))


def _threads() -> set[threading.Thread]:
    """Threads that somebody has to end: those that hold up the exit, and rxchain's own."""
    return {t for t in threading.enumerate() if t.is_alive() and (not t.daemon or t.name.startswith("rxchain"))}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    before = _threads()
    _cancelled_at_the_end.clear()
    result = yield
    # An un-awaited coroutine warns when it is collected: here, so that the test at hand is the one that fails.
    gc.collect(1)
    if item.get_closest_marker("leaves_behind"):
        return result
    until = time.monotonic() + GRACE
    while (left := _threads() - before) and time.monotonic() < until:
        next(iter(left)).join(0.01)
    behind = [f"the thread {thread.name!r}" for thread in left] + _cancelled_at_the_end
    if behind:
        pytest.fail("the test leaves behind:\n" + "\n".join(behind), pytrace=False)
    return result
