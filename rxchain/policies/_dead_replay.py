"""Running dead letters again: through the same chain, from the node that failed or from the start."""

import dataclasses
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rxchain.engine import Operator
from rxchain.policies._dead_letter import DeadLetter
from rxchain.policies._dead_lock import locked
from rxchain.types import Failure

if TYPE_CHECKING:
    from rxchain.policies._dead_file import DeadLetterFile

From: TypeAlias = Literal["node", "start"]
"""Where a replay enters the chain."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a letter in a replay."""

    letter: DeadLetter
    """As it was before."""
    outcome: Literal["settled", "failed", "refused"]
    """Refused: nothing has run, and *why* says what is in the way."""
    why: str = ""


class NotReplayable(Exception):
    """Raised when a letter cannot be run through a chain from where it is to be."""


class Replays:
    """Knows where in one chain letters are to enter; makes the rest of the chain once for each node."""

    def __init__(self, chain: Any, from_: From, force: bool = False) -> None:
        self.chain, self._from, self._force = chain, from_, force
        self._rest: dict[str, Any] = {}

    def entry(self, letter: DeadLetter) -> tuple[Any, Any]:
        """The (rest of the) chain that *letter* has to go through, and what goes through it.

        Raises:
            NotReplayable: and why.
        """
        name = self.chain.name or ""
        if letter.chain != name:
            raise NotReplayable(f"it is of {_called(letter.chain)}, and this is {_called(name)}")
        if self._from == "start":
            if (whole := _whole_stream_before(self.chain, letter.node)) is not None:
                raise NotReplayable(f"{whole!r} takes the stream as a whole: whose item it was, nobody knows behind it")
            if not letter.restartable:
                raise NotReplayable(f"its item is only here as text: {letter.item!r:.80}")
            self._refuse_twice(letter.stands)
            return self.chain, letter.item
        rest = self._rest.get(letter.node)
        if rest is None:
            rest = self._rest[letter.node] = _rest_of(self.chain, letter.node)
        if undone := self.undone_ahead(letter):
            raise NotReplayable(f"what {', '.join(undone)} had done was undone: it has to go from the start")
        if not letter.replayable:
            raise NotReplayable(f"what entered the node is only here as text: {letter.value!r:.80}")
        ahead, behind = _split(self.chain, letter.node)
        self._refuse_twice([name for name in letter.stands if name in behind or name not in ahead])
        return rest, letter.value

    def undone_ahead(self, letter: DeadLetter) -> list[str]:
        """The nodes ahead of the failed one whose effects were undone; those behind are to be made again anyway."""
        ahead, behind = _split(self.chain, letter.node)
        return [name for name in letter.undone if name in ahead or name not in behind]

    def _refuse_twice(self, stands: Sequence[str]) -> None:
        """Refuse to do again what could not be undone."""
        if stands and not self._force:
            raise NotReplayable(
                f"what {', '.join(stands)} did could not be undone, and would be done a second time;"
                " once that is seen to: force=True, or --force"
            )


async def replaying(
    file: "DeadLetterFile",
    chain: Any,
    letters: Iterable[DeadLetter],
    from_: From,
    emit: Callable[[Any], object] | None,
    force: bool,
) -> AsyncGenerator[Replayed, None]:
    """Run *letters* one after the other; each is settled, or written anew, before the next is begun."""
    replays = Replays(chain, from_, force)
    # Two replays of one file would do twice what each letter does.
    with locked(f"{file.path}.replay.lock", wait=False):
        for letter in letters:
            try:
                part, given = replays.entry(letter)
            except NotReplayable as why:
                yield Replayed(letter, "refused", str(why))
                continue
            failures = await _run(part, given, letter, emit)
            if not failures:
                file.write_settled(letter.id, how="replayed")
                yield Replayed(letter, "settled")
                continue
            # Of a letter that became several results, each further one that fails is a letter of its own.
            again = [_again(replays, letter, failure, first=k == 0) for k, failure in enumerate(failures)]
            file.append(*again)
            yield Replayed(letter, "failed", str(again[0]))


async def _run(part: Any, given: Any, letter: DeadLetter, emit: Callable[[Any], object] | None) -> list[Failure]:
    failures: list[Failure] = []
    emitting = False
    try:
        async with aclosing(part.stream([given], on_error=failures.append)) as results:
            async for result in results:
                if emit is not None:
                    emitting = True
                    emit(result)
                    emitting = False
    except Exception as error:
        if emitting:
            raise
        failures.append(Failure(error, letter.chain, letter.node, letter.item, letter.value))
    return failures


def _again(replays: Replays, letter: DeadLetter, failure: Failure, first: bool) -> DeadLetter:
    """*letter* with what has happened to it now. It may have got as far as another node."""
    new = DeadLetter.of(failure)
    stays: dict[str, Any] = {}
    if replays.undone_ahead(new):  # it is as if the replay had not been: the next one enters where this one did
        stays = {"node": letter.node, "value": letter.value, "undone": letter.undone}
    return dataclasses.replace(
        new,
        id=letter.id if first else new.id,
        item=letter.item,
        source=letter.source,
        position=letter.position,
        key=letter.key,
        attempts=letter.attempts + new.attempts,
        stands=tuple(dict.fromkeys([*letter.stands, *new.stands])),
        **stays,
    )


def _rest_of(chain: Any, node: str) -> Any:
    found = list(_rests(chain, node, ""))
    if len(found) == 1:
        return found[0]
    if found:
        raise NotReplayable(
            f"{len(found)} steps of {_called(chain.name)} are called {node!r}: give each a name of its own,"
            " or let it go from the start"
        )
    known = ", ".join(repr(name) for name, _ in _atoms(chain))
    raise NotReplayable(f"{_called(chain.name)} has no node {node!r}; it has {known or 'none'}")


def _rests(chain: Any, node: str, prefix: str) -> Iterator[Any]:
    """The rest of *chain* from each step that *node* is in; ``pricing/tax`` is one of a named chain in it."""
    for k, step in enumerate(chain.steps):
        if hasattr(step, "steps"):
            for inner in _rests(step, node, _prefix(step, prefix)):
                rest = [inner, *chain.steps[k + 1 :]]
                yield Operator.composed(
                    *rest, name=chain.name, window=chain.window, overflow=chain.overflow, on_error=chain.on_error
                )
        elif _is_in(node, f"{prefix}{step.name}", step):
            yield chain[k:]


def _atoms(chain: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The steps, of chains within too, each with its whole name."""
    for step in chain.steps:
        if hasattr(step, "steps"):
            yield from _atoms(step, _prefix(step, prefix))
        else:
            yield f"{prefix}{step.name}", step


def _split(chain: Any, node: str) -> tuple[set[str], set[str]]:
    """The nodes ahead of the step that *node* is in, and those from there on, by the names that their effects have."""
    ahead, behind = set[str](), set[str]()
    names = ahead
    for name, step in _atoms(chain):
        if _is_in(node, name, step):
            names = behind
        names.update(_nodes_in(step))
    return ahead, behind


def _is_in(node: str, name: str, step: Any) -> bool:
    """Whether *node* is *step*, which is called *name*, or in the graph or the part that it is: ``retry/charge``."""
    if node == name:
        return True
    inside = getattr(step, "inside", None)
    return inside is not None and node.startswith(f"{name}/") and inside.has(node[len(name) + 1 :])


def _nodes_in(step: Any) -> Iterator[str]:
    """The nodes that a step consists of: those of a chain, of a graph, of the part that an operator stands around."""
    parts = getattr(step, "steps", None)
    if (nodes := getattr(getattr(step, "program", None), "nodes", None)) is not None:
        parts = nodes
    elif (given := getattr(step, "given", None)) is not None:
        parts = [part for part in given.values() if isinstance(part, Operator)]
    if parts is None:
        yield step.name
        return
    for part in parts:
        yield from _nodes_in(part)


def _whole_stream_before(chain: Any, node: str) -> str | None:
    """The first step ahead of *node* whose results are not of one item."""
    for name, step in _atoms(chain):
        if _is_in(node, name, step):
            return None
        if step.definition.syntax.over:
            return name
    return None


def _prefix(chain: Any, prefix: str) -> str:
    return prefix if chain.name is None else f"{prefix}{chain.name}/"


def _called(name: str | None) -> str:
    return f"chain {name!r}" if name else "a chain without a name"
