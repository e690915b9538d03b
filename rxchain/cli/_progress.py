"""What a person sees on stderr while it runs: a live line on a terminal, a line now and then elsewhere, or nothing."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

PLAIN_SECONDS = 1.0
"""Between the lines on what is no terminal."""


class Stderr:
    """Prints lines on stderr, above the live one if there is one."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._done = threading.Event()

    def say(self, line: str) -> None:
        """Print *line*."""
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(line), soft_wrap=True)
            return
        with suppress(OSError, ValueError):  # nobody reads it any more
            print(line, file=sys.stderr, flush=True)

    def show_progress(self, line: Callable[[], str]) -> None:
        """Begin to show *line*, asked for by another thread: it goes on while a step keeps the event loop busy."""
        if not sys.stderr.isatty():
            threading.Thread(target=self._now_and_then, args=(line,), name="progress", daemon=True).start()
            return
        from rich.console import Console
        from rich.live import Live

        live = Live(
            get_renderable=lambda: self._drawn(line()),
            console=Console(stderr=True),
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        self._live = live

    def end_progress(self) -> None:
        """Take the live line away."""
        self._done.set()
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def show_cursor(self) -> None:
        """Give the terminal its cursor back, without waiting for anybody."""
        if self._live is not None:
            with suppress(OSError):
                sys.stderr.write("\x1b[?25h\n")
                sys.stderr.flush()

    def _drawn(self, line: str) -> "Text":
        from rich.text import Text

        return Text(f"● {line}", no_wrap=True, overflow="ellipsis")

    def _now_and_then(self, line: Callable[[], str]) -> None:
        while not self._done.wait(PLAIN_SECONDS):
            self.say(line())
