"""A cost of what a search has learned, beside the budget that it has to meet."""

from torch import Tensor

from tas.cost.budget import Budget, cost_loss
from tas.cost.expected import ExpectedCost
from tas.cost.measures import MEASURES
from tas.cost.tables import Probabilities
from tas.supernet.supernet import Supernet


class BudgetedCost:
    """One cost of a supernet's networks, and the budget that it has to meet.

    Args:
        supernet: Its space has the candidates.
        budget: The band.
    """

    def __init__(self, supernet: Supernet, budget: Budget) -> None:
        space, measure = supernet.space, MEASURES[budget.measure]
        self.name = budget.measure
        self.budget = budget
        self.full = measure.exact(space.plan, space.full)
        self.expected = ExpectedCost(measure.tables(space.plan, space.widths, space.depths))

    def scalars(self, widths: Probabilities, depths: Probabilities) -> dict[str, float]:
        """What is logged of the cost under these distributions, as shares of the unpruned network's."""
        return self.measured(widths, depths)[0]

    def measured(self, widths: Probabilities, depths: Probabilities) -> tuple[dict[str, float], Tensor]:
        """What is logged of the cost under these distributions, and its loss, differentiable in them."""
        expected, derived = self.expected(widths, depths), float(self.expected.at_argmax(widths, depths))
        scalars = {
            f"{self.name}/expected_ratio": expected.item() / self.full,
            f"{self.name}/derived_ratio": derived / self.full,
            f"{self.name}/band_low": self.budget.low / self.full,
            f"{self.name}/band_high": self.budget.high / self.full,
        }
        return scalars, cost_loss(expected, derived, self.budget)
