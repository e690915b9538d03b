"""Sequential asynchronous chains: plain functions, in order, at the price of the loop you would have written."""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if not (_Path(__file__).parent / "operators").is_dir():  # a checkout that lost the link to the operators' folder
    __path__.append(str(_Path(__file__).parent.parent))

from rxchain._version import __version__ as __version__
from rxchain.chain import Chain, pipe
from rxchain.engine import Operator, Stage, StopStream, call, operator, parts
from rxchain.errors import (
    BulkheadFull,
    CircuitOpen,
    CompositionError,
    DeadLetterLost,
    EmptyStream,
    LockDeadlock,
    LockTimeout,
    ManyResults,
    NoResult,
    Overflow,
    PreconditionFailed,
    QueueClosed,
    QueueFull,
    Refused,
    RxChainError,
    TooManyDeadLetters,
)
from rxchain.node import ChainNode, node
from rxchain.runners import disposed, to_async_iterable, to_async_observable
from rxchain.types import Failure, Place, Step

if _TYPE_CHECKING:
    from rxchain.graph import Graph as Graph
    from rxchain.manager import ChainManager as ChainManager
    from rxchain.policies import Bulkhead as Bulkhead
    from rxchain.policies import CircuitBreaker as CircuitBreaker
    from rxchain.policies import DeadLetters as DeadLetters
    from rxchain.policies import ErrorHandler as ErrorHandler
    from rxchain.policies import Fallback as Fallback
    from rxchain.policies import Hedge as Hedge
    from rxchain.policies import Lock as Lock
    from rxchain.policies import RateLimit as RateLimit
    from rxchain.policies import Resume as Resume
    from rxchain.policies import Retry as Retry
    from rxchain.policies import RetryBudget as RetryBudget
    from rxchain.policies import Undo as Undo
    from rxchain.policies import exponential as exponential
    from rxchain.policies import fixed as fixed
    from rxchain.policies import linear as linear
    from rxchain.queues import TaskQueue as TaskQueue

_LATER = {
    "graph": ("Graph",),
    "manager": ("ChainManager",),
    "queues": ("TaskQueue",),
    "policies": (
        *("Bulkhead", "CircuitBreaker", "DeadLetters", "ErrorHandler", "Fallback", "Hedge", "Lock", "RateLimit"),
        *("Resume", "Retry", "RetryBudget", "Undo", "exponential", "fixed", "linear"),
    ),
}
"""By module, what is imported when it is first asked for: together that takes longer than all the rest."""


def __getattr__(name: str) -> _Any:
    for module, names in _LATER.items():
        if name in names:
            found = globals()[name] = getattr(_import_module(f"rxchain.{module}"), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for names in _LATER.values() for name in names)})


__all__ = [
    "Bulkhead",
    "BulkheadFull",
    "Chain",
    "ChainManager",
    "ChainNode",
    "CircuitBreaker",
    "CircuitOpen",
    "CompositionError",
    "DeadLetterLost",
    "DeadLetters",
    "EmptyStream",
    "ErrorHandler",
    "Failure",
    "Fallback",
    "Graph",
    "Hedge",
    "Lock",
    "LockDeadlock",
    "LockTimeout",
    "ManyResults",
    "NoResult",
    "Operator",
    "Overflow",
    "Place",
    "PreconditionFailed",
    "QueueClosed",
    "QueueFull",
    "RateLimit",
    "Refused",
    "Resume",
    "Retry",
    "RetryBudget",
    "RxChainError",
    "Stage",
    "Step",
    "StopStream",
    "TaskQueue",
    "TooManyDeadLetters",
    "Undo",
    "call",
    "disposed",
    "exponential",
    "fixed",
    "linear",
    "node",
    "operator",
    "parts",
    "pipe",
    "to_async_iterable",
    "to_async_observable",
]
