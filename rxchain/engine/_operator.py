"""``@operator``: from a generator that says what follows from one item to a value that composes.

The outer function makes the state of one subscription and returns the step; calling the decorated function only keeps
the arguments, checks them, and returns an `Operator`: state is made anew for each subscription, never shared.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeAlias, overload

from rxchain.engine._call import Colour, call, colour, name_of, takes
from rxchain.engine._gate import Gate, declared_gate
from rxchain.engine._syntax import Syntax, read
from rxchain.errors import CompositionError
from rxchain.types import In_contra, Out_co, Step, T, U, V

if TYPE_CHECKING:
    from rxchain.chain import AnyStep, Chain, Uninferred

P = ParamSpec("P")


class StopStream(BaseException):
    """Raised by a step to end the stream: nothing more is taken from the source, what is downstream is flushed."""


class Stage(Generic[T, U]):
    """What an operator returns when a step alone does not say it all.

    ``start`` runs once before the source is opened, ``flush`` once after the last item (also after an early end
    further up, never after a failure). Both are generators without arguments whose items go downstream.
    """

    __slots__ = ("flush", "start", "step")

    def __init__(
        self,
        step: Step[T, U],
        *,
        start: Callable[[], Iterator[U]] | Callable[[], AsyncIterator[U]] | None = None,
        flush: Callable[[], Iterator[U]] | Callable[[], AsyncIterator[U]] | None = None,
    ) -> None:
        self.step = step
        self.start = start
        self.flush = flush


Tag: TypeAlias = tuple[object, ...] | object


class Definition:
    """One operator as it was written: its function, its parameters and, where there is source, its syntax."""

    def __init__(self, factory: FunctionType) -> None:
        self.factory = factory
        self.name = factory.__name__.strip("_")
        self.signature = inspect.signature(factory)
        self.parameters = tuple(self.signature.parameters)
        positional = [p for p in self.signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        self._positional = len(positional) if len(positional) == len(self.parameters) else -1
        self._checked: tuple[tuple[int, int], ...] | None = None

    @functools.cached_property
    def syntax(self) -> Syntax:
        """Its syntax; ``reason`` in it says why the compiler does not take it."""
        return read(self.factory, call)

    def bind(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[Any, ...]:
        """The arguments in the order of the parameters, defaults filled in."""
        if len(args) == self._positional and not kwargs:
            return args
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise CompositionError(f"{self.shown}{self.plain_signature}: {error}") from None
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def open(self, values: tuple[Any, ...]) -> Stage[Any, Any]:
        """Make the state of one subscription."""
        arguments = inspect.BoundArguments(self.signature, dict(zip(self.parameters, values)))
        made = self.factory(*arguments.args, **arguments.kwargs)
        return made if isinstance(made, Stage) else Stage(made)

    def tags(self, values: tuple[Any, ...]) -> tuple[Tag, ...]:
        """What of the arguments the compiled program depends on; checks them on the way."""
        syntax = self.syntax
        if syntax.mistake is not None:
            raise CompositionError(f"{self.shown}: {syntax.mistake}")
        functions = syntax.functions
        tags: list[Tag] = []
        for parameter, value in zip(self.parameters, values):
            arity = functions.get(parameter)
            if arity is not None and value is not None:
                if type(value) is FunctionType:  # the common case, kept short: composing is part of one call's price
                    code = value.__code__
                    if code.co_argcount != arity or value.__defaults__ or code.co_kwonlyargcount:
                        self._check_function(parameter, value, arity)
                    tags.append((colour(value), value.__name__))
                else:
                    self._check_function(parameter, value, arity)
                    tags.append((colour(value), name_of(value)))
            elif value is None or value is True or value is False:
                tags.append((value,))
            elif isinstance(value, Enum):
                tags.append((value, type(value), None))  # an IntEnum's member equals that of another, and True
            else:
                tags.append(None)
        if syntax.guard is not None:
            syntax.guard(*values)
        return tuple(tags)

    def _check_function(self, parameter: str, value: object, arity: int) -> None:
        name = self.shown
        keyword = "" if parameter == self.parameters[0] else f"{parameter}="
        if inspect.iscoroutine(value):
            called = value.__name__
            value.close()
            raise CompositionError(
                f"{self.name}: {parameter} must be a function, got a coroutine: {called} was called instead of passed\n"
                f"    {name}({keyword}{called}(...))  # incorrect\n"
                f"    {name}({keyword}{called})  # correct"
            )
        if isinstance(value, Operator) or hasattr(value, "__rxchain_definition__"):
            raise CompositionError(
                f"{self.name}: {parameter} must be a function, got an operator: that stands in the chain itself\n"
                f"    Chain({name}({name_of(value)}), ...)  # incorrect\n"
                f"    Chain({name_of(value)}, ...)  # correct"
            )
        if not callable(value):
            default = self.signature.parameters[parameter].default
            raise CompositionError(
                f"{self.name}: {parameter} must be a function{' or None' if default is None else ''},"
                f" got {a_kind_of(value)}: {shorten(value)}\n"
                f"    {name}({keyword}{shorten(value, 30)})  # incorrect\n"
                f"    {name}({keyword}function)  # correct"
            )
        if arity >= 0 and not takes(value, arity):
            shape = ", ".join(["item"] if arity == 1 else "abcdefgh"[:arity])
            raise CompositionError(
                f"{self.name}: {parameter} is called with {arity} argument{'s' if arity != 1 else ''},"
                f" and {name_of(value)!r} does not take that: {name_of(value)}{_signature(value)}\n"
                f"    {name}({keyword}{name_of(value)})  # incorrect\n"
                f"    {name}({keyword}lambda {shape}: ...)  # correct"
            )

    @property
    def shown(self) -> str:
        """How a user writes its name."""
        return f"ops.{self.name}" if self.factory.__module__.startswith("rxchain.operators") else self.name

    @property
    def plain_signature(self) -> str:
        """Its parameters, without their types."""
        parameters = [p.replace(annotation=p.empty) for p in self.signature.parameters.values()]
        return str(self.signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def _signature(fn: Callable[..., object]) -> str:
    try:
        return str(inspect.signature(fn))
    except (TypeError, ValueError):
        return "(...)"


def a_kind_of(value: object) -> str:
    """What sort of thing *value* is, with its article."""
    name = "class" if isinstance(value, type) else type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def shorten(value: object, limit: int = 120) -> str:
    """A value's repr, cut to *limit* characters; never raises."""
    try:
        text = repr(value[:limit] if isinstance(value, (str, bytes)) and len(value) > limit else value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _same(value: object, default: object) -> bool:
    """Whether *value* is what would be there anyway; an array says of each of its elements whether it is equal."""
    try:
        return value is default or bool(value == default)
    except Exception:
        return False


class Operator(Generic[In_contra, Out_co]):
    """Anything that turns a stream into a stream: immutable, reusable, composed with ``|`` or `Chain`."""

    __slots__ = ()

    composed: ClassVar[Callable[..., Any]]
    """Makes a chain of steps; set by the layer above, which knows what a chain is."""

    @overload
    def __or__(self, other: "AnyStep[Out_co, V]") -> "Chain[In_contra, V]": ...
    @overload
    def __or__(self, other: "Uninferred") -> "Chain[Any, Any]": ...  # pyright: ignore[reportOverlappingOverload]
    def __or__(self, other: Any) -> Any:
        return Operator.composed(self, other)

    @overload
    def __ror__(self, other: "AnyStep[V, In_contra]") -> "Chain[V, Out_co]": ...
    @overload
    def __ror__(self, other: "Uninferred") -> "Chain[Any, Any]": ...  # pyright: ignore[reportOverlappingOverload]
    def __ror__(self, other: Any) -> Any:
        return Operator.composed(other, self)

    if not TYPE_CHECKING:  # checkers would take every operator for a function of Observables: there, wrap it in a Chain

        def __call__(self, source, /):
            """Apply to a reactivex Observable, so that ``source.pipe(operator)`` works."""
            return Operator.composed(self)(source)


class Shape:
    """What of an operator the compiled program depends on; equal shapes are one object, so that they hash fast."""

    __slots__ = ("folded", "tags")

    _all: ClassVar[dict[tuple[object, ...], "Shape"]] = {}
    _MOST = 4096

    tags: tuple[Tag, ...]
    folded: Any
    """What the compiler has made of it."""

    @classmethod
    def of(cls, definition: Definition, tags: tuple[Tag, ...]) -> "Shape":
        """The one shape with these tags."""
        key = (definition, *tags)
        shape = cls._all.get(key)
        if shape is None:
            if len(cls._all) >= cls._MOST:
                cls._all.clear()  # what is in use stays right, and is compiled once more when it is built again
            shape = cls._all[key] = cls()
            shape.tags, shape.folded = tags, None
        return shape


class Atom:
    """An operator that is no composition: its definition and the arguments it was given."""

    __slots__ = ("definition", "gate", "name", "shape", "values")

    def __init__(
        self, definition: Definition, values: tuple[Any, ...], name: str | None = None, gate: Gate | None = None
    ) -> None:
        self.definition = definition
        self.values = values
        self.name = name if name is not None else definition.name
        self.gate = gate
        """How many items it may work on at once; None is one, in order."""
        tags = definition.tags(values)
        self.shape = Shape.of(definition, tags if gate is None else (*tags, gate.shape))

    def __repr__(self) -> str:
        arguments: list[str] = []
        for parameter, value in zip(self.definition.signature.parameters.values(), self.values):
            if parameter.kind is parameter.VAR_POSITIONAL:
                arguments += [name_of(v) if isinstance(v, FunctionType) else shorten(v, 40) for v in value]
            elif not _same(value, parameter.default):
                text = name_of(value) if callable(value) else shorten(value, 40)
                arguments.append(f"{parameter.name}={text}" if parameter.kind is parameter.KEYWORD_ONLY else text)
        if self.gate is not None and str(self.gate):
            arguments.append(str(self.gate))
        return f"{self.definition.name}({', '.join(arguments)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.definition, self.name, self.gate, self.values) == (
            other.definition,
            other.name,
            other.gate,
            other.values,
        )

    def __hash__(self) -> int:
        return hash((self.definition, self.name))


class Applied(Atom, Operator[In_contra, Out_co]):
    """What calling an operator's function gives."""

    __slots__ = ()


def operator(factory: Callable[P, Step[T, U] | Stage[T, U]]) -> Callable[P, Operator[T, U]]:
    """Make an operator of a function that returns a step: one item in, any number out.

    >>> from collections.abc import Iterator
    >>> from rxchain import Chain, operator
    >>> @operator
    ... def running_total(start: int = 0):
    ...     total = start                    # the state of one subscription, never shared with the next
    ...     def step(item: int) -> Iterator[int]:
    ...         nonlocal total
    ...         total += item
    ...         yield total
    ...     return step
    >>> list(Chain(running_total()).iterate([1, 2, 3]))
    [1, 3, 6]

    The outer function makes the state and may run more than once: nothing in it should reach outside. ``if ...: raise``
    at its top is checked when the operator is called. Return `Stage` instead of the step to add items before the first
    or after the last one; raise `StopStream` in the step to end the stream. An inner function called ``over`` instead
    of ``step`` is an async generator over the stream as a whole.
    """
    if not isinstance(factory, FunctionType):
        shown = shorten(factory, 40)
        raise CompositionError(
            f"operator is given a function that returns a step, got {a_kind_of(factory)}: {shown}\n"
            f"    operator({shown})  # incorrect\n"
            f"    @operator  # correct, above a def"
        )
    definition = Definition(factory)

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Operator[T, U]:
        return Applied(definition, definition.bind(args, kwargs))

    make.__rxchain_definition__ = definition  # type: ignore[attr-defined]
    return make


def gated(made: Operator[T, U], gate: Gate) -> Operator[T, U]:
    """The same operator with a gate of its own."""
    assert isinstance(made, Applied)
    return Applied(made.definition, made.values, made.name, gate)


def concurrent(make: Callable[P, Operator[T, U]]) -> Callable[..., Operator[T, U]]:
    """Give an operator that keeps no state the arguments *concurrency*, *ordered* and *by*; see `Gate`."""
    definition: Definition = make.__rxchain_definition__  # type: ignore[attr-defined]

    @functools.wraps(make)
    def declare(
        *args: Any,
        concurrency: int = 1,
        ordered: bool | None = None,
        by: Callable[[Any], Hashable] | None = None,
        **kwargs: Any,
    ) -> Operator[T, U]:
        values = definition.bind(args, kwargs)
        functions = [value for value in values if callable(value)]
        return Applied(definition, values, gate=declared_gate(definition.shown, functions, concurrency, ordered, by))

    return declare


__all__ = [
    "Applied",
    "Atom",
    "Colour",
    "Definition",
    "Operator",
    "Shape",
    "Stage",
    "StopStream",
    "a_kind_of",
    "concurrent",
    "gated",
    "operator",
    "shorten",
]
