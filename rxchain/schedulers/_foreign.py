"""Executors and schedulers that others have made, and others will end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, Protocol

from rxchain.errors import RxChainError
from rxchain.schedulers._errors import PoolClosed
from rxchain.schedulers._placed import Call


class SchedulerLike(Protocol):
    """What is asked of a reactivex scheduler."""

    def schedule(self, action: Callable[..., Any], state: Any = None) -> Any: ...


class OnExecutor:
    """Calls on an executor with threads."""

    __slots__ = ("executor",)

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def submit(self, call: Call) -> None:
        def settle(future: "Future[Any]") -> None:
            if future.cancelled():  # its owner has shut it down
                call.deliver(None, PoolClosed(f"node {call.placed.name!r}: its executor was shut down before it began"))
            elif (error := future.exception()) is not None:
                call.deliver(None, error)
            else:
                call.deliver(future.result(), None)

        try:
            future = self.executor.submit(_execute, call)
        except RuntimeError as error:
            raise PoolClosed(f"node {call.placed.name!r}: its executor takes no more calls: {error}") from error
        future.add_done_callback(settle)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.executor is self.executor

    def __hash__(self) -> int:
        return hash((type(self), id(self.executor)))


class OnProcessExecutor(OnExecutor):
    """Calls on an executor with processes."""

    __slots__ = ("_broken",)

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self._broken = False

    def submit(self, call: Call) -> None:
        from rxchain.schedulers._parcels import settle, submit_to_process, worker_died

        def explain(call: Call, error: BaseException) -> BaseException:
            if not isinstance(error, BrokenExecutor):
                return error
            self._broken = True
            return worker_died(call, error)

        if self._broken:  # it may be telling so at this moment, and must not be asked for anything meanwhile
            raise PoolClosed(f"node {call.placed.name!r}: a worker process of its executor has died")
        try:
            future = submit_to_process(self.executor, call)
        except RuntimeError as error:  # shut down, or broken
            raise PoolClosed(f"node {call.placed.name!r}: its executor takes no more calls: {error}") from error
        future.add_done_callback(lambda future: settle(future, call, explain))


class OnScheduler:
    """Calls on a reactivex scheduler: wherever that runs its actions."""

    __slots__ = ("_only", "scheduler")

    def __init__(self, scheduler: SchedulerLike, only: asyncio.AbstractEventLoop | None) -> None:
        self.scheduler = scheduler
        self._only = only
        """The loop from which alone it may be used."""

    def submit(self, call: Call) -> None:
        if self._only is not None and self._only is not asyncio.get_running_loop():
            raise RxChainError(
                f"node {call.placed.name!r}: AsyncIOScheduler must not be used from another thread than its loop's\n"
                "    on=AsyncIOScheduler(loop)  # incorrect\n"
                "    on=AsyncIOThreadSafeScheduler(loop)  # correct"
            )

        def action(*_: object) -> None:
            after = call.run()
            if after is not None:
                after.begin()

        self.scheduler.schedule(action)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnScheduler) and other.scheduler is self.scheduler

    def __hash__(self) -> int:
        return hash((OnScheduler, id(self.scheduler)))


def _execute(call: Call) -> Any:
    return None if call.unwanted else call.execute()
