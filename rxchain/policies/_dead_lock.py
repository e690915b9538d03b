"""One process and one thread at a time: a lock in a file of its own, beside the one that it guards.

In a file of its own, because the guarded one is replaced when it is compacted; it stays, empty, as taking it away while
somebody waits for it would make two. The operating system lets go of the lock when its holder dies.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(path: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock *path* for the block.

    Raises:
        BlockingIOError: somebody else holds it, and *wait* is False.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _lock(fd, wait)
        try:
            yield
        finally:
            _unlock(fd)  # closing is not enough: a process that was forked meanwhile has it open as well
    finally:
        os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, wait: bool) -> None:
        while True:
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait:
                    raise BlockingIOError(*error.args) from error  # LK_LOCK itself gives up after ten seconds
            else:
                return

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    # flock, not lockf: that lock belongs to the process, and any other close of the file lets go of it.

    def _lock(fd: int, wait: bool) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
