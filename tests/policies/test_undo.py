"""undo: what an item has done is taken back when it does not come through, whatever happens meanwhile."""

import asyncio
import contextvars
from typing import Any

import pytest

from rxchain import Chain, CompositionError, Failure, Retry, StopStream, Undo, node
from rxchain import operators as ops
from rxchain.policies import ErrorHandler
from rxchain.testing import no_leaks, run
from tests.policies.shop import Shop, fails_on, stuck

windows = pytest.mark.parametrize("window", [1, 16])


def noted(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


# --- what is undone


@windows
@pytest.mark.parametrize("takes", [None, 0, 1])
def test_the_last_is_undone_first(window: int, takes: float | None) -> None:
    shop = Shop()
    failures: list[Failure] = []
    chain = Chain(
        shop.does("a", takes=takes),
        shop.does("b", takes=takes),
        shop.does("c", takes=takes),
        fails_on(2),
        window=window,
    )
    assert run(chain.collect([1, 2, 3], on_error=failures.append)) == [1, 3]
    assert [entry for entry in shop.log if entry.endswith("2")] == ["a2", "b2", "c2", "unc2", "unb2", "una2"]
    assert sorted(shop.stands) == ["a1", "a3", "b1", "b3", "c1", "c3"]
    assert [(f.undone, f.stands) for f in failures] == [(("c", "b", "a"), ())]


def test_the_node_that_fails_is_undone_itself() -> None:
    shop = Shop()
    assert run(Chain(shop.does("a"), shop.does("b", 1)).collect([1], on_error="skip")) == []
    assert shop.log == ["a1", "b1", "unb1", "una1"]


def test_a_node_that_was_not_reached_is_not_undone() -> None:
    shop = Shop()
    assert run(Chain(shop.does("a"), fails_on(1), shop.does("b")).collect([1], on_error="skip")) == []
    assert shop.log == ["a1", "una1"]


def test_a_node_whose_precondition_refused_the_item_has_nothing_to_undo() -> None:
    shop = Shop()
    chain = Chain(shop.does("a", when=lambda item: item > 1, refuse="pass"), fails_on(1, 2))
    assert run(chain.collect([1, 2], on_error="skip")) == []
    assert shop.log == ["a2", "una2"]


def test_a_node_that_is_cancelled_in_the_middle_is_undone() -> None:
    shop = Shop()

    async def main() -> None:
        task = asyncio.ensure_future(Chain(shop.does("a", takes=10)).run(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert shop.log == ["a1", "una1"]


def test_a_postprocessing_that_fails_undoes_its_node_which_has_a_result_by_then() -> None:
    undone: list[Any] = []

    def then(item: int, result: int) -> None:
        raise ValueError

    @node(undo=lambda item, result: undone.append((item, result)), then=then)
    def charge(item: int) -> int:
        return item * 10

    run(Chain(charge).collect([1], on_error="skip"))
    assert undone == [(1, 10)]


def test_by_its_arguments_an_undo_is_given_the_item_or_the_result_too_which_is_none_if_there_was_none() -> None:
    seen: list[Any] = []

    async def with_result(item: int, result: str | None) -> None:
        seen.append((item, result))

    def of_item(item: int) -> None:
        seen.append(item)

    async def charge(item: int) -> str:
        if item == 2:
            raise ValueError
        return f"receipt {item}"

    paid = node(undo=with_result)(charge)
    booked = node(undo=of_item)(lambda item: item)
    run(Chain(booked, paid, fails_on("receipt 1")).collect([1, 2], on_error="skip"))
    assert seen == [(1, "receipt 1"), 1, (2, None), 2]


def test_a_plain_chain_with_an_undo_runs_on_an_event_loop() -> None:
    shop: list[int] = []
    charge = node(undo=shop.append)(lambda item: item)

    def ship(item: int) -> int:
        raise ValueError

    chain = Chain(charge, ship)
    assert chain.is_async
    assert list(chain.iterate([1, 2], on_error="skip")) == []
    assert shop == [1, 2]
    with pytest.raises(ValueError, match="undone: '<lambda>'"):
        chain.run_sync(3)
    assert shop == [1, 2, 3]


def test_what_a_retry_mends_is_not_undone() -> None:
    shop = Shop()
    tries = iter([True, False])

    async def flaky(item: int) -> int:
        if next(tries):
            raise ConnectionError
        return item

    chain = Chain(shop.does("a"), node(retry=Retry(2, wait=0))(flaky))
    assert run(chain.collect([1])) == [1]
    assert shop.log == ["a1"]


def test_the_effect_of_a_node_that_is_tried_again_is_one_effect() -> None:
    shop = Shop()
    chain = Chain(shop.does("a", 1, retry=Retry(1)).having(retry=Retry(3, wait=0)))
    run(chain.collect([1], on_error="skip"))
    assert shop.log == ["a1", "a1", "a1", "una1"]


# --- what is not


@windows
def test_what_was_delivered_is_never_undone(window: int) -> None:
    shop = Shop()

    async def main() -> None:
        stream = Chain(shop.does("a"), window=window).stream([1, 2, 3])
        assert await anext(stream) == 1
        await stream.aclose()

    run(main())
    assert "una1" not in shop.log

    async def fails() -> None:
        async for item in Chain(shop.does("b"), window=1).stream([1]):
            raise KeyError(item)

    with pytest.raises(KeyError):
        run(fails())
    assert shop.log[-1] == "b1"


def test_of_run_too_what_came_through_stands() -> None:
    shop = Shop()
    assert run(Chain(shop.does("a")).run(1)) == 1
    assert Chain(shop.does("b")).run_sync(1) == 1
    assert shop.log == ["a1", "b1"]


def test_an_observer_that_fails_has_its_item() -> None:
    shop = Shop()

    async def main() -> None:
        def take(item: int) -> None:
            raise ValueError(item)

        with pytest.raises(ValueError, match="1"):
            await Chain(shop.does("a"), window=1).execution.emit([1], take)

    run(main())
    assert shop.log == ["a1"]


def test_what_drops_an_item_is_no_failure() -> None:
    shop = Shop()
    assert run(Chain(shop.does("a"), ops.filter(lambda item: item > 1)).collect([1, 2])) == [2]
    assert shop.log == ["a1", "a2"]


def test_the_end_of_the_stream_is_no_failure() -> None:
    shop = Shop()
    assert run(Chain(shop.does("a"), ops.take_while(lambda item: item < 2), window=1).collect([1, 2, 3])) == [1]
    assert shop.log == ["a1", "a2"]


def test_items_ahead_of_an_end_are_abandoned_and_undone() -> None:
    shop = Shop()

    async def slow(item: int) -> int:
        await asyncio.sleep(1 if item == 1 else 100)
        return item

    chain = Chain(shop.does("a"), ops.map(slow, concurrency=3), ops.take_while(lambda item: False))
    assert run(chain.collect([1, 2, 3])) == []
    assert sorted(shop.stands) == ["a1"]


# --- side by side


def test_with_concurrency_each_item_has_its_own_effects() -> None:
    shop = Shop()
    chain = Chain(
        shop.does("a", takes=1, concurrency=4),
        shop.does("b", takes=2, undoing=1, concurrency=4),
        fails_on(*range(0, 20, 3)),
    )
    assert run(chain.collect(range(20), on_error="skip")) == [item for item in range(20) if item % 3]
    assert sorted(shop.stands) == sorted(f"{name}{item}" for name in "ab" for item in range(20) if item % 3)


def test_by_key_an_item_waits_for_the_undo_of_the_one_before_it() -> None:
    shop = Shop()
    log = shop.log

    async def ship(item: str) -> str:
        log.append(f"ship {item}")
        if item.endswith("1"):
            raise ValueError(item)
        return item

    chain = Chain(ops.saga(Chain(shop.does("a", takes=1, undoing=5), ship)))
    by_key = ops.retry(chain, 1, concurrency=4, by=lambda item: item[0])
    assert run(Chain(by_key).collect(["x1", "x2", "y1", "y2"], on_error="skip")) == ["x2", "y2"]
    for key in "xy":
        mine = [entry for entry in log if key in entry]
        assert mine == [f"a{key}1", f"ship {key}1", f"una{key}1", f"a{key}2", f"ship {key}2"]


def test_when_one_stops_the_stream_those_behind_it_are_abandoned_and_undone() -> None:
    shop = Shop()
    chain = Chain(shop.does("a", takes=1), node(concurrency=4)(stuck), name="c")

    async def third_fails(item: int) -> int:
        if item == 3:
            raise ValueError("the third")
        return item

    chain = Chain(shop.does("a", takes=1), third_fails, shop.does("b", takes=50, undoing=3, concurrency=4))
    with pytest.raises(ValueError, match="the third"):
        run(chain.collect(range(1, 9)))
    assert sorted(shop.stands) == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize("of", [[], [0]])
def test_while_one_that_stops_the_stream_is_undone_no_others_are_begun(of: list[int]) -> None:
    shop = Shop()

    async def main() -> None:
        with pytest.raises(ValueError, match="no 1"):
            await Chain(shop.does("a", takes=1, undoing=100), fails_on(1), slow_at_first).collect([*of, *range(1, 30)])

    run(main())
    assert [entry for entry in shop.log if entry.startswith("a")] == [f"a{n}" for n in [*of, 1, 2]]
    assert shop.stands == [f"a{n}" for n in of]


# --- the undo itself fails


@windows
def test_an_undo_that_fails_is_named_and_the_others_are_undone_all_the_same(window: int) -> None:
    shop = Shop()
    failures: list[Failure] = []
    chain = Chain(
        shop.does("a"), shop.does("b", not_undone=(1,)), shop.does("c"), fails_on(1), name="orders", window=window
    )
    assert run(chain.collect([1, 2], on_error=failures.append)) == [2]
    assert [(f.undone, f.stands) for f in failures] == [(("c", "a"), ("b",))]
    assert noted(failures[0].error) == [
        "in node 'ship' of chain 'orders', with item 1",
        "undone: 'c', 'a'",
        "the undo of 'b' failed, so what it did stands: OSError('b1 stands')",
    ]
    with pytest.raises(ValueError, match="no 1") as raised:
        run(chain.run(1))
    assert noted(raised.value) == noted(failures[0].error)


def test_two_nodes_of_one_name_are_two_effects() -> None:
    shop = Shop()
    failures: list[Failure] = []
    chain = Chain(shop.does("a"), shop.does("a", not_undone=(1,)), fails_on(1))
    run(chain.collect([1], on_error=failures.append))
    assert [(f.undone, f.stands) for f in failures] == [(("a",), ("a",))]


def test_the_same_error_object_tells_of_each_item_only_what_is_its_own() -> None:
    shop = Shop()
    failures: list[Failure] = []
    down = ConnectionError("down")

    async def ship(item: int) -> int:
        raise down

    chain = Chain(shop.does("a"), shop.does("b", when=lambda item: item > 1, refuse="pass"), ship)
    run(chain.collect([1, 2], on_error=failures.append))
    assert [f.undone for f in failures] == [("a",), ("b", "a")]
    for _ in range(300):
        with pytest.raises(ConnectionError):
            run(chain.run(1))
    assert len(noted(down)) < 10
    assert len(vars(down)["__rxchain_taken_back__"].undone) <= 100


def test_an_undo_is_tried_as_often_as_it_says() -> None:
    tries: list[float] = []

    async def refund(item: int) -> None:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) < 3:
            raise ConnectionError("busy")

    charge = node(undo=Undo(refund, retry=Retry(3, wait=2)))(fails_on(1, after=None))
    failures: list[Failure] = []
    run(Chain(charge).collect([1], on_error=failures.append))
    assert tries == [0, 2, 4]
    assert failures[0].undone == ("ship",)


def test_an_undo_that_is_tried_in_vain_stands_and_the_note_says_so() -> None:
    shop = Shop()
    failures: list[Failure] = []
    chain = Chain(shop.does("a", not_undone=(1,), retry=Retry(2, wait=1)), fails_on(1))
    run(chain.collect([1], on_error=failures.append))
    assert failures[0].stands == ("a",)


@pytest.mark.parametrize("raised", [asyncio.CancelledError, StopStream])
def test_an_undo_that_gives_up_in_its_own_way_has_failed_and_the_others_go_on(raised: type[BaseException]) -> None:
    shop = Shop()
    failures: list[Failure] = []

    async def gives_up(item: int) -> None:
        raise raised

    chain = Chain(shop.does("a"), node(name="b", undo=gives_up)(lambda item: item), fails_on(1))
    run(chain.collect([1], on_error=failures.append))
    assert [(f.undone, f.stands) for f in failures] == [(("a",), ("b",))]


@pytest.mark.leaves_behind("what an interrupt stops")
def test_an_interrupt_in_an_undo_is_one() -> None:
    def interrupted(item: int) -> None:
        raise SystemExit(3)

    chain = Chain(node(undo=interrupted)(fails_on(1, after=None)))
    with pytest.raises(SystemExit):
        asyncio.run(chain.run(1))


def told_to_the_loop(main: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []

    async def outer() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        await main()

    run(outer())
    return told


def test_of_an_item_that_is_cancelled_a_failing_undo_is_told_to_the_event_loop() -> None:
    shop = Shop()

    async def main() -> None:
        task = asyncio.ensure_future(Chain(shop.does("a", not_undone=(1,)), stuck).run(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    told = told_to_the_loop(main)
    assert [context["message"] for context in told] == [
        "an item was abandoned, and what it did in 'a' stands: its undo failed"
    ]
    assert isinstance(told[0]["exception"], OSError)


def test_so_it_is_of_one_that_failed_and_is_cancelled_meanwhile() -> None:
    shop = Shop()

    async def main() -> None:
        task = asyncio.ensure_future(Chain(shop.does("a", undoing=5, not_undone=(1,)), fails_on(1)).run(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [context["message"] for context in told_to_the_loop(main)] == [
        "an item was abandoned, and what it did in 'a' stands: its undo failed"
    ]


async def slow_at_first(item: int) -> int:
    await asyncio.sleep(0 if item else 60)
    return item


async def at_once(item: int) -> int:
    return item


def parts_of(*ahead: int) -> Any:
    """Where the program is split: the parts of an item are items of the next one."""
    return ops.flat_map(lambda item: [*ahead, item])


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("where", ["in the same program", "in a program before", "in one of several workers before"])
@pytest.mark.parametrize("how", ["close", "cancel"])
def test_so_it_is_of_one_that_waits_to_be_told_of_when_nobody_wants_more(how: str, where: str, on_error: Any) -> None:
    shop = Shop()
    fails = (shop.does("a", not_undone=(2,)), fails_on(2))
    chains: dict[str, tuple[Any, ...]] = {
        "in the same program": (*fails, slow_at_first),
        "in a program before": (ops.saga(Chain(*fails)), parts_of(), slow_at_first),
        "in one of several workers before": (at_once, ops.saga(Chain(*fails)), parts_of(), slow_at_first),
    }

    async def main() -> None:
        outputs = Chain(*chains[where]).stream([1, 0, 2, 3], on_error=on_error)
        assert await anext(outputs) == 1
        task = asyncio.ensure_future(anext(outputs))
        await asyncio.sleep(30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if how == "close":
            await outputs.aclose()

    assert [context["message"] for context in told_to_the_loop(main)] == [
        "an item was abandoned, and what it did in 'a' stands: its undo failed"
    ]


def test_so_it_is_of_one_whose_error_came_when_another_had_ended_the_stream() -> None:
    shop = Shop()

    async def reacts(item: int) -> int:
        if item == 2:
            await asyncio.sleep(1)
            raise KeyError("first")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("second") from None
        return item

    async def main() -> None:
        chain = Chain(shop.does("a", not_undone=(3,)), ops.map(reacts, concurrency=2, ordered=False))
        with pytest.raises(KeyError, match="first") as raised:
            await chain.collect([2, 3])
        assert "another item failed, too: ValueError('second')" in noted(raised.value)

    assert [context["message"] for context in told_to_the_loop(main)] == [
        "an item was abandoned, and what it did in 'a' stands: its undo failed"
    ]


# --- nothing reaches it


@windows
@pytest.mark.parametrize("how", ["cancel", "twice", "timeout", "close"])
def test_whatever_ends_the_run_an_undo_is_finished_and_awaited(how: str, window: int) -> None:
    shop = Shop()
    now: list[float] = []

    async def main() -> None:
        async with no_leaks():
            # 1 is delivered; 2 fails at 1 and is being undone until 11
            chain = Chain(
                shop.does("a", takes=None, undoing=5),
                shop.does("b", takes=None, undoing=5),
                fails_on(2, after=1),
                window=window,
            )
            stream = chain.stream([1, 2])
            assert await anext(stream) == 1

            async def rest() -> None:
                with pytest.raises(ValueError, match="no 2"):
                    await anext(stream)

            if how == "timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3):
                        await anext(stream)
            else:
                task = asyncio.ensure_future(rest())
                await asyncio.sleep(3)
                if how == "close":
                    if window == 1:
                        await task  # a generator that runs cannot be closed
                    else:
                        task.cancel()
                else:
                    task.cancel()
                if how == "twice":
                    await asyncio.sleep(1)
                    task.cancel()
                await asyncio.wait([task])
            now.append(asyncio.get_running_loop().time())
            await stream.aclose()

    run(main())
    assert shop.log == ["a1", "b1", "a2", "b2", "unb2", "una2"] or sorted(shop.stands) == ["a1", "b1"]
    assert now[0] >= 11


def test_a_stream_is_closed_when_the_items_in_flight_are_undone() -> None:
    shop = Shop()

    async def main() -> None:
        async with no_leaks():
            chain = Chain(
                shop.does("a", takes=None, undoing=5), node(name="later", concurrency=3)(fails_on(after=2)), stuck
            )
            stream = Chain(chain, window=3).stream([1, 2, 3])
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            assert shop.log == ["a1", "a2", "a3", "una1", "una2", "una3"]
            await stream.aclose()

    run(main())


def test_an_undo_sees_the_context_of_its_item() -> None:
    order = contextvars.ContextVar("order", default="none")
    seen: list[str] = []

    @node(undo=lambda item: seen.append(order.get()))
    async def charge(item: int) -> int:
        order.set(f"order {item}")
        await asyncio.sleep(1)
        return item

    run(Chain(charge, fails_on(1, 2), window=4).collect([1, 2], on_error="skip"))
    assert seen[1:] == ["order 2"]


@windows
def test_an_undo_that_hangs_has_failed_when_its_time_is_over_and_the_others_are_undone(window: int) -> None:
    shop = Shop()
    failures: list[Failure] = []
    chain = Chain(
        shop.does("a"), node(name="b", undo=Undo(stuck, timeout=5))(lambda item: item), fails_on(1), window=window
    )

    async def main() -> float:
        assert await chain.collect([1, 2], on_error=failures.append) == [2]
        return asyncio.get_running_loop().time()

    assert run(main()) == 5
    assert [(f.undone, f.stands) for f in failures] == [(("a",), ("b",))]
    said = "the undo of 'b' failed, so what it did stands: TimeoutError("
    assert [note for note in noted(failures[0].error) if note.startswith(said)] == [
        f"{said}\"the undo of 'b' has not answered within 5 s, and was cancelled\")"
    ]


def test_each_try_of_an_undo_has_its_time() -> None:
    tries: list[float] = []

    async def refund(item: int) -> None:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) < 3:
            await asyncio.sleep(3600)

    charge = node(undo=Undo(refund, retry=Retry(3, wait=2), timeout=5))(fails_on(1, after=None))
    failures: list[Failure] = []
    run(Chain(charge).collect([1], on_error=failures.append))
    assert tries == [0, 7, 14]
    assert (failures[0].undone, failures[0].stands) == (("ship",), ())


def test_of_a_cancelled_item_too_an_undo_that_hangs_holds_nobody_for_longer_than_its_time() -> None:
    told: list[Any] = []

    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await Chain(node(name="b", undo=Undo(stuck, timeout=5))(lambda item: item), stuck).run(1)
        return loop.time()

    assert run(main()) == 6
    assert told == ["an item was abandoned, and what it did in 'b' stands: its undo failed"]


def test_a_timeout_of_an_undo_is_seconds_and_for_what_can_be_interrupted() -> None:
    for wrong in (0, -1, True, "5"):
        with pytest.raises(CompositionError, match="Undo: timeout must be a number of seconds above 0"):
            Undo(stuck, timeout=wrong)  # type: ignore[arg-type]
    with pytest.raises(CompositionError, match="nothing can interrupt a plain function, so 'print' takes no timeout"):
        Undo(print, timeout=5)


def test_an_undo_may_use_a_timeout_of_its_own() -> None:
    undone: list[int] = []

    async def refund(item: int) -> None:
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(10)
        except TimeoutError:
            undone.append(item)

    run(Chain(node(undo=refund)(fails_on(1))).collect([1], on_error="skip"))
    assert undone == [1]


@pytest.mark.leaves_behind("what the end of the program cancels")
@pytest.mark.parametrize("undoing", [False, True])
def test_the_end_of_the_program_waits_for_what_is_undone(undoing: bool) -> None:
    log: list[str] = []

    async def undo(item: int) -> None:
        log.append("begun")
        await asyncio.sleep(0.001)
        log.append("undone")

    async def main() -> None:
        chain = Chain(node(undo=undo)(lambda item: item), node(undo=undo)(fails_on(1) if undoing else stuck))
        running = asyncio.ensure_future(chain.run(1))
        while len(log) < undoing:  # noqa: ASYNC110 (two places log)
            await asyncio.sleep(0)
        assert not running.done()

    asyncio.run(main())
    # One that runs already is cancelled with all else that runs, and its effect stands; the others are undone.
    assert log == ["begun", "begun", "undone"] if undoing else ["begun", "undone", "begun", "undone"]


# --- what cannot be


@pytest.mark.parametrize(
    ("behind", "named"),
    [
        (ops.batch(2), "batch"),
        (ops.concat_map(lambda item: [item]), "concat_map"),
        (ops.reduce(lambda a, b: a), "reduce"),
        (ops.take(2), "take"),
        (ops.debounce(1), "debounce"),
        (ops.start_with(0), "start_with"),
        (node(name="many")(lambda item: (yield item)), "many"),
    ],
)
def test_behind_an_undo_an_item_stays_one_item(behind: Any, named: str) -> None:
    shop = Shop()
    with pytest.raises(
        CompositionError, match=rf"'a' declares an undo, and behind it '{named}' makes(?s:.*)ops.saga\(a\)"
    ):
        run(Chain(shop.does("a"), behind).collect([1]))
    assert shop.log == []
    assert len(run(Chain(ops.saga(shop.does("a")), behind).collect([1, 2]))) >= 1
    assert shop.log[0] == "a1"


def test_before_it_anything_may_stand() -> None:
    shop = Shop()
    chain = Chain(ops.unbatch(), ops.batch(1), ops.delay(1), ops.unbatch(), shop.does("a"), fails_on(2))
    assert run(chain.collect([[1, 2], [3]], on_error="skip")) == [1, 3]
    assert sorted(shop.stands) == ["a1", "a3"]


def test_what_gives_several_results_of_what_may_have_to_be_undone_stands_last() -> None:
    shop = Shop()
    part = ops.retry(Chain(ops.unbatch(), shop.does("a")), 1)
    with pytest.raises(CompositionError, match="'retry' declares an undo, and gives something else"):
        run(Chain(part, fails_on(2)).collect([[1, 2]]))
    assert run(Chain(part).collect([[1, 2]])) == [1, 2]


def test_a_generator_has_no_undo() -> None:
    with pytest.raises(CompositionError, match="a generator's items go on one by one"):

        @node(undo=print)
        def several(item: int) -> Any:
            yield item


@pytest.mark.parametrize("given", [3, lambda: None, lambda a, b, c: None])
def test_an_undo_is_a_function_of_the_item_or_of_the_item_and_the_result(given: Any) -> None:
    with pytest.raises(CompositionError, match="an undo is a function of the item"):
        node(undo=given)(stuck)


def test_more_nodes_than_python_nests_are_refused_with_an_undo_before_them() -> None:
    shop = Shop()
    many = [ops.filter(bool)] * 120
    with pytest.raises(CompositionError, match="'a' declares an undo, and behind it stand more steps"):
        run(Chain(shop.does("a"), *many).collect([1]))
    assert run(Chain(*many, shop.does("a"), fails_on(2)).collect([1, 2], on_error="skip")) == [1]
    assert shop.stands == ["a1"]


@windows
def test_behind_it_may_stand_many_nodes_that_branch(window: int) -> None:
    shop = Shop()

    def branch(k: int) -> Any:
        return node(when=lambda item: item % k, refuse="pass", name=f"n{k}")(fails_on(k * 7))

    branches = [branch(k) for k in range(2, 14)]
    chain = Chain(shop.does("a"), *branches, fails_on(5), window=window)
    assert "stays a call" not in chain.execution.explanation()
    assert len(chain.program().splitlines()) < 500  # not twice as many for each
    plain = [item for item in range(30) if item != 5]
    expected = run(Chain(*branches, window=1).collect(plain, on_error="skip"))
    assert run(chain.collect(range(30), on_error="skip")) == expected
    assert sorted(shop.stands) == sorted(f"a{item}" for item in expected)
    assert run(chain.run(8)) == 8


# --- switched off, or declared for all


def test_an_error_handler_may_say_that_nothing_is_undone() -> None:
    shop = Shop()
    steps = (shop.does("a"), ops.retry(shop.does("b"), 1), Chain(shop.does("c"), name="part"), fails_on(1))
    chain = Chain(*steps, on_error=ErrorHandler(undo=False))
    assert run(chain.collect([1])) == []
    assert run(Chain(*steps).collect([1], on_error=ErrorHandler(undo=False))) == []
    assert shop.log == ["a1", "b1", "c1"] * 2
    assert run(Chain(*steps).collect([1], on_error=ErrorHandler())) == []
    assert shop.log[-3:] == ["unc1", "unb1", "una1"]


def test_it_reads_as_it_was_declared() -> None:
    async def refund(item: int) -> None: ...

    assert repr(Undo(refund)) == "Undo(refund)"
    assert repr(Undo(refund, retry=3)) == f"Undo(refund, retry={Retry(3)!r})"
    assert repr(Undo(refund, timeout=5)) == "Undo(refund, timeout=5)"
    assert Undo(refund, retry=3) == Undo(refund, retry=Retry(3))
    assert Undo(refund, timeout=5) != Undo(refund)
    assert hash(Undo(refund)) == hash(Undo(refund, retry=3))
    assert Undo(refund) != Undo(refund, retry=3)
    assert node(undo=refund)(stuck) == node(undo=refund)(stuck)


# --- on other hosts


def test_disposing_of_a_subscription_waits_for_the_undo() -> None:
    import reactivex
    from reactivex.subject import Subject

    shop = Shop()
    source: Subject[int] = Subject()
    got: list[int] = []
    assert reactivex
    subscription = source.pipe(Chain(shop.does("a", takes=None, undoing=0.02), stuck)).subscribe(got.append)
    source.on_next(1)
    while not shop.log:
        pass
    subscription.dispose()  # from another thread than the loop's: it waits
    assert shop.log == ["a1", "una1"]


def test_disposed_on_the_loop_it_is_undone_behind() -> None:
    from reactivex.subject import Subject

    from rxchain import disposed

    shop = Shop()

    async def main() -> None:
        async with no_leaks():
            source: Subject[int] = Subject()
            subscription = source.pipe(Chain(shop.does("a", takes=None, undoing=5), stuck)).subscribe()
            source.on_next(1)
            await asyncio.sleep(1)
            subscription.dispose()
            await disposed()
            assert shop.log == ["a1", "una1"]

    run(main())


def test_disposing_of_an_aioreactive_subscription_awaits_the_undo() -> None:
    import aioreactive

    shop = Shop()

    async def main() -> None:
        async with no_leaks():
            source: Any = aioreactive.AsyncSubject()
            subscription = await Chain(shop.does("a", takes=None, undoing=5), stuck)(source).subscribe_async(
                aioreactive.AsyncAnonymousObserver()
            )
            asend = asyncio.ensure_future(source.asend(1))
            await asyncio.sleep(1)
            await subscription.dispose_async()
            assert shop.log == ["a1", "una1"]
            asend.cancel()
            await asyncio.wait([asend])

    run(main())


def test_cancelling_a_reactive_streams_subscription_undoes_what_is_on_its_way() -> None:
    shop = Shop()

    async def main() -> None:
        async with no_leaks():
            stream = Chain(shop.does("a", takes=None, undoing=5), stuck).publisher([1])

            class Subscriber:
                def on_subscribe(self, subscription: Any) -> None:
                    self.subscription = subscription
                    subscription.request(1)

                def on_next(self, item: Any) -> None: ...
                def on_error(self, error: BaseException) -> None: ...
                def on_complete(self) -> None: ...

            subscriber = Subscriber()
            stream.subscribe(subscriber)
            await asyncio.sleep(1)
            subscriber.subscription.cancel()
            await asyncio.sleep(10)
            assert shop.log == ["a1", "una1"]

    run(main())
