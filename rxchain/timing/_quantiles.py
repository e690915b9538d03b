"""Where so many of the numbers lie below."""

import math
from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """The number that *share* of the *ordered* ones lie below, between two of them where it falls there."""
    if not ordered:
        return math.nan
    at = share * (len(ordered) - 1)
    low = int(at)
    if low + 1 == len(ordered) or ordered[low] == ordered[low + 1]:
        return ordered[low]
    return ordered[low] + (at - low) * (ordered[low + 1] - ordered[low])
