"""An item with the context variables of its arrival, for the nodes that it passes."""

from contextvars import Context, ContextVar, Token
from typing import Any, Generic

from rxchain.types import T

_NOTHING: Any = object()


class Arrived(Generic[T]):
    """An item that was pushed in another context than the one that its chain runs in.

    Setting the variables that differ costs a fraction of the task that running in the context itself would need.
    """

    __slots__ = ("context", "item")

    def __init__(self, item: T, context: Context) -> None:
        self.item, self.context = item, context

    def enter(self) -> list[Token[Any]]:
        """Set what differs here; `leave` takes it back, in the same context."""
        tokens: list[Token[Any]] = []
        for variable, value in self.context.items():
            here: ContextVar[Any] = variable
            if here.get(_NOTHING) is not value:
                tokens.append(here.set(value))
        return tokens


def leave(tokens: list[Token[Any]]) -> None:
    """Set the variables back to what they were before `Arrived.enter`; one that was not set is not set again."""
    for token in reversed(tokens):
        token.var.reset(token)


__all__ = ["Arrived", "leave"]
