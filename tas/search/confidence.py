"""How sure a search is: by how much the likeliest candidate of each choice is ahead of the next, and whether it has
settled."""

from collections.abc import Sequence

from torch import Tensor

from tas.cost.budget import Budget
from tas.cost.tables import Probabilities
from tas.reading.plan import Plan
from tas.search.conclusion import Conclusion

DRAW = 0.1
"""Mean confidence below which a choice is called close to a draw."""

BLIND = 0.2
"""Rank correlation of scores with losses below which they are said to tell nothing."""


def confidence(probabilities: Tensor) -> float:
    """The highest probability minus the second highest; 1 where there is no choice."""
    if len(probabilities) == 1:
        return 1.0
    first, second = map(float, probabilities.detach().topk(2).values)
    return first - second


def mean_confidence(widths: Probabilities, depths: Probabilities) -> float:
    """The mean confidence of all that is searched."""
    gaps = [confidence(p) for p in (*widths.values(), *depths.values()) if len(p) > 1]
    return sum(gaps) / len(gaps) if gaps else 1.0


def unsettled(conclusion: Conclusion, plan: Plan, budgets: Sequence[Budget]) -> list[str]:
    """Why what was learned has not settled, in words; empty where it has.

    Args:
        conclusion: What the search came to.
        plan: Of the unpruned network.
        budgets: Those of the search.
    """
    if (standing := conclusion.standing) is not None:
        if standing.tau >= BLIND:
            return []
        return [f"tau {standing.tau:.2f}: scores hardly order the networks that were not in their fit"]
    reasons = []
    if (sure := mean_confidence(conclusion.widths, conclusion.depths)) < DRAW:
        reasons.append(f"confidence {sure:.3f}: close to a draw among the networks inside the budget")
    for budget in budgets:
        cost, measure = budget.cost(plan, conclusion.likeliest), budget.measure
        if not budget.holds(cost):
            band = f"{measure.write(int(budget.low))} to {measure.told(int(budget.high))}"
            reasons.append(f"the likeliest candidates together cost {measure.told(cost)}, not {band}")
    return reasons
