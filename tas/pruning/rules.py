"""Rules that ask nothing: uniform widths (the paper's Pre-defined), the same in fewer blocks, balanced widths."""

import math

from tas.config.checks import inside
from tas.pruning.task import Pruned, PruneTask
from tas.reading.residuals import tie_residuals
from tas.runs.console import warn
from tas.space import controls
from tas.space.space import SearchSpace, width_candidates

TWENTIETHS = tuple(part / 20 for part in range(2, 21))
"""The shares between which `balanced` chooses."""


def uniform(task: PruneTask) -> Pruned:
    """All widths the same share of the full ones, the share such that the budget is met; depths full, or --blocks.

    Widths that identity shortcuts join stay equal, so that no projection has to come between them.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    architecture, best = controls.uniform_network(all_widths(task), task.budget, given_depths(task))
    return Pruned(architecture, task.start(architecture), best.cost, best.around)


def shallow(task: PruneTask) -> Pruned:
    """The same in fewer blocks, which leaves them wider: two thirds of every stage, rounded up, or --blocks.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    if max(task.full.depths.values(), default=1) < 2:
        warn("prune", f"{task.full.network} has no blocks that could be left out; shallow is the same as uniform")
    given_depths(task)  # --blocks is checked
    architecture, best = controls.shallow_network(all_widths(task), task.budget, task.options.pruning.blocks)
    return Pruned(architecture, task.start(architecture), best.cost, best.around)


def balanced(task: PruneTask) -> Pruned:
    """The largest sum of log widths inside the budget: each width is worth what any other is. Depths full, or --blocks.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    plan, depths = tie_residuals(task.plan), given_depths(task)
    widths = {name: width_candidates(count, TWENTIETHS, multiple_of(task, name)) for name, count in plan.widths.items()}
    space = SearchSpace(plan, task.full, widths, {stage: (count,) for stage, count in depths.items()})
    architecture = controls.balanced_network(space, [task.budget], depths)
    cost = task.cost(architecture)
    around = () if task.budget.holds(cost) else (cost,)
    return Pruned(architecture, task.start(architecture), cost, around)


def all_widths(task: PruneTask) -> SearchSpace:
    """Every number of channels that a width can have: the multiples that --round-to says, and the full number."""
    plan = tie_residuals(task.plan)
    widths = {}
    for name, channels in plan.widths.items():
        multiple = multiple_of(task, name)
        widths[name] = (*range(multiple, channels, multiple), channels)
    return SearchSpace(plan, task.full, widths, {s: tuple(range(1, n + 1)) for s, n in task.full.depths.items()})


def multiple_of(task: PruneTask, width: str) -> int:
    """What a width is a multiple of, unless it is the full one: --round-to, and what its grouped convolutions ask."""
    return math.lcm(task.options.pruning.round_to, task.plan.units.get(width, 1))


def given_depths(task: PruneTask) -> dict[str, int]:
    """The depths that --blocks says, or the full ones. TasError if it leaves out none."""
    depths, blocks = task.full.depths, task.options.pruning.blocks
    if blocks is None:
        return dict(depths)
    most = max(depths.values(), default=0)
    inside("blocks", blocks, blocks < most, f"less than the {most} of the longest stage")
    return {stage: min(full, blocks) for stage, full in depths.items()}
