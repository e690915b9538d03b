"""reactivex's operators inside a chain."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex
import reactivex.operators as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex.scheduler import ImmediateScheduler, NewThreadScheduler

from rxchain import Chain, CompositionError, Overflow
from rxchain import operators as ops
from rxchain.testing import FailsMidway, NeverCompletes, no_leaks, run


async def later(x: Any) -> Any:
    await asyncio.sleep(1)
    return x


def played(chain: Chain[Any, Any], source: Any) -> list[Any]:
    """The outputs, then "|" or the error."""

    async def main() -> list[Any]:
        log: list[Any] = []
        async with no_leaks():
            try:
                async for x in chain.stream(source):
                    log.append(x)
                log.append("|")
            except Exception as error:
                log.append(repr(error))
        return log

    return run(main())


def chained(*operators: Any, **options: Any) -> Chain[Any, Any]:
    return Chain(ops.rx(*operators, **options))


def test_none_at_all_passes_the_items() -> None:
    assert played(chained(), [1, 2, 3]) == [1, 2, 3, "|"]


def test_they_stand_among_asynchronous_steps() -> None:
    chain: Chain[Any, Any] = Chain(later, ops.rx(rx.pairwise(), rx.map(sum)), later)
    assert played(chain, [1, 2, 3, 4]) == [3, 5, 7, "|"]


def test_an_early_end_closes_the_source() -> None:
    source = NeverCompletes([1, 2, 3])
    assert played(chained(rx.take(2)), source) == [1, 2, "|"]
    assert source.closed == 1


def test_an_error_of_an_operator_arrives() -> None:
    source = NeverCompletes([1, 0, 2])
    assert played(chained(rx.map(lambda x: 1 // x)), source)[0] == 1
    assert played(chained(rx.map(lambda x: 1 // x)), [0])[0].startswith("ZeroDivisionError")
    assert source.closed == 1


def test_an_error_of_the_source_goes_through_them() -> None:
    assert played(chained(rx.map(str)), FailsMidway([1], ValueError("source"))) == ["1", "ValueError('source')"]
    caught = chained(rx.catch(reactivex.of("instead")))
    assert played(caught, FailsMidway([1], ValueError("source"))) == [1, "instead", "|"]


def test_what_comes_before_the_first_item_loses_none() -> None:
    assert played(chained(rx.start_with(8, 9)), [1, 2]) == [8, 9, 1, 2, "|"]


def test_items_wait_while_nobody_listens() -> None:
    pause = reactivex.timer(5.0).pipe(rx.ignore_elements())
    chain = chained(lambda source: reactivex.concat(pause, source))
    assert played(chain, [1, 2, 3]) == [1, 2, 3, "|"]


def test_what_comes_behind_the_last_item_comes() -> None:
    assert played(chained(rx.concat(reactivex.of(8, 9))), [1, 2]) == [1, 2, 8, 9, "|"]


def test_their_timers_are_of_the_chains_loop() -> None:
    async def slowly() -> AsyncIterator[int]:
        for i, pause in enumerate([1, 1, 5, 1]):
            await asyncio.sleep(pause)
            yield i

    # Not delay: in reactivex 6 it takes a due time that has just passed for one of tomorrow, now and then.
    assert played(chained(rx.debounce(2.0)), slowly()) == [1, 3, "|"]


def test_what_another_thread_emits_arrives() -> None:
    assert asyncio.run(chained(rx.observe_on(NewThreadScheduler())).collect(range(50))) == list(range(50))


def test_the_next_item_is_asked_for_when_no_output_waits() -> None:
    async def main() -> list[int]:
        source = NeverCompletes(range(100))
        asked = []
        async with no_leaks():
            stream = chained(rx.flat_map(lambda x: reactivex.from_iterable([x] * 3))).stream(source)
            async for _ in stream:
                asked.append(source.given)
                await asyncio.sleep(1)
                if len(asked) == 9:
                    break
            await stream.aclose()
        return asked

    assert all(ahead <= 5 for ahead in (given - i // 3 for i, given in enumerate(run(main()))))


def test_too_many_outputs_are_an_error_that_says_what_to_do() -> None:
    chain = chained(rx.flat_map(lambda x: reactivex.from_iterable(range(x))), max_buffer=10)
    assert played(chain, [10]) == [*range(10), "|"]
    (*outputs, error) = played(chain, [11])
    assert outputs == list(range(10))
    assert error.startswith("Overflow(\"rx: reactivex's operators cannot be asked to wait, and 10 of their outputs")
    assert "max_buffer=80)  # correct" in error
    with pytest.raises(Overflow):
        list(chain.iterate([11]))


def test_a_second_run_starts_afresh() -> None:
    chain = chained(rx.scan(lambda a, b: a + b), rx.buffer_with_count(2))
    assert list(chain.iterate([1, 2, 3])) == list(chain.iterate([1, 2, 3])) == [[1, 3], [6]]


def test_what_is_no_operator_is_refused_where_it_is_written() -> None:
    wrongs: list[Any] = [3, reactivex.of(1)]
    for wrong in wrongs:
        with pytest.raises(CompositionError, match=r"ops.rx\(reactivex.operators.distinct\(\)\)  # correct"):
            ops.rx(wrong)
    with pytest.raises(ValueError, match="max_buffer must be a whole number, 1 or more, got 0"):
        ops.rx(max_buffer=0)


def odd(x: Any) -> bool:
    return bool(x % 2)


def up_to(x: Any) -> Any:
    return reactivex.from_iterable(range(x), ImmediateScheduler())


def add(a: Any, b: Any) -> Any:
    return a + b


OPERATORS: list[Any] = [
    rx.map(str),
    rx.filter(odd),
    rx.scan(add),
    rx.distinct_until_changed(),
    rx.take(4),
    rx.skip(2),
    rx.flat_map(up_to),
    rx.start_with(7),
    rx.default_if_empty(5),
    rx.take_last(2),
]


@given(st.lists(st.sampled_from(OPERATORS), max_size=3), st.lists(st.integers(0, 4), max_size=6))
@settings(max_examples=20)
def test_it_gives_what_reactivex_gives(operators: list[Any], items: list[int]) -> None:
    expected: list[Any] = []
    reactivex.from_iterable(items, ImmediateScheduler()).pipe(*operators).subscribe(
        expected.append, lambda error: expected.append(repr(error)), lambda: expected.append("|")
    )
    assert played(chained(*operators), items) == expected
