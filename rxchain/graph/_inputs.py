"""What each node of a graph is called with: the results of others, by name or in the order that it declares."""

import difflib
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from rxchain.engine import name_of
from rxchain.errors import CompositionError

ITEM = "item"
"""The parameter that is given the item itself, in whatever node."""


class Input(NamedTuple):
    """One argument of a node."""

    node: str | None
    """Whose result it is; None is the item."""
    default: Any = inspect.Parameter.empty
    """What it is when that node was skipped; without it the node is skipped, too."""


class Inputs(NamedTuple):
    """What a node is called with, and after which it runs."""

    arguments: tuple[Input, ...]
    after: tuple[str, ...]


def inputs_of(name: str, fn: Callable[..., Any], after: Sequence[str] | None, names: Collection[str]) -> Inputs:
    """Find what node *name* is called with.

    Raises:
        CompositionError: a name is unknown, or *fn* cannot be called with what there is.
    """
    for other in after or ():
        if other not in names:
            raise CompositionError(_unknown(name, other, names, f"after=[{other!r}]"))
    required, optional = _parameters(fn)
    parameters = {**dict.fromkeys(required, inspect.Parameter.empty), **optional}
    known = [p for p in parameters if p != name and (p in names if after is None else p in after)]
    if after is None:
        if not known and len(required) == 1:
            return Inputs((Input(None),), ())  # a root: it takes the item, whatever it calls that
        for p in required:
            if p not in known and p != ITEM:
                raise CompositionError(_unknown(name, p, names, f"def {name_of(fn)}({', '.join(parameters)})"))
        return Inputs(_by_name(parameters, known), tuple(known))
    if not known and ITEM not in parameters:
        most = len(parameters)
        if not len(required) <= len(after) <= most:
            raise CompositionError(
                f"node {name!r} comes after {len(after)} others and is called with their results,"
                f" and {name_of(fn)!r} takes {len(required)}{f' to {most}' if most > len(required) else ''}\n"
                f"    graph.add({name!r}, {name_of(fn)}, after={list(after)!r})  # incorrect\n"
                f"    def {name_of(fn)}({', '.join(after)}): ...  # correct; or {ITEM}, for the item itself"
            )
        defaults = [*parameters.values()]
        return Inputs(tuple(Input(other, default) for other, default in zip(after, defaults)), tuple(after))
    for p in required:
        if p not in known and p != ITEM:
            raise CompositionError(_unknown(name, p, after, f"def {name_of(fn)}({', '.join(parameters)})"))
    return Inputs(_by_name(parameters, known), tuple(after))


def _by_name(parameters: dict[str, Any], known: Collection[str]) -> tuple[Input, ...]:
    made: list[Input] = []
    for p, default in parameters.items():
        if p in known:
            made.append(Input(p, default))
        elif p == ITEM:
            made.append(Input(None))
        else:
            break  # those behind it keep their defaults
    return tuple(made)


def _parameters(fn: Callable[..., Any]) -> tuple[list[str], dict[str, Any]]:
    """The parameters that are given by position: those that must be, those that may be with their defaults."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return [ITEM], {}
    required: list[str] = []
    optional: dict[str, Any] = {}
    for p in signature.parameters.values():
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            if p.default is p.empty:
                required.append(p.name)
            else:
                optional[p.name] = p.default
    return required, optional


def _unknown(name: str, other: str, names: Collection[str], shown: str) -> str:
    close = difflib.get_close_matches(other, [n for n in names if n != name], 1)
    known = ", ".join(repr(n) for n in names if n != name) or "no other"
    right = shown.replace(other, close[0]) if close else f"graph.add({other!r}, ...)"
    return (
        f"node {name!r} depends on {other!r}, and there is no such node; there is {known}\n"
        f"    {shown}  # incorrect\n"
        f"    {right}  # correct{'' if close else f'; or {ITEM}, if it is the item itself that it takes'}"
    )
