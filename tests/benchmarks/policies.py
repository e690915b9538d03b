"""A node with policies beside the same node without: on success, and where 1 % of the items fail once."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from rxchain import Bulkhead, Chain, ChainNode, CircuitBreaker, Fallback, Hedge, RateLimit, Retry
from rxchain import operators as ops

from ._measure import Bar, Report, Run, Settings, Variant, installed, race, report_of

BARE = "the bare node"
EVERY = 100
"""One item in so many fails at its first attempt."""


class Busy(Exception):
    """What fails."""


Fn = Callable[[int], Any]


def _functions(failing: bool) -> tuple[Fn, Fn]:
    """A plain function and an async one, which do as little as *failing* ones do: an item in 100 fails once."""
    tried = -1

    def plain(x: int) -> int:
        nonlocal tried
        if x % EVERY == 0 and failing and tried != x:
            tried = x
            raise Busy
        return x + 1

    async def asynchronous(x: int) -> int:
        nonlocal tried
        if x % EVERY == 0 and failing and tried != x:
            tried = x
            raise Busy
        return x + 1

    return plain, asynchronous


def _answer(x: int) -> int:
    return x + 1


def _chain(fn: Fn, **policies: Any) -> Chain[int, int]:
    node: ChainNode[int, int, Any] = ChainNode(fn, name="increment", **policies)
    return Chain(node)


def _sync(chain: Chain[int, int], **run: Any) -> Run:
    return lambda count: list(chain.iterate(range(count), **run))


def _async(chain: Chain[int, int], **run: Any) -> Run:
    return lambda count: chain.collect(range(count), **run)


# --- what others do


def _tried(fn: Fn) -> Fn:
    """What one would write: a loop with a `try`."""

    def call(x: int) -> int:
        for _ in range(2):
            try:
                return fn(x)  # type: ignore[no-any-return]
            except Busy:
                pass
        return fn(x)  # type: ignore[no-any-return]

    return call


def _tried_async(fn: Fn) -> Fn:
    async def call(x: int) -> int:
        for _ in range(2):
            try:
                return await fn(x)  # type: ignore[no-any-return]
            except Busy:
                pass
        return await fn(x)  # type: ignore[no-any-return]

    return call


def _loop(fn: Fn) -> Run:
    return lambda count: [fn(x) for x in range(count)]


def _async_loop(fn: Callable[[int], Awaitable[int]]) -> Run:
    async def run(count: int) -> list[int]:
        return [await fn(x) for x in range(count)]

    return run


def _peers(fn: Fn, looped: Callable[[Fn], Run]) -> list[tuple[Callable[[], Run], float]]:
    """What retries a function, or a stream."""

    def in_tenacity() -> Run:
        """tenacity: @retry(stop=stop_after_attempt(3), wait=wait_none()), in a loop."""
        tenacity = import_module("tenacity")
        retried = tenacity.retry(
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_none(),
            retry=tenacity.retry_if_exception_type(Busy),
        )
        return looped(retried(fn))

    def in_stamina() -> Run:
        """stamina: @retry(on=Busy, attempts=3, no wait), in a loop."""
        stamina = import_module("stamina")
        import_module("stamina.instrumentation").set_on_retry_hooks([])  # it logs a warning for each
        return looped(
            stamina.retry(on=Busy, attempts=3, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0, timeout=None)(fn)
        )

    return [(in_tenacity, 0.2), (in_stamina, 0.2)]


def _reactivex_retry(fn: Fn) -> Callable[[], Run]:
    def in_reactivex() -> Run:
        """reactivex: concat_map of defer, retry(3)."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")

        def run(count: int) -> list[int]:
            def one(x: int) -> Any:
                return reactivex.defer(lambda _: reactivex.just(fn(x))).pipe(rx.retry(3))

            out: list[int] = []
            reactivex.from_iterable(range(count)).pipe(rx.concat_map(one)).subscribe(out.append)
            return out

        return run

    return in_reactivex


def _reactivex_catch(fn: Fn) -> Callable[[], Run]:
    def in_reactivex() -> Run:
        """reactivex: concat_map of defer, catch."""
        reactivex, rx = import_module("reactivex"), import_module("reactivex.operators")

        def run(count: int) -> list[int]:
            def one(x: int) -> Any:
                caught = rx.catch(lambda error, source: reactivex.just(x + 1))
                return reactivex.defer(lambda _: reactivex.just(fn(x))).pipe(caught)

            out: list[int] = []
            reactivex.from_iterable(range(count)).pipe(rx.concat_map(one)).subscribe(out.append)
            return out

        return run

    return in_reactivex


def _streamable_catch(fn: Fn, asynchronous: bool) -> Callable[[], Run]:
    def in_streamable() -> Run:
        """streamable: map, catch with a replacement."""
        stream = import_module("streamable").stream

        async def run(count: int) -> list[int]:
            # It replaces by the error alone; which item that was it does not say.
            failing = iter(range(0, count, EVERY))
            items = stream(range(count)).map(fn).catch(Busy, replace=lambda error: next(failing) + 1)
            return [x async for x in items]

        def run_sync(count: int) -> list[int]:
            failing = iter(range(0, count, EVERY))
            return list(stream(range(count)).map(fn).catch(Busy, replace=lambda error: next(failing) + 1))

        return run if asynchronous else run_sync

    return in_streamable


# --- the questions


def retry_plain(settings: Settings) -> Report:
    """What does a retry cost a plain function while nothing fails?"""
    fn, _ = _functions(failing=False)
    report = report_of(retry_plain, "s", BARE)
    _race(report, settings, _sync(_chain(fn)), [
        Variant("rxchain: retry", _sync(_chain(fn, retry=Retry(3, wait=0)))),
        Variant("rxchain: ops.retry around it", _sync(Chain(ops.retry(_chain(fn), Retry(3, wait=0))))),
        Variant("by hand: a loop with try", _loop(_tried(fn))),
        *installed([*_peers(fn, _loop), (_reactivex_retry(fn), 0.04)], report),
    ], {"retry": 1.15})  # fmt: skip
    return report


def retry_plain_failing(settings: Settings) -> Report:
    """And where 1 % of the items fail once?"""
    (steady, _), (fn, _) = _functions(failing=False), _functions(failing=True)
    report = report_of(retry_plain_failing, "s", BARE)
    _race(report, settings, _sync(_chain(steady)), [
        Variant("rxchain: retry", _sync(_chain(fn, retry=Retry(3, wait=0)))),
        Variant("rxchain: ops.retry around it", _sync(Chain(ops.retry(_chain(fn), Retry(3, wait=0))))),
        Variant("by hand: a loop with try", _loop(_tried(fn))),
        *installed([*_peers(fn, _loop), (_reactivex_retry(fn), 0.04)], report),
    ], {"retry": 1.3})  # fmt: skip
    return report


def retry_async(settings: Settings) -> Report:
    """What does a retry cost an async function while nothing fails?"""
    _, fn = _functions(failing=False)
    report = report_of(retry_async, "s", BARE)
    _race(report, settings, _async(_chain(fn)), [
        Variant("rxchain: retry", _async(_chain(fn, retry=Retry(3, wait=0)))),
        Variant("rxchain: ops.retry around it", _async(Chain(ops.retry(_chain(fn), Retry(3, wait=0))))),
        Variant("rxchain: retry, with waits", _async(_chain(fn, retry=3))),
        Variant("by hand: a loop with try", _async_loop(_tried_async(fn))),
        *installed(_peers(fn, _async_loop), report),
    ], {"retry": 1.15})  # fmt: skip
    return report


def retry_async_failing(settings: Settings) -> Report:
    """And where 1 % of the items fail once?"""
    (_, steady), (_, fn) = _functions(failing=False), _functions(failing=True)
    report = report_of(retry_async_failing, "s", BARE)
    _race(report, settings, _async(_chain(steady)), [
        Variant("rxchain: retry", _async(_chain(fn, retry=Retry(3, wait=0)))),
        Variant("rxchain: ops.retry around it", _async(Chain(ops.retry(_chain(fn), Retry(3, wait=0))))),
        Variant("by hand: a loop with try", _async_loop(_tried_async(fn))),
        *installed(_peers(fn, _async_loop), report),
    ], {"retry": 1.3})  # fmt: skip
    return report


def catch_plain(settings: Settings) -> Report:
    """What does a fallback cost a plain function while nothing fails?"""
    fn, _ = _functions(failing=False)
    report = report_of(catch_plain, "s", BARE)
    _race(report, settings, _sync(_chain(fn)), [
        Variant("rxchain: fallback", _sync(_chain(fn, fallback=Fallback(_answer, on=Busy)))),
        Variant("rxchain: ops.catch around it", _sync(Chain(ops.catch(_chain(fn), _answer, on=Busy)))),
        *installed([(_streamable_catch(fn, False), 1), (_reactivex_catch(fn), 0.04)], report),
    ], {"fallback": 1.1})  # fmt: skip
    return report


def catch_plain_failing(settings: Settings) -> Report:
    """And where 1 % of the items fail?"""
    (steady, _), (fn, _) = _functions(failing=False), _functions(failing=True)
    report = report_of(catch_plain_failing, "s", BARE)
    _race(report, settings, _sync(_chain(steady)), [
        Variant("rxchain: fallback", _sync(_chain(fn, fallback=Fallback(_answer, on=Busy)))),
        Variant("rxchain: ops.catch around it", _sync(Chain(ops.catch(_chain(fn), _answer, on=Busy)))),
        *installed([(_streamable_catch(fn, False), 1), (_reactivex_catch(fn), 0.04)], report),
    ], {"fallback": 1.2})  # fmt: skip
    return report


def catch_async(settings: Settings) -> Report:
    """What does a fallback cost an async function while nothing fails?"""
    _, fn = _functions(failing=False)
    report = report_of(catch_async, "s", BARE)
    _race(report, settings, _async(_chain(fn)), [
        Variant("rxchain: fallback", _async(_chain(fn, fallback=Fallback(_answer, on=Busy)))),
        Variant("rxchain: ops.catch around it", _async(Chain(ops.catch(_chain(fn), _answer, on=Busy)))),
        *installed([(_streamable_catch(fn, True), 1)], report),
    ], {"fallback": 1.1})  # fmt: skip
    return report


def catch_async_failing(settings: Settings) -> Report:
    """And where 1 % of the items fail?"""
    (_, steady), (_, fn) = _functions(failing=False), _functions(failing=True)
    report = report_of(catch_async_failing, "s", BARE)
    _race(report, settings, _async(_chain(steady)), [
        Variant("rxchain: fallback", _async(_chain(fn, fallback=Fallback(_answer, on=Busy)))),
        Variant("rxchain: ops.catch around it", _async(Chain(ops.catch(_chain(fn), _answer, on=Busy)))),
        *installed([(_streamable_catch(fn, True), 1)], report),
    ], {"fallback": 1.2})  # fmt: skip
    return report


def other_policies(settings: Settings) -> Report:
    """What do the other policies cost an async function while nothing fails?

    They see a call as it begins, so that they are a coroutine around it each; a hedge is a task.
    """
    _, fn = _functions(failing=False)
    report = report_of(other_policies, "s", BARE)

    async def undo(x: int) -> None:
        """Nothing to take back."""

    given: dict[str, dict[str, Any]] = {
        "retry with a total": {"retry": Retry(3, total=60)},
        "undo": {"undo": undo},
        "timeout": {"timeout": 60.0},
        "breaker": {"breaker": CircuitBreaker("benchmark")},
        "bulkhead": {"bulkhead": Bulkhead("benchmark", 64)},
        "hedge": {"hedge": Hedge(after=60)},
        "timeout in retry in breaker in bulkhead": {
            "timeout": 60.0,
            "retry": 3,
            "breaker": CircuitBreaker("benchmark"),
            "bulkhead": Bulkhead("benchmark", 64),
        },
    }
    variants = [Variant(f"rxchain: {name}", _async(_chain(fn, **policies))) for name, policies in given.items()]
    variants.append(Variant("rxchain: on_error='skip'", _async(_chain(fn), on_error="skip")))

    def limited() -> Run:
        """rxchain: rate limit, never reached."""
        return _async(_chain(fn, rate_limit=RateLimit(1e9, per=1.0)))

    _race(report, settings, _async(_chain(fn)), [*variants, *installed([(limited, 1)], report)], {})
    CircuitBreaker.forget("benchmark")
    Bulkhead.forget("benchmark")
    return report


def _race(report: Report, settings: Settings, bare: Run, variants: list[Variant], bars: dict[str, float]) -> None:
    race(report, settings, [Variant(BARE, bare), *variants], items=5_000)
    for name, limit in bars.items():
        report.bars.append(Bar(name, report.ratio(f"rxchain: {name}"), limit, "x"))
