"""Running operators: the reference interpreter, and the compiler that makes one loop of a chain."""

from rxchain.engine._call import Colour, call, colour, name_of, takes
from rxchain.engine._effects import Effects, Scoped, TakenBack, effects, forget, take_back, taken_back
from rxchain.engine._failure import InnerChains, ItemFailed, Label, SharedHop
from rxchain.engine._gate import Gate, declared_gate
from rxchain.engine._interpret import interpret, noting
from rxchain.engine._loop_thread import iterate_on_loop_thread, run_on_loop_thread
from rxchain.engine._operator import (
    Applied,
    Atom,
    Definition,
    Operator,
    Shape,
    Stage,
    StopStream,
    a_kind_of,
    concurrent,
    gated,
    operator,
    shorten,
)
from rxchain.engine._parts import Parts, driven, parts
from rxchain.engine._program import Mode, Plan, Program, Segment, at_work, many_results, no_result, plan_for
from rxchain.engine._support import Completed, aclose, close, upstream
from rxchain.types import Step

__all__ = [
    "Applied",
    "Atom",
    "Colour",
    "Completed",
    "Definition",
    "Effects",
    "Gate",
    "InnerChains",
    "ItemFailed",
    "Label",
    "Mode",
    "Operator",
    "Parts",
    "Plan",
    "Program",
    "Scoped",
    "Segment",
    "Shape",
    "SharedHop",
    "Stage",
    "Step",
    "StopStream",
    "TakenBack",
    "a_kind_of",
    "aclose",
    "at_work",
    "call",
    "close",
    "colour",
    "concurrent",
    "declared_gate",
    "driven",
    "effects",
    "forget",
    "gated",
    "interpret",
    "iterate_on_loop_thread",
    "many_results",
    "name_of",
    "no_result",
    "noting",
    "operator",
    "parts",
    "plan_for",
    "run_on_loop_thread",
    "shorten",
    "take_back",
    "taken_back",
    "takes",
    "upstream",
]
