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


def nearest(cost_at: Callable[[int], int], most: int, target: float, limit: bool = False) -> Nearest:
    """The setting whose cost comes nearest to a target, by bisection; of two as near the larger network.

    Args:
        cost_at: Setting -> cost, which does not rise with it.
        most: The last setting; the first is 0.
        target: The cost aimed at.
        limit: Whether it is a limit: what costs less is not away from it, so that the largest network is taken that
            costs no more.
    """
    return bisected(lambda setting: (cost_at(setting),), most, (target,), (1.0,), (limit,))


def nearest_to_all(
    costs_at: Callable[[int], Sequence[int]], most: int, targets: Sequence[float], limits: Sequence[bool]
) -> Nearest:
    """The setting whose largest distance from a target, as a share of that, is least; of two as near the larger
    network. Where bands of one tolerance around all targets hold a setting, it is inside them all.

    Args:
        costs_at: Setting -> costs, none of which rises with it.
        most: The last setting; the first is 0.
        targets: What each cost aims at, above 0.
        limits: Whether that is a limit: what costs less is not away from it.
    """
    return bisected(costs_at, most, targets, targets, limits)


def bisected(
    costs_at: Callable[[int], Sequence[int]],
    most: int,
    targets: Sequence[float],
    units: Sequence[float],
    limits: Sequence[bool],
) -> Nearest:
    """The setting whose largest distance from a target is least.

    Args:
        costs_at, most, targets, limits: As for `nearest_to_all`.
        units: In what the distance from each target is measured.
    """
    found = {setting: costs_at(setting) for setting in {0, most}}

    def distances(setting: int) -> list[float]:
        return [(cost - target) / unit for cost, target, unit in zip(found[setting], targets, units, strict=True)]

    def below(setting: int) -> float:
        """How far what is most below a target is from it, negative; limits have nothing below them."""
        return min((one for one, limit in zip(distances(setting), limits, strict=True) if not limit), default=0.0)

    def farthest(setting: int) -> float:
        return max(*distances(setting), -below(setting))

    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = costs_at(middle)
        # As the setting rises, what is most above a target falls, and what is most below one falls further: the largest
        # distance is least where the two are equal.
        if max(distances(middle)) + below(middle) >= 0:
            low = middle
        else:
            high = middle
    best = min((low, high), key=farthest)
    return Nearest(best, found[best][0], tuple(sorted({found[low][0], found[high][0]})))
