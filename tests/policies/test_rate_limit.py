"""Rate limits: a leaky bucket beside aiolimiter's, keys that come and go, loops that come and go."""

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import CompositionError
from rxchain.policies import RateLimit
from rxchain.testing import no_leaks, run
from tests.needs import need


async def now(_: Any) -> float:
    return asyncio.get_running_loop().time()


@given(
    st.integers(1, 5),
    st.sampled_from([1, 2, 10]),
    st.lists(st.tuples(st.sampled_from([0, 0, 0.25, 1, 7]), st.sampled_from([None, None, 0.5, 3])), max_size=40),
)
def test_a_bucket_fills_and_leaks_and_first_come_is_first_served(
    max_rate: int, per: float, calls: list[tuple[float, float | None]]
) -> None:
    began: list[tuple[int, float]] = []

    async def begin(number: int) -> None:
        began.append((number, asyncio.get_running_loop().time()))

    async def main() -> None:
        limited = RateLimit(max_rate, per).around(begin, "ask")
        loop = asyncio.get_running_loop()
        tasks = []
        for number, (pause, cancelled_after) in enumerate(calls):
            await asyncio.sleep(pause)
            task = asyncio.create_task(limited(number))
            tasks.append(task)
            if cancelled_after is not None:
                loop.call_later(cancelled_after, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert {number for number, _ in began} == {k for k, task in enumerate(tasks) if not task.cancelled()}

    run(main())
    assert [number for number, _ in began] == sorted(number for number, _ in began)
    level = last = 0.0
    for _, at in began:
        level = max(level - (at - last) * max_rate / per, 0) + 1
        last = at
        assert level <= max_rate + 1e-6


def test_nobody_waits_longer_than_the_rate_says() -> None:
    async def main() -> list[float]:
        limited = RateLimit(2, per=1).around(now, "ask")
        return list(await asyncio.gather(*[limited(number) for number in range(6)]))

    assert run(main()) == pytest.approx([0, 0, 0.5, 1, 1.5, 2], abs=1e-6)


def test_several_nodes_given_one_limit_share_it() -> None:
    limit = RateLimit(1, per=1)

    async def main() -> list[float]:
        one, two = limit.around(now, "one"), limit.around(now, "two")
        return list(await asyncio.gather(one(1), two(1), one(2), two(2)))

    assert run(main()) == pytest.approx([0, 1, 2, 3], abs=1e-6)


def test_each_key_has_the_rate_for_itself() -> None:
    limit = RateLimit(1, per=1, key=lambda item: item[0])

    async def main() -> list[float]:
        limited = limit.around(now, "ask")
        return list(await asyncio.gather(*[limited(item) for item in ("a1", "b1", "a2", "b2", "a3")]))

    assert run(main()) == pytest.approx([0, 0, 1, 1, 2], abs=1e-6)


def test_endless_keys_hold_no_more_than_were_seen_lately() -> None:
    limit = RateLimit(1, per=1, key=lambda item: item)
    most = 0

    async def main() -> None:
        nonlocal most
        limited = limit.around(now, "ask")
        for number in range(2000):
            await limited(number)
            await asyncio.sleep(0.1)
            most = max(most, len(limit._by_key))

    run(main())
    assert most <= 20


def test_a_key_that_somebody_waits_for_is_kept() -> None:
    limit = RateLimit(1, per=1, key=lambda item: item[0])

    async def main() -> None:
        limited = limit.around(now, "ask")
        waiting = [asyncio.create_task(limited("slow")) for _ in range(30)]
        for number in range(200):
            await limited(chr(1000 + number))
            await asyncio.sleep(0.1)
        assert max(await asyncio.gather(*waiting)) == pytest.approx(29, abs=1e-6)

    run(main())


def test_a_key_is_kept_as_well_when_its_bucket_is_empty_and_who_waits_has_not_gone_on_yet() -> None:
    limit = RateLimit(1, per=1, key=lambda item: item)

    async def main() -> None:
        limited = limit.around(now, "ask")

        async def another_key_then_this_one() -> Any:
            await limited("b")
            return await limited("a")

        later: list[asyncio.Task[Any]] = []
        loop = asyncio.get_running_loop()
        loop.call_at(1.0, lambda: later.append(asyncio.create_task(another_key_then_this_one())))
        assert [await limited("a"), await limited("a"), await later[0]] == [0, 1, 2]

    run(main())


def test_a_cancelled_one_has_taken_nothing() -> None:
    async def main() -> None:
        async with no_leaks():
            limited = RateLimit(1, per=10).around(now, "ask")
            await limited(1)
            waiting = [asyncio.create_task(limited(number)) for number in range(5)]
            await asyncio.sleep(1)
            for task in waiting[:4]:
                task.cancel()
            assert await waiting[4] == pytest.approx(10, abs=1e-6)

    run(main())


# --- event loops


def test_event_loops_that_come_one_after_the_other_keep_to_the_rate_together() -> None:
    limit = RateLimit(3, per=3600)

    async def began() -> int:
        limited = limit.around(now, "ask")
        done, waiting = await asyncio.wait([asyncio.create_task(limited(number)) for number in range(5)], timeout=0.01)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        return len(done)

    assert [asyncio.run(began()) for _ in range(3)] == [3, 0, 0]


def test_event_loops_side_by_side_keep_to_the_rate_together() -> None:
    limit = RateLimit(8, per=3600)
    lock = threading.Lock()
    start = threading.Barrier(4)
    began = 0

    async def begin(_: int) -> None:
        nonlocal began
        with lock:
            began += 1

    async def main() -> None:
        limited = limit.around(begin, "ask")
        tasks = [asyncio.create_task(limited(number)) for number in range(5)]
        _, waiting = await asyncio.wait(tasks, timeout=0.05)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)

    def thread() -> None:
        start.wait()
        asyncio.run(main())

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert began <= 8
    for _ in range(2):  # who was slow to be woken has taken nothing
        asyncio.run(main())
    assert began == 8
    assert (limit._only.gate.inside, len(limit._only.gate.waiting)) == (0, 0)


@pytest.mark.parametrize("key", [None, str])
def test_a_loop_with_another_clock_begins_afresh(key: Any) -> None:
    limit = RateLimit(1, per=10, key=key)

    async def main() -> Any:
        limited = limit.around(now, "ask")
        await limited(1)
        return await limited(1)

    assert [run(main()) for _ in range(3)] == [10, 10, 10]


# --- a limiter of somebody else's


def test_a_limiter_of_ones_own_is_asked_before_each_attempt() -> None:
    need("aiolimiter", "aiolimiter")
    from aiolimiter import AsyncLimiter

    async def main() -> list[float]:
        limited = RateLimit.by(AsyncLimiter(1, 1)).around(now, "ask")
        return [await limited(number) for number in range(3)]

    assert run(main()) == [0, 1, 2]


def test_what_is_no_limiter_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"(?s)has `async def acquire\(\)`.* # incorrect\n.* # correct"):
        RateLimit.by(threading.Lock())  # type: ignore[arg-type]


# --- settings


@pytest.mark.parametrize(
    ("arguments", "key"),
    [*[(given, None) for given in [(0, 1), (0.5, 1), ("1", 1), (1, 0), (1, float("inf"))]], ((1, 1), 5), ((1, 1), now)],
)
def test_what_makes_no_rate_limit_is_refused(arguments: tuple[Any, Any], key: Any) -> None:
    with pytest.raises(CompositionError, match=r"(?s) # incorrect\n.* # correct"):
        RateLimit(arguments[0], per=arguments[1], key=key)


def test_it_says_what_it_is() -> None:
    assert repr(RateLimit(100, per=1.0)) == "RateLimit(100, per=1)"
    assert repr(RateLimit(1.5, per=60, key=len)) == "RateLimit(1.5, per=60, key=len)"
