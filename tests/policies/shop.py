"""Nodes that do something, and take it back: what the tests of undo are about."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rxchain import node
from rxchain.policies import Undo


class Shop:
    """A log of what was done and undone, in that order; `stands` is what is left of it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @property
    def stands(self) -> list[str]:
        """What was done, and not undone, as often as that."""
        left: list[str] = []
        for entry in self.log:
            if not entry.startswith("un"):
                left.append(entry)
            elif entry.removeprefix("un") in left:
                left.remove(entry.removeprefix("un"))
        return left

    def does(
        self,
        name: str,
        *fails: Any,
        takes: float | None = 0.0,
        undoing: float | None = None,
        not_undone: tuple[Any, ...] = (),
        retry: Any = None,
        **declared: Any,
    ) -> Any:
        """A node that logs *name* and the item, and takes that back; *fails*: items it fails with then.

        *takes*, *undoing*: seconds, None for not suspending at all. *not_undone*: items whose undo fails.
        """

        async def undo(item: Any) -> None:
            if undoing is not None:
                await asyncio.sleep(undoing)
            if item in not_undone:
                raise OSError(f"{name}{item} stands")
            self.log.append(f"un{name}{item}")

        async def work(item: Any) -> Any:
            self.log.append(f"{name}{item}")
            if takes is not None:
                await asyncio.sleep(takes)
            if item in fails:
                raise ValueError(f"{name}{item}")
            return item

        return node(name=name, undo=Undo(undo, retry=retry), **declared)(work)


def fails_on(*items: Any, after: float | None = 0.0) -> Callable[[Any], Awaitable[Any]]:
    """A node without an undo that fails with *items*."""

    async def ship(item: Any) -> Any:
        if after is not None:
            await asyncio.sleep(after)
        if item in items:
            raise ValueError(f"no {item}")
        return item

    return ship


async def stuck(item: Any) -> Any:
    """Waits for ever."""
    await asyncio.Event().wait()
