"""What it costs to import rxchain, each time in an interpreter of its own."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec

from ._measure import Bar, Report, Row, Settings, report_of

_PROGRAM = """
import time
start = time.perf_counter()
import {name}
spent = time.perf_counter() - start
import json, sys
print(json.dumps([spent, sorted({{module.partition(".")[0] for module in sys.modules}})]))
"""

UNASKED = ("aioreactive", "click", "rich")
"""What `import rxchain` must not import: it is slow, and only some need it."""


def importing(settings: Settings) -> Report:
    """How much longer does `import rxchain` take than `import reactivex`, in a fresh interpreter?"""
    report = report_of(importing, "s")
    names = ["reactivex", "rxchain"]
    for name in ("aioreactive", "streamable", "aiostream"):
        if find_spec(name) is None:
            report.skipped.append(f"{name} (it is not installed)")
        else:
            names.append(name)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as cache:
        for name in names:  # writes the bytecode, warms the disk's cache
            _, modules = _import(name, cache)
            unasked = [module for module in UNASKED if module in modules]
            if name == "rxchain" and unasked:
                report.wrong.append(f"import rxchain imports {', '.join(unasked)}")
        for repetition in range(max(7, settings.repeat or 15)):
            for name in names if repetition % 2 == 0 else reversed(names):
                seconds[name].append(_import(name, cache)[0])
    for name in names:
        report.rows.append(Row(f"import {name}", statistics.median(seconds[name])))
    more = statistics.median(ours - theirs for ours, theirs in zip(seconds["rxchain"], seconds["reactivex"]))
    report.bars.append(Bar("import rxchain, beyond reactivex", more * 1e3, 20.0, "ms"))
    return report


def _import(name: str, cache: str) -> tuple[float, list[str]]:
    """Seconds, and the names of the packages that are loaded after it; the bytecode of all of them is in *cache*.

    Otherwise a checkout would be compiled each time where PYTHONDONTWRITEBYTECODE is set, and its rivals would not.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", _PROGRAM.format(name=name)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    seconds, modules = json.loads(done.stdout)
    return float(seconds), list(modules)
