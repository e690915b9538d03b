"""Something that goes on in the place of an item that failed."""

from collections.abc import Callable
from typing import Any

from rxchain.engine import Colour, colour, name_of, shorten, takes
from rxchain.errors import CompositionError
from rxchain.types import Failure


class Resume:
    """As a chain's ``on_error``: a result of the chain in the place of an item that failed, wherever it did.

    >>> from rxchain import Chain, Resume
    >>> def read(text: str) -> int:
    ...     return int(text)
    >>> chain = Chain(read, on_error=Resume(lambda failure: f"{failure.item!r} is no number"))
    >>> list(chain.iterate(["1", "x", "2"]))
    [1, "'x' is no number", 2]

    Args:
        to: the result; or a function, sync or async, that makes it of the `Failure`.
    """

    resumes = True

    def __new__(cls, to: Any) -> Any:
        return object.__new__(_AsyncResume if callable(to) and colour(to) is Colour.ASYNC else cls)

    def __init__(self, to: Any) -> None:
        if callable(to) and not takes(to, 1):
            raise CompositionError(
                f"Resume is given a result, or a function of the Failure, and {name_of(to)!r} does not take that\n"
                f"    Resume({name_of(to)})  # incorrect\n"
                "    Resume(lambda failure: ...)  # correct"
            )
        self._to = to
        self._make: Callable[[Failure], Any] = to if callable(to) else lambda failure: to

    def __call__(self, failure: Failure) -> Any:
        return self._make(failure)

    def __repr__(self) -> str:
        return f"Resume({name_of(self._to) if callable(self._to) else shorten(self._to, 40)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resume) and self._to == other._to

    __hash__ = None  # type: ignore[assignment]


class _AsyncResume(Resume):
    async def __call__(self, failure: Failure) -> Any:
        return await self._make(failure)
