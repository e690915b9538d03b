"""The program of a graph: its nodes' calls, written down in their order.

Results stand in a list, ``r``, by the node's number; ``SKIPPED`` where there is none. Where branches may go on side by
side, each node is besides a function of its own, and the item's task looks, behind whatever may have suspended, whether
they do (`_side`).
"""

import asyncio
import contextvars
import itertools
import linecache
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from rxchain.engine import Colour, colour
from rxchain.errors import PreconditionFailed
from rxchain.graph._inputs import Inputs
from rxchain.graph._side import PENDING, Side
from rxchain.node import ChainNode, Refusal

SKIPPED: Any = type("SKIPPED", (), {"__repr__": lambda self: "<skipped>"})()
"""What stands in the place of the result of a node that was skipped."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Placed:
    """A node in its place."""

    name: str
    node: ChainNode[Any, Any, Any]
    fn: Callable[..., Any]
    """Its own function, of as many arguments as it has inputs."""
    inputs: Inputs


class GraphProgram:
    """What runs a graph for one item."""

    def __init__(self, name: str, nodes: tuple[Placed, ...], sequential: bool, output: str | None) -> None:
        self.name, self.nodes, self.output = name, nodes, output
        self._numbers = {placed.name: k for k, placed in enumerate(nodes)}
        self.after = tuple(tuple(self._numbers[other] for other in placed.inputs.after) for placed in nodes)
        self.asynchronous = any(self._awaits(placed) for placed in nodes)
        self.undoes = any(placed.node.values[7] is not None for placed in nodes)
        self.skips = [False] * len(nodes)
        for k in range(len(nodes)):
            self.skips[k] = self._may_be_skipped(k)
        self.drops = output is not None and self.skips[self._numbers[output]]
        """Whether there may be no result."""
        self.side_by_side = not sequential and self._branches()
        self._given: dict[str, Any] = {}
        self._places: dict[int, int] = {}
        self.text = self._written()
        self._filename = f"<rxchain graph {next(_numbers)}>"
        self._code: CodeType = compile(self.text, self._filename, "exec")
        linecache.cache[self._filename] = (len(self.text), None, self.text.splitlines(keepends=True), self._filename)
        weakref.finalize(self, linecache.cache.pop, self._filename, None)

    def make(self) -> Callable[..., Any]:
        """What runs one item; what it keeps is one subscription's own."""
        scope = dict(self._given)
        exec(self._code, scope)
        run: Callable[..., Any] = scope["make"]()
        return run

    def failed_at(self, error: BaseException) -> tuple[int, None] | None:
        """The number of the node that *error* comes from."""
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self._filename:
                place = self._places.get(traceback.tb_lineno)
                if place is not None:
                    return place, None
            traceback = traceback.tb_next
        return None

    # --- what is known of the nodes

    def _awaits(self, placed: Placed) -> bool:
        logic, _, when, then, _, _, recover, undo = placed.node.values
        return undo is not None or any(
            fn is not None and colour(fn) is Colour.ASYNC for fn in (logic, when, then, recover)
        )

    def _may_be_skipped(self, k: int) -> bool:
        placed = self.nodes[k]
        if placed.node.values[2] is not None and placed.node.values[4] is Refusal.DROP:
            return True
        return bool(self._needs(k)) or self._all_may_be_skipped(k)

    def _needs(self, k: int) -> list[int]:
        """The inputs without which node k is skipped, and which may be missing."""
        placed = self.nodes[k]
        optional = {i.node for i in placed.inputs.arguments if i.default is not i.__class__._field_defaults["default"]}
        return [j for j in self.after[k] if self.skips[j] and self.nodes[j].name not in optional]

    def _all_may_be_skipped(self, k: int) -> bool:
        return bool(self.after[k]) and all(self.skips[j] for j in self.after[k])

    def _branches(self) -> bool:
        """Whether two nodes that may suspend depend neither way on each other."""
        behind: list[set[int]] = []  # for each node all those that it comes after
        for after in self.after:
            behind.append(set(after).union(*(behind[j] for j in after)))
        waits = [k for k, placed in enumerate(self.nodes) if self._awaits(placed)]
        return any(a not in behind[b] for a, b in itertools.combinations(waits, 2))

    # --- writing it

    def _bound(self, name: str, value: Any) -> str:
        self._given[name] = value
        return name

    def _written(self) -> str:
        lines: list[str] = ["def make():"]
        head = "async def" if self.asynchronous else "def"
        scope = ", effects" if self.undoes else ""
        last = len(self.nodes)
        if self.side_by_side:
            self._given |= {"Side": Side, "PENDING": PENDING, "current_task": asyncio.current_task}
            self._given |= {"get_running_loop": asyncio.get_running_loop, "copy_context": contextvars.copy_context}
            lines += [
                "    unwatched = True",
                "    loop = current = None",
                "    others = []",
                f"    blank = [{'PENDING, ' * last}None]",
                "    def look():",
                "        nonlocal unwatched, current",
                "        unwatched = True",
                "        for r in [current, *others] if current is not None else others:",
                "            at = next(k for k, result in enumerate(r) if result is PENDING)",
                f"            r[{last}] = Side(works, after, r, r[{last + 3}:], at, r[{last + 1}], r[{last + 2}])",
                "        current = None",
                "        others.clear()",
            ]
            for k in range(last):
                lines.append(f"    async def node{k}(r, item{scope}):")
                self._write_node(lines, k, "        ")
            lines += [
                f"    works = ({' '.join(f'node{k},' for k in range(last))})",
                f"    after = {self.after!r}",
                f"    async def run(item{scope}):",
                "        nonlocal unwatched, loop, current",
                "        if unwatched:",
                "            unwatched = False",
                "            loop = get_running_loop()",
                "            loop.call_soon(look)",
                f"        r = [*blank, current_task(loop), copy_context(), item{scope}]",
                "        if current is not None:",
                "            others.append(current)",
                "        current = r",
                "        try:",
            ]
            for k in range(last):
                self._write_node(lines, k, "            ")
                if self._awaits(self.nodes[k]):
                    lines += [
                        f"            if r[{last}] is not None:",
                        f"                await r[{last}].finish()",
                        f"                return {self._result()}",
                    ]
            lines += [
                f"            return {self._result()}",
                "        except BaseException as error:",
                f"            raised = error if r[{last}] is None else await r[{last}].abandon(error)",
                "            if raised is error:",
                "                raise",
                "        finally:",
                "            if current is r:",
                "                current = None",
                "            elif others:",
                "                others[:] = [other for other in others if other is not r]",
                "        raise raised",
            ]
        else:
            lines.append(f"    {head} run(item{scope}):")
            for k in range(last):
                self._write_node(lines, k, "        ")
            lines.append(f"        return {self._result()}")
        lines.append("    return run")
        return "\n".join(lines) + "\n"

    def _var(self, k: int) -> str:
        return f"r[{k}]" if self.side_by_side else f"r{k}"

    def _result(self) -> str:
        if self.output is not None:
            return self._var(self._numbers[self.output])
        sure = "".join(f"{placed.name!r}: {self._var(k)}, " for k, placed in enumerate(self.nodes) if not self.skips[k])
        maybe = [k for k in range(len(self.nodes)) if self.skips[k]]
        if not maybe:
            return f"{{{sure}}}"
        self._given["SKIPPED"] = SKIPPED
        every = ", ".join(f"{placed.name!r}: {self._var(k)}" for k, placed in enumerate(self.nodes))
        return f"{{name: result for name, result in {{{every}}}.items() if result is not SKIPPED}}"

    def _write_node(self, lines: list[str], k: int, indent: str) -> None:
        placed = self.nodes[k]
        runs_if = [f"{self._var(j)} is not SKIPPED" for j in self._needs(k)]
        if not runs_if and self._all_may_be_skipped(k):
            runs_if = [" or ".join(f"{self._var(j)} is not SKIPPED" for j in self.after[k])]
        if self.skips[k] or any(self.skips[j] for j in self.after[k]):
            self._given["SKIPPED"] = SKIPPED
        if not runs_if:
            self._write_call(lines, k, placed, indent)
            return
        lines.append(f"{indent}if {' and '.join(f'({c})' if ' or ' in c else c for c in runs_if)}:")
        self._write_call(lines, k, placed, indent + "    ")
        lines += [f"{indent}else:", f"{indent}    {self._var(k)} = SKIPPED"]

    def _write_call(self, lines: list[str], k: int, placed: Placed, indent: str) -> None:
        logic, _, when, then, refuse, name, recover, undo = placed.node.values
        first = len(lines)
        var = target = self._var(k)
        if then is not None and self.side_by_side:
            var = f"value{k}"  # what depends on it must not see the result before that is the last
        arguments = [self._argument(k, i) for i in range(len(placed.inputs.arguments))]
        plain = logic is placed.node.logic
        item = arguments[0] if len(arguments) == 1 else f"given{k}"
        if len(arguments) != 1 and not (plain and when is then is recover is undo is None):
            lines.append(f"{indent}{item} = ({' '.join(f'{a},' for a in arguments)})")
        outer = indent
        if when is not None:
            lines.append(f"{indent}if {self._call(when, f'when{k}', item)}:")
            indent += "    "
        if undo is not None:
            lines.append(f"{indent}effect{k} = effects.begin({self._bound(f'undo{k}', undo)}, {name!r}, {item})")
        calls = self._call(placed.fn, f"call{k}", *arguments) if plain else self._call(logic, f"call{k}", item)
        if recover is None:
            lines.append(f"{indent}{var} = {calls}")
        else:
            recovers = self._call(recover, f"recover{k}", item, f"error{k}")
            lines += [
                f"{indent}try:",
                f"{indent}    {var} = {calls}",
                f"{indent}except Exception as error{k}:",
                f"{indent}    {var} = {recovers}",
            ]
        if undo is not None:
            lines.append(f"{indent}effect{k}.result = {var}")
        if then is not None:
            lines.append(f"{indent}replaced = {self._call(then, f'then{k}', item, var)}")
            lines += [f"{indent}if replaced is not None:", f"{indent}    {var} = replaced"]
            if var != target:
                lines.append(f"{indent}{target} = {var}")
        if when is not None:
            refused = {Refusal.PASS: f"{target} = {item}", Refusal.DROP: f"{target} = SKIPPED"}.get(refuse)
            if refused is None:
                self._given["PreconditionFailed"] = PreconditionFailed
                refused = f"raise PreconditionFailed({name!r}, {item})"
            lines += [f"{outer}else:", f"{outer}    {refused}"]
        self._places |= dict.fromkeys(range(first + 1, len(lines) + 1), k)

    def _argument(self, k: int, i: int) -> str:
        source = self.nodes[k].inputs.arguments[i]
        if source.node is None:
            return "item"
        j = self._numbers[source.node]
        if not self.skips[j] or j in self._needs(k):
            return self._var(j)
        default = self._bound(f"default{k}_{i}", source.default)
        return f"({default} if {self._var(j)} is SKIPPED else {self._var(j)})"

    def _call(self, fn: Callable[..., Any], name: str, *arguments: str) -> str:
        called = f"{self._bound(name, fn)}({', '.join(arguments)})"
        return f"await {called}" if colour(fn) is Colour.ASYNC else called


__all__ = ["SKIPPED", "GraphProgram", "Placed"]
