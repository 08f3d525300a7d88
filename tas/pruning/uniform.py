"""Every width the same share of the full one: what the paper calls Pre-defined."""

from tas.architecture import Architecture
from tas.config.checks import inside
from tas.pruning.nearest import nearest
from tas.pruning.task import Pruned, PruneTask
from tas.reading.plan import Plan
from tas.reading.residuals import tie_residuals


def uniform(task: PruneTask) -> Pruned:
    """All widths the same share of the full ones, the share such that the budget is met; depths full, or --blocks.

    Widths that identity shortcuts join stay equal, so that no projection has to come between them.

    Raises:
        TasError: No stage has more blocks than --blocks keeps.
    """
    plan, depths, blocks = tie_residuals(task.plan), task.full.depths, task.options.pruning.blocks
    if blocks is not None:
        most = max(depths.values(), default=0)
        inside("blocks", blocks, blocks < most, f"less than the {most} of the longest stage")
        depths = {stage: min(full, blocks) for stage, full in depths.items()}
    steps = narrowing_steps(plan)

    def narrowed(count: int) -> Architecture:
        widths = dict(plan.widths)
        for name in steps[:count]:
            widths[name] -= plan.units.get(name, 1)
        everything = {name: widths[plan.tied.get(name, name)] for name in task.full.widths}
        return task.full.with_counts(everything, depths)

    best = nearest(lambda count: task.cost(narrowed(count)), len(steps), task.budget.target)
    architecture = narrowed(best.knob)
    return Pruned(architecture, task.start(architecture), best.cost, best.around)


def narrowing_steps(plan: Plan) -> list[str]:
    """The widths in the order in which they lose a unit of channels as the share falls from 1 to 0, each to its last.

    A width of c channels is `unit` times c r / unit, rounded to the nearest, at share r: it steps where that rounds to
    the next number. Widths that step at the same share do so in forward order, one after another, so that the cost
    falls by little each time; no width is more than a unit away from its share.
    """
    steps = []
    for place, (name, channels) in enumerate(plan.widths.items()):
        unit = plan.units.get(name, 1)
        for left in range(channels // unit, 1, -1):
            steps.append((-(left - 0.5) * unit / channels, place, name))
    return [name for _, _, name in sorted(steps)]
