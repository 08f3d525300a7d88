"""Rules that ask nothing: uniform widths (the paper's Pre-defined), the same in fewer blocks, balanced widths."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from tas.architecture import Architecture
from tas.config.checks import inside
from tas.cost.budget import Budget
from tas.pruning.task import Pruned, PruneTask
from tas.reading.residuals import tie_residuals
from tas.runs.console import warn
from tas.space import controls
from tas.space.nearest import Nearest
from tas.space.outlook import Outlook, Shortfall, outlook
from tas.space.space import SearchSpace, width_candidates

TWENTIETHS = tuple(part / 20 for part in range(2, 21))
"""The shares between which `balanced` chooses."""


def uniform(task: PruneTask) -> Pruned:
    """All widths the same share of the full ones, the share such that the budget is met; depths full, or --blocks.

    Widths that identity shortcuts join stay equal, so that no projection has to come between them. The share is one
    knob: of several budgets it comes nearest to all.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    return of_one_knob(task, *uniform_at(task, task.budgets))


def uniform_outlook(task: PruneTask) -> Outlook:
    """The ends of what `uniform` finds, and whether it meets the budgets."""
    return outlook_of_one_knob(task, uniform_at)


def uniform_at(task: PruneTask, budgets: Sequence[Budget]) -> tuple[Architecture, Nearest]:
    """What `uniform` finds for these budgets."""
    return controls.uniform_network(all_widths(task), budgets, given_depths(task))


def shallow(task: PruneTask) -> Pruned:
    """The same in fewer blocks, which leaves them wider: two thirds of every stage, rounded up, or --blocks.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    if max(task.full.depths.values(), default=1) < 2:
        warn("prune", f"{task.full.network} has no blocks that could be left out; shallow is the same as uniform")
    return of_one_knob(task, *shallow_at(task, task.budgets))


def shallow_outlook(task: PruneTask) -> Outlook:
    """The ends of what `shallow` finds, and whether it meets the budgets."""
    return outlook_of_one_knob(task, shallow_at)


def shallow_at(task: PruneTask, budgets: Sequence[Budget]) -> tuple[Architecture, Nearest]:
    """What `shallow` finds for these budgets."""
    given_depths(task)  # --blocks is checked
    return controls.shallow_network(all_widths(task), budgets, task.options.pruning.blocks)


def balanced(task: PruneTask) -> Pruned:
    """The largest sum of log widths inside the budgets: each width is worth what any other is. Depths full, or
    --blocks.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    architecture = controls.balanced_network(twentieths(task), task.budgets, given_depths(task))
    cost = task.cost(architecture)
    around = () if task.met(architecture) or len(task.budgets) > 1 else (cost,)
    return Pruned(architecture, task.start(architecture), cost, around)


def balanced_outlook(task: PruneTask) -> Outlook:
    """What the space of `balanced` holds for the budgets."""
    return outlook(twentieths(task), task.budgets)


def of_one_knob(task: PruneTask, architecture: Architecture, found: Nearest) -> Pruned:
    """What is handed over of a rule that turns all widths together."""
    around = found.around if len(task.budgets) == 1 else ()
    return Pruned(architecture, task.start(architecture), found.cost, around)


def outlook_of_one_knob(
    task: PruneTask, at: Callable[[PruneTask, Sequence[Budget]], tuple[Architecture, Nearest]]
) -> Outlook:
    """The ends of what a rule finds that turns all widths together, and whether it meets the budgets.

    A budget beyond an end is a shortfall. One between two settings is none: the nearest network is worth having.

    Args:
        task: Says what is asked for.
        at: What the rule finds for budgets.
    """
    space, (found, _) = all_widths(task), at(task, task.budgets)
    # The ends are what is nearest to next to nothing, and to the whole.
    smallest, _ = at(task, [replace(budget, target=1.0) for budget in task.budgets])
    largest, _ = at(task, [replace(budget, target=float(budget.cost(task.plan, task.full))) for budget in task.budgets])
    shortfall = None
    for budget in task.budgets:
        least, most = (budget.cost(task.plan, end) for end in (smallest, largest))
        if shortfall is None and (least > budget.high or most < budget.low):
            shortfall = Shortfall(budget, (), (least if least > budget.high else most,))
    otherwise = "lies between two networks of this method; the nearest is handed over"
    if len(task.budgets) > 1:
        otherwise = "cannot be met together by one share of all widths; the nearest network is handed over"
    networks = {"smallest": smallest, task.options.pruning.method: found, "full": task.full}
    return Outlook(space, task.budgets, networks, task.met(found), shortfall, otherwise)


def twentieths(task: PruneTask) -> SearchSpace:
    """The widths between which `balanced` chooses, at the depths that are given."""
    plan = tie_residuals(task.plan)
    multiples = {name: math.lcm(task.options.pruning.round_to, plan.units.get(name, 1)) for name in plan.widths}
    widths = {name: width_candidates(count, TWENTIETHS, multiples[name]) for name, count in plan.widths.items()}
    return SearchSpace(plan, task.full, widths, {stage: (count,) for stage, count in given_depths(task).items()})


def all_widths(task: PruneTask) -> SearchSpace:
    """Every number of channels that a width can have: the multiples that --round-to says, and the full number."""
    return SearchSpace.whole(task.plan, task.full, task.options.pruning.round_to)


def given_depths(task: PruneTask) -> dict[str, int]:
    """The depths that --blocks says, or the full ones. TasError if it leaves out none."""
    depths, blocks = task.full.depths, task.options.pruning.blocks
    if blocks is None:
        return dict(depths)
    most = max(depths.values(), default=0)
    inside("blocks", blocks, blocks < most, f"less than the {most} of the longest stage")
    return {stage: min(full, blocks) for stage, full in depths.items()}
