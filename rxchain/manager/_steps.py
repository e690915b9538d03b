"""The steps of a managed chain, by name: found, put in, taken out. Pure; a row of steps in, another out."""

import copy
import difflib
from collections.abc import Iterator
from typing import Any

from rxchain.chain import Chain
from rxchain.engine import Atom, Operator, shorten
from rxchain.errors import CompositionError
from rxchain.graph._graph import GraphStep
from rxchain.node import ChainNode
from rxchain.operators._nested import Around

Steps = tuple[Any, ...]
Place = tuple[int, ...]


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
    return _numbered_inside(made if name is None else named(made, name))


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
        made.append(_numbered_inside(named(step, name) if name != wanted or step.name is None else step))
    return tuple(made)


def _numbered_inside(step: Any) -> Any:
    if not isinstance(step, Chain):
        return step
    steps = numbered(step.steps)
    return step if all(a is b for a, b in zip(steps, step.steps)) else step._with(steps)


# --- where they stand: a path of numbers, one for each chain that is gone into


def place_of(chain: str, steps: Steps, name: str) -> Place:
    """Where the step called *name* stands; ``inner/charge`` is in the chain ``inner``, as in errors."""
    place = _found(steps, name) if isinstance(name, str) else None
    if place is not None:
        return place
    paths = list(paths_of(steps))
    meant, remedy = "", ""
    if isinstance(name, str) and (holder := _holder(steps, name)) is not None:
        remedy = (
            f"\n    replace({name!r}, ...)  # incorrect: it is a part of {holder!r}, which is no chain\n"
            f"    replace({holder!r}, ...)  # correct: another one in its place"
        )
    elif isinstance(name, str):
        inside = [path for path in paths if path.endswith(f"/{name}")]
        close = inside or difflib.get_close_matches(name, paths, 1)
        meant = f"; {close[0]!r}, perhaps" if close else ""
    there = ", ".join(map(repr, paths)) or "none"
    raise CompositionError(f"chain {chain!r} has no node {shorten(name, 40)}{meant}; there is {there}{remedy}")


def paths_of(steps: Steps, prefix: str = "") -> Iterator[str]:
    """What all steps are called, those of chains in it as well."""
    for step in steps:
        path = prefix + name_of_step(step)
        yield path
        if isinstance(step, Chain):
            yield from paths_of(step.steps, f"{path}/")


def _found(steps: Steps, name: str) -> Place | None:
    names = [name_of_step(step) for step in steps]
    if name in names:
        return (names.index(name),)
    for at, step in enumerate(steps):
        if isinstance(step, Chain) and name.startswith(f"{names[at]}/"):
            inside = _found(step.steps, name[len(names[at]) + 1 :])
            if inside is not None:
                return (at, *inside)
    return None


def _holder(steps: Steps, name: str, prefix: str = "") -> str | None:
    """The step, no chain, that *name* is a part of."""
    for step in steps:
        path = prefix + name_of_step(step)
        if isinstance(step, Chain):
            found = _holder(step.steps, name, f"{path}/")
            if found is not None:
                return found
            continue
        parts: list[str] = []
        if isinstance(step, Around):
            for part in step.given.values():
                parts += paths_of(Chain(part).steps) if isinstance(part, Operator) else ()
        elif isinstance(step, GraphStep):
            parts += [one.name for one in step.program.nodes]
        if name.startswith(f"{path}/") or any(part == name or part.endswith(f"/{name}") for part in parts):
            return path
    return None


def row_of(steps: Steps, place: Place) -> Steps:
    """The row that *place* is in."""
    for at in place[:-1]:
        steps = steps[at].steps
    return steps


def step_at(steps: Steps, place: Place) -> Any:
    """The step there."""
    return row_of(steps, place)[place[-1]]


def put_at(steps: Steps, place: Place, made: Steps) -> Steps:
    """The steps with *made* in the place of the one there: chains that it is in are made anew around it."""
    at, *inside = place
    if inside:
        inner = steps[at]
        made = (inner._with(put_at(inner.steps, tuple(inside), made)),)
    return (*steps[:at], *made, *steps[at + 1 :])


def check_own(prefix: str, name: object, what: str) -> None:
    """Refuse a *name* that has that of its chain before it, as *what* says it."""
    if prefix and isinstance(name, str) and name.startswith(prefix):
        raise CompositionError(
            f"a node in a chain is given a name of its own, without that of the chain\n"
            f"    {what}  # incorrect\n"
            f"    {what.replace(repr(name), repr(name[len(prefix) :]))}  # correct"
        )


def new_step(chain: str, row: Steps, prefix: str, step: Any, name: str | None, what: str) -> Any:
    """*step* as one that can be put into the row, whose names begin with *prefix*."""
    check_own(prefix, name, f"{what[:-1]}, name={name!r})")
    made = one_step(step, name)
    called = name_of_step(made)
    if called in (name_of_step(other) for other in row):
        raise CompositionError(
            f"chain {chain!r} has a node {prefix + called!r} already\n"
            f"    {what}  # incorrect\n"
            f"    {what[:-1]}, name={called + '_2'!r})  # correct; or replace({prefix + called!r}, ...)"
        )
    return made


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


__all__ = [
    "Place",
    "Steps",
    "always_one",
    "check_own",
    "name_of_step",
    "named",
    "new_step",
    "numbered",
    "one_step",
    "paths_of",
    "place_of",
    "put_at",
    "row_of",
    "step_at",
]
