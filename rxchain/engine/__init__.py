"""Running operators: the reference interpreter, and the compiler that makes one loop of a chain."""

from rxchain.engine._call import Colour, call, colour, name_of, takes
from rxchain.engine._failure import ItemFailed, Label
from rxchain.engine._interpret import interpret, noting
from rxchain.engine._loop_thread import iterate_on_loop_thread, run_on_loop_thread
from rxchain.engine._operator import Atom, Definition, Operator, Shape, Stage, StopStream, a_kind_of, operator, shorten
from rxchain.engine._parts import Parts, driven, parts
from rxchain.engine._program import Mode, Plan, Program, Segment, many_results, no_result, plan_for
from rxchain.engine._support import Completed
from rxchain.types import Step

__all__ = [
    "Atom",
    "Colour",
    "Completed",
    "Definition",
    "ItemFailed",
    "Label",
    "Mode",
    "Operator",
    "Parts",
    "Plan",
    "Program",
    "Segment",
    "Shape",
    "Stage",
    "Step",
    "StopStream",
    "a_kind_of",
    "call",
    "colour",
    "driven",
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
    "takes",
]
