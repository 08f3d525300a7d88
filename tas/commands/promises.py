"""What commands say of targets: before a run what its space holds, and after it whether the network is inside."""

import math

from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.config.targets import Target
from tas.cost.budget import Budget
from tas.cost.latency import NANOSECONDS, in_time_units
from tas.cost.measures import MEASURES
from tas.cost.memory import size_of
from tas.errors import TargetMissedError, TasError
from tas.runs.results import FoundResult
from tas.runs.run import Run
from tas.space.outlook import Outlook
from tas.timing.latency_model import SAMPLES, PredictedLatency
from tas.timing.promise import latency_kept


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
    measure, full = short.missed.measure, prospect.space.full
    whole = measure.exact(prospect.space.plan, full)
    of_flags = {name: f"--{name}-target {amount}" for name, amount in target.amounts().items()}
    missed = of_flags[measure.name]
    band = band_of(target, measure.name)
    shares = " and ".join(f"{cost / whole:.4f} ({measure.write(cost)})" for cost in short.reachable)
    flags = " and ".join([*(of_flags[budget.measure.name] for budget in short.beside), missed])
    nothing = "is inside both; inside the first," if short.beside else "is inside;"
    raise TasError(
        f"{flags} {band}: no network of {finder} {nothing} {shares} of the {measure.words} of {full.network} "
        f"can be reached; give {'one of these' if len(short.reachable) > 1 else 'that'}, or more --tolerance"
    )


def space_table(target: Target, prospect: Outlook, predicted: PredictedLatency | None = None) -> str:
    """The ends of a space in every cost, and whether each target can be met.

    Args:
        target: What is aimed at.
        prospect: Of its budgets.
        predicted: What latencies are predicted by, where one is aimed at.
    """
    plan, full = prospect.space.plan, prospect.space.full
    own = {budget.measure.name: budget.measure for budget in prospect.budgets}
    measures = {**MEASURES, **own}.values()
    rows = [("what can be found", *(measure.words for measure in measures))]
    for name, network in prospect.networks.items():
        costs = [(one, one.exact(plan, network), one.exact(plan, full)) for one in measures]
        rows.append((name, *(f"{one.write(cost)} ({cost / whole:.1%})" for one, cost, whole in costs)))
    sizes = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, sizes)).rstrip() for row in rows]
    said = [] if predicted is None else [f"{predicted_line(predicted)}; what is found is measured"]
    return "\n".join([*lines, *target_lines(target, prospect), *said])


def target_lines(target: Target, prospect: Outlook) -> list[str]:
    """A line for each target."""
    short, together = prospect.shortfall, " together" * (len(prospect.budgets) > 1)
    outcome = f"can be met{together}" if prospect.sure else prospect.otherwise
    if short is not None:
        outcome = f"cannot be met{together}; the nearest network is handed over"
    return [
        f"target {amount} {band_of(target, name)}, {ends_of(budget)}: {outcome}"
        for (name, amount), budget in zip(target.amounts().items(), prospect.budgets)
    ]


def band_of(target: Target, measure: str) -> str:
    """How far from a target a cost may be."""
    return f"{'+' if measure == 'memory' else '+-'} {100 * target.tolerance:g} %"


def ends_of(budget: Budget) -> str:
    """The costs inside a budget."""
    low = "at most" if budget.measure.maximum else f"{budget.measure.write(math.ceil(budget.low))} to"
    return f"{low} {budget.measure.told(int(budget.high))}"


def predicted_line(predicted: PredictedLatency) -> str:
    """How far predicted latencies are off."""
    return (
        f"latency: {predicted.setting}; predicted from layers, off by {predicted.median_error:.1%} (median) and "
        f"{predicted.worst_error:.1%} (worst) for {SAMPLES} random networks measured whole"
    )


@rank_zero_only
def check_kept(target: Target, result: FoundResult, run: Run) -> None:
    """TargetMissedError unless a finished run's network is inside the band of every target."""
    if result.target_met:
        return
    fulls = {"flops": result.flops_full, "params": result.params_full}
    costs = {"flops": result.flops if result.flops_nonzero is None else result.flops_nonzero, "params": result.params}
    missed = []
    for measure, amount in target.amounts().items():
        if measure not in costs:
            continue
        cost, full = costs[measure], fulls[measure]
        if not Budget(amount.cost(full), target.tolerance, MEASURES[measure]).holds(cost):
            reached = str(cost) if amount.absolute else f"{cost / full:.4g}"
            missed.append(f"{measure} {reached}, aimed at {amount} +- {100 * target.tolerance:g} %")
    if result.memory is not None and not memory_kept(target, result.memory, result.memory_full):
        amount = target.amounts()["memory"]
        reached = size_of(result.memory) if amount.absolute else f"{result.memory_ratio:.4g}"
        missed.append(f"memory {reached}, aimed at no more than {amount} {band_of(target, 'memory')}")
    if (timed := result.latency) is not None:
        amount = target.amounts()["latency"]
        if not latency_kept(amount, target.tolerance, timed):
            reached = in_time_units(timed.seconds * NANOSECONDS) if amount.absolute else f"{timed.ratio:.4g}"
            missed.append(f"latency {reached}, aimed at {amount} {band_of(target, 'latency')}, as measured")
    shares = " and ".join(f"{share:.4f}" for share in result.reachable or ())
    reach = f"; {shares} can be reached" if shares else ""
    raise TargetMissedError(f"{'; '.join(missed)}: the nearest network is in {run.path}{reach}")


def memory_kept(target: Target, peak: int, full: int | None) -> bool:
    """Whether a counted peak, in bytes, is at most its target; `full` is the unpruned network's."""
    assert full is not None, "both are counted, or neither"
    return peak <= (1 + target.tolerance) * target.amounts()["memory"].cost(full)
