"""Replaying letters: through the rest of the chain or all of it, settled when they have gone through."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchain import Chain, Graph, node
from rxchain import operators as ops
from rxchain.policies import DeadLetterFile, DeadLetters, Opaque, Replayed
from rxchain.policies._dead_lock import locked
from rxchain.testing import run


class Service:
    """Counts what is done for whom, and refuses whom it is told to."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.done: list[str] = []

    def step(self, name: str) -> Any:
        @node(name=name)
        async def call(item: str) -> str:
            await asyncio.sleep(0)
            if name in self.down or f"{name} {item}" in self.down:
                raise ConnectionError(f"{name} is down")
            self.done.append(f"{name} {item}")
            return item

        return call

    def chain(self, *names: str) -> Chain[str, str]:
        return Chain(*map(self.step, names), name="orders")


@pytest.fixture
def file(tmp_path: Path) -> DeadLetterFile:
    return DeadLetterFile(tmp_path / "dead.jsonl")


def outcomes(done: list[Replayed]) -> list[tuple[Any, str]]:
    return [(each.letter.item, each.outcome) for each in done]


def test_from_the_node_what_has_been_done_is_not_done_again(file: DeadLetterFile) -> None:
    service = Service()
    chain = service.chain("fetch", "charge", "store")
    service.down = {"charge"}
    assert run(chain.collect("ab", on_error=DeadLetters(file))) == []
    service.down, service.done = set(), []
    results: list[str] = []
    assert outcomes(run(file.replay(chain, emit=results.append))) == [("a", "settled"), ("b", "settled")]
    assert service.done == ["charge a", "store a", "charge b", "store b"]
    assert results == ["a", "b"]
    assert file.count() == (0, 2)


def test_from_the_start_all_is_done(file: DeadLetterFile) -> None:
    service = Service()
    chain = service.chain("fetch", "charge")
    service.down = {"charge"}
    run(chain.collect("a", on_error=DeadLetters(file)))
    service.down, service.done = set(), []
    run(file.replay(chain, from_="start"))
    assert service.done == ["fetch a", "charge a"]


def test_what_fails_again_stays_with_its_attempts_where_it_has_got_to(file: DeadLetterFile) -> None:
    service = Service()
    chain = service.chain("fetch", "charge", "store")
    service.down = {"charge"}
    run(chain.collect("a", on_error=DeadLetters(file, source="orders.txt", key=str.upper)))
    (first,) = file
    service.down = {"store"}
    (done,) = run(file.replay(chain))
    assert (done.outcome, done.why) == (
        "failed",
        "orders.txt, item 0, key 'A': node 'store': ConnectionError: store is down",
    )
    (again,) = file
    assert (again.id, again.node, again.item, again.value, again.attempts) == (first.id, "store", "a", "a", 2)
    assert (again.place, again.message) == (first.place, "store is down")
    assert again.time >= first.time
    service.down = set()
    assert outcomes(run(file.replay(chain))) == [("a", "settled")]
    assert service.done == ["fetch a", "charge a", "store a"]


@given(
    st.lists(st.sampled_from(["fetch", "charge", "store", ""]), min_size=1, max_size=8),
    st.lists(st.sets(st.sampled_from(["fetch", "charge", "store"])), max_size=5),
)
def test_in_the_end_everything_is_done_once_and_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, fails_at: list[str], then_down: list[set[str]]
) -> None:
    """However often it is replayed, and whatever is down meanwhile."""
    file = DeadLetterFile(tmp_path_factory.mktemp("laws") / "dead.jsonl")
    service = Service()
    chain = service.chain("fetch", "charge", "store")
    service.down = {f"{name} {n}" for n, name in enumerate(fails_at)}
    run(chain.collect([str(n) for n in range(len(fails_at))], on_error=DeadLetters(file)))
    for down in [*then_down, set[str]()]:
        service.down = down
        if Path(file.path).exists():
            run(file.replay(chain))
            file.purge()
    for n in range(len(fails_at)):
        assert [did for did in service.done if did.endswith(f" {n}")] == [
            f"{s} {n}" for s in ("fetch", "charge", "store")
        ]
    assert not Path(file.path).exists() or file.count() == (0, 0)


def test_only_letters_that_are_asked_for_are_replayed(file: DeadLetterFile) -> None:
    service = Service()
    chain = service.chain("charge")
    service.down = {"charge"}
    run(chain.collect("abc", on_error=DeadLetters(file)))
    service.down = set()
    ids = [letter.id for letter in file]
    with pytest.raises(KeyError, match="has no open letter 'nobody'"):
        run(file.replay(chain, ids=[ids[0], "nobody"]))
    assert service.done == []
    assert outcomes(run(file.replay(chain, ids=[ids[1]]))) == [("b", "settled")]
    assert [letter.item for letter in file] == ["a", "c"]


def test_letters_of_another_chain_are_left_alone(file: DeadLetterFile) -> None:
    service = Service()
    service.down = {"charge"}
    run(Chain(service.step("charge"), name="others").collect("x", on_error=DeadLetters(file)))
    run(service.chain("charge").collect("a", on_error=DeadLetters(file)))
    service.down = set()
    chain = service.chain("charge")
    assert outcomes(run(file.replay(chain))) == [("a", "settled")]
    (left,) = file
    (done,) = run(file.replay(chain, ids=[left.id]))
    assert (done.outcome, done.why) == ("refused", "it is of chain 'others', and this is chain 'orders'")


def test_a_node_that_is_not_there_or_there_twice_is_refused_with_what_to_do(file: DeadLetterFile) -> None:
    service = Service()
    service.down = {"charge"}
    run(service.chain("charge").collect("a", on_error=DeadLetters(file)))
    (gone,) = run(file.replay(service.chain("fetch", "store")))
    assert gone.why == "chain 'orders' has no node 'charge'; it has 'fetch', 'store'"
    (twice,) = run(file.replay(service.chain("charge", "charge")))
    assert "2 steps of chain 'orders' are called 'charge': give each a name of its own" in twice.why
    assert service.done == []
    service.down = set()
    assert outcomes(run(file.replay(service.chain("charge", "charge"), from_="start"))) == [("a", "settled")]


def test_a_node_of_a_chain_within_is_found_by_its_whole_name(file: DeadLetterFile) -> None:
    service = Service()
    pricing = Chain(service.step("tax"), service.step("round"), name="pricing")
    unnamed = Chain(service.step("a"), Chain(service.step("b"), name="deep"))
    chain = Chain(service.step("tax"), pricing, unnamed, service.step("store"), name="orders")
    for where, rest in (
        ("pricing/round", ["round x", "a x", "b x", "store x"]),
        ("deep/b", ["b x", "store x"]),
        ("a", ["a x", "b x", "store x"]),
        ("store", ["store x"]),
    ):
        service.down = {where.rpartition("/")[2]}
        run(chain.collect("x", on_error=DeadLetters(file)))
        (letter,) = file
        assert letter.node == where
        service.down, service.done = {"store"} - service.down, []
        (first,) = run(file.replay(chain))
        assert first.outcome == ("settled" if where == "store" else "failed")
        if where != "store":
            assert [again.node for again in file] == ["store"]  # not orders/store
            service.down = set()
            run(file.replay(chain))
        assert service.done == rest
        file.purge(all=True)


def test_a_node_in_a_part_or_a_graph_goes_through_all_of_that_again(file: DeadLetterFile) -> None:
    service = Service()
    paid = Chain(service.step("check"), service.step("charge"))
    parts = Chain(service.step("fetch"), ops.retry(paid, 2), ops.retry(service.step("ship"), 2), name="orders")
    nested = Chain(service.step("fetch"), Chain(ops.saga(ops.catch(paid, 0, on=KeyError)), name="pay"), name="orders")
    told = Graph(service.step("mail"), node(name="log", after="mail")(lambda item: item))
    graph = Chain(service.step("fetch"), Chain(told, name="tell"), service.step("ship"), name="orders")
    for chain, down, where, again in (
        (parts, "charge", "retry/charge", ["check a", "charge a", "ship a"]),
        (parts, "ship", "retry/ship", ["ship a"]),
        (nested, "charge", "pay/saga/catch/charge", ["check a", "charge a"]),
        (graph, "mail", "tell/graph/mail", ["mail a", "ship {'mail': 'a', 'log': 'a'}"]),
    ):
        service.down = {down}
        run(chain.collect("a", on_error=DeadLetters(file)))
        (letter,) = file
        assert (letter.node, letter.value) == (where, "a")
        service.down, service.done = set(), []
        assert outcomes(run(file.replay(chain))) == [("a", "settled")]
        assert service.done == again
        file.purge()


def test_where_two_parts_have_nodes_of_one_name_it_is_not_known_which(file: DeadLetterFile) -> None:
    service = Service()
    service.down = {"charge"}
    part = ops.retry(service.step("charge"), 1)
    chain = Chain(part, part, name="orders")
    run(chain.collect("a", on_error=DeadLetters(file)))
    (twice,) = run(file.replay(chain))
    assert "2 steps of chain 'orders' are called 'retry/charge': give each a name of its own" in twice.why


def test_what_was_undone_in_the_part_is_done_again_with_it(file: DeadLetterFile) -> None:
    bank = Bank()
    chain = Chain(bank.step("order"), ops.retry(Chain(bank.step("pay"), bank.step("ship")), 1), name="orders")
    bank.down = {"ship", "unorder"}
    run(chain.collect("a", on_error=DeadLetters(file)))
    assert [(letter.node, letter.undone, letter.stands) for letter in file] == [
        ("retry/ship", ("ship", "pay"), ("order",))
    ]
    bank.down, bank.done = set(), []
    assert outcomes(run(file.replay(chain))) == [("a", "settled")]
    assert bank.done == ["pay a", "ship a"]


def test_each_result_that_fails_again_has_a_letter(file: DeadLetterFile) -> None:
    service = Service()
    chain = Chain(service.step("fetch"), ops.flat_map(str.split), service.step("store"), name="orders")
    service.down = {"fetch"}
    run(chain.collect(["a b c"], on_error=DeadLetters(file)))
    service.down = {"store a", "store c"}
    assert outcomes(run(file.replay(chain))) == [("a b c", "failed")]
    assert [(letter.value, letter.item, letter.attempts) for letter in file] == [("a", "a b c", 2), ("c", "a b c", 2)]
    assert len({letter.id for letter in file}) == 2
    service.down = set()
    assert len(run(file.replay(chain))) == 2
    assert service.done == ["fetch a b c", "store b", "store a", "store c"]


@dataclass
class Order:
    number: int


def test_values_come_back_for_the_replay_and_what_does_not_is_refused(file: DeadLetterFile) -> None:
    seen: list[object] = []

    def fail(item: object) -> None:
        raise ValueError

    broken: Chain[Any, Any] = Chain(ops.map(lambda item: item), node(fail, name="look"), name="orders")  # type: ignore[call-overload]
    mended: Chain[Any, Any] = Chain(ops.map(lambda item: item), node(name="look")(seen.append), name="orders")
    lost = object()
    run(broken.collect([Order(1), {1, 2}, lost], on_error=DeadLetters(file)))
    assert [(d.outcome, d.why) for d in run(file.replay(mended))] == [
        ("settled", ""),
        ("settled", ""),
        ("refused", f"what entered the node is only here as text: {lost!r}"),
    ]
    assert seen == [Order(1), {1, 2}]
    (refused,) = run(file.replay(mended, from_="start"))
    assert refused.why == f"its item is only here as text: {lost!r}"
    assert [letter.value for letter in file] == [Opaque(repr(lost))]


def test_what_was_undone_has_to_go_from_the_start(file: DeadLetterFile) -> None:
    done: list[str] = []
    down = [True]

    @node(undo=lambda item, result: done.append(f"refund {item}"))
    def charge(item: str) -> str:
        done.append(f"charge {item}")
        return item

    def store(item: str) -> str:
        if down:
            raise OSError("no room")
        done.append(f"store {item}")
        return item

    chain = Chain(charge, store, name="orders")
    assert list(chain.iterate("a", on_error=DeadLetters(file))) == []
    assert done == ["charge a", "refund a"]
    (refused,) = run(file.replay(chain))
    assert refused.why == "what charge had done was undone: it has to go from the start"
    down.clear()
    assert outcomes(run(file.replay(chain, from_="start"))) == [("a", "settled")]
    assert done == ["charge a", "refund a", "charge a", "store a"]


def test_a_replay_that_is_undone_leaves_the_letter_where_it_was(file: DeadLetterFile) -> None:
    done: list[str] = []
    down = {"charge"}

    @node(undo=lambda item, result: done.append(f"refund {item}"))
    def charge(item: str) -> str:
        if "charge" in down:
            raise OSError("charge is down")
        done.append(f"charge {item}")
        return item

    def store(item: str) -> str:
        if "store" in down:
            raise OSError("no room")
        done.append(f"store {item}")
        return item

    chain = Chain(charge, store, name="orders")
    assert list(chain.iterate("a", on_error=DeadLetters(file))) == []
    down.clear()
    down.add("store")
    assert outcomes(run(file.replay(chain))) == [("a", "failed")]
    (letter,) = file
    assert (letter.node, letter.message) == ("charge", "no room")
    down.clear()
    assert outcomes(run(file.replay(chain))) == [("a", "settled")]
    assert done == ["refund a", "charge a", "refund a", "charge a", "store a"]


class Bank:
    """Charges, and cannot refund; what is down fails before it has done anything."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.done: list[str] = []

    def call(self, name: str, item: str) -> str:
        if name in self.down:
            raise ConnectionError(f"{name} is down")
        self.done.append(f"{name} {item}")
        return item

    def step(self, name: str) -> Any:
        return node(name=name, undo=lambda item: self.call(f"un{name}", item))(lambda item: self.call(name, item))


CANNOT = "could not be undone, and would be done a second time; once that is seen to: force=True, or --force"


def test_what_stands_is_not_done_again_from_the_start_unless_forced(file: DeadLetterFile) -> None:
    bank = Bank()
    chain = Chain(bank.step("charge"), bank.step("ship"), name="orders")
    bank.down = {"ship", "uncharge"}
    assert list(chain.iterate("a", on_error=DeadLetters(file))) == []
    bank.down = set()
    (refused,) = run(file.replay(chain, from_="start"))
    assert (refused.outcome, refused.why) == ("refused", f"what charge did {CANNOT}")
    assert bank.done == ["charge a", "unship a"]
    assert outcomes(run(file.replay(chain, from_="start", force=True))) == [("a", "settled")]
    assert bank.done == ["charge a", "unship a", "charge a", "ship a"]


def test_from_the_node_what_stands_ahead_of_it_is_built_on(file: DeadLetterFile) -> None:
    bank = Bank()
    chain = Chain(Chain(bank.step("charge"), name="paid"), ops.retry(bank.step("pack"), 1), bank.step("ship"), name="o")
    bank.down = {"ship", "uncharge", "unpack"}
    assert list(run(chain.collect("a", on_error=DeadLetters(file)))) == []
    assert [letter.stands for letter in file] == [("pack", "charge")]
    bank.down = set()
    assert outcomes(run(file.replay(chain))) == [("a", "settled")]
    assert bank.done == ["charge a", "pack a", "unship a", "ship a"]


def test_what_the_failed_node_itself_may_have_done_and_could_not_undo_is_not_done_again(file: DeadLetterFile) -> None:
    bank = Bank()
    chain = Chain(Chain(bank.step("charge"), name="paid"), name="orders")
    bank.down = {"charge", "uncharge"}
    assert list(chain.iterate("a", on_error=DeadLetters(file))) == []
    assert [(letter.node, letter.stands) for letter in file] == [("paid/charge", ("charge",))]
    bank.down = set()
    (refused,) = run(file.replay(chain))
    assert (refused.outcome, refused.why) == ("refused", f"what charge did {CANNOT}")
    assert outcomes(run(file.replay(chain, force=True))) == [("a", "settled")]
    assert bank.done == ["charge a"]


def test_what_the_failed_node_of_a_chain_within_has_undone_is_made_again_from_there(file: DeadLetterFile) -> None:
    bank = Bank()
    chain = Chain(Chain(bank.step("charge"), name="paid"), name="orders")
    bank.down = {"charge"}
    assert list(chain.iterate("a", on_error=DeadLetters(file))) == []
    bank.down = set()
    assert outcomes(run(file.replay(chain))) == [("a", "settled")]


def test_what_a_replay_could_not_undo_stays_said(file: DeadLetterFile) -> None:
    bank = Bank()
    chain = Chain(*map(bank.step, ("charge", "pack", "ship")), name="orders")
    bank.down = {"charge"}
    assert list(chain.iterate("a", on_error=DeadLetters(file))) == []
    bank.down = {"ship", "uncharge"}  # it gets further, and what it has done cannot all be undone
    assert outcomes(run(file.replay(chain))) == [("a", "failed")]
    assert [(letter.node, letter.stands) for letter in file] == [("charge", ("charge",))]
    bank.down = set()
    assert [done.why for done in run(file.replay(chain))] == [f"what charge did {CANNOT}"]


def test_a_result_that_cannot_be_kept_ends_the_replay_and_settles_nothing(file: DeadLetterFile) -> None:
    service = Service()
    chain = service.chain("charge")
    service.down = {"charge"}
    run(chain.collect("ab", on_error=DeadLetters(file)))
    service.down = set()

    def full(result: str) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(file.replay(chain, emit=full))
    assert file.count() == (2, 0)


def test_what_the_stream_as_a_whole_fails_of_is_a_failure_of_the_letter(file: DeadLetterFile) -> None:
    service = Service()
    service.down = {"charge"}
    run(service.chain("charge").collect("a", on_error=DeadLetters(file)))
    service.down = set()
    (done,) = run(file.replay(Chain(service.step("charge"), ops.filter(lambda item: False), ops.last(), name="orders")))
    assert done.outcome == "failed"
    assert "EmptyStream" in done.why
    assert [letter.attempts for letter in file] == [2]


def test_from_the_start_only_where_the_item_is_the_sources(file: DeadLetterFile) -> None:
    def fail(batch: list[str]) -> None:
        raise ValueError

    chain: Chain[Any, Any] = Chain(str.strip, ops.batch(2, within=1.0), fail, name="orders")
    run(chain.collect("abc", on_error=lambda failure: DeadLetters(file)(failure)))
    assert [letter.value for letter in file] == [["a", "b"], ["c"]]
    (first, _) = run(file.replay(chain, from_="start"))
    assert first.why == "'batch' takes the stream as a whole: whose item it was, nobody knows behind it"
    mended: Chain[Any, Any] = Chain(str.strip, ops.batch(2, within=1.0), node(name="fail")("".join), name="orders")
    results: list[str] = []
    assert {done.outcome for done in run(file.replay(mended, emit=results.append))} == {"settled"}
    assert results == ["ab", "c"]


def test_a_replay_that_is_cancelled_leaves_its_letter_open_and_its_lock_free(file: DeadLetterFile) -> None:
    service = Service()
    service.down = {"charge"}
    run(service.chain("charge").collect("a", on_error=DeadLetters(file)))
    stuck: Chain[str, str] = Chain(node(name="charge")(_never), name="orders")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await file.replay(stuck)

    run(main())
    assert file.count() == (1, 0)
    service.down = set()
    assert outcomes(run(file.replay(service.chain("charge")))) == [("a", "settled")]


async def _never(item: str) -> str:
    await asyncio.Event().wait()
    return item


def test_one_replay_of_a_file_at_a_time(file: DeadLetterFile) -> None:
    service = Service()
    service.down = {"charge"}
    chain = service.chain("charge")
    run(chain.collect("a", on_error=DeadLetters(file)))
    with locked(f"{file.path}.replay.lock"), pytest.raises(BlockingIOError):
        run(file.replay(chain))
    assert service.done == []
