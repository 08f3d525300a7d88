"""The search for the network nearest to a budget along one knob."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Nearest:
    """A setting of a knob, and what lies around the target."""

    knob: int
    cost: int
    """The cost there."""
    around: tuple[int, ...]
    """The costs that the knob reaches next to the target: the least above it and the most below, where there are
    such."""


def nearest(cost_at: Callable[[int], int], most: int, target: float) -> Nearest:
    """The setting whose cost comes nearest to a target, by bisection; of two as near the larger network.

    Args:
        cost_at: Setting -> cost, which does not rise with it.
        most: The last setting; the first is 0.
        target: The cost aimed at.
    """
    found = {setting: cost_at(setting) for setting in {0, most}}
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = cost_at(middle)
        if found[middle] >= target:
            low = middle
        else:
            high = middle
    best = min((low, high), key=lambda setting: abs(found[setting] - target))
    return Nearest(best, found[best], tuple(sorted({found[low], found[high]})))
