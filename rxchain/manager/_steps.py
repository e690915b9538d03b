"""The steps of a managed chain, by name: found, put in, taken out. Pure; a row of steps in, another out."""

import copy
import difflib
from typing import Any

from rxchain.chain import Chain
from rxchain.engine import Atom, shorten
from rxchain.errors import CompositionError
from rxchain.graph._graph import GraphStep
from rxchain.node import ChainNode

Steps = tuple[Any, ...]


def name_of_step(step: Any) -> str:
    """What a step is called."""
    name: str | None = step.name
    return name if name is not None else repr(step)


def named(step: Any, name: str) -> Any:
    """The same step under another name."""
    if not isinstance(name, str):
        raise CompositionError(f"a node's name is a string, got {shorten(name)}")
    if step.name == name:
        return step
    if isinstance(step, ChainNode):
        return step._made({**step.declared, "name": name})
    if isinstance(step, Chain):
        return Chain(*step.steps, name=name, window=step.window, overflow=step.overflow)
    if hasattr(step, "renamed"):
        return step.renamed(name)
    if isinstance(step, GraphStep):
        return GraphStep(step.definition, step.values, name, step.gate, step.program)
    made = copy.copy(step)
    made.name = name
    return made


def one_step(step: Any, name: str | None) -> Any:
    """What may stand in a chain, as one step of it with a name."""
    chain: Chain[Any, Any] = Chain(step)
    made: Any = chain.steps[0] if len(chain) == 1 else chain
    if isinstance(made, Chain) and (name or made.name) is None:
        raise CompositionError(
            "a chain that becomes a node of a managed one needs a name, by which it is known there\n"
            f"    add({shorten(step, 50)})  # incorrect\n"
            f"    add({shorten(step, 50)}, name='...')  # correct"
        )
    return made if name is None else named(made, name)


def numbered(steps: Steps) -> Steps:
    """The steps, each with a name of its own: of two that are called ``map`` the second is ``map_2``."""
    taken: set[str] = set()
    made: list[Any] = []
    for step in steps:
        wanted = name = name_of_step(step)
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        made.append(named(step, name) if name != wanted or step.name is None else step)
    return tuple(made)


def place_of(chain: str, steps: Steps, name: str) -> int:
    """Where the step called *name* stands."""
    names = [name_of_step(step) for step in steps]
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, 1) if isinstance(name, str) else []
    meant = f"; {close[0]!r}, perhaps" if close else ""
    raise CompositionError(
        f"chain {chain!r} has no node {shorten(name, 40)}{meant}; there is {', '.join(map(repr, names)) or 'none'}"
    )


def put_in(chain: str, steps: Steps, at: int, step: Any, name: str | None, what: str) -> tuple[Steps, str]:
    """The steps with one more, before number *at*; and what that is called."""
    made = one_step(step, name)
    called = name_of_step(made)
    if called in (name_of_step(other) for other in steps):
        raise CompositionError(
            f"chain {chain!r} has a node {called!r} already\n"
            f"    {what}  # incorrect\n"
            f"    {what[:-1]}, name={called + '_2'!r})  # correct; or replace({called!r}, ...)"
        )
    return (*steps[:at], made, *steps[at:]), called


def always_one(atoms: list[Atom]) -> bool:
    """Whether each item that goes through these has one result, if it does not fail."""
    return all(_gives_one(atom) for atom in atoms)


def _gives_one(atom: Atom) -> bool:
    if isinstance(atom, ChainNode):
        _, generates, when, _, refuse, *_ = atom.values
        return not generates and (when is None or refuse.value != "drop")
    if isinstance(atom, GraphStep):
        return not atom.values[2]
    return atom.definition.name in ("map", "starmap", "tap", "enumerate") and atom.definition.shown.startswith("ops.")


__all__ = ["Steps", "always_one", "name_of_step", "named", "numbered", "one_step", "place_of", "put_in"]
