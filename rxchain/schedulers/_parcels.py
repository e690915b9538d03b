"""What travels between processes, and how: as bytes, made and read where an error can still be given to its item.

Left to the executor, an error or a result that cannot be read on arrival would break the whole pool.
"""

import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing.reduction import ForkingPickler
from typing import Any

from rxchain.engine import shorten
from rxchain.schedulers._abandoned import shown
from rxchain.schedulers._by_name import ByName, reference
from rxchain.schedulers._errors import PoolClosed, Unpicklable, Unwanted, WorkerDied
from rxchain.schedulers._placed import Call, failed_there, in_a_row


def submit_to_process(executor: Executor, call: Call) -> "Future[bytes]":
    """Have *executor*, whatever kind of process pool it is, run *call*; see `settle`."""
    placed = call.placed
    functions = tuple(reference(fn, name) for fn, name in zip(placed.functions, placed.names))
    packed: Any = _Packed(call, functions)
    return executor.submit(_work, packed)


def settle(future: "Future[bytes]", call: Call, explain: Callable[[Call, BaseException], BaseException]) -> None:
    """Deliver what came of *call*; *explain* says what an error of the executor itself means."""
    name = call.placed.name
    value: Any = None
    error: BaseException | None
    if future.cancelled():
        error = PoolClosed(f"node {name!r}: its pool was closed before it began")
    elif (error := future.exception()) is None:
        value, error = _unpack(future.result(), name)
    elif not isinstance(error, Unpicklable):
        error = explain(call, error)
    call.deliver(value, error)


def worker_died(call: Call, error: BaseException, codes: tuple[int, ...] = ()) -> WorkerDied:
    """The error that says so, and why that may have been."""
    what = f" (exit code {', '.join(map(str, codes))})" if codes else ""
    text = (
        f"node {call.placed.name!r}: a worker process died{what} while this call was out, with item"
        f" {shown(call.args)}; all calls that were out have failed with this error"
    )
    if any(code == -getattr(signal, "SIGKILL", 9) for code in codes):
        text += "\n-9 is what the system sends when memory runs out"
    if 1 in codes and getattr(sys.modules.get("__main__"), "__file__", None) is not None:
        text += "\nif it could not start: workers read the script again, and what it does must stand below"
        text += ' `if __name__ == "__main__":`'
    died = WorkerDied(text, codes)
    died.__cause__ = error
    return died


class _Packed:
    """A call that becomes bytes when it is pickled: on the executor's thread, not on the event loop's."""

    __slots__ = ("_call", "_functions")

    def __init__(self, call: Call, functions: tuple[Callable[..., Any] | ByName, ...]) -> None:
        self._call = call
        self._functions = functions

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        call = self._call
        if call.unwanted:  # it has waited for this moment, and nobody waits for it
            raise Unwanted
        try:
            return bytes, (_dumps((self._functions, call.args)),)
        except Exception as error:
            raise Unpicklable(
                f"node {call.placed.name!r} runs on processes, and its item cannot be pickled: {shown(call.args)}:"
                f" {error}"
            ) from error


class _RemoteTraceback(Exception):
    """The traceback of another process, as text: the cause of an error that came from there."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def _work(packed: bytes) -> bytes:
    """Call the functions, in a worker process; what came of it, or of trying."""
    try:
        functions, args = pickle.loads(packed)
        found = tuple(fn.find() if isinstance(fn, ByName) else fn for fn in functions)
    except Exception as error:
        return _dumps(("unreadable", f"{type(error).__name__}: {error}"))
    try:
        value = in_a_row(found, None, args)
    except BaseException as error:
        return _failure(error)
    try:
        return _dumps(("value", value))
    except Exception as error:
        return _dumps(("unpicklable", f"{shorten(value)}: {error}"))


def _failure(error: BaseException) -> bytes:
    """An error, with where it was and the text of its traceback."""
    index, value = 0, None
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code is in_a_row.__code__:
            index, value = at.tb_frame.f_locals["index"], at.tb_frame.f_locals["value"]
        at = at.tb_next
    skipped = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, skipped))
    try:
        _dumps(value)
    except Exception:
        value = shorten(value)
    try:
        # An exception may be pickled well and fail in being read: those with arguments of their own do.
        pickle.loads(_dumps(error))
    except Exception as why:
        return _dumps(("strange", f"{type(error).__name__}: {error}", str(why), index, value, text))
    return _dumps(("error", error, index, value, text))


def _dumps(value: object) -> bytes:
    return bytes(ForkingPickler.dumps(value))


def _unpack(packed: bytes, name: str) -> tuple[Any, BaseException | None]:
    try:
        kind, *rest = pickle.loads(packed)  # what our own worker has sent
    except Exception as error:
        made = Unpicklable(f"node {name!r} runs on processes, and its result cannot be read here: {error}")
        made.__cause__ = error
        return None, made
    if kind == "value":
        return rest[0], None
    if kind == "unreadable":
        return None, Unpicklable(f"node {name!r} runs on processes, and cannot be read there with its item: {rest[0]}")
    if kind == "unpicklable":
        return None, Unpicklable(f"node {name!r} runs on processes, and its result cannot be pickled: {rest[0]}")
    if kind == "strange":
        shown, why, index, value, text = rest
        failure: BaseException = Unpicklable(
            f"node {name!r} runs on processes, and failed there with an error that cannot be pickled: {shown} ({why})"
        )
    else:
        failure, index, value, text = rest
    failure.__cause__ = _RemoteTraceback(text)
    failed_there(failure, index, value)
    return None, failure
