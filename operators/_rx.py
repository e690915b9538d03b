"""rx: reactivex's own operators, inside a chain.

They stand as well before and after it (``observable.pipe(rx.debounce(1), chain)``), and cost less there. Here a chain
that is pulled can use them, in a row with asynchronous steps.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from importlib import import_module
from typing import Any

from rxchain.engine import Step, operator
from rxchain.engine._inlet import Inlet
from rxchain.errors import CompositionError, Overflow
from rxchain.operators._counts import is_count, wrong_count
from rxchain.operators._feed import Feed, stop

MAX_BUFFER = 65_536
"""How many outputs may wait to be taken where nothing else is said."""


@operator
def rx(*operators: Callable[[Any], Any], max_buffer: int = MAX_BUFFER) -> Step[Any, Any]:
    """Send the items through *operators* of reactivex; their outputs are the items that follow.

    Their timers run on the chain's event loop unless they are given a scheduler of their own.

    >>> import reactivex.operators as rx
    >>> from rxchain import Chain, operators as ops
    >>> chain = Chain(str.upper, ops.rx(rx.distinct(), rx.buffer_with_count(2)))
    >>> list(chain.iterate("abac"))
    [['A', 'B'], ['C']]

    An Observable cannot be asked to wait: backpressure ends here. The next item is asked for when no output waits; but
    what these operators hold themselves (`concat_map` its queue, `delay` and `buffer` their items) has no bound of
    ours, and what they emit at once, or by a timer, waits here.

    Args:
        operators: as given to reactivex's ``pipe``.
        max_buffer: how many outputs may wait to be taken, 1 or more.

    :Emits:     what the last of *operators* does, in its order.
    :Buffers:   at most *max_buffer* outputs, and whatever *operators* hold.
    :Fails:     with the source, with *operators*, and with `Overflow` when *max_buffer* outputs wait already.
    :Completes: when *operators* do: with the source, or before.
    :Disposes:  of the subscription to *operators*, of the task that feeds them, awaited, and of the source.
    """
    if not is_count(max_buffer, at_least=1):
        raise wrong_count("rx", "max_buffer", max_buffer, at_least=1)
    if not all(callable(op) and not hasattr(op, "subscribe") for op in operators):
        raise CompositionError(
            "rx: what it is given are reactivex's operators, functions of an Observable\n"
            "    ops.rx(reactivex.of(1, 2))  # incorrect\n"
            "    ops.rx(reactivex.operators.distinct())  # correct"
        )

    async def over(source: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        outputs: Inlet[Any] = Inlet(max_buffer, "error", lambda _: _full(max_buffer), context=copy_context())
        # By name: who uses this has reactivex, and nobody else need load it.
        reactivex, subject = import_module("reactivex"), import_module("reactivex.subject").Subject()
        scheduler = import_module("reactivex.scheduler.eventloop").AsyncIOThreadSafeScheduler(loop)

        def listen(observer: Any, scheduler: Any = None) -> Any:
            listening = subject.subscribe(observer)
            loop.call_soon_threadsafe(feed.resume)
            return listening

        async def push(item: Any) -> None:
            subject.on_next(item)
            await asyncio.sleep(0)  # what is emitted by way of the scheduler is out then
            await outputs.taken()

        def ended() -> None:
            if isinstance(feed.error, Exception):
                subject.on_error(feed.error)
            elif feed.error is not None:
                outputs.end(feed.error)
            else:
                subject.on_completed()

        # There may be a listener later: behind `start_with`, after `retry`.
        feed: Feed[Any] = Feed(source, push, lambda: subject.observers, ended)
        subscription = None
        raised: BaseException | None = None
        try:
            subscription = (
                reactivex.Observable(listen)
                .pipe(*operators)
                .subscribe(outputs.push, outputs.end, outputs.end, scheduler=scheduler)
            )
            async for output in outputs:
                yield output
        except BaseException as error:
            raised = error
            raise
        finally:
            outputs.stop()
            if subscription is not None:
                subscription.dispose()
            await stop([feed], raised)

    return over


def _full(max_buffer: int) -> Overflow:
    return Overflow(
        f"rx: reactivex's operators cannot be asked to wait, and {max_buffer} of their outputs wait to be taken\n"
        f"    ops.rx(..., max_buffer={max_buffer})  # incorrect for so many at once\n"
        f"    ops.rx(..., max_buffer={max_buffer * 8})  # correct if that is as far as they ever get ahead\n"
        "    ops.flat_map(function)  # correct for many outputs of one item: it waits"
    )


# What `Chain.explain` says behind the operator's name.
rx.__wrapped__.remark = ": backpressure ends here, reactivex's operators cannot be asked to wait"  # type: ignore[attr-defined]
