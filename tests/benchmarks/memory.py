"""What a long stream leaves in memory, each time in an interpreter of its own."""

import json
import subprocess
import sys

from ._measure import BY_HAND, Bar, Report, Row, Settings, report_of

# The resident set first, without tracemalloc, whose own records would be in it; both after a warm-up of the same code.
# Not ru_maxrss: what the imports needed for a moment is in there, and would hide as much of ours.
_PROGRAM = """
import asyncio, json, os, sys, tracemalloc
from rxchain import Chain
from tests.benchmarks._nodes import ASYNC, PLAIN, all_by_hand

def by_hand(count):
    return total(all_by_hand(x) for x in range(count))

def iterate(count):
    return total(Chain(*PLAIN).iterate(range(count)))

def total(items):
    found = 0
    for i, x in enumerate(items):
        found += x
        if i % 10_000 == 0:
            note()
    return found

def stream(count):
    return asyncio.run(streamed(count))

async def streamed(count):
    found = i = 0
    async for x in Chain(*ASYNC).stream(range(count)):
        found += x
        i += 1
        if i % 10_000 == 0:
            note()
    return found

def resident():
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux: the traced figure alone
        return 0

def note():
    global most
    most = max(most, resident())

run, count = {"by hand": by_hand, "iterate": iterate, "stream": stream}[sys.argv[1]], int(sys.argv[2])
most = 0
run(20_000)
most = before = resident()
answer = run(count)
note()
tracemalloc.start()
run(1000)
start = tracemalloc.get_traced_memory()[0]
tracemalloc.reset_peak()
again = run(count)
print(json.dumps([tracemalloc.get_traced_memory()[1] - start, most - before, answer, again]))
"""


def memory(settings: Settings) -> Report:
    """By how much does the process grow over a million items?"""
    report = report_of(memory, "B")
    count = settings.items or 1_000_000
    answers: dict[str, int] = {}
    for way in (BY_HAND, "iterate", "stream"):
        command = [sys.executable, "-c", _PROGRAM, way, str(count)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        traced, grown, answers[way], again = json.loads(done.stdout)
        if not answers[way] == again == answers[BY_HAND]:
            report.wrong.append(f"{way} answered {answers[way]}, then {again}, by hand it is {answers[BY_HAND]}")
        report.rows += [Row(f"{way}: traced peak", traced), Row(f"{way}: resident set", grown)]
        if way != BY_HAND:
            report.bars += [
                Bar(f"{way}, traced", traced / 1e6, 5.0, "MB"),
                Bar(f"{way}, resident", grown / 1e6, 5.0, "MB"),
            ]
    return report
