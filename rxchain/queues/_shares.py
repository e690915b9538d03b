"""Which consumer is to have what: in turn, where least is done, or by key.

A task is given to a consumer as late as can be: when one asks, or waits. So who joins finds its share without anything
being moved, and the least busy is the least busy of that moment. Shares fixed when a task is put (the rival) have to be
dealt out anew whenever somebody comes or goes.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

from rxchain.queues._orders import Store

if TYPE_CHECKING:
    from rxchain.queues._consumer import Consumer
    from rxchain.queues._delivery import Delivery

Balance = Literal["shared", "round_robin", "least_busy", "by_key"]

AT_ONCE = 100
"""How many tasks are given out in one go: whoever else wants the lock gets it in between."""


class Shares:
    """What is each consumer's; under the queue's lock."""

    def __init__(self, balance: Balance, ready: Store) -> None:
        self._balance = balance
        self._ready = ready
        """What is nobody's yet. Nothing, as long as a consumer waits."""
        self.members: list[Consumer[Any]] = []
        self._turn = -1
        self._owners: dict[Hashable, Consumer[Any]] = {}
        """For each key of which a consumer has something, that consumer. All of such a key is its."""

    def deal_for(self, consumer: "Consumer[Any]") -> bool:
        """Give out tasks until the next of *consumer* is known; False if there may be more to give out."""
        ready, mine = self._ready, consumer.store
        for _ in range(AT_ONCE):
            if not ready or (mine and mine.first() < ready.first()):
                return True
            self._deal(ready.pop(), consumer)
        return not ready or bool(mine and mine.first() < ready.first())

    def deal_to_waiting(self) -> None:
        """Give out tasks as long as somebody waits for one."""
        while self._ready and any(member.waiters for member in self.members):
            self._deal(self._ready.pop(), None)

    def _deal(self, task: "Delivery[Any]", asks: "Consumer[Any] | None") -> None:
        if self._balance == "by_key":
            consumer = self._owners.get(task._key) or asks or self._least_busy(None)
            self._owners[task._key] = consumer
            consumer.keys[task._key] = consumer.keys.get(task._key, 0) + 1
        else:
            consumer = self._least_busy(asks) if self._balance == "least_busy" else self._next()
        task._consumer = consumer
        self._give(task, consumer)

    def _give(self, task: "Delivery[Any]", consumer: "Consumer[Any]") -> None:
        consumer.store.push(task)
        consumer.waiters.wake()

    def enter(self, task: "Delivery[Any]") -> None:
        """It can be taken now: by whom it has been kept for, while it was delayed, or by anybody."""
        consumer = task._consumer
        if consumer is None:
            self._ready.push(task)
            self.deal_to_waiting()
            return
        del consumer.kept[task]
        if not consumer.away:
            self._give(task, consumer)
            return
        task._consumer = None
        self._ready.push(task)
        self.let_go(task, consumer)
        self.take_back(consumer)  # others of its key

    def keep(self, task: "Delivery[Any]", again: "Delivery[Any]") -> None:
        """*task* goes back for a while, as *again*: until it is there, its key stays where it is."""
        consumer = task._consumer
        if consumer is not None and task._key in consumer.keys:
            consumer.keys[task._key] += 1
            consumer.kept[again] = None
            again._consumer = consumer

    def _least_busy(self, asks: "Consumer[Any] | None") -> "Consumer[Any]":
        """Of several, one that asks or waits; where keys are free to go to anybody, only such a one."""

        def busy(member: "Consumer[Any]") -> tuple[bool, int, bool]:
            idle = member is not asks and not member.waiters
            return idle and self._balance == "by_key", len(member.store) + len(member.taken), idle

        return min([member for member in self.members if not member.away] or self.members, key=busy)

    def _next(self) -> "Consumer[Any]":
        for _ in self.members:
            self._turn = (self._turn + 1) % len(self.members)
            if not self.members[self._turn].away:
                break
        return self.members[self._turn]

    def let_go(self, task: "Delivery[Any]", consumer: "Consumer[Any]") -> None:
        """It is this consumer's no more."""
        if self._balance != "by_key" or task._key not in consumer.keys:
            return
        consumer.keys[task._key] -= 1
        if not consumer.keys[task._key]:
            del consumer.keys[task._key], self._owners[task._key]

    def take_back(self, consumer: "Consumer[Any]") -> None:
        """What waits for *consumer* is nobody's again: it has gone, or does not ask."""
        store = consumer.store
        while store:
            task = store.pop()
            self.let_go(task, consumer)
            self._ready.push(task)
        self.deal_to_waiting()

    def leave(self, consumer: "Consumer[Any]") -> None:
        """It has gone, and has no key any more."""
        self.members.remove(consumer)
        for key in consumer.keys:
            del self._owners[key]
        consumer.keys.clear()
        for task in consumer.kept:
            task._consumer = None
        consumer.kept.clear()
        self.take_back(consumer)
