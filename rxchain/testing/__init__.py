"""Testing chains: virtual time, marble diagrams, probes, hostile sources, leak checks. No test needs to sleep."""

from rxchain.testing._leaks import Leak, no_leaks
from rxchain.testing._loop import Deadlock, LimitReached, VirtualLoop, run

__all__ = ["Deadlock", "Leak", "LimitReached", "VirtualLoop", "no_leaks", "run"]
