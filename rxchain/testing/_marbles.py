"""Marbles: a chain's behaviour in time as a line of characters, played in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Never, TypeAlias, cast, overload

from rxchain import Chain, Failure, Operator
from rxchain.testing._diagram import MarbleError, Script, Symbols, parse, parse_until
from rxchain.testing._leaks import Leak, tasks_left
from rxchain.testing._loop import VirtualLoop, run
from rxchain.testing._probe import Probe
from rxchain.testing._source import MarbleSource
from rxchain.testing._waiting import describe_all
from rxchain.types import T

AnyStep: TypeAlias = Operator[Never, object] | Callable[[Never], object]
"""What may stand in a chain, whatever its types."""


class Marbles:
    """Plays marble diagrams through chains, in virtual time.

    >>> from rxchain import operators as ops
    >>> from rxchain.testing import Marbles
    >>> m = Marbles()
    >>> m.play("-a-b-(cd)-|", str.upper, ops.filter(lambda letter: letter != "B"))
    '-A---(CD)-|'

    Each character is a tick; so is a group:

    ``-``
        a tick in which nothing happens
    ``a``, ``1``, ...
        an item: the character itself, a ``str``, unless ``values=`` says what it stands for
    ``<10>``
        an item whose text is not one character
    ``(ab)``
        several in one tick, in this order
    ``|``, ``#``
        the end; the end by an error. Without one a stream goes on for ever
    a space
        nothing at all, to line diagrams up

    Args:
        tick: how many seconds a tick takes.
    """

    error: Exception | None
    """What the last `play` ended with, if its outputs end in ``#``."""

    def __init__(self, *, tick: float = 1.0) -> None:
        if not tick > 0:
            raise ValueError(f"Marbles: a tick takes more than 0 seconds, got {tick!r}")
        self.tick = tick
        self.error = None
        self._ticks = 0
        self._symbols = Symbols()

    def play(
        self,
        marbles: str,
        *steps: AnyStep,
        values: Mapping[str, object] | None = None,
        error: Exception | None = None,
        until: str | None = None,
        on_error: Callable[[Failure], object] | Callable[[Failure], Awaitable[object]] | None = None,
    ) -> str:
        """Play *marbles* through a chain of *steps*; its outputs as a diagram, at least as long.

        An output stands in the tick in which it comes. It is shown by the symbol that *values* has for it, or by its
        ``str``; a `Failure` by the item that failed. A stream that does not end is left when nothing more happens.

        >>> from rxchain import operators as ops
        >>> from rxchain.testing import Marbles
        >>> m = Marbles()
        >>> failed = m.probe()
        >>> m.play("-1-x-3-|", ops.map(int), on_error=failed)
        '-1---3-|'
        >>> failed.marbles
        '---x----'
        >>> m.play("-1-2-3-|", ops.map(float), until="----!")
        '-<1.0>-<2.0>----'

        Args:
            values: what symbols stand for, in the source and in the outputs.
            error: what the source raises at ``#``; `SourceFailed` if not given.
            until: where the consumer leaves: ``"---!"``, before anything that happens in that tick.
            on_error: is told of each item that fails, as in `Chain.stream`.

        Raises:
            MarbleError: *marbles* or *until* is no diagram.
            Deadlock: the chain waits for something that cannot come.
            LimitReached: it goes on for more than a day of virtual time: say *until*.
            Leak: it has ended, and a task that it began has not.
        """
        script = parse(marbles)
        leave = None if until is None else parse_until(until)
        chain: Chain[Any, Any] = Chain(*cast("Any", steps))
        self._symbols = Symbols(values)
        self._ticks = max(script.ticks, 0 if leave is None else leave + 1)
        source = MarbleSource(script, self._symbols.item, self.tick, error)
        output: Probe[object] = Probe("output", symbols=self._symbols, tick=self.tick, ticks=lambda: self._ticks)
        stream = chain.stream(source, on_error=on_error)
        run(_played(stream, source, output, None if leave is None else leave * self.tick))
        self.error = output.error
        self._ticks = output.ticks
        return output.marbles

    @overload
    def source(self, marbles: str, *, error: Exception | None = None) -> MarbleSource[str]: ...
    @overload
    def source(self, marbles: str, *, values: Mapping[str, T], error: Exception | None = None) -> MarbleSource[T]: ...
    def source(
        self, marbles: str, *, values: Mapping[str, Any] | None = None, error: Exception | None = None
    ) -> MarbleSource[Any]:
        """The diagram alone, as an async iterable for a chain: cold, each iteration plays it from its start.

        >>> import asyncio
        >>> from rxchain import Chain, operators as ops
        >>> from rxchain.testing import Marbles, run
        >>> source = Marbles().source("-1-2-|")
        >>> run(Chain(ops.map(int)).collect(source))
        [1, 2]
        >>> source.asked, source.given, source.closed
        (3, 2, 1)

        Args:
            values: what the symbols stand for, all of them.
            error: what it raises at ``#``; `SourceFailed` if not given.

        Raises:
            MarbleError: *marbles* is no diagram, or has a symbol that *values* does not.
        """
        script = parse(marbles)
        if values is not None:
            _check_values(marbles, script, values)
        return MarbleSource(script, Symbols(values).item, self.tick, error)

    @overload
    def probe(self) -> Probe[object]: ...
    @overload
    def probe(self, stream: AsyncGenerator[T, None]) -> Probe[T]: ...
    def probe(self, stream: AsyncGenerator[Any, None] | None = None) -> Probe[Any]:
        """Something to put where a function of one item stands, that writes down what comes and when.

        With a *stream* it is the consumer: it takes what it is told to.

        >>> from rxchain import Chain, operators as ops
        >>> from rxchain.testing import Marbles, run
        >>> m = Marbles()
        >>> source = m.source("-1-2-3-|")
        >>> async def main():
        ...     probe = m.probe(Chain(ops.map(int)).stream(source))
        ...     print(await probe.request(2), source.asked)
        ...     await probe.cancel()
        ...     print(probe.marbles, source.closed)
        >>> run(main())
        [1, 2] 2
        -1-2 1
        """
        return Probe(stream=stream, symbols=_Latest(self), tick=self.tick, ticks=lambda: self._ticks)


class _Latest(Symbols):
    """The symbols of the last play: a probe is made before."""

    def __init__(self, marbles: Marbles) -> None:
        super().__init__()
        self._marbles = marbles

    def show(self, value: object) -> str:
        return self._marbles._symbols.show(value)


def _check_values(marbles: str, script: Script, values: Mapping[str, object]) -> None:
    for event in script.events:
        if event.symbol and event.symbol not in values:
            raise MarbleError(marbles, marbles.index(event.symbol), f"values= has no {event.symbol!r}")


async def _played(
    stream: AsyncGenerator[Any, None],
    source: MarbleSource[Any],
    output: Probe[object],
    leave_at: float | None,
) -> None:
    """Take all of *stream*, until *leave_at* or until nothing more can happen."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)

    async def consume() -> None:
        try:
            async for item in stream:
                output(item)
        except Exception as error:
            output.on_error(error)
        else:
            output.on_completed()
        finally:
            await stream.aclose()

    consuming = loop.create_task(consume(), name="the consumer")
    if leave_at is not None:
        loop.call_at(leave_at, consuming.cancel)
    nothing_more = loop.create_task(loop.quiet(), name="the end")
    await asyncio.wait([consuming, nothing_more], return_when=asyncio.FIRST_COMPLETED)
    stuck = None if consuming.done() or source.idle else loop.everything_waits()
    for task in (consuming, nothing_more):
        task.cancel()
    await asyncio.wait([consuming, nothing_more])
    if stuck is not None:
        raise stuck
    if not consuming.cancelled():
        consuming.result()
    left = await tasks_left({consuming, nothing_more})
    if left:
        texts = describe_all(left)
        for task in left:
            task.cancel()
        await asyncio.wait(left)
        raise Leak(texts)


__all__ = ["AnyStep", "Marbles"]
