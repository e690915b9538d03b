"""Nodes: one named step of a chain, with a precondition before its logic and postprocessing after it.

A node is an operator like any other, written in the same form; what it does not declare is not in the program.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from enum import Enum
from types import FunctionType
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from rxchain.engine import (
    Atom,
    Colour,
    Definition,
    Operator,
    Shape,
    Step,
    a_kind_of,
    call,
    colour,
    name_of,
    operator,
    parts,
    shorten,
)
from rxchain.errors import CompositionError, PreconditionFailed
from rxchain.types import In_contra, Out_co, T, U

Raw_co = TypeVar("Raw_co", covariant=True)
"""What calling a node's function itself gives: its result, a coroutine, an iterator."""


class Refusal(Enum):
    """What becomes of an item that a node's precondition refuses."""

    DROP = "drop"
    PASS = "pass"
    FAIL = "fail"


Refuse: TypeAlias = Literal["drop", "pass", "fail"]


@operator
def _node(logic: Any, generates: bool, when: Any, then: Any, refuse: Refusal, name: str) -> Step[Any, Any]:
    async def step(item: Any) -> AsyncIterator[Any]:
        if when is not None and not await call(when, item):
            if refuse is Refusal.PASS:
                yield item
            elif refuse is Refusal.FAIL:
                raise PreconditionFailed(name, item)
        elif generates:
            async for result in parts(await call(logic, item)):
                if then is None:
                    yield result
                else:
                    replaced = await call(then, item, result)
                    yield result if replaced is None else replaced
        elif then is None:
            yield await call(logic, item)
        else:
            result = await call(logic, item)
            replaced = await call(then, item, result)
            yield result if replaced is None else replaced

    return step


_NODE: Definition = _node.__rxchain_definition__  # type: ignore[attr-defined]
_REFUSALS = {refusal.value: refusal for refusal in Refusal}


class ChainNode(Atom, Operator[In_contra, Out_co], Generic[In_contra, Out_co, Raw_co]):
    """One named step: precondition → logic → postprocessing. Calling it calls its logic, as a unit test would.

    Made by the `node` decorator; a plain function in a chain becomes one.

    Args:
        logic: a function of one item: plain, async, or a generator of either kind, each of whose items goes on.
        name: the name that errors and drawings use; the function's own if not given.
        when: the precondition: a predicate of the item.
        then: the postprocessing: called with the item and a result; what it returns replaces the result, None keeps it.
        refuse: what becomes of an item that *when* refuses: ``"drop"`` it, ``"pass"`` it by the node unchanged, or
            ``"fail"`` with `PreconditionFailed`.
    """

    __slots__ = ("__dict__", "logic")

    logic: Callable[[In_contra], Raw_co]

    def __init__(
        self,
        logic: Callable[[In_contra], Raw_co],
        *,
        name: str | None = None,
        when: Callable[[In_contra], Awaitable[object] | object] | None = None,
        then: Callable[[In_contra, Any], Awaitable[object] | object] | None = None,
        refuse: Refuse = "drop",
    ) -> None:
        name = name if name is not None else name_of(logic)
        if not isinstance(name, str):
            raise CompositionError(f"a node's name is a string, got {shorten(name)}")
        if refuse not in _REFUSALS:
            raise CompositionError(f"node {name!r}: refuse must be 'drop', 'pass' or 'fail', got {shorten(refuse)}")
        generates = colour(logic) in (Colour.GENERATOR, Colour.ASYNC_GENERATOR)
        self.logic = logic
        super().__init__(_NODE, (logic, generates, when, then, _REFUSALS[refuse], name), name)

    def __call__(self, item: In_contra, /) -> Raw_co:
        """Call the logic; an Observable is piped instead."""
        if hasattr(item, "subscribe") and hasattr(item, "pipe"):
            return super().__call__(item)  # type: ignore[misc,no-any-return]
        return self.logic(item)

    def __repr__(self) -> str:
        return f"<node {self.name!r}>"


_plain: dict[tuple[int, str], tuple[Shape, bool]] = {}
"""By the flags of a function's code and by its name: the shape of its node, and whether it generates."""


def plain_node(fn: FunctionType) -> ChainNode[Any, Any, Any] | None:
    """A node of a function without ornaments, made the short way: building a chain is part of one call's price."""
    code = fn.__code__
    if fn.__dict__ or fn.__defaults__ or code.co_argcount != 1 or code.co_kwonlyargcount:
        return None
    name = fn.__name__
    known = _plain.get((code.co_flags, name))
    if known is None:
        made: ChainNode[Any, Any, Any] = ChainNode(fn)
        if len(_plain) >= 4096:
            _plain.clear()
        _plain[code.co_flags, name] = made.shape, made.values[1]
        return made
    node: ChainNode[Any, Any, Any] = object.__new__(ChainNode)
    node.definition = _NODE
    node.shape, generates = known
    node.logic = fn
    node.name = name
    node.values = (fn, generates, None, None, Refusal.DROP, name)
    return node


class _Declared(Protocol):
    """What ``node(...)`` with arguments gives: a decorator."""

    @overload
    def __call__(self, fn: Callable[[T], Coroutine[Any, Any, U]], /) -> ChainNode[T, U, Coroutine[Any, Any, U]]: ...
    @overload
    def __call__(self, fn: Callable[[T], AsyncIterator[U]], /) -> ChainNode[T, U, AsyncIterator[U]]: ...
    @overload
    def __call__(self, fn: Callable[[T], Iterator[U]], /) -> ChainNode[T, U, Iterator[U]]: ...
    @overload
    def __call__(self, fn: Callable[[T], U], /) -> ChainNode[T, U, U]: ...


@overload
def node(fn: Callable[[T], Coroutine[Any, Any, U]], /) -> ChainNode[T, U, Coroutine[Any, Any, U]]: ...
@overload
def node(fn: Callable[[T], AsyncIterator[U]], /) -> ChainNode[T, U, AsyncIterator[U]]: ...
@overload
def node(fn: Callable[[T], Iterator[U]], /) -> ChainNode[T, U, Iterator[U]]: ...
@overload
def node(fn: Callable[[T], U], /) -> ChainNode[T, U, U]: ...
@overload
def node(
    *,
    name: str | None = None,
    when: Callable[[Any], Awaitable[object] | object] | None = None,
    then: Callable[[Any, Any], Awaitable[object] | object] | None = None,
    refuse: Refuse = "drop",
) -> _Declared: ...
def node(fn: Any = None, /, **declared: Any) -> Any:
    """Make a node of a function: precondition → logic → postprocessing, under one name.

    >>> from rxchain import Chain, node
    >>> @node(when=str.isdigit, refuse="pass", then=lambda text, number: number * 10)
    ... def parse(text: str) -> int:
    ...     return int(text)
    >>> list(Chain(parse).iterate(["4", "x"]))
    [40, 'x']
    >>> parse("4")    # called itself it is the function, for unit tests
    4

    See `ChainNode` for the arguments.
    """
    for unknown in declared.keys() - {"name", "when", "then", "refuse"}:
        raise CompositionError(f"node has no parameter {unknown!r}; it takes name, when, then, refuse")
    if fn is None:
        return lambda fn: node(fn, **declared)
    if not callable(fn):
        raise CompositionError(
            f"node is given a function, got {a_kind_of(fn)}: {shorten(fn, 40)}\n"
            f"    @node({shorten(fn, 40)})  # incorrect\n"
            f"    @node(name={shorten(fn, 40)})  # correct, if that is its name"
        )
    return functools.update_wrapper(ChainNode(fn, **declared), fn)
