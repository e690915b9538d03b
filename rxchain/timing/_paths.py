"""Ways through tasks that depend on one another; *times* has them in an order in which they can run."""

from collections.abc import Iterable, Mapping, Sequence


def earliest(times: dict[str, float], after: Mapping[str, Sequence[str]]) -> tuple[dict[str, float], dict[str, float]]:
    """When each task begins and ends, if it begins as soon as it can."""
    start: dict[str, float] = {}
    end: dict[str, float] = {}
    for name, seconds in times.items():
        start[name] = max((end[other] for other in after[name]), default=0.0)
        end[name] = start[name] + seconds
    return start, end


def urgencies(times: dict[str, float], after: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """For each task the longest way from its beginning to the end."""
    rest = dict.fromkeys(times, 0.0)
    for name in reversed(times):
        rest[name] += times[name]
        for other in after[name]:
            rest[other] = max(rest[other], rest[name])
    return rest


def longest(times: Iterable[str], after: Mapping[str, Sequence[str]], end: Mapping[str, float]) -> tuple[str, ...]:
    """The tasks that decide when all is done, from the first on."""
    path: list[str] = []
    left: Sequence[str] = tuple(times)
    while left:
        path.append(max(left, key=lambda name: end[name]))
        left = after[path[-1]]
    return tuple(reversed(path))
