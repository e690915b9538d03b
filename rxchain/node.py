"""Nodes: one named step of a chain, with a precondition before its logic and postprocessing after it.

A node is an operator like any other, written in the same form; what it does not declare is not in the program.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, Unpack, cast, overload

from rxchain.engine import (
    Atom,
    Colour,
    Definition,
    Gate,
    InnerChains,
    Operator,
    Shape,
    SharedHop,
    Step,
    a_kind_of,
    call,
    colour,
    declared_gate,
    effects,
    name_of,
    operator,
    parts,
    shorten,
    takes,
)
from rxchain.errors import CompositionError, PreconditionFailed
from rxchain.types import In_contra, Out_co, T, U

if TYPE_CHECKING:
    from rxchain.policies import Declared
    from rxchain.schedulers import On, Placed

Raw_co = TypeVar("Raw_co", covariant=True)
"""What calling a node's function itself gives: its result, a coroutine, an iterator."""


class Refusal(Enum):
    """What becomes of an item that a node's precondition refuses."""

    DROP = "drop"
    PASS = "pass"
    FAIL = "fail"


Refuse: TypeAlias = Literal["drop", "pass", "fail"]

Dependencies: TypeAlias = "Sequence[str | ChainNode[Any, Any, Any]] | str | ChainNode[Any, Any, Any] | None"
"""Those that a task comes after, by name or themselves."""


@operator
def _node(
    logic: Any, generates: bool, when: Any, then: Any, refuse: Refusal, name: str, recover: Any, undo: Any
) -> Step[Any, Any]:
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
        elif recover is None and undo is None and then is None:
            yield await call(logic, item)
        else:
            if undo is not None:
                effect = effects().begin(undo, name, item)
            if recover is None:
                result = await call(logic, item)
            else:
                try:
                    result = await call(logic, item)
                except Exception as error:
                    result = await call(recover, item, error)
            if undo is not None:
                effect.result = result  # pyright: ignore[reportPossiblyUnboundVariable]
            if then is None:
                yield result
            else:
                replaced = await call(then, item, result)
                yield result if replaced is None else replaced

    return step


_POLICIES = (
    *("retry", "timeout", "item_timeout", "hedge", "rate_limit", "breaker", "bulkhead", "lock", "fallback", "undo"),
)
_DECLARED = ("name", "when", "then", "refuse", "concurrency", "ordered", "by", "on", "after", *_POLICIES)
_NODE: Definition = _node.__rxchain_definition__  # type: ignore[attr-defined]
_REFUSALS = {refusal.value: refusal for refusal in Refusal}


class ChainNode(Atom, Operator[In_contra, Out_co], Generic[In_contra, Out_co, Raw_co]):
    """One named step: precondition → logic → postprocessing. Calling it calls its logic, as a unit test would.

    Made by the `node` decorator; a plain function in a chain becomes one. Given a name instead of a function it is a
    task of a `ChainManager`, whose logic is its `task_result`.

    Args:
        logic: a function of one item: plain, async, or a generator of either kind, each of whose items goes on.
        dependencies: of a task: the others, or their names, that it comes after.
        name: the name that errors and drawings use; the function's own if not given.
        when: the precondition: a predicate of the item.
        then: the postprocessing: called with the item and a result; what it returns replaces the result, None keeps it.
        refuse: what becomes of an item that *when* refuses: ``"drop"`` it, ``"pass"`` it by the node unchanged, or
            ``"fail"`` with `PreconditionFailed`.
        concurrency: how many items it may work on at once; 1 if not given. Their number in flight is bounded by the
            chain's window, too. For async functions: a plain one works on one item at a time anyway.
        ordered: whether results go on in the order of their items, so that a slow one holds back those behind it; if
            not given, yes, but for *by*.
        by: a function of one item that gives its key, hashable: items of one key are worked on one at a time and in
            their order, those of different keys side by side.
        on: where a plain function runs: ``"threads"``, ``"processes"``, a pool of its own (`rxchain.schedulers`), an
            executor, a reactivex scheduler. ``"loop"``, which is what is done where nothing is said, is where its
            caller is.
        after: in a `Graph`, the nodes that it depends on, if its parameters do not say that.
        policies: what is done about failures of its logic; see `rxchain.policies`. ``retry``: a `Retry`, or a number of
            attempts. ``timeout``: seconds for each attempt; ``item_timeout``: for all of them, and the waiting between.
            ``hedge``: a `Hedge`, or the seconds after which a second attempt is begun beside the first. ``rate_limit``,
            ``breaker``, ``bulkhead``: a `RateLimit`, `CircuitBreaker`, `Bulkhead`. ``lock``: a function of an item that
            gives its key, or a `Lock`: items with the same key exclude one another. ``fallback``: a `Fallback`, several
            in a list, or what one is made of: another result, a function, a chain.
    """

    __slots__ = ("__dict__", "declared", "logic", "placed")

    logic: Callable[[In_contra], Raw_co]
    declared: Mapping[str, Any]
    """The arguments that it was made with."""
    placed: "Placed | None"
    """The logic as it is called where the node runs elsewhere than on its caller's thread."""

    @overload
    def __init__(
        self,
        logic: Callable[[In_contra], Raw_co],
        *,
        name: str | None = None,
        when: Callable[[In_contra], Awaitable[object] | object] | None = None,
        then: Callable[[In_contra, Any], Awaitable[object] | object] | None = None,
        refuse: Refuse = "drop",
        concurrency: int = 1,
        ordered: bool | None = None,
        by: Callable[[In_contra], Hashable] | None = None,
        on: "On" = "loop",
        after: Sequence[str] | None = None,
        **policies: "Unpack[Declared]",
    ) -> None: ...
    @overload
    def __init__(
        self: "ChainNode[Any, Any, Any]",
        logic: str,
        dependencies: "Dependencies" = None,
        *,
        when: Callable[[Any], Awaitable[object] | object] | None = None,
        then: Callable[[Any, Any], Awaitable[object] | object] | None = None,
        refuse: Refuse = "drop",
        on: "On" = "loop",
        **policies: "Unpack[Declared]",
    ) -> None: ...
    @overload
    def __init__(
        self: "ChainNode[Any, Any, Any]",
        *,
        name: str,
        dependencies: "Dependencies" = None,
        when: Callable[[Any], Awaitable[object] | object] | None = None,
        then: Callable[[Any, Any], Awaitable[object] | object] | None = None,
        refuse: Refuse = "drop",
        on: "On" = "loop",
        **policies: "Unpack[Declared]",
    ) -> None: ...
    def __init__(
        self,
        logic: Any = None,
        dependencies: Any = None,
        *,
        name: str | None = None,
        when: Callable[[In_contra], Awaitable[object] | object] | None = None,
        then: Callable[[In_contra, Any], Awaitable[object] | object] | None = None,
        refuse: Refuse = "drop",
        concurrency: int = 1,
        ordered: bool | None = None,
        by: Callable[[In_contra], Hashable] | None = None,
        on: "On" = "loop",
        after: Sequence[str] | None = None,
        **policies: "Unpack[Declared]",
    ) -> None:
        if logic is None or isinstance(logic, str):
            name, after = _named_task(logic if logic is not None else name, dependencies)
            logic = _task_logic(self.task_result, len(after or ()))
        elif dependencies is not None:
            raise CompositionError(
                f"node {name_of(logic)!r}: dependencies are those of a task, which is known by its name\n"
                f"    ChainNode({name_of(logic)}, [...])  # incorrect\n"
                f"    ChainNode({name_of(logic)}, after=[...])  # correct; or ChainNode('name', [...]), a task"
            )
        given: dict[str, Any] = {"name": name, "when": when, "then": then, "refuse": refuse, "concurrency": concurrency}
        given |= {"ordered": ordered, "by": by, "on": on, "after": after}
        self.declared: Mapping[str, Any] = {
            key: value for key, value in given.items() if value is not _UNDECLARED[key]
        } | dict(policies)
        name = name if name is not None else name_of(logic)
        if not isinstance(name, str):
            raise CompositionError(f"a node's name is a string, got {shorten(name)}")
        if refuse not in _REFUSALS:
            raise CompositionError(f"node {name!r}: refuse must be 'drop', 'pass' or 'fail', got {shorten(refuse)}")
        generates = colour(logic) in (Colour.GENERATOR, Colour.ASYNC_GENERATOR)
        self.logic = logic
        self.placed = None
        runs: Any = logic
        if on != "loop":
            from rxchain.schedulers import placed

            self.placed = runs = cast("Placed", placed(logic, on, name=name))
        recover = compensate = None
        if policies:
            from rxchain.policies import compensation, guarded

            compensate = compensation(policies.get("undo"), name, generates)
            runs, recover = guarded(runs, name, generates, {k: v for k, v in policies.items() if k != "undo"})
        gate = declared_gate(f"node {name!r}", (runs, when, then), concurrency, ordered, by)
        if self.placed is not None and by is None and runs is self.placed and recover is compensate is None:
            gate = replace(gate or Gate(), elsewhere=True)
        if gate is not None and generates:
            raise CompositionError(
                f"node {name!r}: a generator's items come one after the other, and concurrency is {concurrency}\n"
                f"    @node(concurrency={concurrency})  # incorrect, above a generator function\n"
                f"    ops.flat_map({name}, concurrency={concurrency})  # correct: items of several as they come"
            )
        super().__init__(_NODE, (runs, generates, when, then, _REFUSALS[refuse], name, recover, compensate), name, gate)

    def task_result(self, *args: Any, **kwargs: Any) -> Any:
        """What a task gives: to be overridden, by a function or an async one.

        It is called with the results of those that the task depends on, in the order in which they are declared, if it
        takes as many arguments, or else with none. A task that depends on no other is given the item, if it needs one.

        >>> from rxchain import ChainNode
        >>> ChainNode("fetch").task_result()
        'Result of fetch'
        """
        return f"Result of {self.name}"

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The names of the nodes that it says it comes after."""
        after = self.declared.get("after", ())
        return (after,) if isinstance(after, str) else tuple(after)

    def __call__(self, item: In_contra, /) -> Raw_co:
        """Call the logic; an Observable is piped instead."""
        if hasattr(item, "subscribe") and hasattr(item, "pipe"):
            return super().__call__(item)  # type: ignore[misc,no-any-return]
        return self.logic(item)

    def __repr__(self) -> str:
        return f"<node {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChainNode):
            return NotImplemented
        return (self.name, self.logic, dict(self.declared)) == (other.name, other.logic, dict(other.declared))

    __hash__ = Atom.__hash__

    def having(self, **policies: Any) -> "ChainNode[In_contra, Out_co, Raw_co]":
        """The same node with more policies; those that it declares itself stay as they are."""
        if not policies.keys() - self.declared.keys():
            return self
        return self._made({"name": self.name, **policies, **self.declared})

    def without(self, *policies: str) -> "ChainNode[In_contra, Out_co, Raw_co]":
        """The same node without these policies."""
        if not self.declared.keys() & set(policies):
            return self
        kept = {key: value for key, value in self.declared.items() if key not in policies}
        return self._made({"name": self.name, **kept})

    def _made(self, declared: dict[str, Any]) -> "ChainNode[In_contra, Out_co, Raw_co]":
        made: ChainNode[In_contra, Out_co, Raw_co] = ChainNode(self.logic, **declared)
        made.__dict__.update(self.__dict__)
        return made


def _named_task(name: Any, dependencies: Any) -> tuple[str, tuple[str, ...] | None]:
    """The name of a task, and those of the tasks that it comes after, if there are any."""
    if dependencies is None:
        dependencies = ()
    elif isinstance(dependencies, (str, ChainNode)):
        dependencies = (dependencies,)
    after = tuple(other.name if isinstance(other, ChainNode) else other for other in dependencies)
    wrong = next((other for other in (name, *after) if not isinstance(other, str)), None)
    if wrong is not None or name is None:
        raise CompositionError(
            f"a node has a function, a task its name and those of others, got {shorten(wrong, 40)}\n"
            "    ChainNode(charge)  # correct: a node, charge is its function\n"
            "    ChainNode('charge', ['fetch'])  # correct: a task, which comes after 'fetch'"
        )
    return name, after or None


def _task_logic(task_result: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function of a task that comes after *count* others: what these gave is passed on if it is wanted."""
    given = max(count, 1)
    none = takes(task_result, 0)
    wanted = takes(task_result, given) and (count > 0 or not none)
    if not (wanted or none):
        raise CompositionError(
            f"a task's task_result is called with what the {count} that it comes after gave, or with nothing:"
            f" task_result{inspect.signature(task_result)} takes neither\n"
            f"    def task_result(self{''.join(f', r{k}' for k in range(given))}): ...  # correct"
        )

    def called(*results: Any) -> Any:
        return task_result(*results) if wanted else task_result()

    async def awaited(*results: Any) -> Any:
        return await called(*results)

    logic: Any = awaited if colour(task_result) is Colour.ASYNC else called
    parameters = [inspect.Parameter(f"_{k}", inspect.Parameter.POSITIONAL_ONLY) for k in range(given)]
    logic.__signature__ = inspect.Signature(parameters)
    return cast("Callable[..., Any]", logic)


def sharing_hops(
    atoms: list[Atom], names: list[str]
) -> tuple[list[Atom], list[str], dict[int, SharedHop | InnerChains]]:
    """Make one step of nodes in a row that run on the same pool: an item goes there once for all of them."""
    inside = {k: hop for k, atom in enumerate(atoms) if (hop := getattr(atom, "inside", None)) is not None}
    if not any(type(atom) is ChainNode and atom.placed is not None for atom in atoms):
        return atoms, names, inside
    from rxchain.schedulers import joinable, joined

    rows: list[list[int]] = []
    for k, atom in enumerate(atoms):
        before = atoms[k - 1] if rows else None
        alike = before is not None and _hops(before) and _hops(atom) and before.gate == atom.gate
        if before is not None and alike and joinable(before.values[0], atom.values[0]):
            rows[-1].append(k)
        else:
            rows.append([k])
    made: list[Atom] = []
    shared: dict[int, SharedHop | InnerChains] = {}
    for row in rows:
        first = atoms[row[0]]
        if len(row) > 1:
            hop = joined(*(atoms[k].values[0] for k in row))
            shared[len(made)] = SharedHop(tuple(names[k] for k in row), hop.failed_at)
            first = Atom(first.definition, (hop, *first.values[1:5], hop.name, None, None), hop.name, first.gate)
        elif row[0] in inside:
            shared[len(made)] = inside[row[0]]
        made.append(first)
    return made, [" + ".join(names[k] for k in row) for row in rows], shared


def _hops(atom: Atom) -> bool:
    """Whether all that a node does is to call a function elsewhere."""
    if type(atom) is not ChainNode or atom.placed is None:
        return False
    logic, _, when, then, _, _, recover, undo = atom.values
    return logic is atom.placed and when is then is recover is undo is None


_UNDECLARED: dict[str, Any] = {
    "name": None,
    "when": None,
    "then": None,
    "refuse": "drop",
    "concurrency": 1,
    "ordered": None,
    "after": None,
    "by": None,
    "on": "loop",
}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
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
    node.declared = _NOTHING
    node.name = name
    node.gate = None
    node.placed = None
    node.values = (fn, generates, None, None, Refusal.DROP, name, None, None)
    return node


class _Decorator(Protocol):
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
    concurrency: int = 1,
    ordered: bool | None = None,
    by: Callable[[Any], Hashable] | None = None,
    on: "On" = "loop",
    after: Sequence[str] | None = None,
    **policies: "Unpack[Declared]",
) -> _Decorator: ...
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
    for unknown in declared.keys() - set(_DECLARED):
        raise CompositionError(f"node has no parameter {unknown!r}; it takes {', '.join(_DECLARED)}")
    if fn is None:
        return lambda fn: node(fn, **declared)
    if not callable(fn):
        raise CompositionError(
            f"node is given a function, got {a_kind_of(fn)}: {shorten(fn, 40)}\n"
            f"    @node({shorten(fn, 40)})  # incorrect\n"
            f"    @node(name={shorten(fn, 40)})  # correct, if that is its name"
        )
    return functools.update_wrapper(ChainNode(fn, **declared), fn)
