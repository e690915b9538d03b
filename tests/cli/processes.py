"""The command line as a process of its own, with unbuffered pipes at its ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, cast

COMMAND = [sys.executable, "-W", "error", "-m", "rxchain"]


class Process:
    """A process that is still to be talked to."""

    def __init__(self, command: list[str], **how: Any) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        self._process = cast("subprocess.Popen[bytes]", subprocess.Popen(command, bufsize=0, **pipes))
        self.wait, self.send_signal = self._process.wait, self._process.send_signal

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def stderr(self) -> IO[bytes]:
        assert self._process.stderr is not None
        return self._process.stderr

    def end(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


Rxchain = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Process]
Until = Callable[[IO[bytes], bytes], bytes]


def read_until(stream: IO[bytes], wanted: bytes) -> bytes:
    """Read until *wanted* has come: what a test waits for instead of sleeping."""
    found = b""
    while wanted not in found:
        chunk = os.read(stream.fileno(), 4096)
        assert chunk, f"ended before {wanted!r}: {found!r}"
        found += chunk
    return found
