"""Executors and reactivex schedulers that somebody else owns."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
import reactivex.scheduler as rx
from reactivex.scheduler.eventloop import AsyncIOScheduler, AsyncIOThreadSafeScheduler

from rxchain.errors import RxChainError
from rxchain.schedulers import PoolClosed, joinable, placed
from rxchain.testing import run

label: contextvars.ContextVar[str] = contextvars.ContextVar("label", default="none")


def where(_: object) -> tuple[str, bool, str]:
    found = label.get()
    label.set("spoilt")
    return threading.current_thread().name, threading.current_thread() is threading.main_thread(), found


def fails(x: object) -> None:
    raise LookupError(x)


def test_an_executor_runs_it_in_the_items_context_and_stays_open() -> None:
    async def main() -> None:
        label.set("mine")
        fn = placed(where, executor)
        assert await fn(1) == ("theirs_0", False, "mine")
        assert label.get() == "mine"
        with pytest.raises(LookupError, match="2"):
            await placed(fails, executor)(2)

    with ThreadPoolExecutor(1, "theirs") as executor:
        asyncio.run(main())
        assert executor.submit(int, "3").result() == 3


def test_an_executor_that_is_shut_down_lets_nobody_wait_for_ever() -> None:
    async def main() -> None:
        entered, go = threading.Event(), threading.Event()

        def work(_: object) -> None:
            entered.set()
            go.wait(10)

        executor = ThreadPoolExecutor(1)
        first, second = (asyncio.ensure_future(placed(work, executor)(i)) for i in range(2))
        await asyncio.sleep(0)
        entered.wait(10)
        executor.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(PoolClosed, match="node 'work': its executor was shut down before it began"):
            await second
        go.set()
        await first
        with pytest.raises(PoolClosed, match="node 'work': its executor takes no more calls: cannot schedule new"):
            await placed(work, executor)(3)

    asyncio.run(main())


def test_any_executor_will_do() -> None:
    class AtOnce(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
            future: Future[Any] = Future()
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)
            return future

    assert asyncio.run(placed(abs, AtOnce())(-3)) == 3
    with pytest.raises(LookupError):
        asyncio.run(placed(fails, AtOnce())(2))


@contextlib.contextmanager
def scheduler(kind: str) -> Iterator[Any]:
    if kind == "ThreadPoolScheduler":
        made = rx.ThreadPoolScheduler(2)
        yield made
        made.executor.shutdown()
    elif kind == "EventLoopScheduler":
        loop = rx.EventLoopScheduler()
        yield loop
        loop.dispose()
    else:
        yield getattr(rx, kind)()


SCHEDULERS = ["ThreadPoolScheduler", "EventLoopScheduler", "NewThreadScheduler", "TimeoutScheduler"]


@pytest.mark.parametrize("kind", [*SCHEDULERS, "ImmediateScheduler", "CurrentThreadScheduler", "TrampolineScheduler"])
def test_a_scheduler_of_reactivex_runs_it_where_it_does(kind: str) -> None:
    async def main() -> None:
        label.set("mine")
        fn = placed(where, on)
        found = await asyncio.gather(*[fn(i) for i in range(20)])
        assert [main for _, main, _ in found] == [kind not in SCHEDULERS] * 20
        assert [label for _, _, label in found] == ["mine"] * 20
        assert label.get() == "mine"
        with pytest.raises(LookupError, match="7"):
            await placed(fails, on)(7)
        assert placed(where, on) == fn
        assert joinable(placed(fails, on), fn)

    with scheduler(kind) as on:
        asyncio.run(main())
        run(main())


def test_the_scheduler_of_a_thread_pool_is_as_good_as_its_pool() -> None:
    with scheduler("ThreadPoolScheduler") as on:
        assert joinable(placed(where, on), placed(where, on.executor))


def test_the_loop_of_another_thread_takes_it_by_the_scheduler_that_may_be_used_from_there() -> None:
    async def other() -> None:
        ready.set_result(asyncio.get_running_loop())
        await asyncio.get_running_loop().run_in_executor(None, done.wait)

    async def main() -> None:
        on = AsyncIOThreadSafeScheduler(loop)
        assert (await placed(where, on)(1))[0] == "the other"
        with pytest.raises(RxChainError, match="node 'where': AsyncIOScheduler must not be used from another thread"):
            await placed(where, AsyncIOScheduler(loop))(1)
        assert (await placed(where, AsyncIOScheduler(asyncio.get_running_loop()))(1))[1]

    ready: Future[asyncio.AbstractEventLoop] = Future()
    done = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(other()), name="the other")
    thread.start()
    try:
        loop = ready.result(10)
        asyncio.run(main())
    finally:
        done.set()
        thread.join()
