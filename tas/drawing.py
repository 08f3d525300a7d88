"""Networks drawn at random from a search space, all at one cost."""

import torch

from tas.architecture import Architecture
from tas.budget import Budget
from tas.cost import exact_flops
from tas.derivation import derive
from tas.space import SearchSpace

TRIES = 100
"""Uniform draws before one is brought inside the budget instead."""


def draw_inside(space: SearchSpace, budget: Budget, generator: torch.Generator) -> Architecture:
    """An architecture of the space drawn uniformly among those inside the budget.

    Draws from the whole space are rejected until one is inside. Where that is too rare, the most probable architecture
    inside the budget under random logits is taken (perturb-and-MAP, Papandreou & Yuille 2011), which is only nearly
    uniform. Where the space has none inside, it is the nearest, as for `derive`.

    Args:
        space: The unpruned network and the candidates.
        budget: What the network may cost.
        generator: Source of the draw, on the CPU.
    """

    def pick(candidates: tuple[int, ...]) -> int:
        return candidates[int(torch.randint(len(candidates), (), generator=generator))]

    for _ in range(TRIES):
        drawn = space.choose(
            {name: pick(candidates) for name, candidates in space.widths.items()},
            {name: pick(candidates) for name, candidates in space.depths.items()},
        )
        if budget.holds(exact_flops(space.plan, drawn)):
            return drawn

    def gumbel(candidates: tuple[int, ...]) -> torch.Tensor:
        noise = torch.empty(len(candidates), dtype=torch.float64).exponential_(generator=generator)
        return (-noise.log()).softmax(0)

    widths = {name: gumbel(candidates) for name, candidates in space.widths.items()}
    depths = {name: gumbel(candidates) for name, candidates in space.depths.items()}
    return derive(space, widths, depths, budget)
