"""From targets to budgets: shares and counts are told apart here, once the unpruned network's cost is known."""

from tas.architecture import Architecture
from tas.config.amount import Amount
from tas.config.checks import flag
from tas.config.targets import Target
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES
from tas.errors import TasError
from tas.reading.plan import Plan


def budgets_for(target: Target, plan: Plan, full: Architecture) -> tuple[Budget, ...]:
    """The budget of each target.

    Args:
        target: What is aimed at.
        plan: Of the unpruned network.
        full: Its widths and depths.

    Raises:
        TasError: A target is above what the unpruned network costs.
    """
    budgets = []
    for measure, amount in target.amounts().items():
        check_below_full(f"{measure}_target", measure, amount, plan, full)
        cost = MEASURES[measure]
        budgets.append(Budget(amount.cost(cost.exact(plan, full)), target.tolerance, cost))
    return tuple(budgets)


def shares_of(target: Target, plan: Plan, full: Architecture) -> dict[str, float]:
    """Measure -> the share of the unpruned network's cost that is aimed at. Arguments as for `budgets_for`."""
    amounts = target.amounts().items()
    return {measure: amount.share(MEASURES[measure].exact(plan, full)) for measure, amount in amounts}


def check_below_full(key: str, measure: str, amount: Amount, plan: Plan, full: Architecture) -> None:
    """TasError, naming the option, if an amount is above what the unpruned network costs."""
    cost = MEASURES[measure].exact(plan, full)
    if amount.share(cost) > 1:
        raise TasError(
            f"{flag(key)} {amount}: {full.network} has {cost} {MEASURES[measure].words} unpruned; give at most that"
        )
