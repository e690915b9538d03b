"""Sequential asynchronous chains: plain functions, in order, at the price of the loop you would have written."""

from pathlib import Path as _Path

if not (_Path(__file__).parent / "operators").is_dir():  # a checkout that lost the link to the operators' folder
    __path__.append(str(_Path(__file__).parent.parent))

from rxchain._version import __version__ as __version__
from rxchain.chain import Chain, pipe
from rxchain.engine import Operator, Stage, StopStream, call, operator, parts
from rxchain.errors import (
    CompositionError,
    EmptyStream,
    ManyResults,
    NoResult,
    Overflow,
    PreconditionFailed,
    RxChainError,
)
from rxchain.node import ChainNode, node
from rxchain.types import Failure, Step

__all__ = [
    "Chain",
    "ChainNode",
    "CompositionError",
    "EmptyStream",
    "Failure",
    "ManyResults",
    "NoResult",
    "Operator",
    "Overflow",
    "PreconditionFailed",
    "RxChainError",
    "Stage",
    "Step",
    "StopStream",
    "call",
    "node",
    "operator",
    "parts",
    "pipe",
]
