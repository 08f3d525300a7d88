"""How much lies in values that lie in one another, before anything is made of them."""

from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

DEEPEST = 32
"""Values that may lie in one another. What TAS writes has 6; Python's own functions give up at some hundreds."""


def check_extent(root: Any, parts: Callable[[Any], Iterable[Any]], most: int) -> None:
    """ValueError where values are nested deeper than DEEPEST, or are more, counted as often as they are referred to.

    Args:
        root: The outermost value. It may contain itself.
        parts: The values that lie in a value.
        most: How many values there may be.
    """
    level, left = [root], most
    for _ in range(DEEPEST):
        level = list(islice(chain.from_iterable(map(parts, level)), left + 1))
        left -= len(level)
        if left < 0:
            raise ValueError(f"more than {most:,} values")
        if not level:
            return
    raise ValueError(f"nested more than {DEEPEST} deep")
