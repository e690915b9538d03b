"""What takes the place of a result that a node could not give."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from rxchain.engine import Colour, Operator, a_kind_of, colour, name_of, shorten, takes
from rxchain.errors import CompositionError

Recover = Callable[[Any, Exception], Any]
"""What is called with an item and the error that it failed with; it gives a result, or raises."""


class Fallback:
    """Another result for an item whose node has failed.

    >>> from rxchain import Chain, Fallback, node
    >>> @node(fallback=Fallback(0, on=ValueError))
    ... def number(text: str) -> int:
    ...     return int(text)
    >>> list(Chain(number).iterate(["1", "one", "2"]))
    [1, 0, 2]

    Args:
        to: the result; or a function, sync or async, of the item, or of the item and the error; or a chain that the
            item goes through.
        on: the exceptions it is for: a type, or a tuple of types. Others arrive as they are.

    Raises:
        CompositionError: *to* is a function that can be called neither way, *on* no exception type.
    """

    __slots__ = ("on", "to")

    def __init__(self, to: Any, *, on: type[Exception] | tuple[type[Exception], ...] = Exception) -> None:
        kinds = on if isinstance(on, tuple) else (on,)
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise CompositionError(
                f"a fallback is for types of Exception, got on={shorten(on, 40)}\n"
                f"    Fallback(..., on={shorten(on, 30)})  # incorrect\n"
                "    Fallback(..., on=(TimeoutError, ConnectionError))  # correct"
            )
        if callable(to) and not isinstance(to, Operator) and not takes(to, 1) and not takes(to, 2):
            raise CompositionError(
                f"a fallback takes the item, or the item and the error, and {name_of(to)!r} takes neither\n"
                f"    Fallback({name_of(to)})  # incorrect\n"
                "    Fallback(lambda item, error: ...)  # correct"
            )
        self.to, self.on = to, on

    def __repr__(self) -> str:
        to = name_of(self.to) if callable(self.to) and not isinstance(self.to, Operator) else shorten(self.to, 40)
        if self.on is Exception:
            return f"Fallback({to})"
        kinds = f"({', '.join(kind.__name__ for kind in self.on)})" if isinstance(self.on, tuple) else self.on.__name__
        return f"Fallback({to}, on={kinds})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fallback) and (self.to, self.on) == (other.to, other.on)

    __hash__ = None  # type: ignore[assignment]

    def matches(self, error: Exception) -> bool:
        """Whether it is for *error*."""
        return isinstance(error, self.on)


def fallbacks(given: Any, where: str) -> tuple[Fallback, ...]:
    """What ``fallback=`` was given, as fallbacks: one, a list of them, or what one is made of; *where*: for errors."""
    if isinstance(given, Fallback):
        return (given,)
    if isinstance(given, (list, tuple)) and given and any(isinstance(one, Fallback) for one in given):
        for one in given:
            if not isinstance(one, Fallback):
                raise CompositionError(
                    f"{where}: what is given is a list of Fallback, and in it is {a_kind_of(one)}: {shorten(one)}\n"
                    f"    [Fallback(...), {shorten(one, 30)}]  # incorrect\n"
                    f"    [Fallback(...), Fallback({shorten(one, 30)})]  # correct"
                )
        return tuple(given)
    return (Fallback(given),)


class Recovered(NamedTuple):
    """What takes the place of a part's results."""

    recover: Recover
    """Gives them in a list."""
    single: bool
    """Whether there is never more than one."""
    undoes: bool
    """Whether a chain among what was given does what may have to be undone."""
    chains: tuple[Any, ...]
    """Those among what was given."""


def recovered(to: Any, on: Any, *, scoped: bool) -> Recovered:
    """Make ready what ``ops.catch`` is given; *scoped*: for items that come with where their effects are registered."""
    if isinstance(to, Fallback) or (isinstance(to, (list, tuple)) and any(isinstance(one, Fallback) for one in to)):
        if on is not Exception:
            raise CompositionError(
                f"ops.catch: a Fallback says itself which errors it is for, and there is on={shorten(on, 40)} besides\n"
                "    ops.catch(part, Fallback(0), on=ValueError)  # incorrect\n"
                "    ops.catch(part, Fallback(0, on=ValueError))  # correct"
            )
        chosen = fallbacks(to, "ops.catch")
    else:
        chosen = (Fallback(to, on=on),)
    chosen = tuple(Fallback(Operator.composed(f.to), on=f.on) if isinstance(f.to, Operator) else f for f in chosen)
    chains: tuple[Any, ...] = tuple(one.to for one in chosen if isinstance(one.to, Operator))
    plans = [chain.execution.plan for chain in chains]
    recover = recovery(chosen, lambda to: _answer_in_list(to, scoped))
    single = all(plan.gives_one for plan in plans)
    return Recovered(recover, single, any(plan.undoes_from is not None for plan in plans), chains)


Answering = Callable[[Any], tuple[Callable[[Any, Exception], Any], bool]]
"""Gives what answers, and whether that has to be awaited."""


def recovery(chosen: Iterable[Fallback], answering: Answering) -> Recover:
    """What gives the result in an item's place: by the first of *chosen* that is for its error."""
    answers = [(one, *answering(one.to)) for one in chosen]
    if any(asynchronous for _, _, asynchronous in answers):

        async def recover(item: Any, error: Exception) -> Any:
            for one, answer, asynchronous in answers:
                if one.matches(error):
                    try:
                        return await answer(item, error) if asynchronous else answer(item, error)
                    except Exception as raised:
                        raise _caused(raised, error)  # noqa: B904 (it is)
            raise error

        return recover

    def recover_now(item: Any, error: Exception) -> Any:
        for one, answer, _ in answers:
            if one.matches(error):
                try:
                    return answer(item, error)
                except Exception as raised:
                    raise _caused(raised, error)  # noqa: B904 (it is)
        raise error

    return recover_now


def _caused(raised: Exception, error: Exception) -> Exception:
    if raised is not error and raised.__cause__ is None:
        raised.__cause__ = error
    return raised


def _answer_in_list(to: Any, scoped: bool) -> tuple[Callable[[Any, Exception], Any], bool]:
    """What answers for a part of a chain: with any number of results."""
    if isinstance(to, Operator):
        run = to.execution.each(scoped=scoped)  # type: ignore[attr-defined]
        return lambda item, error: run(item), colour(run) is Colour.ASYNC
    answer, asynchronous = _answer(to)
    if not asynchronous:
        return lambda item, error: [answer(item.item if scoped else item, error)], False

    async def answer_in_list(item: Any, error: Exception) -> Any:
        return [await answer(item.item if scoped else item, error)]

    return answer_in_list, True


def answer_for(node: str) -> Answering:
    """What answers for a node: with one result."""

    def answering(to: Any) -> tuple[Callable[[Any, Exception], Any], bool]:
        if isinstance(to, Operator) and Operator.composed(to).execution.plan.undoes_from is not None:
            raise CompositionError(
                f"node {node!r}: in its fallback stands a node that declares an undo, and nothing behind this node"
                " would set that off\n"
                f"    @node(fallback={shorten(to, 40)})  # incorrect\n"
                f"    ops.catch({node}, {shorten(to, 40)})  # correct; or ops.saga(...) in it, if that is to stand"
            )
        return _answer(to)

    return answering


def _answer(to: Any) -> tuple[Callable[[Any, Exception], Any], bool]:
    if isinstance(to, Operator):
        chain = Operator.composed(to)
        run: Callable[[Any], Awaitable[Any]] = chain.run if chain.is_async else chain.run_sync
        return lambda item, error: run(item), chain.is_async
    if not callable(to):
        return lambda item, error: to, False
    asynchronous = colour(to) is Colour.ASYNC
    if takes(to, 1):
        return lambda item, error: to(item), asynchronous
    return to, asynchronous
