"""A chain on a reactivex Observable: the grammar is kept whatever the source, the observer or another thread does."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import reactivex
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.scheduler import NewThreadScheduler
from reactivex.subject import Subject

from rxchain import Chain, Stage, node, operator
from rxchain import operators as ops


def inc(x: int) -> int:
    return x + 1


def ten_times(x: int) -> int:
    return x * 10


def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


class Seen:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def to(self, observable: Any) -> Any:
        return observable.subscribe(self.log.append, lambda e: self.log.append(f"# {e}"), lambda: self.log.append("|"))


def hostile(*signals: Any, disposed: list[str] | None = None) -> Any:
    """Sends what it is told, end or no end: "|" completes, an exception fails."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        for signal in signals:
            if signal == "|":
                observer.on_completed()
            elif isinstance(signal, Exception):
                observer.on_error(signal)
            else:
                observer.on_next(signal)
        return Disposable(lambda: disposed.append("disposed") if disposed is not None else None)

    class Raw(reactivex.Observable[Any]):  # no safety net around the observer
        def _subscribe_core(self, observer: Any, scheduler: Any = None) -> Any:
            return subscribe(observer, scheduler)

        def subscribe(self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **_: Any) -> Any:
            from reactivex.observer import Observer

            raw = Observer(on_next, on_error, on_completed)
            raw.is_stopped = False
            emitter: Any = type("Emitter", (), {})()
            emitter.on_next, emitter.on_error, emitter.on_completed = on_next, on_error, on_completed
            return subscribe(emitter)

    return Raw()


def test_pipe_takes_a_chain_among_other_operators() -> None:
    seen = Seen()
    chain = Chain(inc, ops.batch(2))
    seen.to(reactivex.of(1, 2, 3).pipe(rx.map(ten_times), chain, rx.map(len)))
    assert seen.log == [2, 1, "|"]


def test_a_single_operator_and_a_node_can_be_piped_too() -> None:
    seen = Seen()
    seen.to(reactivex.of(1, 2, 3).pipe(ops.take(2), node(inc)))  # type: ignore[call-overload]
    assert seen.log == [2, 3, "|"]


def test_items_pass_as_they_come() -> None:
    seen, subject = Seen(), Subject[int]()
    seen.to(subject.pipe(Chain(inc)))
    subject.on_next(1)
    assert seen.log == [2]
    subject.on_next(2)
    subject.on_completed()
    assert seen.log == [2, 3, "|"]


def test_two_subscriptions_share_no_state() -> None:
    subject = Subject[int]()
    piped = subject.pipe(Chain(ops.enumerate(), ops.take(2)))
    one, other = Seen(), Seen()
    one.to(piped)
    subject.on_next(5)
    other.to(piped)
    subject.on_next(6)
    subject.on_next(7)
    assert one.log == [(0, 5), (1, 6), "|"]
    assert other.log == [(0, 6), (1, 7), "|"]


def test_nothing_follows_the_end() -> None:
    for signals, log in [
        ((1, "|", 2, "|"), [2, "|"]),
        ((1, ValueError("e"), 2, "|", ValueError("f")), [2, "# e"]),
        ((1, "|", ValueError("e")), [2, "|"]),
        ((3, 2), ["# three"]),
    ]:
        seen = Seen()
        chain = Chain(fail_on_three, inc) if log == ["# three"] else Chain(inc)
        seen.to(hostile(*signals).pipe(chain))
        assert seen.log == log


def test_a_failure_upstream_flushes_nothing() -> None:
    seen = Seen()
    seen.to(hostile(1, ValueError("e")).pipe(Chain(ops.batch(5))))
    assert seen.log == ["# e"]


def test_an_early_end_disposes_of_the_source_once() -> None:
    disposed: list[str] = []
    seen = Seen()
    seen.to(hostile(1, 2, 3, disposed=disposed).pipe(Chain(ops.take(2))))
    assert seen.log == [1, 2, "|"]
    assert disposed == ["disposed"]


def test_a_chain_that_ends_before_its_first_item_does_not_subscribe() -> None:
    seen = Seen()
    seen.to(hostile(1, disposed=["never"]).pipe(Chain(ops.take(0), ops.default_if_empty("none"))))
    assert seen.log == ["none", "|"]


def test_an_error_names_its_node() -> None:
    errors: list[Exception] = []
    reactivex.of(3).pipe(Chain(fail_on_three, name="c")).subscribe(on_error=errors.append)
    assert errors[0].__notes__ == ["in node 'fail_on_three' of chain 'c', with item 3"]


def test_an_item_that_is_sent_while_another_is_worked_on_waits_for_its_turn() -> None:
    subject = Subject[int]()
    log: list[Any] = []

    def sends_another(x: int) -> int:
        log.append(f"enter {x}")
        if x == 1:
            subject.on_next(2)
        log.append(f"leave {x}")
        return x

    subject.pipe(Chain(sends_another)).subscribe(log.append)
    subject.on_next(1)
    assert log == ["enter 1", "leave 1", 1, "enter 2", "leave 2", 2]


def test_threads_that_send_at_once_are_serialised() -> None:
    subject = Subject[int]()
    inside = 0
    most = 0
    seen = Seen()

    def watched(x: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1
        return x

    piped = subject.pipe(Chain(watched, ops.scan(lambda total, x: total + x, 0)))
    seen.to(piped)
    observer: Any = subject.observers[0]  # past the subject's own lock

    def send() -> None:
        for _ in range(300):
            observer.on_next(1)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subject.on_completed()
    assert most == 1
    assert seen.log == [*range(1, 1201), "|"]


def test_disposing_closes_the_program_and_stops_the_items() -> None:
    closed: list[str] = []

    @operator
    def holds() -> Any:
        def step(item: int) -> Iterator[int]:
            try:
                yield item
            finally:
                closed.append("closed")

        return step

    subject, seen = Subject[int](), Seen()
    subscription = seen.to(subject.pipe(Chain(holds())))
    subject.on_next(1)
    subscription.dispose()
    subscription.dispose()
    subject.on_next(2)
    assert seen.log == [1]
    assert closed == ["closed"]
    assert not subject.observers


def test_disposing_while_an_item_is_worked_on_lets_it_end() -> None:
    subject = Subject[int]()
    log: list[Any] = []
    subscription: Any = None

    def disposes(x: int) -> int:
        subscription.dispose()
        log.append("went on")
        return x

    subscription = subject.pipe(Chain(disposes)).subscribe(log.append)
    subject.on_next(1)
    assert log == ["went on"]


def test_the_observers_own_error_goes_to_who_sent_the_item() -> None:
    subject = Subject[int]()
    errors: list[Exception] = []

    def broken(x: int) -> None:
        raise RuntimeError("observer")

    subject.pipe(Chain(inc)).subscribe(broken, errors.append)
    with pytest.raises(RuntimeError, match="observer") as caught:
        subject.on_next(1)
    assert errors == []
    assert not hasattr(caught.value, "__notes__")  # no node of ours failed
    assert not subject.observers


def test_a_flush_that_fails_is_an_error() -> None:
    @operator
    def fails_at_the_end() -> Any:
        def step(item: int) -> Iterator[int]:
            yield item

        def flush() -> Iterator[int]:
            raise ValueError("flush")
            yield

        return Stage(step, flush=flush)

    seen = Seen()
    seen.to(reactivex.of(1).pipe(Chain(fails_at_the_end())))
    assert seen.log == [1, "# flush"]


def test_items_pass_on_the_thread_that_sends_them() -> None:
    threads: set[str] = set()
    done = threading.Event()

    def where(x: int) -> int:
        threads.add(threading.current_thread().name)
        return x

    source = reactivex.of(1, 2).pipe(rx.subscribe_on(NewThreadScheduler()), Chain(where))
    source.subscribe(on_completed=done.set)
    assert done.wait(5)
    assert threads
    assert threading.current_thread().name not in threads
