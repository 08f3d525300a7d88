"""From targets to budgets: shares and counts are told apart here, once the unpruned network's cost is known."""

from collections.abc import Mapping

from tas.architecture import Architecture
from tas.config.amount import Amount
from tas.config.checks import flag
from tas.config.targets import Target
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES, Measure
from tas.errors import TasError
from tas.reading.plan import Plan


def budgets_for(
    target: Target, plan: Plan, full: Architecture, measures: Mapping[str, Measure] = MEASURES
) -> tuple[Budget, ...]:
    """The budget of each target.

    Args:
        target: What is aimed at.
        plan: Of the unpruned network.
        full: Its widths and depths.
        measures: Name -> measure, of all that have a target.

    Raises:
        TasError: A target is above what the unpruned network costs.
    """
    budgets = []
    for name, amount in target.amounts().items():
        measure = measures[name]
        check_below_full(f"{name}_target", measure, amount, plan, full)
        budgets.append(Budget(amount.cost(measure.exact(plan, full)), target.tolerance, measure))
    return tuple(budgets)


def shares_of(
    target: Target, plan: Plan, full: Architecture, measures: Mapping[str, Measure] = MEASURES
) -> dict[str, float]:
    """Measure -> the share of the unpruned network's cost that is aimed at. Arguments as for `budgets_for`."""
    amounts = target.amounts().items()
    return {name: amount.share(measures[name].exact(plan, full)) for name, amount in amounts}


def check_below_full(key: str, measure: Measure, amount: Amount, plan: Plan, full: Architecture) -> None:
    """TasError, naming the option, if an amount is above what the unpruned network costs."""
    cost = measure.exact(plan, full)
    if amount.share(cost) > 1:
        raise TasError(f"{flag(key)} {amount}: {full.network} has {measure.told(cost)} unpruned; give at most that")
