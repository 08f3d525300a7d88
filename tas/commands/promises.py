"""What commands say of targets: before a run what its space holds, and after it whether the network is inside."""

import math

from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.config.groups import Target
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES
from tas.errors import TargetMissedError, TasError
from tas.runs.results import FoundResult
from tas.runs.run import Run
from tas.space.outlook import Outlook


def check_reachable(target: Target, prospect: Outlook, finder: str = "this search") -> None:
    """TasError, naming the flags and what can be reached, if it is proved that no network is inside all budgets.

    Args:
        target: What is aimed at.
        prospect: Of its budgets.
        finder: What chooses between the networks, in words.
    """
    short = prospect.shortfall
    if short is None:
        return
    measure, full = MEASURES[short.missed.measure], prospect.space.full
    whole = measure.exact(prospect.space.plan, full)
    of_flags = {name: f"--{name}-target {amount}" for name, amount in target.amounts().items()}
    missed = of_flags[short.missed.measure]
    band = f"+- {100 * target.tolerance:g} %"
    shares = " and ".join(f"{cost / whole:.4f} ({cost})" for cost in short.reachable)
    flags = " and ".join([*(of_flags[budget.measure] for budget in short.beside), missed])
    nothing = "is inside both; inside the first," if short.beside else "is inside;"
    raise TasError(
        f"{flags} {band}: no network of {finder} {nothing} {shares} of the {measure.words} of {full.network} "
        f"can be reached; give {'one of these' if len(short.reachable) > 1 else 'that'}, or more --tolerance"
    )


def space_table(target: Target, prospect: Outlook) -> str:
    """The ends of a space in every cost, and whether each target can be met."""
    plan, full = prospect.space.plan, prospect.space.full
    rows = [("what can be found", *(measure.words for measure in MEASURES.values()))]
    for name, network in prospect.networks.items():
        costs = ((measure.exact(plan, network), measure.exact(plan, full)) for measure in MEASURES.values())
        rows.append((name, *(f"{cost:,} ({cost / whole:.1%})" for cost, whole in costs)))
    sizes = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, sizes)).rstrip() for row in rows]
    return "\n".join([*lines, *target_lines(target, prospect)])


def target_lines(target: Target, prospect: Outlook) -> list[str]:
    """A line for each target."""
    short, together = prospect.shortfall, " together" * (len(prospect.budgets) > 1)
    outcome = f"can be met{together}" if prospect.sure else prospect.otherwise
    if short is not None:
        outcome = f"cannot be met{together}; the nearest network is handed over"
    return [
        f"target {amount} +- {100 * target.tolerance:g} %, {math.ceil(budget.low):,} to {int(budget.high):,} "
        f"{MEASURES[budget.measure].words}: {outcome}"
        for amount, budget in zip(target.amounts().values(), prospect.budgets)
    ]


@rank_zero_only
def check_kept(target: Target, result: FoundResult, run: Run) -> None:
    """TargetMissedError unless a finished run's network is inside the band of every target."""
    if result.target_met:
        return
    fulls = {"flops": result.flops_full, "params": result.params_full}
    costs = {"flops": result.flops if result.flops_nonzero is None else result.flops_nonzero, "params": result.params}
    missed = []
    for measure, amount in target.amounts().items():
        cost, full = costs[measure], fulls[measure]
        if not Budget(amount.cost(full), target.tolerance, measure).holds(cost):
            reached = str(cost) if amount.absolute else f"{cost / full:.4g}"
            missed.append(f"{measure} {reached}, aimed at {amount} +- {100 * target.tolerance:g} %")
    shares = " and ".join(f"{share:.4f}" for share in result.reachable or ())
    reach = f"; {shares} can be reached" if shares else ""
    raise TargetMissedError(f"{'; '.join(missed)}: the nearest network is in {run.path}{reach}")
