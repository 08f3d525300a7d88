"""Agreement: how much closer the networks that a method finds with several seeds are than random ones of the same cost.

It shows that seeds agree, not why: the data may make them, or the cost loss, or the way in which a network is derived
from flat distributions, which are the same for all seeds. Whether a search sees the data is for the rank correlation to
show. Networks that cost the same are alike to some degree anyway, so the distance is measured against that between
random ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import torch

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES
from tas.reading.plan import Plan
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace

DRAWN = 20
"""Random networks that are drawn."""


@dataclass(frozen=True)
class Agreement:
    """How alike the networks of one method and target are."""

    method: str
    measure: str
    target: float
    seeds: int
    """How many networks were found."""
    distance: float
    """Mean distance between two of them."""
    random_distance: float
    """Mean distance between two random networks of the same cost."""

    @property
    def ratio(self) -> float | None:
        """The first as a share of the second: 0 for equal networks, about 1 for a choice at random."""
        return self.distance / self.random_distance if self.random_distance else None


def distance(space: SearchSpace, first: Architecture, second: Architecture) -> float:
    """How different two networks are: 0 for equal ones, below 1.

    The mean over all that the space lets vary of |c1 - c2| / full channels for a width and |d1 - d2| / full blocks for
    a stage. A width counts where both networks keep the block it stands in.
    """
    gaps = [
        abs(first.widths[name] - second.widths[name]) / space.plan.widths[name]
        for name, candidates in space.widths.items()
        if len(candidates) > 1 and kept(space.plan, name, first.depths) and kept(space.plan, name, second.depths)
    ]
    blocks = space.plan.depths()
    gaps += [
        abs(first.depths[name] - second.depths[name]) / blocks[name]
        for name, candidates in space.depths.items()
        if len(candidates) > 1
    ]
    return fmean(gaps) if gaps else 0.0


def kept(plan: Plan, width: str, depths: Mapping[str, int]) -> bool:
    """Whether any layer that has a width as its outputs stands in a network of these depths."""
    return any(
        layer.writes.source == width and (layer.stage is None or layer.block < depths[layer.stage])
        for layer in plan.layers
    )


def mean_distance(space: SearchSpace, networks: Sequence[Architecture]) -> float:
    """The mean distance over all pairs; there must be two networks or more."""
    return fmean(distance(space, first, second) for first, second in combinations(networks, 2))


@dataclass(frozen=True)
class FoundBySeeds:
    """What one method found with several seeds."""

    method: str
    measure: str
    target: float
    """What was aimed at, as a share of the unpruned network's."""
    space: SearchSpace
    """What it could choose from."""
    networks: Sequence[Architecture]
    """Two or more, one a seed."""


def agreements(methods: Sequence[FoundBySeeds], tolerance: float) -> list[Agreement]:
    """How alike the networks of each method are, beside random ones of the same space and cost.

    Args:
        methods: What was found.
        tolerance: How far from its target a network may be, as a share of the target.
    """
    drawn: dict[str, float] = {}  # drawing takes most of the time, and most methods share a space
    result = []
    for found in methods:
        key = f"{found.measure} {found.target} {found.space.widths} {found.space.depths}"
        if key not in drawn:
            drawn[key] = random_distance(found.space, found.measure, found.target, tolerance)
        own = mean_distance(found.space, found.networks)
        result.append(Agreement(found.method, found.measure, found.target, len(found.networks), own, drawn[key]))
    return result


def random_distance(space: SearchSpace, measure: str, target: float, tolerance: float) -> float:
    """The mean distance between random networks of a cost."""
    cost = MEASURES[measure]
    budget = Budget(target * cost.exact(space.plan, space.full), tolerance, cost)
    generator = torch.Generator().manual_seed(0)
    return mean_distance(space, [random_architecture(space, [budget], generator) for _ in range(DRAWN)])
