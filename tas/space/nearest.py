"""The search for the network nearest to its budgets along one knob."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Nearest:
    """A setting of a knob, and what lies around the target; of several costs by the first one."""

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
    return bisected(lambda setting: (cost_at(setting),), most, (target,), (1.0,))


def nearest_to_all(costs_at: Callable[[int], Sequence[int]], most: int, targets: Sequence[float]) -> Nearest:
    """The setting whose largest distance from a target, as a share of that, is least; of two as near the larger
    network. Where bands of one tolerance around all targets hold a setting, it is inside them all.

    Args:
        costs_at: Setting -> costs, none of which rises with it.
        most: The last setting; the first is 0.
        targets: What each cost aims at, above 0.
    """
    return bisected(costs_at, most, targets, targets)


def bisected(
    costs_at: Callable[[int], Sequence[int]], most: int, targets: Sequence[float], units: Sequence[float]
) -> Nearest:
    """The setting whose largest distance from a target is least.

    Args:
        costs_at, most, targets: As for `nearest_to_all`.
        units: In what the distance from each target is measured.
    """
    found = {setting: costs_at(setting) for setting in {0, most}}

    def distances(setting: int) -> list[float]:
        return [(cost - target) / unit for cost, target, unit in zip(found[setting], targets, units, strict=True)]

    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = costs_at(middle)
        # As the setting rises, what is most above a target falls, and what is most below one falls further: the largest
        # distance is least where the two are equal.
        if max(distances(middle)) + min(distances(middle)) >= 0:
            low = middle
        else:
            high = middle
    best = min((low, high), key=lambda setting: max(map(abs, distances(setting))))
    return Nearest(best, found[best][0], tuple(sorted({found[low][0], found[high][0]})))
