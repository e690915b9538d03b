"""Operators with time in them, tick by tick, in virtual time."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from rxchain import Chain, CompositionError, Failure, Operator
from rxchain import operators as ops
from rxchain.testing import Marbles, SourceFailed, no_leaks, run
from tests.operators.whole import nothing, whole


def of(*steps: Any, name: str | None = None) -> Chain[Any, Any]:
    """A chain of whatever types."""
    return Chain(*steps, name=name)


@pytest.fixture
def m() -> Marbles:
    return Marbles()


def joined(letters: list[str]) -> str:
    return "".join(letters)


async def together(letters: AsyncIterator[str]) -> str:
    return "".join([letter async for letter in letters])


def slowly(m: Marbles, marbles: str, step: Operator[Any, Any], pause: float) -> str:
    """What a consumer takes who pauses behind each item, and asks for none meanwhile."""
    probe = m.probe(of(step).stream(m.source(marbles)))

    async def main() -> None:
        while not probe.completed:
            await probe.request()
            await asyncio.sleep(pause)
        await probe.cancel()

    run(main())
    return probe.marbles


# --- batch


def test_a_list_leaves_when_it_is_full_or_its_first_item_has_waited_so_long(m: Marbles) -> None:
    assert m.play("-abc-d----ef---|", ops.batch(3, 2.5), joined) == "---<abc>---d----<ef>--|"
    assert m.play("-a-b-c-d-|", ops.batch(3, 3), joined) == "----<ab>---<cd>|"


def test_what_is_left_leaves_at_the_end(m: Marbles) -> None:
    assert m.play("-ab|", ops.batch(3, 100), joined) == "---(<ab>|)"
    assert m.play("-ab#", ops.batch(3, 100), joined) == "---(<ab>#)"
    assert m.play("---|", ops.batch(3, 100), joined) == "---|"


def test_a_list_never_leaves_without_demand(m: Marbles) -> None:
    source = m.source("abcdefgh--|")

    async def main() -> None:
        probe = m.probe(of(ops.batch(3, 0.5)).stream(source))
        assert await probe.request() == [["a"]]
        await asyncio.sleep(20)
        assert source.given == 4, "as many more as a list holds; then the source waits"
        assert await probe.request(10) == [["b", "c", "d"], ["e", "f", "g"], ["h"]]
        assert probe.times == [0.5, 20.5, 20.5, 20.5]
        assert probe.completed

    run(main())


def test_a_list_is_held_to_a_weight_too(m: Marbles) -> None:
    batch = ops.batch(10, 4, weight=int, max_weight=5)
    assert m.play("23-1-4-9-1-----|", batch, joined) == "-<23>---<14>-9-----1-|"


@pytest.mark.parametrize("within", [None, 1000])
@pytest.mark.parametrize(
    ("size", "words", "lists"),
    [
        (9, "aa b ccc d", ["aa b", "ccc", "d"]),
        (9, "aa bbbb c", ["aa", "bbbb", "c"]),
        (9, "aaaaa bbbbb", ["aaaaa", "bbbbb"]),
        (2, "a b c", ["a b", "c"]),
        (1, "a bbbbb", ["a", "bbbbb"]),
    ],
)
def test_lists_by_weight_are_the_same_with_and_without_time(
    size: int, words: str, lists: list[str], within: float | None
) -> None:
    chain = of(ops.batch(size, within, weight=len, max_weight=3), ops.map(" ".join))
    assert run(chain.collect(words.split())) == lists


@pytest.mark.parametrize("within", [None, 1000])
def test_an_item_that_cannot_be_weighed_is_its_own_failure(within: float | None) -> None:
    failures: list[Failure] = []
    chain = of(ops.batch(2, within, weight=len, max_weight=9), name="c")
    outputs = run(chain.collect(["a", 1, "b", "c"], on_error=failures.append))
    assert [letter for letters in outputs for letter in letters] == ["a", "b", "c"]
    assert [(failure.node, failure.item) for failure in failures] == [("batch", 1)]
    taken: list[Any] = []

    async def until_it_fails() -> None:
        async for letters in chain.stream(["a", 1, "b", "c"]):
            taken.append(letters)

    with pytest.raises(TypeError, match="has no len") as caught:
        run(until_it_fails())
    assert taken == ([] if within is None else [["a"]])
    assert caught.value.__notes__ == ["in node 'batch' of chain 'c', with item 1"]


def test_batch_without_time_stays_a_step() -> None:
    assert not of(ops.batch(3)).is_async
    assert not of(ops.batch(3, weight=len, max_weight=9)).is_async
    assert of(ops.batch(3, 1)).is_async
    assert repr(ops.batch(3)) == "batch(3)"


# --- debounce, throttle, sample


def test_debounce_passes_on_what_came_last_before_a_pause(m: Marbles) -> None:
    assert m.play("-abc----d-e-----|", ops.debounce(3)) == "------c------e--|"
    assert m.play("-abc----d-e-|", ops.debounce(3)) == "------c-----(e|)"
    assert m.play("-abc----d-e-#", ops.debounce(3)) == "------c-----(e#)"
    assert m.play("-a-b-|", ops.debounce(2)) == "---a-(b|)", "as long as that is long enough"
    assert m.play("(ab)c", ops.debounce(2)) == "---c"
    assert m.play("---|", ops.debounce(2)) == "---|"


def test_debounce_keeps_for_a_slow_consumer_what_has_outlasted_its_pause(m: Marbles) -> None:
    source = m.source("a--b--c--d--|")

    async def main() -> None:
        probe = m.probe(of(ops.debounce(1)).stream(source))
        assert await probe.request() == ["a"]
        await asyncio.sleep(30)
        assert source.given == 3, "b has outlasted its pause, c was asked for before that; then the source waits"
        assert await probe.request(10) == ["b", "c", "d"]
        assert probe.times[1:3] == [31, 31]

    run(main())


def test_throttle_drops_what_comes_soon_after(m: Marbles) -> None:
    assert m.play("-abc----d-e-|", ops.throttle(3)) == "-a------d---|"
    assert m.play("-a-b-c-d|", ops.throttle(2)) == "-a-b-c-d|", "so long is long enough"
    assert m.play("a-b#", ops.throttle(9)) == "a--#"


def test_throttle_measures_when_an_item_is_taken(m: Marbles) -> None:
    assert slowly(m, "abcd|", ops.throttle(2), 3) == "a--b--c--d--|"
    assert slowly(m, "abcd|", ops.throttle(4), 3) == "a---|", "b, c and d are taken at 3"


def test_sample_takes_the_latest_at_regular_times(m: Marbles) -> None:
    assert m.play("-ab-c--------de--|", ops.sample(3)) == "---b--c--------e-|"
    assert m.play("-ab-c|", ops.sample(3)) == "---b-(c|)"
    assert m.play("-ab-c#", ops.sample(3)) == "---b-(c#)"
    assert m.play("---|", ops.sample(3)) == "---|"


def test_sample_is_never_late_and_never_twice_in_a_tick(m: Marbles) -> None:
    assert slowly(m, "abcdefghij----|", ops.sample(2), 3) == "--b---f---j---|"
    short = Marbles(tick=0.1)
    taken = short.play("abcdefghijklmnopqrstuvwxyz|", ops.sample(0.3))
    assert [tick for tick, letter in enumerate(taken) if letter.isalpha()][:8] == [3, 6, 9, 12, 15, 18, 21, 24]


def test_a_source_waits_for_nobody_who_samples(m: Marbles) -> None:
    source = m.source("abcdefghi|")

    async def main() -> None:
        probe = m.probe(of(ops.sample(2)).stream(source))
        await probe.request()
        await asyncio.sleep(30)
        assert source.given == 9
        assert await probe.request(5) == ["i"]

    run(main())


# --- delay, timeout, interval


def test_delay_shifts_a_stream_and_keeps_its_distances(m: Marbles) -> None:
    assert m.play("-a-bc----d|", ops.delay(4)) == "-----a-bc----d|"
    assert m.play("(ab)|", ops.delay(2)) == "--(ab)|"
    assert m.play("-a--#", ops.delay(3)) == "----a--#"


def test_a_full_delay_makes_the_source_wait(m: Marbles) -> None:
    assert m.play("abcdef|", ops.delay(4, max_buffer=2)) == "----ab--cd--ef--|"


def test_a_delay_is_not_added_to_a_slow_consumers(m: Marbles) -> None:
    assert slowly(m, "abc|", ops.delay(2), 3) == "--a--b--c--|"


def test_timeout_counts_from_asking_to_the_item(m: Marbles) -> None:
    assert m.play("--a--b--|", ops.timeout(3.5)) == "--a--b--|"
    assert m.play("--a------b|", ops.timeout(3), until="--------!") == "--a--#-----"
    assert m.play("---------b|", ops.timeout(3)) == "---#-------"
    assert m.play("a-------|", ops.timeout(3)) == "a--#-----"
    assert slowly(m, "abc|", ops.timeout(1.5), 3) == "a--b--c--|", "a slow consumer is not the source's fault"


def test_timeout_names_its_place_and_lets_go_of_the_source(m: Marbles) -> None:
    source = m.source("a---b|")

    async def main() -> None:
        async with no_leaks():
            await of(str.upper, ops.timeout(2), name="quotes").collect(source)

    with pytest.raises(TimeoutError, match="the source has given no item for 2 s") as caught:
        run(main())
    assert caught.value.__notes__ == ["in node 'timeout' of chain 'quotes'"]
    assert (source.opened, source.closed) == (1, 1)


def test_timeout_passes_on_the_sources_own() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        async with asyncio.timeout(1):
            await asyncio.sleep(2)

    with pytest.raises(TimeoutError) as caught:
        run(of(ops.timeout(5)).collect(source()))
    assert str(caught.value) == ""
    assert caught.value.__notes__ == ["in the source of the chain"]


@pytest.mark.parametrize("gives", ["an error", "an item", "an end"])
def test_a_source_that_does_something_else_when_it_is_cancelled(gives: str) -> None:
    async def source() -> AsyncIterator[int]:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            if gives == "an error":
                raise ZeroDivisionError from None
            if gives == "an item":
                yield 1

    async def main() -> None:
        try:
            await of(ops.timeout(5)).collect(source())
        finally:
            assert asyncio.get_running_loop().time() == 5
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    with pytest.raises(ZeroDivisionError if gives == "an error" else TimeoutError):
        run(main())


def test_timeout_does_not_swallow_its_consumers_cancellation(m: Marbles) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(3):
                await of(ops.timeout(3)).collect(m.source("-----"))
        assert str(caught.value) in ("", "timeout: the source has given no item for 3 s")
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())


async def ticks(seconds: float, pauses: list[float]) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    stream = aiter(ops.interval(seconds))
    for pause in pauses:
        seen.append((await anext(stream), loop.time()))
        await asyncio.sleep(pause)
    await stream.aclose()  # type: ignore[attr-defined]
    return seen


def test_interval_ticks_without_drift() -> None:
    seen = run(ticks(0.1, [0.0] * 1000))
    assert [number for number, _ in seen] == list(range(1000))
    assert [time for _, time in seen] == [0.1 * (tick + 1) for tick in range(1000)]


def test_ticks_do_not_pile_up_for_a_slow_consumer() -> None:
    assert run(ticks(1, [0, 3.5, 0, 0, 1.2, 0])) == [(0, 1), (1, 2), (4, 5.5), (5, 6), (6, 7), (7, 8.2)]


def test_interval_is_a_stream_that_begins_anew() -> None:
    interval = ops.interval(2)
    chain = of(ops.take(2))
    assert run(chain.collect(interval)) == [0, 1]
    assert run(chain.collect(interval)) == [0, 1]
    assert repr(interval) == "interval(2)"
    with pytest.raises(CompositionError):
        of(interval)


def test_items_are_spaced_by_zip_and_interval(m: Marbles) -> None:
    assert m.play("abcd--|", ops.zip(ops.interval(2)), ops.map(lambda both: both[0])) == "--a-b-c-(d|)"


# --- window


def test_windows_of_seconds_follow_one_another(m: Marbles) -> None:
    window = ops.window(together, seconds=3)
    assert m.play("ab-c--d----ef---|", window, ops.map(lambda text: text or "0")) == "---<ab>--c--d--e--f(0|)"


def test_windows_are_there_though_nothing_came(m: Marbles) -> None:
    assert m.play("-a-------b|", ops.window(of(ops.count()).stream, seconds=3)) == "---1--0--0(1|)"


def test_windows_that_pass_while_nobody_asks_are_left_out(m: Marbles) -> None:
    async def main() -> None:
        probe = m.probe(of(ops.window(together, seconds=3)).stream(m.source("abcdefghijklmnop---|")))
        assert await probe.request() == ["abc"]
        await asyncio.sleep(10.5)
        assert await probe.request(3) == ["defghijklmno", "p", ""]
        assert probe.times == [3, 15, 18, 19]
        assert probe.completed is False

    run(main())


def test_windows_of_a_count_hold_so_many(m: Marbles) -> None:
    assert m.play("-ab-cd-e-|", ops.window(together, count=2)) == "--<ab>--<cd>---(e|)"
    assert m.play("-ab-cd-|", ops.window(together, count=2)) == "--<ab>--<cd>-|", "no window is empty"
    assert m.play("-|", ops.window(together, count=2)) == "-|"


def test_what_comes_of_a_window_is_emitted_as_it_comes(m: Marbles) -> None:
    running = of(ops.scan(lambda total, letter: total + letter))
    assert m.play("a-b-c-d-|", ops.window(running.stream, count=3)) == "a-<ab>-<abc>-d-|"


def test_what_is_left_unread_of_a_window_is_skipped(m: Marbles) -> None:
    first = of(ops.take(1))
    assert m.play("abcdefg|", ops.window(first.stream, count=3)) == "a--d--g|"
    assert m.play("abcdefg|", ops.window(first.stream, seconds=3)) == "a--d--g|"
    assert m.play("abcdefg-|", ops.window(nothing, count=3), ops.count()) == "--------(3|)"


def test_a_window_that_fails_is_one_of_many(m: Marbles) -> None:
    async def picky(letters: AsyncIterator[str]) -> str:
        text = await together(letters)
        if "x" in text:
            raise ValueError(text)
        return text

    failed: list[Failure] = []
    assert m.play("abxcde|", ops.window(picky, count=2), on_error=failed.append) == "-<ab>---<de>|"
    assert [(str(failure.error), failure.node, failure.item) for failure in failed] == [("xc", "window", "window 2")]
    assert m.play("abxcde|", ops.window(picky, count=2)) == "-<ab>-#---"


def test_a_source_that_fails_is_told_to_the_window_and_to_the_consumer(m: Marbles) -> None:
    told: list[Exception] = []

    async def keeps(letters: AsyncIterator[str]) -> str:
        text = ""
        try:
            async for letter in letters:
                text += letter
        except SourceFailed as error:
            told.append(error)
        return text

    assert m.play("ab-c#", ops.window(keeps, count=2)) == "-<ab>--(c#)"
    assert told == [m.error]


@pytest.mark.parametrize("limit", [{"seconds": 3}, {"count": 2}])
def test_a_source_that_fails_between_windows_is_told(limit: Any, m: Marbles) -> None:
    async def main() -> None:
        probe = m.probe(of(ops.window(together, **limit)).stream(m.source("ab--#")))
        assert await probe.request() == ["ab"]
        await asyncio.sleep(10)
        assert await probe.request() == []
        assert isinstance(probe.error, SourceFailed)

    run(main())


@pytest.mark.parametrize("limit", [{"seconds": 1000}, {"count": 50}])
def test_a_window_takes_a_few_items_ahead_and_no_more(limit: Any) -> None:
    given = 0

    async def source() -> AsyncIterator[int]:
        nonlocal given
        for given in range(1, 101):
            yield given

    async def slowly(numbers: AsyncIterator[int]) -> list[int]:
        taken = []
        async for number in numbers:
            taken.append(number)
            await asyncio.sleep(1)
            assert given - number <= 16
        return taken

    windows = run(of(ops.window(slowly, **limit)).collect(source()))
    assert [number for window in windows for number in window] == list(range(1, 101))


def test_a_window_is_closed_behind_its_function(m: Marbles) -> None:
    kept: list[Any] = []

    async def leaves(letters: AsyncIterator[str]) -> str:
        kept.append(letters)
        return await anext(letters)

    async def main() -> None:
        async with no_leaks():
            assert await of(ops.window(leaves, count=2)).collect("abcd") == ["a", "c"]
            assert [letter async for letter in kept[0]] == []

    run(main())


# --- what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: ops.debounce(0),
            "debounce: seconds must be a number of seconds above 0, got 0\n    ops.debounce(0)  # incorrect\n",
        ),
        (lambda: ops.throttle(-1), "throttle: seconds must be a number of seconds above 0, got -1"),
        (lambda: ops.sample(True), "sample: seconds must be a number of seconds above 0, got True"),
        (lambda: ops.timeout(float("nan")), "timeout: seconds must be a number of seconds above 0, got nan"),
        (lambda: ops.delay(timedelta(seconds=1)), ", from a timedelta take .total_seconds()"),  # type: ignore[arg-type]
        (lambda: ops.delay(1, max_buffer=0), "delay: max_buffer must be a whole number, 1 or more, got 0"),
        (lambda: ops.interval(0), "interval: seconds must be a number of seconds above 0, got 0"),
        (lambda: ops.batch(3, 0), "ops.batch(..., within=0)  # incorrect"),
        (lambda: ops.batch(0, 1), "batch: size must be a whole number"),
        (lambda: ops.batch(3, weight=len), "max_weight= the number above 0 that a list is held to: both or neither"),
        (lambda: ops.batch(3, 1, max_weight=5), "both or neither; got weight=None, max_weight=5"),
        (lambda: ops.window(whole), "ops.window(whole, seconds=60)  # correct; or count=100"),
        (lambda: ops.window(whole, seconds=1, count=1), "one of the two"),
        (lambda: ops.window(whole, seconds=0), "ops.window(..., seconds=0)  # incorrect"),
        (lambda: ops.window(whole, count=0), "window: count must be a whole number, 1 or more, got 0"),
    ],
)
def test_a_mistake_is_told_where_it_is_written(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong()


def test_a_window_is_given_a_function() -> None:
    with pytest.raises(CompositionError, match="window: each must be a function of a window's items, got an int: 60"):
        ops.window(60, seconds=1)  # type: ignore[call-overload]
