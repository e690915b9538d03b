"""A part of a chain, run for each item on its own: what stands around it decides what becomes of a failure there."""

import inspect
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any

from rxchain.engine import (
    Applied,
    Colour,
    Definition,
    InnerChains,
    Operator,
    Scoped,
    Step,
    call,
    colour,
    declared_gate,
    effects,
    operator,
    shorten,
    taken_back,
)
from rxchain.errors import CompositionError

Run = Callable[[Any], Any]
"""Gives all results of one item, in a list; async, if a step of the part is."""
Recover = Callable[[Any, Exception], Any]
"""The same, for an item whose part has raised."""


def part_of(part: Any, name: str) -> Any:
    """*part*, what may stand in a chain, as a chain.

    Raises:
        CompositionError: it can be none, or it says what is done about errors of a stream.
    """
    chain = Operator.composed(part)
    if chain.on_error is not None:
        raise CompositionError(
            f"ops.{name}: its part says what is done about errors of a stream, and is run for one item at a time\n"
            f"    ops.{name}(Chain(..., on_error={shorten(chain.on_error, 30)}))  # incorrect\n"
            f"    Chain(ops.{name}(Chain(...)), on_error={shorten(chain.on_error, 30)})  # correct"
        )
    return chain


def undoes(chain: Any) -> bool:
    """Whether *chain* does what may have to be undone."""
    return chain.execution.plan.undoes_from is not None


class Around(Applied[Any, Any]):
    """What stands around a part: known by what it was made of."""

    __slots__ = ("given", "inside", "make")

    inside: InnerChains
    """What is run for each item, for what is told of an error."""

    def __init__(
        self,
        make: Callable[..., Operator[Any, Any]],
        given: dict[str, Any],
        run: Run,
        recover: Recover | None,
        chains: Sequence[Any] = (),
        *,
        single: bool,
        scoped: bool,
        concurrency: int = 1,
        ordered: bool | None = None,
        by: Callable[[Any], Hashable] | None = None,
    ) -> None:
        functions = [fn for fn in (run, recover) if fn is not None]
        gate = declared_gate(f"ops.{make.__name__}", functions, concurrency, ordered, by)
        definition: Definition = _nested.__rxchain_definition__  # type: ignore[attr-defined]
        super().__init__(definition, (run, recover, single, scoped), make.__name__, gate)
        self.make = make
        self.inside = InnerChains(tuple(chain.execution.label for chain in chains))
        self.given = {**given, "concurrency": concurrency, "ordered": ordered, "by": by} if gate is not None else given
        """The arguments it was made with."""

    def changed(self, change: Callable[[Any], Any]) -> Operator[Any, Any]:
        """The same around what *change* makes of the part, and of a chain that takes its place."""
        return self.make(**{k: change(v) if isinstance(v, Operator) else v for k, v in self.given.items()})

    def __repr__(self) -> str:
        shown = []
        for parameter in inspect.signature(self.make).parameters.values():
            value = self.given.get(parameter.name, parameter.default)
            if value is not parameter.default:
                text = getattr(value, "__name__", None) or repr(value)
                shown.append(f"{parameter.name}={text}" if parameter.kind is parameter.KEYWORD_ONLY else text)
        return f"{self.name}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Around):
            return NotImplemented
        return self.make is other.make and self.given == other.given

    __hash__ = Applied.__hash__


def of_a_part(make: Callable[..., Operator[Any, Any]]) -> None:
    """Let *make* be known as an operator where it stands in a chain without having been called."""
    make.__rxchain_definition__ = Definition(make)  # type: ignore[attr-defined, arg-type]


@operator
def _nested(run: Run, recover: Recover | None, single: bool, scoped: bool) -> Step[Any, Any]:
    async def step(item: Any) -> AsyncIterator[Any]:
        given = Scoped(item, effects(), len(effects().standing)) if scoped else item
        if recover is None:
            results = await call(run, given)
        else:
            try:
                results = await call(run, given)
            except Exception as error:
                results = await call(recover, given, error)
        if single:
            if results:
                yield results[0]
        else:
            for result in results:
                yield result

    return step


# --- what could not be undone is neither tried again nor replaced: somebody has to look at it


class _Stands(BaseException):
    """Carries an error past every policy: what its item did stands, as an undo has failed."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def attempt(run: Run) -> Run:
    """*run*, for a policy that may call it again."""
    if colour(run) is not Colour.ASYNC:
        return run  # nothing in it has an undo

    async def attempted(given: Any) -> Any:
        try:
            return await run(given)
        except Exception as error:
            if taken_back(error).stands:
                raise _Stands(error) from None
            raise

    return attempted


def last(run: Run) -> Run:
    """*run*, which calls an `attempt`."""

    async def called(given: Any) -> Any:
        try:
            return await run(given)
        except _Stands as found:
            stands = found.error
        raise stands

    return called


def recovering(recover: Recover, run: Run) -> Recover:
    """*recover*, for when *run* has raised; it may call an `attempt`."""
    if colour(run) is not Colour.ASYNC:
        return recover
    asynchronous = colour(recover) is Colour.ASYNC

    async def recovered(given: Any, error: Exception) -> Any:
        if taken_back(error).stands:
            raise error
        try:
            result = recover(given, error)
            return await result if asynchronous else result
        except _Stands as found:
            stands = found.error
        raise stands

    return recovered
