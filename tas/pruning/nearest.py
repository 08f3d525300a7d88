"""The search for the network nearest to a budget along one knob."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Nearest:
    """A setting of a knob, and what lies around the target."""

    knob: int
    flops: int
    """The multiply-adds there."""
    around: tuple[int, ...]
    """The multiply-adds that the knob reaches next to the target: the fewest above it and the most below, where there
    are such."""


def nearest(flops_at: Callable[[int], int], most: int, target: float) -> Nearest:
    """The setting whose FLOPs come nearest to a target, by bisection; of two as near the larger network.

    Args:
        flops_at: Setting -> multiply-adds, which do not rise with it.
        most: The last setting; the first is 0.
        target: Multiply-adds aimed at.
    """
    found = {setting: flops_at(setting) for setting in {0, most}}
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = flops_at(middle)
        if found[middle] >= target:
            low = middle
        else:
            high = middle
    best = min((low, high), key=lambda setting: abs(found[setting] - target))
    return Nearest(best, found[best], tuple(sorted({found[low], found[high]})))
