"""Forms that a compiler gets wrong at first: names that hide others, variables that outlive their item, odd ends."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import pytest

import rxchain
from rxchain import Chain, CompositionError, ManyResults, NoResult, Stage, StopStream, call, node, operator, parts
from rxchain import StopStream as Halt
from rxchain import operators as ops
from tests.running import collected, interpreted, iterated, streamed, streamed_async

x0 = "a global that is called like a program's own"
items = found = error = ended = PLAIN = breathe_at = x0
LOG: list[Any] = []


class Colour(IntEnum):
    RED = 1


class Shade(IntEnum):
    DARK = 1


def counts_in_an_enclosing_function() -> Any:
    count = 0

    @operator
    def counts() -> Any:
        def step(item: Any) -> Iterator[Any]:
            nonlocal count
            count += 1
            yield item, count > 0

        return step

    return counts()


def assigns_outside_before_the_first_item() -> Any:
    count = 0

    @operator
    def counts() -> Any:
        nonlocal count
        count += 1

        def step(item: Any) -> Iterator[Any]:
            yield item

        return step

    return counts()


@operator
def calls_by_a_function_of_its_own(fn: Any, call: Any) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        yield await call(fn, item)

    return step


async def own_call(fn: Any, item: Any) -> Any:
    return "own", fn(item)


@operator
def takes_apart_by_a_function_of_its_own(parts: Any) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        async for part in parts(item):
            yield part

    return step


async def own_parts(item: Any) -> AsyncIterator[Any]:
    yield "own"
    yield item


@operator
def stops_by_another_name() -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield item
        if item == 2:
            raise Halt

    return step


@operator
def stops_by_an_attribute() -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield item
        if item == 2:
            raise rxchain.StopStream

    return step


@operator
def stops_in_its_flush() -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield item

    def flush() -> Iterator[Any]:
        yield "flush"
        raise StopStream

    return Stage(step, flush=flush)


@operator
def reads_the_loops_variable_later() -> Any:
    last = None

    def step(item: int) -> Iterator[Any]:
        nonlocal last
        i = -1
        for i in range(item):
            yield i
        yield "after", i
        for last in range(item):  # noqa: UP028 (it is state)
            yield last

    def flush() -> Iterator[Any]:
        yield "last", last

    return Stage(step, flush=flush)


@operator
def assigns_on_the_way() -> Any:
    def step(item: int) -> Iterator[Any]:
        if (a := item) > 1 and (b := item * 2):
            pass
        yield a, b

    return step


@operator
def assigns_what_it_reads() -> Any:
    def step(item: int) -> Iterator[Any]:
        if item > 0:
            seen = item
        if (seen := seen + 1) > 0:
            yield seen

    return step


@operator
def declares_inside_a_branch() -> Any:
    total = 0

    def step(item: int) -> Iterator[Any]:
        if item:
            nonlocal total
            total += item
        if item > 1:
            unused: int  # noqa: F842
        yield total

    return step


@operator
def asks_for_an_ellipsis(default: Any = ...) -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield "none given" if default is ... else default

    return step


@operator
def asks_for_a_member(how: Any) -> Any:
    def step(item: Any) -> Iterator[Any]:
        if how is Colour.RED:
            yield "red"
        elif how is Shade.DARK:
            yield "dark"
        elif how is True:
            yield "true"
        else:
            yield "other"

    return step


@operator
def comprehends_a_parameters_name(key: Any = None) -> Any:
    def step(item: int) -> Iterator[Any]:
        yield [key for key in (item, None) if key is None], key is None

    return step


@operator
def calls_what_a_comprehension_names(fn: Callable[[Any], Any]) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        yield [await call(fn, item) for fn in (doubled, doubled_async)]

    return step


def doubled(item: Any) -> Any:
    return item * 2


async def doubled_async(item: Any) -> Any:
    return item * 2


@operator
def keeps_what_its_guard_assigned(n: int) -> Any:
    if (m := n * 2) > 50:
        raise ValueError(n)

    def step(item: Any) -> Iterator[Any]:
        yield m

    return step


@operator
def guards_any_keywords(**named: Any) -> Any:
    if not named:
        raise ValueError("none")

    def step(item: Any) -> Iterator[Any]:
        yield named

    return step


def tagging(factory: Any) -> Any:
    @functools.wraps(factory)
    def made(*args: Any) -> Any:
        inner = factory(*args)

        def step(item: Any) -> Iterator[Any]:
            for part in inner(item):
                yield "tagged", part

        return step

    return made


@operator
@tagging
def is_wrapped(n: int) -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield n

    return step


class Safe:
    def __init__(self) -> None:
        self.__secret = 1

    @staticmethod
    @operator
    def opened() -> Any:
        __more = 1
        safe = Safe()

        def step(item: Any) -> Iterator[Any]:
            yield item + safe.__secret + __more

        return step


@operator
def may_lack_its_state(flag: bool) -> Any:
    if flag:
        state = 1

    def step(item: Any) -> Iterator[Any]:
        yield state

    return step


@operator
def deletes_its_state() -> Any:
    state = 1

    def step(item: Any) -> Iterator[Any]:
        nonlocal state
        yield state
        del state

    return step


def logged(item: Any) -> Iterator[Any]:
    try:
        yield item
        yield item
    finally:
        LOG.append("closed")


@operator
def leaves_its_parts(fn: Callable[[Any], Any]) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        LOG.append(item)
        async for part in parts(await call(fn, item)):
            if part:
                yield part
                break
        LOG.append("left")

    return step


@operator
def has_the_programs_names(source: Any, x1: Any) -> Any:
    stage0 = source

    def step(parts0: Any) -> Iterator[Any]:
        result = stop = parts0
        yield result, stop, stage0, x1, x0, items, found, error, ended, PLAIN, breathe_at

    return step


@operator
def stays_a_call_and_flushes() -> Any:
    count = 0

    def start() -> Iterator[Any]:
        yield "start"

    def step(item: Any) -> Iterator[Any]:
        nonlocal count
        count += 1
        try:
            yield item
        finally:
            LOG.append(item)

    def flush() -> Iterator[Any]:
        yield "flush"
        yield count

    return Stage(step, start=start, flush=flush)


@operator
def counts_parts(fn: Callable[[Any], Any]) -> Any:
    async def step(item: Any) -> AsyncIterator[Any]:
        count = 0
        try:
            async for _ in parts(await call(fn, item)):
                count += 1
        finally:
            LOG.append(count)
        yield count

    return step


async def many(item: int) -> list[int]:
    return [item] * item


@operator
def means_a_name_of_the_program() -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield emit  # type: ignore[name-defined]  # noqa: F821

    return step


@operator
def means_a_name_that_is_nowhere() -> Any:
    def step(item: Any) -> Iterator[Any]:
        yield itme  # type: ignore[name-defined]  # noqa: F821

    return step


def named(name: str) -> Any:
    def fn(item: Any) -> Any:
        return item

    fn.__name__ = name
    return ops.map(fn)


FORMS: list[Any] = [
    counts_in_an_enclosing_function(),
    assigns_outside_before_the_first_item(),
    calls_by_a_function_of_its_own(doubled, own_call),
    takes_apart_by_a_function_of_its_own(own_parts),
    stops_by_another_name(),
    stops_by_an_attribute(),
    stops_in_its_flush(),
    reads_the_loops_variable_later(),
    assigns_on_the_way(),
    assigns_what_it_reads(),
    declares_inside_a_branch(),
    asks_for_an_ellipsis(),
    asks_for_an_ellipsis(1),
    asks_for_a_member(Colour.RED),
    asks_for_a_member(Shade.DARK),
    asks_for_a_member(True),
    asks_for_a_member(1),
    comprehends_a_parameters_name(),
    comprehends_a_parameters_name(1),
    calls_what_a_comprehension_names(doubled),
    keeps_what_its_guard_assigned(3),
    guards_any_keywords(a=1),
    is_wrapped(3),
    Safe.opened(),
    may_lack_its_state(False),
    may_lack_its_state(True),
    deletes_its_state(),
    leaves_its_parts(logged),
    leaves_its_parts(lambda item: logged(item)),
    has_the_programs_names(1, 2),
    stays_a_call_and_flushes(),
    counts_parts(many),
    counts_parts(range),
    counts_parts(logged),
    counts_parts(own_parts),
    means_a_name_of_the_program(),
    means_a_name_that_is_nowhere(),
    Chain(*[named(name) for name in ("x0", "ｘ0", "source", "None", "__debug__", "class", "match", "a b", "ﬁ")]),
]


@pytest.mark.parametrize("form", FORMS, ids=repr)
@pytest.mark.parametrize("behind", [(), (ops.batch(2),), (ops.take(3), ops.count())], ids=len)
def test_a_hostile_form_does_what_its_generators_do(form: Any, behind: Any) -> None:
    chain: Chain[Any, Any] = Chain(form, *behind, name="c")
    for given in ([1, 2, 3], [2, 1], []):
        for skip in (False, True):
            LOG.clear()
            expected, noticed = interpreted(chain, given, skip), [*LOG]
            for run in (iterated, streamed, streamed_async, collected):
                LOG.clear()
                found = run(chain, given, skip)
                if run is collected and expected.error is not None:
                    assert found.error == expected.error
                else:
                    assert found == expected, (run, given, skip)
                assert noticed == LOG, (run, given, skip)


def fails_on_three(item: Any) -> Any:
    if item == 3:
        raise ValueError(item)
    return item


async def fails_on_three_async(item: Any) -> Any:
    return fails_on_three(item)


@pytest.mark.parametrize("fails", [fails_on_three, fails_on_three_async])
@pytest.mark.parametrize("deep", [[ops.concat_map(lambda item: [item])] * 21, [ops.filter(bool)] * 95], ids=len)
def test_a_chain_too_deep_for_one_program_lets_a_part_fail_alone(deep: Any, fails: Any) -> None:
    chain: Chain[int, int] = Chain(ops.concat_map(lambda item: [item, item + 1]), *deep, fails, name="c")
    for skip in (False, True):
        expected = interpreted(chain, [1, 2, 3, 4], skip)
        for run in (iterated, streamed, streamed_async):
            assert run(chain, [1, 2, 3, 4], skip) == expected
    assert expected.outputs == [1, 2, 2, 4, 4, 5]
    assert [item for _, _, item, _ in expected.failures] == [2, 3]


def test_a_step_without_a_yield_is_a_mistake() -> None:
    @operator
    def forgets() -> Any:
        def step(item: Any) -> None:
            LOG.append(item)

        return step

    @operator
    def forgets_to_flush() -> Any:
        def step(item: Any) -> Iterator[Any]:
            yield item

        def flush() -> None:
            LOG.append("flushed")

        return Stage(step, flush=flush)  # type: ignore[arg-type]

    with pytest.raises(CompositionError, match="forgets: its step has no yield, and so is no generator"):
        forgets()
    with pytest.raises(CompositionError, match="its flush has no yield"):
        forgets_to_flush()


def test_a_file_that_was_edited_since_it_was_imported_is_not_read(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["from rxchain import operator", "@operator", "def adds(n):", " def step(item):", "  yield item + n"]
    text = "\n".join([*lines, " return step"])
    file = tmp_path / "edited_operators.py"
    file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = SimpleNamespace(**vars(__import__("edited_operators")))
    file.write_text(text.replace("adds(n)", "subtracts(m)"))
    assert list(Chain(module.adds(2)).iterate([1])) == [3]


def test_an_operator_that_stays_a_call_keeps_its_start_and_its_flush() -> None:
    assert list(Chain(stays_a_call_and_flushes()).iterate([1, 2])) == ["start", 1, 2, "flush", 2]


def test_what_on_error_raises_is_not_blamed_on_the_source() -> None:
    def fail(item: Any) -> Any:
        raise ValueError(item)

    def handle(failure: Any) -> None:
        raise KeyError("handler")

    async def handle_async(failure: Any) -> None:
        raise KeyError("handler")

    for handler in (handle, handle_async):
        with pytest.raises(KeyError) as caught:
            list(Chain(fail).iterate([1], on_error=handler))
        assert not hasattr(caught.value, "__notes__")
        assert isinstance(caught.value.__context__, ValueError)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: operator(3), "operator is given a function that returns a step, got an int: 3"),  # type: ignore[arg-type]
        (lambda: operator(int), "got a class: <class 'int'>"),  # type: ignore[arg-type]
        (lambda: node(name=3), "a node's name is a string, got 3"),  # type: ignore[call-overload]
        (lambda: node(tries=3), "node has no parameter 'tries'; it takes name, when, then, refuse"),  # type: ignore[call-overload]
        (lambda: node(when=lambda a, b: a), r"node\(when=<lambda>\)  # incorrect"),  # type: ignore[misc,arg-type]
        (lambda: Chain(doubled).iterate([1], on_error=3), "or a function that is given a Failure, got an int"),  # type: ignore[arg-type]
        (lambda: Chain(doubled).iterate([1], on_error=lambda: None), "or a function that is given a Failure"),  # type: ignore[arg-type]
    ],
)
def test_a_mistake_is_told_where_it_is_made(mistake: Callable[[], Any], message: str) -> None:
    with pytest.raises(CompositionError, match=message):
        made = mistake()
        made(doubled)


def test_a_second_result_of_several_programs_is_one_too_many() -> None:
    async def some(item: int) -> list[int]:
        return [item] * item

    chain: Chain[int, int] = Chain(ops.flat_map(some), doubled)
    assert chain.run_sync(1) == 2
    for item, error in ((2, ManyResults), (3, ManyResults), (0, NoResult)):
        with pytest.raises(error, match="the chain gave"):
            chain.run_sync(item)
