"""What `first` and `last` say of a stream without an item to emit."""

from rxchain.errors import EmptyStream


def nothing_to_emit(name: str, predicate: object, instead: str) -> EmptyStream:
    """The error of operator *name*; *instead* of it allows for an empty stream."""
    which = "" if predicate is None else " that its predicate accepts"
    given = "" if predicate is None else "predicate"
    return EmptyStream(
        f"{name}: the stream ended without an item{which}\n"
        f"    Chain(ops.{name}({given}))  # incorrect, if there may be none\n"
        f"    Chain({instead})  # correct"
    )
