"""Between the standard library's logging and loguru, in both directions, without going round in circles."""

import inspect
import logging
import threading
from types import TracebackType
from typing import Any, Self

from loguru import logger

_crossing = threading.local()
"""Whether this thread is just taking a record over: what comes of it is not taken back."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest is what ``extra=`` was given."""


class Bridge:
    """A bridge that stands until it is closed; usable in a ``with`` statement."""

    def __init__(self, close: Any) -> None:
        self._close = close

    def close(self) -> None:
        """Take it down, and put things back as they were. May come twice."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def from_stdlib(*names: str, level: int | str = logging.NOTSET, only: bool = True) -> Bridge:
    """Hand what goes to the standard library's logging to loguru, with its level, its caller, its exception and extras.

    >>> import logging, sys
    >>> from loguru import logger
    >>> from rxchain.observe import from_stdlib
    >>> sink = logger.add(sys.stdout, format="{level} {extra[logger]}: {message}")
    >>> with from_stdlib("httpx"):
    ...     logging.getLogger("httpx").warning("a request took %d s", 9)
    WARNING httpx: a request took 9 s
    >>> logger.remove(sink)

    Args:
        names: of the loggers, each with those below it; without any, all.
        level: what they log from on; ``NOTSET`` leaves them as they are: at ``WARNING``, unless somebody has set it.
        only: whether their other handlers are taken from them meanwhile, and nothing is passed on to the loggers above.
    """
    handler = _ToLoguru()
    before = []
    for name in names or ("",):
        source = logging.getLogger(name)
        before.append((source, source.handlers[:], source.level, source.propagate))
        if only:
            source.handlers[:] = []
            source.propagate = False
        source.addHandler(handler)
        if level != logging.NOTSET:
            source.setLevel(level)

    def close() -> None:
        for source, handlers, old_level, propagate in reversed(before):
            added = [h for h in source.handlers if h is not handler and h not in handlers]
            source.handlers[:] = [*handlers, *added]
            source.propagate = propagate
            source.setLevel(old_level)

    return Bridge(close)


def to_stdlib(name: str = "", level: int | str = 0) -> Bridge:
    """Hand what goes to loguru to the standard library's logging, to the logger of the module that it comes from.

    >>> import logging
    >>> from loguru import logger
    >>> from rxchain.observe import to_stdlib
    >>> logger.enable("rxchain")
    >>> with to_stdlib("rxchain"):
    ...     pass    # its messages are those of logging.getLogger("rxchain.policies._log")
    >>> logger.disable("rxchain")

    The extra fields are attributes of the `LogRecord`, where it has none of that name.

    Args:
        name: of the module, with those below it; without it, all.
        level: from which on.
    """
    sink = logger.add(_to_stdlib, level=level, format="{message}", filter=name or None, catch=True)
    return Bridge(lambda: logger.remove(sink))


class _ToLoguru(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if getattr(_crossing, "busy", False):
            return
        _crossing.busy = True
        try:
            level: str | int = record.levelname
            try:
                logger.level(record.levelname)
            except ValueError:
                level = record.levelno
            # The caller's frame: what is disabled in loguru for its module is disabled here as well.
            frame, depth = inspect.currentframe(), 0
            while frame is not None and frame.f_code.co_filename in (logging.__file__, __file__):
                frame, depth = frame.f_back, depth + 1
            extra = {k: v for k, v in vars(record).items() if k not in _STANDARD}
            error = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
            message = record.getMessage()
            if record.stack_info:
                message = f"{message}\n{record.stack_info}"
            bound = logger.bind(logger=record.name, **extra) if "logger" not in extra else logger.bind(**extra)
            bound.opt(depth=depth, exception=error).log(level, "{}", message)
        except Exception:
            self.handleError(record)
        finally:
            _crossing.busy = False


def _to_stdlib(message: Any) -> None:
    if getattr(_crossing, "busy", False):
        return
    record = message.record
    target = logging.getLogger(record["name"])
    number = record["level"].no
    if not target.isEnabledFor(number):
        return
    error = record["exception"]
    made = target.makeRecord(
        target.name,
        number,
        record["file"].path,
        record["line"],
        record["message"],
        (),
        None if error is None else (error.type, error.value, error.traceback),
        record["function"],
    )
    made.levelname = record["level"].name
    for key, value in record["extra"].items():
        if not hasattr(made, key):
            setattr(made, key, value)
    _crossing.busy = True
    try:
        target.handle(made)
    finally:
        _crossing.busy = False
