"""Networks drawn at random from a search space, all at one cost."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.tables import CostTable, by_part
from tas.reading.plan import Width
from tas.space.derivation import derive
from tas.space.space import SearchSpace

BATCH = 1024
"""Networks drawn at a time."""

BATCHES = 16
"""Batches without one inside the budget before one is brought there instead."""


def random_architecture(space: SearchSpace, budgets: Sequence[Budget], generator: torch.Generator) -> Architecture:
    """An architecture of the space drawn uniformly among those inside all budgets.

    Draws from the whole space are rejected until one is inside. Where that is too rare, the most probable architecture
    inside the budgets under random logits is taken (perturb-and-MAP, Papandreou & Yuille 2011), which is only nearly
    uniform. Where the space has none inside, it is the nearest, as for `derive`.

    Args:
        space: The unpruned network and the candidates.
        budgets: What the network may cost.
        generator: Source of the draw, on the CPU.
    """
    tables = [budget.measure.tables(space.plan, space.widths, space.depths) for budget in budgets]
    choices = {**space.widths, **space.depths}
    for _ in range(BATCHES):
        drawn = {
            name: torch.randint(len(candidates), (BATCH,), generator=generator) for name, candidates in choices.items()
        }
        costs = [torch.stack([costs_of(part, drawn) for part in by_part(own)]).amax(0) for own in tables]
        holds = [(budget.low <= cost) & (cost <= budget.high) for budget, cost in zip(budgets, costs)]
        inside = torch.stack(holds).all(0).nonzero()
        if len(inside):
            first = int(inside[0])
            chosen = {name: candidates[int(drawn[name][first])] for name, candidates in choices.items()}
            return space.choose({n: chosen[n] for n in space.widths}, {n: chosen[n] for n in space.depths})

    def random_probabilities(candidates: tuple[int, ...]) -> Tensor:
        gumbel = -torch.empty(len(candidates), dtype=torch.float64).exponential_(generator=generator).log()
        return gumbel.softmax(0)

    widths = {name: random_probabilities(candidates) for name, candidates in space.widths.items()}
    depths = {name: random_probabilities(candidates) for name, candidates in space.depths.items()}
    return derive(space, widths, depths, *budgets)


def costs_of(tables: list[CostTable], drawn: Mapping[str, Tensor]) -> Tensor:
    """The costs of several architectures, (architectures,) float64.

    Args:
        tables: The costs.
        drawn: Width or stage -> the index of the candidate that each architecture has, (architectures,).
    """
    count = len(next(iter(drawn.values())))
    total = torch.zeros(count, dtype=torch.float64)

    def chosen(width: Width) -> Tensor:
        return drawn[width] if isinstance(width, str) else torch.zeros(count, dtype=torch.int64)

    for table in tables:
        cost = table.cost[chosen(table.reads), chosen(table.writes)]
        if table.stage is not None:
            cost = cost * torch.isin(drawn[table.stage], torch.tensor(table.depths))
        total += cost
    return total
