"""Rewriting a step so that nothing in it returns: where it is inlined, a return would leave the whole program.

What follows a return moves into the other branch; a return in the step's last loop becomes a break. What would need a
flag or a copy is refused, and the step stays a call.
"""

import ast

from rxchain.engine._syntax import Refused


def without_return(body: list[ast.stmt], *, in_tail: bool = True) -> tuple[list[ast.stmt], str]:
    """Rewrite *body* so that nothing returns: what follows a return moves into the other branch.

    Also tells how *body* ends: it "falls" through, "leaves" the step, or "either".
    """
    made: list[ast.stmt] = []
    for i, node in enumerate(body):
        following = body[i + 1 :]
        if isinstance(node, ast.Return):
            return made or [ast.Pass()], "leaves"
        if isinstance(node, ast.Raise):
            return [*made, node], "falls"
        if not any(isinstance(n, ast.Return) for n in ast.walk(node)):
            made.append(node)
            continue
        tail = in_tail and not following
        if isinstance(node, ast.If):
            node.body, then = without_return(node.body, in_tail=tail)
            node.orelse, otherwise = without_return(node.orelse, in_tail=tail) if node.orelse else ([], "falls")
            made.append(node)
            if then == otherwise == "leaves":
                return made, "leaves"
            if following and then == "leaves" and otherwise == "falls":
                node.orelse, how = without_return(node.orelse + following, in_tail=in_tail)
                return made, "either"
            if following and then == "falls" and otherwise == "leaves":
                node.body, how = without_return(node.body + following, in_tail=in_tail)
                return made, "either"
        elif isinstance(node, ast.Try):
            how = _try_without_return(node, following, in_tail)
            made.append(node)
            return made, how
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.While)) and tail and not node.orelse:
            _break_instead(node.body)
            made.append(node)
            continue
        elif isinstance(node, ast.Match) and tail:
            for case in node.cases:
                case.body, _ = without_return(case.body, in_tail=True)
            made.append(node)
            continue
        else:
            raise Refused(f"a return inside a {type(node).__name__.lower()}")
        if following:
            raise Refused("a return on some paths of a branch that others leave by its end")
        return made, "either"
    return made, "falls"


def _try_without_return(node: ast.Try, following: list[ast.stmt], in_tail: bool) -> str:
    inside = [*node.body, *node.finalbody]
    if node.finalbody or any(isinstance(n, ast.Return) for s in inside for n in ast.walk(s)):
        raise Refused("a return inside a try's body or beside a finally")
    ways = set()
    for handler in node.handlers:
        handler.body, how = without_return(handler.body, in_tail=not following)
        if how == "falls" and isinstance(handler.body[-1], ast.Raise):
            how = "leaves"
        ways.add(how)
    if following and ways - {"leaves"}:
        raise Refused("a return in one handler of a try and not in the others")
    node.orelse, _ = without_return(node.orelse + following, in_tail=in_tail)
    return "either"


def _break_instead(body: list[ast.stmt]) -> None:
    """Inside a loop that ends the step: leave the loop instead."""
    for i, node in enumerate(body):
        if isinstance(node, ast.Return):
            body[i] = ast.Break()
        elif any(isinstance(n, ast.Return) for n in ast.walk(node)):
            if not isinstance(node, ast.If):
                raise Refused("a return inside nested loops")
            _break_instead(node.body)
            _break_instead(node.orelse)
