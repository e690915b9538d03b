"""Testing chains: virtual time, marble diagrams, probes, hostile sources, leak checks. No test needs to sleep."""

from rxchain.testing._loop import Deadlock, LimitReached, VirtualLoop, run

__all__ = ["Deadlock", "LimitReached", "VirtualLoop", "run"]
