"""Chains: steps composed in a row, as a value.

A chain is immutable, compares by what it is made of, and holds no state: each run makes its own.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from types import FunctionType
from typing import IO, TYPE_CHECKING, Any, Never, Self, TypeAlias, TypeVar, Unpack, get_args, overload

from rxchain.engine import Atom, Label, Operator, a_kind_of, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.node import ChainNode, plain_node, sharing_hops
from rxchain.runners import (
    Execution,
    OnError,
    is_async_observable,
    is_observable,
    on_async_observable,
    on_observable,
)
from rxchain.runners._on_error import handler_for
from rxchain.types import AnyIterable, In_contra, Out_co, OverflowPolicy, T, U

if TYPE_CHECKING:
    from aioreactive import AsyncObservable, AsyncRx
    from reactivex import Observable

    from rxchain.policies import Declared, Retry
    from rxchain.streams import Processor, Publisher
    from rxchain.timing import Measured, Measurement, Prediction, Seconds

T0 = TypeVar("T0")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")
T8 = TypeVar("T8")
T9 = TypeVar("T9")
T10 = TypeVar("T10")
T11 = TypeVar("T11")
T12 = TypeVar("T12")

AnyStep: TypeAlias = Operator[T, U] | Callable[[T], AsyncIterator[U] | Iterator[U] | Awaitable[U] | U]
"""What may stand in a chain: an operator, or a function of one item: plain, async, or a generator of either kind."""

# mypy finds no answer for `Awaitable[U] | U`: what it cannot infer is a chain of Any to Any there. pyright infers all,
# and must go on reporting steps that do not fit; it knows that no system has this name, and mypy doesn't.
if os.name == "mypy":
    Uninferred: TypeAlias = Any
else:
    Uninferred: TypeAlias = Never  # type: ignore[misc,no-redef]


keep = object.__setattr__
"""Sets what a chain is made of, or has found out about itself; nobody else may."""


class Chain(Operator[In_contra, Out_co]):
    """Steps in a row: each item goes through all of them before the next is taken.

    A step is an operator, another chain, or a function of one item. A plain function becomes a node named after it; an
    async one is awaited; a generator passes on each item that it yields.

    >>> from rxchain import Chain, operators as ops
    >>> chain = Chain(str.strip, ops.filter(bool), int, name="numbers")
    Traceback (most recent call last):
    ...
    rxchain.errors.CompositionError: a class is no step: it would be called as a function of the item; say so
        Chain(int)  # incorrect
        Chain(ops.map(int))  # correct
    >>> chain = Chain(str.strip, ops.filter(bool), ops.map(int), name="numbers")
    >>> list(chain.iterate([" 1", "", "2 "]))
    [1, 2]

    Args:
        name: the chain's name, in error notes and drawings.
        window: how many items may be in flight or waiting at once, 1 or more, where steps are asynchronous. Without it
            twice as many as its nodes may work on, and 16 at least. 1 is one item after the other.
        overflow: what is done when a source that cannot be asked to wait, as a reactivex Subject, has filled the
            window: ``"error"``; ``"block"`` its thread until there is room; ``"drop_oldest"`` or ``"drop_newest"`` of
            the items that wait; or keep only the ``"latest"`` of them.
        on_error: what is done about an item that fails in a stream. ``"stop"``: what is ahead of it comes first, then
            the error; those behind it are abandoned, and named in a note. ``"skip"``: the others go on. Or a
            function, sync or async, that is told of the `Failure`; the others go on. Or an object made for that:
            `DeadLetters`, `Resume`, `ErrorHandler`. What `run` is asked for fails with the error itself.

    Raises:
        CompositionError: a step is not what it must be. Nothing has run then.
    """

    __slots__ = ("__weakref__", "_execution", "_one", "_one_sync", "name", "on_error", "overflow", "steps", "window")

    name: str | None
    """The chain's name, in error notes and drawings."""
    window: int | None
    """How many items may be in flight or waiting at once; None leaves it to the chain's nodes."""
    overflow: OverflowPolicy
    """What is done when a source that cannot be asked to wait has filled the window."""
    on_error: OnError | None
    """What is done about an item that fails, where a run says nothing of it; None stops the stream."""
    _execution: Execution | None
    _one: Callable[[Any], Coroutine[Any, Any, Any]] | None
    _one_sync: Callable[[Any], Any] | None
    steps: tuple[Operator[Any, Any], ...]
    """The steps as they were given; unnamed chains among them are taken apart, so that composing is associative."""

    @overload
    def __init__(
        self,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T1],
        s1: Operator[T0, T1],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...  # for mypy
    @overload
    def __init__(
        self: Chain[T0, T1],
        s1: AnyStep[T0, T1],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T2],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T3],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T4],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T5],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T6],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T7],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        s7: AnyStep[T6, T7],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T8],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        s7: AnyStep[T6, T7],
        s8: AnyStep[T7, T8],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T9],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        s7: AnyStep[T6, T7],
        s8: AnyStep[T7, T8],
        s9: AnyStep[T8, T9],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T10],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        s7: AnyStep[T6, T7],
        s8: AnyStep[T7, T8],
        s9: AnyStep[T8, T9],
        s10: AnyStep[T9, T10],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T11],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        s7: AnyStep[T6, T7],
        s8: AnyStep[T7, T8],
        s9: AnyStep[T8, T9],
        s10: AnyStep[T9, T10],
        s11: AnyStep[T10, T11],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[T0, T12],
        s1: AnyStep[T0, T1],
        s2: AnyStep[T1, T2],
        s3: AnyStep[T2, T3],
        s4: AnyStep[T3, T4],
        s5: AnyStep[T4, T5],
        s6: AnyStep[T5, T6],
        s7: AnyStep[T6, T7],
        s8: AnyStep[T7, T8],
        s9: AnyStep[T8, T9],
        s10: AnyStep[T9, T10],
        s11: AnyStep[T10, T11],
        s12: AnyStep[T11, T12],
        /,
        *,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[Any, Any],
        s1: AnyStep[Any, Any],
        s2: AnyStep[Any, Any],
        s3: AnyStep[Any, Any],
        s4: AnyStep[Any, Any],
        s5: AnyStep[Any, Any],
        s6: AnyStep[Any, Any],
        s7: AnyStep[Any, Any],
        s8: AnyStep[Any, Any],
        s9: AnyStep[Any, Any],
        s10: AnyStep[Any, Any],
        s11: AnyStep[Any, Any],
        s12: AnyStep[Any, Any],
        s13: AnyStep[Any, Any],
        /,
        *steps: AnyStep[Any, Any],
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Chain[Any, Any],
        *steps: Uninferred,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None: ...
    def __init__(
        self,
        *steps: Any,
        name: str | None = None,
        window: int | None = None,
        overflow: OverflowPolicy = "error",
        on_error: OnError | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise CompositionError(f"a chain's name is a string, got {shorten(name)}")
        if window is not None or overflow != "error":
            _check_bounds(window, overflow)
        if on_error is not None:
            handler_for(on_error)
        taken: list[Operator[Any, Any]] = []
        for step in steps:
            if type(step) is Chain and step.on_error is not None:
                raise CompositionError(_nested_on_error(step))
            if (snapshot := getattr(step, "snapshot", None)) is not None:
                step = snapshot()  # of a graph as it stands now
            if type(step) is Chain and step.name is None and step.window is None:
                taken += step.steps
            else:
                taken.append(
                    step
                    if isinstance(step, Operator)
                    else (type(step) is FunctionType and plain_node(step)) or _as_node(step)
                )
        keep(self, "steps", tuple(taken))
        keep(self, "name", name)
        keep(self, "window", window)
        keep(self, "overflow", overflow)
        keep(self, "on_error", on_error)
        keep(self, "_execution", None)
        keep(self, "_one", None)
        keep(self, "_one_sync", None)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a chain is immutable: make another one instead of setting its {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a chain is immutable: make another one instead of deleting its {name}")

    # --- as a value

    def __repr__(self) -> str:
        inside = [step.name if isinstance(step, ChainNode) else repr(step) for step in self.steps]
        if self.name is not None:
            inside.append(f"name={self.name!r}")
        if self.window is not None:
            inside.append(f"window={self.window}")
        if self.overflow != "error":
            inside.append(f"overflow={self.overflow!r}")
        if self.on_error is not None:
            inside.append(f"on_error={shorten(self.on_error, 60)}")
        return f"Chain({', '.join(inside)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chain):
            return NotImplemented
        if (self.name, self.window, self.overflow) != (other.name, other.window, other.overflow):
            return False
        return self.on_error == other.on_error and self.steps == other.steps

    def __hash__(self) -> int:
        return hash((self.name, self.steps))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __len__(self) -> int:
        return len(self.steps)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Operator[Any, Any]]:
        return iter(self.steps)

    @overload
    def __getitem__(self, key: int | str) -> Operator[Any, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> Chain[Any, Any]: ...
    def __getitem__(self, key: int | str | slice) -> Operator[Any, Any]:
        """A step by position or by name, or a chain of some of the steps."""
        if isinstance(key, slice):
            return self._with(self.steps[key])
        if isinstance(key, str):
            for step in self.steps:
                if _name_of_step(step) == key:
                    return step
            known = ", ".join(repr(_name_of_step(step)) for step in self.steps)
            raise KeyError(f"no step called {key!r}; there are {known}")
        return self.steps[key]

    def _with(self, steps: tuple[Operator[Any, Any], ...]) -> Chain[Any, Any]:
        return Chain(*steps, name=self.name, window=self.window, overflow=self.overflow, on_error=self.on_error)

    def retry(self, policy: Retry | int) -> Chain[In_contra, Out_co]:
        """The same chain, each of its nodes tried again as *policy* says, unless it says something of that itself.

        It is the failing node alone that is called again. To begin again with the item: `ops.retry` around a part.

        >>> from rxchain import Chain
        >>> answers = iter([ConnectionError("busy"), "yes"])
        >>> def ask(item: int) -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> Chain(ask).retry(2).run_sync(1)
        'yes'

        Args:
            policy: a `Retry`, or a number of attempts.

        Raises:
            CompositionError: a node gives several items, which cannot be taken back; or there is no node.
        """
        return self.having(retry=policy)

    def having(self, **policies: Unpack[Declared]) -> Chain[In_contra, Out_co]:
        """The same chain, each of its nodes with these policies, unless it declares them itself; see `node`."""
        nodes: list[ChainNode[Any, Any, Any]] = []

        def having(node: ChainNode[Any, Any, Any]) -> ChainNode[Any, Any, Any]:
            nodes.append(node)
            return node.having(**policies)

        made = self._each_node(having)
        if not nodes:
            raise CompositionError(
                f"{shorten(self, 60)} has no node that could have {next(iter(policies), 'a policy')}:"
                " operators call what they are given themselves\n"
                "    Chain(ops.map(fetch)).retry(3)  # incorrect\n"
                "    Chain(fetch).retry(3)  # correct"
            )
        return made

    def _each_node(self, change: Callable[[ChainNode[Any, Any, Any]], ChainNode[Any, Any, Any]]) -> Chain[Any, Any]:
        """The same chain with each node changed, those of chains and of parts in it, too."""
        made: list[Operator[Any, Any]] = []
        for step in self.steps:
            if isinstance(step, ChainNode):
                step = change(step)
            elif isinstance(step, Chain):
                step = step._each_node(change)
            elif (changed := getattr(step, "changed", None)) is not None:
                step = changed(lambda part: Chain(part)._each_node(change))
            made.append(step)
        return self._with(tuple(made))

    # --- running

    @property
    def execution(self) -> Execution:
        """What runs this chain; made when first asked for."""
        execution = self._execution
        if execution is None:
            atoms, names, shared = sharing_hops(*_flat(_handled(self)))
            label = Label(self.name, tuple(names), shared)
            execution = Execution(atoms, label, _window(self), self.overflow, self.on_error)
            keep(self, "_execution", execution)
        return execution

    def _execution_with(self, on_error: OnError | None) -> Execution:
        """What runs this chain with *on_error*, which may say more than what is done with a failure."""
        if not hasattr(on_error, "retries"):
            return self.execution
        made = Chain(*self.steps, name=self.name, window=self.window, overflow=self.overflow, on_error=on_error)
        return made.execution

    def run(self, item: In_contra) -> Coroutine[Any, Any, Out_co]:
        """Run the chain over one item; exactly one result.

        Raises:
            NoResult: the item was dropped on its way.
            ManyResults: a second result came. Nothing that the item had done so far is undone.
        """
        one = self._one
        if one is None:
            one = self.execution.one()
            keep(self, "_one", one)
        return one(item)

    def run_sync(self, item: In_contra) -> Out_co:
        """The same from synchronous code.

        No event loop takes part where every step is synchronous; otherwise one runs in a thread of its own, also when
        the caller is itself inside a running loop (which is blocked meanwhile).
        """
        one = self._one_sync
        if one is None:
            one = self.execution.one_sync()
            keep(self, "_one_sync", one)
        result: Out_co = one(item)
        return result

    def stream(
        self, source: AnyIterable[In_contra], *, on_error: OnError | None = None
    ) -> AsyncGenerator[Out_co, None]:
        """Run the chain over *source*, an iterable or async iterable, as its results are asked for.

        The chain owns *source*: it is closed, if it can be, at the end, an early end, a failure, and when the returned
        generator is closed, cancelled or collected. A chain that never suspends lets the event loop run every 5 ms.

        Args:
            on_error: is told of each item that fails; the others go on. Without it the first failure ends the stream.
        """
        return self._execution_with(on_error).stream(source, on_error)

    def iterate(
        self, source: AnyIterable[In_contra], *, on_error: OnError | None = None
    ) -> Generator[Out_co, None, None]:
        """The same from synchronous code.

        No event loop takes part where every step is synchronous; otherwise one runs in a thread of its own, which takes
        from *source* too, and ends with the iteration.
        """
        return self._execution_with(on_error).iterate(source, on_error)

    def collect(
        self, source: AnyIterable[In_contra], *, on_error: OnError | None = None
    ) -> Coroutine[Any, Any, list[Out_co]]:
        """Run the chain over all of *source*; the results in a list."""
        return self._execution_with(on_error).collect(source, on_error)

    def publisher(
        self,
        source: AnyIterable[In_contra] | Callable[[], AnyIterable[In_contra]],
        *,
        on_error: OnError | None = None,
    ) -> Publisher[Out_co]:
        """A Reactive Streams publisher of the chain's results: each subscription runs the chain afresh over *source*.

        An item is taken when its result is requested, ahead of that only as many as the chain's window allows. A chain
        that gives None fails there: the standard has no such item.

        Args:
            source: an iterable, an async iterable, or a function that makes one for each subscription. An iterator is
                enough for one subscription; a second one is refused, by its subscriber's ``on_error``.
            on_error: is told of each item that fails; the others go on. Without it the first failure ends the stream.
        """
        from rxchain.streams._publisher import ChainPublisher

        return ChainPublisher(lambda items: self.stream(items, on_error=on_error), source)

    def processor(self, *, on_error: OnError | None = None) -> Processor[In_contra, Out_co]:
        """A Reactive Streams processor: subscribe it to a publisher, and one subscriber to it.

        It requests as many items ahead as the chain's window, and more when half of them were taken.

        Args:
            on_error: is told of each item that fails; the others go on. Without it the first failure ends the stream.
        """
        from rxchain.streams._processor import ChainProcessor

        return ChainProcessor[In_contra, Out_co](
            lambda items: self.stream(items, on_error=on_error), self.execution.window
        )

    @overload
    def __call__(self, source: Observable[Any], /) -> Observable[Any]: ...
    @overload
    def __call__(self, source: AsyncObservable[Any], /) -> AsyncRx[Any]: ...
    def __call__(self, source: Any, /) -> Any:
        """Apply the chain to an Observable, as ``source.pipe(chain)`` does, or to an aioreactive AsyncObservable.

        Of a synchronous chain items pass on the thread, or in the task, that emits them; an asynchronous one runs on
        the event loop that it is subscribed on, or on one in a thread of its own. Each subscription starts afresh.

        Raises:
            CompositionError: *source* is neither.
        """
        if is_async_observable(source):
            return on_async_observable(source, self.execution)
        if not is_observable(source):
            raise CompositionError(
                f"a chain is applied to an Observable, got {a_kind_of(source)}: {shorten(source)}\n"
                f"    chain({shorten(source, 30)})  # incorrect\n"
                f"    await chain.run({shorten(source, 30)})  # correct; or chain.run_sync(...)"
            )
        return on_observable(source, self.execution)

    # --- its time

    def predict(
        self,
        times: Mapping[str, Seconds] | Measured,
        *,
        failures: Mapping[str, float] | None = None,
        runs: int = 10_000,
        seed: int = 0,
    ) -> Prediction:
        """Predict how long an item will take, from the times of the nodes and the retries that they declare.

        >>> from rxchain import Chain
        >>> Chain(str.strip, str.upper).predict({"strip": 1, "upper": 2}).mean
        3.0

        Args:
            times: seconds of an attempt by the node's name, or their distributions (`rxchain.timing`); or what was
                measured.
            failures: how likely an attempt fails, by the node's name.
            runs: how often the dice are thrown, where something is left to chance; the same for each *seed*.

        Raises:
            CompositionError: a node has no time, or a time has no node.
        """
        from rxchain.timing import TimePlan

        return TimePlan.of(self, times, failures=failures).predict(runs=runs, seed=seed)

    def measure(self, source: AnyIterable[In_contra], *, on_error: OnError | None = None) -> Measurement[Out_co]:
        """Run the chain over *source* as `stream` does, with a clock around each of its nodes.

        Iterate what it gives for the results, and ask that for what was ``measured()``. The chain itself stays as it
        is, and costs what it did.
        """
        from rxchain.timing import Measurement

        return Measurement(self, source, on_error)

    # --- looking at it

    @property
    def is_async(self) -> bool:
        """Whether a step needs an event loop."""
        return self.execution.asynchronous

    def program(self) -> str:
        """The Python program that the chain is compiled to."""
        return self.execution.program_text()

    def explain(self, file: IO[str] | None = None) -> None:
        """Print the program that the chain is compiled to, with the reason for each step that stayed a call."""
        print(self.execution.explanation(), file=file)

    def to_mermaid(self) -> str:
        """Draw the chain: a Mermaid flowchart."""
        return "\n".join(["flowchart LR", *_drawn(self, "s", "    ")[0]]) + "\n"


pipe = Chain
"""``pipe(a, b, c)`` is ``Chain(a, b, c)``."""

Operator.composed = Chain


def _flat(steps: tuple[Operator[Any, Any], ...]) -> tuple[list[Atom], list[str]]:
    """The operators of nested chains in a row, and their names: ``pricing/tax`` for those of a named chain."""
    atoms: list[Atom] = [step for step in steps if isinstance(step, Atom)]
    if len(atoms) == len(steps):
        return atoms, [atom.name for atom in atoms]
    atoms, names = [], []
    for step in steps:
        if isinstance(step, Chain):
            inner, inner_names = _flat(step.steps)
            atoms += inner
            names += [f"{step.name}/{name}" for name in inner_names] if step.name is not None else inner_names
        elif isinstance(step, Atom):
            atoms.append(step)
            names.append(step.name)
    return atoms, names


def _nested_on_error(chain: Chain[Any, Any]) -> str:
    shown = f"on_error={shorten(chain.on_error, 30)}"
    return (
        f"{'a chain' if chain.name is None else f'chain {chain.name!r}'} says what is done about errors of a stream,"
        " and as a part of another it has none\n"
        f"    Chain(Chain(..., {shown}), ...)  # incorrect\n"
        f"    Chain(Chain(...), ..., {shown})  # correct; or ops.catch(part, ...), ops.retry(part, ...) around a part"
    )


def _handled(chain: Chain[Any, Any]) -> tuple[Operator[Any, Any], ...]:
    """The steps with what an `ErrorHandler` declares for all of them."""
    retries, undo = getattr(chain.on_error, "retries", None), getattr(chain.on_error, "undo", True)
    if retries is None and undo is not False:
        return chain.steps

    def handled(node: ChainNode[Any, Any, Any]) -> ChainNode[Any, Any, Any]:
        node = node if retries is None else node.having(retry=retries)
        return node if undo is not False else node.without("undo")

    return chain._each_node(handled).steps


def _window(chain: Chain[Any, Any]) -> int | None:
    """The chain's own window, or the smallest that a chain in it declares: what somebody was promised is kept."""
    if chain.window is not None:
        return chain.window
    return min((w for step in chain.steps if isinstance(step, Chain) and (w := _window(step))), default=None)


def _check_bounds(window: object, overflow: object) -> None:
    if window is not None and (type(window) is not int or window < 1):
        raise CompositionError(
            f"a chain's window is a number of items, 1 or more, got {shorten(window)}\n"
            f"    Chain(..., window={shorten(window, 30)})  # incorrect\n"
            "    Chain(..., window=16)  # correct; window=1: one item after the other"
        )
    if overflow not in (policies := get_args(OverflowPolicy)):
        raise CompositionError(
            f"a chain's overflow is one of {', '.join(map(repr, policies))}, got {shorten(overflow)}\n"
            f"    Chain(..., overflow={shorten(overflow, 30)})  # incorrect\n"
            "    Chain(..., overflow='drop_oldest')  # correct"
        )


def _name_of_step(step: Operator[Any, Any]) -> str:
    return (step.name if isinstance(step, (Atom, Chain)) else None) or repr(step)


def _drawn(chain: Chain[Any, Any], prefix: str, indent: str) -> tuple[list[str], str, str]:
    """The lines that draw *chain*, its first and its last box."""
    lines: list[str] = []
    first = last = ""
    for i, step in enumerate(chain.steps):
        box = f"{prefix}{i}"
        if isinstance(step, Chain):
            inner, entry, leave = _drawn(step, f"{box}_", indent + "    ")
            if not entry:
                continue
            lines += [f'{indent}subgraph {box}["{_quoted(_name_of_step(step))}"]', *inner, f"{indent}end"]
        else:
            shape = '(["{}"])' if isinstance(step, ChainNode) else '["{}"]'
            text = step.name if isinstance(step, ChainNode) else repr(step)
            lines.append(f"{indent}{box}{shape.format(_quoted(text))}")
            entry = leave = box
        if last:
            lines.append(f"{indent}{last} --> {entry}")
        first, last = first or entry, leave
    return lines, first, last


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;").replace("\n", " ")


def _as_node(step: Any) -> ChainNode[Any, Any, Any]:
    """A node of a plain function; or an error that says what is wrong with it."""
    if callable(step) and not isinstance(step, type) and not hasattr(step, "__rxchain_definition__") and takes(step, 1):
        return ChainNode(step)
    raise CompositionError(_wrong_step(step))


def _wrong_step(step: Any) -> str:
    if isinstance(step, type):
        name = step.__name__
        return (
            f"a class is no step: it would be called as a function of the item; say so\n"
            f"    Chain({name})  # incorrect\n"
            f"    Chain(ops.map({name}))  # correct"
        )
    if hasattr(step, "__rxchain_definition__"):
        name = name_of(step)
        definition = step.__rxchain_definition__
        name = definition.shown
        return (
            f"{name} is an operator that has not been called\n"
            f"    Chain({name})  # incorrect\n"
            f"    Chain({name}(...))  # correct: {name}{definition.plain_signature}"
        )
    if inspect.iscoroutine(step):
        name = step.__name__
        step.close()
        return (
            f"a coroutine is no step: {name} was called instead of passed\n"
            f"    Chain({name}(...))  # incorrect\n"
            f"    Chain({name})  # correct"
        )
    if inspect.isgenerator(step) or inspect.isasyncgen(step):
        name = step.__name__
        return (
            f"a generator is no step: {name} was called instead of passed\n"
            f"    Chain({name}(...))  # incorrect\n"
            f"    Chain({name})  # correct"
        )
    if callable(step):
        name = name_of(step)
        try:
            signature = str(inspect.signature(step))
        except (TypeError, ValueError):
            signature = "(...)"
        return (
            f"a step is called with one item, and {name!r} does not take that: {name}{signature}\n"
            f"    Chain({name})  # incorrect\n"
            f"    Chain(ops.starmap({name}))  # correct if the item is a tuple of its arguments;"
            f" or Chain(lambda item: {name}(...))"
        )
    if is_observable(step):
        return (
            "an Observable is no step but where items come from\n"
            "    Chain(observable, ...)  # incorrect\n"
            "    observable.pipe(Chain(...))  # correct"
        )
    if isinstance(step, (list, tuple)):
        return (
            f"a step is an operator or a function of one item, got {a_kind_of(step)} of {len(step)}\n"
            f"    Chain(steps)  # incorrect\n"
            f"    Chain(*steps)  # correct"
        )
    text = shorten(step, 40)
    return (
        f"a step is an operator or a function of one item, got {a_kind_of(step)}: {text}\n"
        f"    Chain({text})  # incorrect\n"
        f"    Chain(function)  # correct; to start with a value: ops.start_with({text})"
    )
