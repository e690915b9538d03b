"""What a block around a pool does when it is left, of threads as of processes."""

from types import TracebackType
from typing import Self


class Pool:
    """A pool that a ``with`` or an ``async with`` closes: waiting for its calls, unless it is left in a hurry."""

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """The same, and wait for those that were taken."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(wait=kind is None or issubclass(kind, Exception))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            await self.aclose()
        else:
            self.close(wait=False)


__all__ = ["Pool"]
