"""Whatever form a user's operator has, the compiled program does what the generators do; the odd ones stay calls."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rxchain import Chain, Operator, Stage, StopStream, call, operator, parts
from rxchain import operators as ops
from rxchain.engine import _program
from tests.running import collected, interpreted, iterated, observed, streamed, streamed_async

factor = 10  # changed by a test: a global is looked up when the step runs
source = "shadows a name of every program"


@operator
def returns_early() -> Any:
    def step(item: int) -> Iterator[Any]:
        if item < 0:
            return
        yield item
        if item == 2:
            return
        yield -item

    return step


@operator
def returns_in_both_branches() -> Any:
    def step(item: int) -> Iterator[Any]:
        if item % 2:
            yield "odd"
            return
        else:
            yield "even"
        yield item

    return step


@operator
def returns_in_a_loop() -> Any:
    def step(item: int) -> Iterator[Any]:
        for i in range(item):
            if i == 2:
                return
            yield i

    return step


@operator
def returns_in_a_nested_loop() -> Any:
    def step(item: int) -> Iterator[Any]:
        for i in range(item):
            for j in range(item):
                if i + j == 2:
                    return
                yield i, j

    return step


@operator
def returns_on_some_paths() -> Any:
    def step(item: int) -> Iterator[Any]:
        if item > 0:
            if item > 2:
                return
            yield "small"
        yield item

    return step


@operator
def tries_with_else() -> Any:
    def step(item: int) -> Iterator[Any]:
        try:
            result = 6 // item
        except ZeroDivisionError as error:
            yield_nothing = str(error)
            assert yield_nothing
            return
        else:
            yield result
        yield result

    return step


@operator
def may_read_what_it_has_not_assigned() -> Any:
    def step(item: int) -> Iterator[Any]:
        if item % 2:
            seen = item
        yield seen

    return step


@operator
def assigns_in_a_condition() -> Any:
    def step(item: int) -> Iterator[Any]:
        if (half := item // 2) > 0 and half != 1:
            yield half

    return step


@operator
def yields_in_else_and_lets_the_rest_fail() -> Any:
    def step(item: int) -> Iterator[Any]:
        try:
            result = 6 // item
        except Exception:
            result = 0
        else:
            yield result

    return step


@operator
def yields_inside_try() -> Any:
    def step(item: int) -> Iterator[Any]:
        try:
            yield item
        except Exception:
            yield "never: an error further down is not this step's"

    return step


@operator
def yields_inside_with(log: list[Any]) -> Any:
    @contextlib.contextmanager
    def noting(item: int) -> Iterator[None]:
        log.append(("enter", item))
        try:
            yield
        finally:
            log.append(("exit", item))

    def step(item: int) -> Iterator[Any]:
        with noting(item):
            yield item

    return step


@operator
def works_inside_with() -> Any:
    def step(item: int) -> Iterator[Any]:
        with contextlib.suppress(ZeroDivisionError):
            item = 6 // item
        yield item

    return step


@operator
def yields_inside_finally() -> Any:
    def step(item: int) -> Iterator[Any]:
        try:
            item = 6 // item
        finally:
            yield "finally"
        yield item

    return step


@operator
def rebinds_its_item() -> Any:
    def step(item: int) -> Iterator[Any]:
        yield item
        item += 1
        yield item

    return step


@operator
def uses_a_global() -> Any:
    def step(item: int) -> Iterator[Any]:
        yield item * factor, source

    return step


@operator
def loops_with_break_and_else() -> Any:
    def step(item: int) -> Iterator[Any]:
        for i in range(5):
            if i == item:
                break
            if i == 1:
                continue
            yield i
        else:
            yield "whole"
        while item > 0:
            item -= 2
            yield item

    return step


@operator
def yields_from() -> Any:
    def step(item: int) -> Iterator[Any]:
        yield from range(item)
        yield from ()
        yield "end"

    return step


@operator
def uses_the_result_of_yield() -> Any:
    def step(item: int) -> Iterator[Any]:
        got = yield item
        yield got

    return step


@operator
def keeps_a_closure() -> Any:
    kept: list[Callable[[], int]] = []

    def step(item: int) -> Iterator[Any]:
        kept.append(lambda: item)
        yield [f() for f in kept]

    return step


@operator
def comprehends() -> Any:
    seen = [0]

    def step(item: int) -> Iterator[Any]:
        seen.append(item)
        yield (
            [item + seen for seen in seen],
            {k: v * 2 for k, v in enumerate(seen)},
            [y for x in [seen] for y in x if y],
        )

    return step


@operator
def matches() -> Any:
    def step(item: int) -> Iterator[Any]:
        match (item, [item, 1, 2]):
            case (0, _):
                yield "zero"
            case (n, [_, *rest]) if n > 1:
                yield n, rest
            case _:
                return

    return step


@operator
def has_the_same_names_inside_and_out() -> Any:
    total = 100

    def step(item: int) -> Iterator[Any]:
        total = item
        total += 1
        yield total

    def flush() -> Iterator[Any]:
        yield total

    return Stage(step, flush=flush)


@operator
def changes_its_parameter(left: int) -> Any:
    def step(item: int) -> Iterator[Any]:
        nonlocal left
        left -= 1
        yield left
        if not left:
            raise StopStream

    return step


@operator
def starts_and_flushes(*values: Any, last: Any = "last") -> Any:
    count = 0

    def start() -> Iterator[Any]:
        for value in values:
            yield value
            assert values

    def step(item: Any) -> Iterator[Any]:
        nonlocal count
        count += 1
        yield item

    def flush() -> Iterator[Any]:
        if last == "fail":
            raise ValueError("flush")
        yield last
        yield count

    return Stage(step, start=start, flush=flush)


@operator
def stops_at_once() -> Any:
    def start() -> Iterator[Any]:
        raise StopStream
        yield

    def step(item: Any) -> Iterator[Any]:
        yield "never"

    return Stage(step, start=start)


@operator
def stops_inside_its_loop() -> Any:
    def step(item: int) -> Iterator[Any]:
        for i in range(item):
            yield i
            if i == 1:
                raise StopStream

    return step


@operator
def fails_on(bad: int) -> Any:
    def step(item: Any) -> Iterator[Any]:
        if item == bad:
            raise ValueError(f"bad {item}")
        yield item

    return step


@operator
def calls_and_takes_apart(fn: Callable[[Any], Any]) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        async for part in parts(await call(fn, item)):
            yield part, (await call(fn, item))[0]

    return step


@operator
def chooses(how: bool, maybe: Callable[[Any], Any] | None = None) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        if how and maybe is not None:
            yield await call(maybe, item)
        elif maybe is not None or not how:
            yield "plain" if maybe is None else await call(maybe, item) if how else "unused"
        else:
            yield item

    return step


def closed_over(amount: int) -> Callable[..., Operator[Any, Any]]:
    @operator
    def adds() -> Any:
        def step(item: int) -> Iterator[Any]:
            yield item + amount

        return step

    return adds


@operator
def annotates() -> Any:
    seen: int = 0
    unused: int  # noqa: F842

    def step(item: int) -> Iterator[Any]:
        nonlocal seen
        doubled: int = item * 2
        seen += doubled
        yield seen

    return step


def double(item: Any) -> list[Any]:
    return [item, item]


async def double_async(item: Any) -> list[Any]:
    return [item, item]


LOG: list[Any] = []
FUSED: list[Operator[Any, Any]] = [
    returns_early(),
    returns_in_both_branches(),
    returns_in_a_loop(),
    yields_in_else_and_lets_the_rest_fail(),
    works_inside_with(),
    rebinds_its_item(),
    uses_a_global(),
    loops_with_break_and_else(),
    yields_from(),
    comprehends(),
    matches(),
    has_the_same_names_inside_and_out(),
    changes_its_parameter(3),
    starts_and_flushes("a", 1, last="z"),
    starts_and_flushes(last="fail"),
    stops_at_once(),
    stops_inside_its_loop(),
    fails_on(3),
    calls_and_takes_apart(double),
    calls_and_takes_apart(double_async),
    chooses(True),
    chooses(False),
    chooses(True, double),
    chooses(True, double_async),
    chooses(False, double),
    closed_over(5)(),
    closed_over(6)(),
    annotates(),
    tries_with_else(),
    assigns_in_a_condition(),
]
CALLS: list[Operator[Any, Any]] = [
    returns_in_a_nested_loop(),
    returns_on_some_paths(),
    yields_inside_try(),
    yields_inside_with(LOG),
    yields_inside_finally(),
    uses_the_result_of_yield(),
    keeps_a_closure(),
    may_read_what_it_has_not_assigned(),
]


def name(op: Any) -> str:
    return repr(op)


@pytest.mark.parametrize("op", FUSED, ids=name)
def test_a_plain_form_is_fused(op: Any) -> None:
    assert op.definition.syntax.reason is None
    assert "stage0" not in Chain(op).program()


@pytest.mark.parametrize("op", CALLS, ids=name)
def test_an_odd_form_stays_a_call_and_explain_says_why(op: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chain = Chain(op)
    assert "stage0" in chain.program()
    chain.explain()
    assert f"# {op.name} stays a call: " in capsys.readouterr().out


SURROUNDINGS: list[tuple[list[Any], list[Any]]] = [
    ([], []),
    ([fails_on(2)], []),
    ([], [fails_on(2)]),
    ([changes_its_parameter(9)], [starts_and_flushes("s")]),
    ([calls_and_takes_apart(double), lambda pair: pair[0]], [yields_inside_try()]),
    ([], [changes_its_parameter(3), starts_and_flushes("s")]),
]


@pytest.mark.parametrize("around", range(len(SURROUNDINGS)))
@pytest.mark.parametrize("op", FUSED + CALLS, ids=name)
def test_every_way_to_run_does_what_the_interpreter_does(op: Any, around: int) -> None:
    before, after = SURROUNDINGS[around]
    chain: Chain[Any, Any] = Chain(*before, op, *after, name="c")
    for items in ([], [1, 2, 3], [0], [3, -1, 0, 2, 5, 1]):
        for skip in (False, True):
            for most in (None, 1, 3):
                LOG.clear()
                expected = interpreted(chain, items, skip, most)
                logged = list(LOG)
                for run in (iterated, streamed, streamed_async):
                    LOG.clear()
                    found = run(chain, items, skip, most)
                    assert found == expected, (run, items, skip, most)
                    assert logged == LOG
            expected = interpreted(chain, items, skip)
            found = collected(chain, items, skip)
            if expected.error is not None:
                expected.outputs = []
            assert found == expected
        if not chain.is_async:
            expected = interpreted(chain, items)
            found = observed(chain, items)
            assert found.outputs == expected.outputs + ([] if expected.error else ["|"])
            assert (found.error, found.notes) == (expected.error, expected.notes)


def test_a_global_is_looked_up_when_the_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    chain: Chain[int, Any] = Chain(uses_a_global())
    assert chain.run_sync(1) == (10, source)
    monkeypatch.setattr(f"{__name__}.factor", 7)
    assert chain.run_sync(1) == (7, source)


def test_a_variable_of_an_enclosing_function_is_looked_up_when_the_step_runs() -> None:
    amount = 1

    @operator
    def adds() -> Any:
        def step(item: int) -> Iterator[Any]:
            yield item + amount

        return step

    chain: Chain[int, Any] = Chain(adds())
    assert chain.run_sync(1) == 2
    amount = 5
    assert chain.run_sync(1) == 6


def test_a_generator_that_a_function_returned_is_closed_before_the_error_goes_on() -> None:
    log: list[str] = []

    def numbers(item: int) -> Iterator[int]:
        try:
            yield item
        finally:
            log.append("closed")

    def fail(item: int) -> int:
        raise ValueError(item)

    chains: list[Chain[int, int]] = [
        Chain(numbers, fail),
        Chain(ops.concat_map(lambda item: numbers(item)), fail),
        Chain(ops.concat_map(numbers), fail),
    ]
    for chain in chains:
        for run in (iterated, streamed, interpreted):
            log.clear()
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                chain.run_sync(1)
            assert log == ["closed"], caught  # while the traceback is still alive
            log.clear()
            assert run(chain, [1]).error == "ValueError: 1"
            assert log == ["closed"]


def test_many_threads_may_compile_at_once() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    found: list[list[int]] = []

    def run_one(k: int) -> None:
        async def later(item: int) -> int:
            await asyncio.sleep(0)
            return item

        # As many shapes as threads, and the same in all of them, none of which has been compiled.
        chain: Any = Chain(*[ops.map(later, concurrency=2)] * (k % 3 + 1), ops.filter(lambda item: item >= 0))
        found.append(list(chain.iterate(range(8))))

    try:
        for _ in range(5):
            _program._plans.clear()
            threads = [threading.Thread(target=run_one, args=(k,)) for k in range(6)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [list(range(8))] * 30
