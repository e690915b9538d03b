"""A probe: writes down what it is given, and when. It may also be the consumer that asks."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic

from rxchain.testing._diagram import Event, Kind, Symbols, draw
from rxchain.testing._loop import VirtualLoop
from rxchain.types import T


def virtual_now() -> float:
    """The running loop's time if that is virtual, else 0."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return 0.0
    return loop.time() if isinstance(loop, VirtualLoop) else 0.0


class Probe(Generic[T]):
    """Writes down each item it is called with, and the virtual time (0 where there is none): made by `Marbles.probe`.

    It stands wherever a function of one item does (``tap``, ``on_error=``), is an observer for reactivex
    (``observable.subscribe(probe)``), and where it was given a stream it takes from it as many items as it is told to.
    """

    def __init__(
        self,
        name: str = "probe",
        *,
        stream: AsyncGenerator[T, None] | None = None,
        symbols: Symbols | None = None,
        tick: float = 1.0,
        ticks: Callable[[], int] = lambda: 0,
    ) -> None:
        self.name = name
        self._stream, self._symbols, self._tick, self._ticks = stream, symbols or Symbols(), tick, ticks
        self._record: list[tuple[float, Kind, object]] = []

    def __call__(self, item: T, /) -> None:
        """Write down an item."""
        self._record.append((virtual_now(), Kind.ITEM, item))

    def on_next(self, item: T, /) -> None:
        """Write down an item."""
        self(item)

    def on_error(self, error: Exception, /) -> None:
        """Write down the end by an error."""
        self._record.append((virtual_now(), Kind.ERROR, error))

    def on_completed(self) -> None:
        """Write down the end."""
        self._record.append((virtual_now(), Kind.END, None))

    # --- what it has seen

    @property
    def items(self) -> list[T]:
        """The items, in the order of their arrival."""
        return [item for _, kind, item in self._record if kind is Kind.ITEM]  # type: ignore[misc]

    @property
    def times(self) -> list[float]:
        """The virtual time of each item."""
        return [time for time, kind, _ in self._record if kind is Kind.ITEM]

    @property
    def error(self) -> Exception | None:
        """What the stream failed with, if it did."""
        return next((item for _, kind, item in self._record if kind is Kind.ERROR), None)  # type: ignore[return-value]

    @property
    def completed(self) -> bool:
        """Whether the stream has ended, not by an error."""
        return any(kind is Kind.END for _, kind, _ in self._record)

    @property
    def ticks(self) -> int:
        """How many ticks its diagram is long."""
        return max([self._ticks(), *(event.tick + 1 for event in self._events())])

    @property
    def marbles(self) -> str:
        """Its diagram; as long, at least, as that of the last `Marbles.play`."""
        return draw(self._events(), self._ticks())

    def _events(self) -> list[Event]:
        return [
            # a millionth for what rounding takes: 3 * 0.1 is to be in the tick of 0.3
            Event(int(time / self._tick + 1e-6), kind, self._symbols.show(item) if kind is Kind.ITEM else "")
            for time, kind, item in self._record
        ]

    def __repr__(self) -> str:
        return f"<{self.name} {self.marbles}>"

    # --- demand

    async def request(self, count: int = 1) -> list[T]:
        """Take *count* items from the stream, fewer if it ends or fails; those that came.

        The stream's end and its error are written down; the error is not raised but kept as `error`. When it is
        cancelled, so is the stream.

        Raises:
            ValueError: *count* is less than 1, or the probe has no stream.
        """
        stream = self._needed_stream()
        if count < 1:
            raise ValueError(f"request: count is 1 or more, got {count}")
        taken: list[T] = []
        while len(taken) < count and not self.completed and self.error is None:
            try:
                item = await anext(stream)
            except StopAsyncIteration:
                self.on_completed()
            except Exception as error:
                self.on_error(error)
            else:
                self(item)
                taken.append(item)
        return taken

    async def cancel(self) -> None:
        """Close the stream, as a consumer that leaves does; may be called twice.

        Raises:
            ValueError: the probe has no stream.
        """
        await self._needed_stream().aclose()

    def _needed_stream(self) -> AsyncGenerator[T, None]:
        if self._stream is None:
            raise ValueError(
                "the probe was given no stream to take from\n"
                "    m.probe()  # incorrect\n"
                "    m.probe(chain.stream(source))  # correct"
            )
        return self._stream


__all__ = ["Probe", "virtual_now"]
