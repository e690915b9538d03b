"""What the log is told: nothing, until ``logger.enable("rxchain")``; and what must be seen, also without.

loguru is never imported here: who has not imported it cannot have asked for its messages, and asking is a look into
a dictionary then. The rival, `logger.disable("rxchain")` while rxchain is imported, costs the import of loguru there,
600 ns for each message that nobody wants, and takes back what the program had enabled before.

Every message has ``chain``, ``node``, ``item`` and ``attempt`` as extra fields. ``item`` is where an item stands in its
source, never what it is.
"""

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from rxchain.engine import at_work, shorten
from rxchain.types import Failure

LOGGER = "rxchain"
"""What is enabled in loguru; and the standard library's logger of what must be seen."""

_MODULE = f"{__name__}."

payloads = False
"""Whether messages show items; `rxchain.observe.show_payloads` sets it."""

_answer: tuple[object, bool] = (None, False)
"""What was enabled and disabled in loguru when last looked at (a list that is never changed), and what follows."""


def asked() -> Any:
    """loguru's logger, if somebody has enabled rxchain's messages; else None."""
    global _answer
    loguru = sys.modules.get("loguru")
    if loguru is None:
        return None
    try:
        logger = loguru.logger
        activations = logger._core.activation_list
    except AttributeError:  # another thread is just importing it
        return None
    known, answer = _answer
    if activations is not known:
        answer = next((state for name, state in activations if _MODULE.startswith(name)), False)
        _answer = activations, answer
    return logger if answer else None


def retried(node: str, attempt: int, attempts: int | None, error: Exception, wait: float) -> None:
    """Tell of an attempt that failed, after which there will be another in *wait* seconds."""
    logger = asked()
    if logger is not None:
        chain, item = "", None
        found = at_work(sys._getframe(1))
        if found is not None:
            chain = found.chain
            if f"/{found.node}".endswith(f"/{node}"):
                node = found.node
            if found.origin is not None:
                item = _counted(found.origin.source, found.origin.position)
        where = ", ".join(filter(None, (called(chain, node), item and f"item {item}")))
        logger.warning(
            "{where}: attempt {attempt}{of} failed, the next is in {wait:.3g} s: {error}",
            where=where,
            chain=chain,
            node=node,
            item=item,
            attempt=attempt,
            of="" if attempts is None else f" of {attempts}",
            wait=wait,
            error=said_by(error),
        )


def tell(level: str, text: str, *, chain: str = "", node: str = "", item: object = None, attempt: int = 1) -> None:
    """Tell of something that is worth knowing, and that nobody misses who does not read the log."""
    logger = asked()
    if logger is not None:
        logger.log(level, "{}", text, chain=chain, node=node, item=item, attempt=attempt)


def must_see(
    text: str, *, items: Sequence[object] = (), error: BaseException | None = None, chain: str = "", node: str = ""
) -> None:
    """Warn of what no result and no error will ever tell: in loguru if it is asked for; else by `logging`.

    That one writes to stderr in a program that has not set it up, as asyncio does with errors that nobody retrieves;
    ``logging.getLogger("rxchain")`` is where to turn it off.
    """
    if payloads and items:
        text = f"{text}, with item {', '.join(map(shorten, items))}"
    if error is not None:
        text = f"{text}: {said_by(error)}\n{traceback_of(error)}"
    fields: dict[str, Any] = {"chain": chain, "node": node, "item": None, "attempt": 1}
    logger = asked()
    if logger is not None:
        logger.warning("{}", text, **fields)
    else:
        logging.getLogger(LOGGER).warning("%s", text, extra=fields)


def failed(failure: Failure, level: str | int = "ERROR", payload: bool | None = None) -> None:
    """Tell of an item that failed for good; with *payload* also what the item was, and all that the error shows."""
    logger = asked()
    if logger is None:
        return
    error, place = failure.error, place_of(failure)
    fields: dict[str, Any] = {
        "chain": failure.chain,
        "node": failure.node,
        "item": place,
        "attempt": failure.attempts,
        "error": type(error).__name__,
        "traceback": traceback_of(error),
        "undone": failure.undone,
        "stands": failure.stands,
    }
    if payloads if payload is None else payload:
        fields["payload"] = shorten(failure.item, 1000)
        logger = logger.opt(exception=error)
    logger.log(level, "{}", _failed(failure, place), **fields)


def _failed(failure: Failure, place: str | None) -> str:
    where = [called(failure.chain, failure.node)] if failure.node else []
    if place is not None:
        where.append(f"item {place}")
    if failure.attempts > 1:
        where.append(f"attempt {failure.attempts}")
    said = [said_by(failure.error)]
    if failure.undone:
        said.append(f"undone: {', '.join(failure.undone)}")
    if failure.stands:
        said.append(f"not undone: {', '.join(failure.stands)}")
    return ": ".join(filter(None, (", ".join(where), "; ".join(said))))


def called(chain: str, node: str) -> str:
    """What a node is called: ``node 'charge' of chain 'orders'``."""
    return f"node {node!r} of chain {chain!r}" if chain else f"node {node!r}"


def place_of(failure: Failure) -> str | None:
    """Where the item stands in its source, in words: ``orders.jsonl[3]``; None where nobody counts."""
    place = failure.place
    if place is None or place.position is None:
        return None
    return _counted(place.source, place.position)


def _counted(source: str | None, position: int) -> str:
    return f"{source or ''}[{position}]"


def said_by(error: BaseException) -> str:
    """What *error* is and says, in a line."""
    try:
        text = str(error)
    except Exception:
        text = "its message cannot be shown"
    name = type(error).__name__
    line = " ".join(text.split())
    return f"{name}: {line[:299]}{'…' if len(line) > 299 else ''}" if line else name


def traceback_of(error: BaseException) -> str:
    """The traceback as text, without the values of variables, and without the notes that show items."""
    shown = traceback.TracebackException.from_exception(error)
    _without_notes(shown)
    return "".join(shown.format()).rstrip()


def _without_notes(shown: Any) -> None:
    """Take from an error, and from those that it comes from, the notes that rxchain has added."""
    waiting = [shown]
    while waiting:
        one = waiting.pop()
        if one is not None:
            notes = one.__notes__
            if isinstance(notes, (list, tuple)):
                one.__notes__ = [n for n in notes if not (isinstance(n, str) and n.startswith("in node "))]
            waiting += [one.__cause__, one.__context__, *(one.exceptions or ())]
