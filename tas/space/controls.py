"""Rules that need neither data nor training, with which what a search finds is compared: uniform, shallow, balanced."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.reading.plan import Plan
from tas.space.best import best
from tas.space.nearest import Nearest, nearest_to_all
from tas.space.space import SearchSpace

NEARLY = 0.01
"""How far the sum of `balanced` may be from the largest, as a share of it. In a network of many layers that are alike
there are so many of nearly the same sum that the proof of the last hundredth takes minutes."""

KEPT = 2 / 3
"""The share of a stage's blocks that `shallow` keeps, at least."""


def uniform_network(
    space: SearchSpace, budgets: Sequence[Budget], depths: Mapping[str, int]
) -> tuple[Architecture, Nearest]:
    """All widths the same share of the full ones, the share such that the costs are nearest to the targets: the largest
    distance, as a share, is least.

    Args:
        space: The candidates of the widths.
        budgets: Their targets are aimed at.
        depths: Stage -> blocks.
    """
    steps = narrowing_steps(space)

    def narrowed(count: int) -> Architecture:
        places = {name: len(candidates) - 1 for name, candidates in space.widths.items()}
        for name in steps[:count]:
            places[name] -= 1
        return space.choose({name: space.widths[name][place] for name, place in places.items()}, depths)

    def costs(count: int) -> list[int]:
        network = narrowed(count)
        return [budget.cost(space.plan, network) for budget in budgets]

    limits = [budget.measure.maximum for budget in budgets]
    found = nearest_to_all(costs, len(steps), [budget.target for budget in budgets], limits)
    return narrowed(found.knob), found


def narrowing_steps(space: SearchSpace) -> list[str]:
    """The widths in the order in which they step to their next candidate as the share falls from 1 to 0.

    A width is the candidate nearest to its share of the full width: it steps where that lies half-way between two.
    Widths that step at the same share do so in forward order, one after another, so that the cost falls by little.
    """
    steps = []
    for place, (name, candidates) in enumerate(space.widths.items()):
        for less, more in pairwise(candidates):
            steps.append((-(less + more) / 2 / candidates[-1], place, name))
    return [name for _, _, name in sorted(steps)]


def shallow_network(
    space: SearchSpace, budgets: Sequence[Budget], blocks: int | None = None
) -> tuple[Architecture, Nearest]:
    """Uniform widths in fewer blocks: at most two thirds of every stage, rounded up, or `blocks` of each.

    Where that is smaller than a target at full width, every stage keeps a block more until it is not.

    Args:
        space: The candidates; of depths between two candidates the next larger one is taken.
        budgets: Their targets are aimed at.
        blocks: As given by a user: stages keep so many, or all of them where they have no more.
    """
    if blocks is not None:
        return uniform_network(space, budgets, {stage: min(full, blocks) for stage, full in space.full.depths.items()})
    wide = {name: candidates[-1] for name, candidates in space.widths.items()}
    for more in range(max(space.full.depths.values(), default=0) + 1):
        depths = {
            stage: next(c for c in candidates if c >= min(math.ceil(KEPT * candidates[-1]) + more, candidates[-1]))
            for stage, candidates in space.depths.items()
        }
        largest = space.choose(wide, depths)
        if all(budget.cost(space.plan, largest) >= budget.low for budget in budgets):
            break
    return uniform_network(space, budgets, depths)


def balanced_network(space: SearchSpace, budgets: Sequence[Budget], depths: Mapping[str, int]) -> Architecture:
    """The largest sum of log widths over layers inside the budgets, nearly, at some depths; where none is inside, the
    nearest.

    It is what a search would find that knew nothing but that each layer's width is worth as much as another's. Widths
    of blocks that are left out do not count, and stay full.
    """
    at_depths = replace(space, depths={stage: (count,) for stage, count in depths.items()})
    layers = layers_of_widths(space.plan, depths)
    scores = {name: layers[name] * np.log(np.array(c) / c[-1]) for name, c in space.widths.items()}
    return best(at_depths, scores | {stage: np.zeros(1) for stage in depths}, budgets, NEARLY)


def layers_of_widths(plan: Plan, depths: Mapping[str, int]) -> dict[str, int]:
    """Width -> how many layers have it as their output's, at some depths; 1 where all of them are left out."""
    found = dict.fromkeys(plan.widths, 0)
    for layer in plan.layers:
        if layer.writes.source in found and not layer.if_unequal:
            found[str(layer.writes.source)] += layer.stage is None or layer.block < depths[layer.stage]
    return {name: max(1, count) for name, count in found.items()}
