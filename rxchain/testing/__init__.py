"""Testing chains: virtual time, marble diagrams, probes, hostile sources, leak checks. No test needs to sleep."""

from rxchain.testing._diagram import MarbleError
from rxchain.testing._hostile import (
    EmitsAfterEnd,
    FailsInClose,
    FailsMidway,
    HangsInClose,
    IgnoresCancellation,
    NeverCompletes,
    Overlapping,
    Reentrant,
)
from rxchain.testing._leaks import Leak, no_leaks
from rxchain.testing._loop import Deadlock, LimitReached, VirtualLoop, run
from rxchain.testing._marbles import Marbles
from rxchain.testing._probe import Probe
from rxchain.testing._source import MarbleSource, SourceFailed

__all__ = [
    "Deadlock",
    "EmitsAfterEnd",
    "FailsInClose",
    "FailsMidway",
    "HangsInClose",
    "IgnoresCancellation",
    "Leak",
    "LimitReached",
    "MarbleError",
    "MarbleSource",
    "Marbles",
    "NeverCompletes",
    "Overlapping",
    "Probe",
    "Reentrant",
    "SourceFailed",
    "VirtualLoop",
    "no_leaks",
    "run",
]
