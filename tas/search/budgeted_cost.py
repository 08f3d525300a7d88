"""A cost of what a search has learned, beside the budget that it has to meet."""

from dataclasses import dataclass

from torch import Tensor

from tas.cost.budget import Budget, cost_loss
from tas.cost.expected import ExpectedCost
from tas.supernet.supernet import Supernet


@dataclass(frozen=True)
class MeasuredCost:
    """One cost under the distributions of a moment; float64 scalars."""

    expected: Tensor
    """Differentiable in the distributions."""
    derived: Tensor
    """Of the network of the most probable candidates."""
    loss: Tensor
    """The cost loss of both."""


class BudgetedCost:
    """One cost of a supernet's networks, and the budget that it has to meet.

    Args:
        supernet: Its space has the candidates.
        budget: The band.
    """

    def __init__(self, supernet: Supernet, budget: Budget) -> None:
        space, measure = supernet.space, budget.measure
        self.supernet = supernet
        self.name = budget.measure.name
        self.budget = budget
        self.full = measure.exact(space.plan, space.full)
        self.expected = ExpectedCost(measure.tables(space.plan, space.widths, space.depths), space.widths, space.depths)

    def measured(self) -> MeasuredCost:
        """The cost under the supernet's distributions."""
        full_width = self.supernet.full_width
        if full_width is None:
            rows = self.expected.rows(*self.supernet.probabilities())
        else:
            rows = self.expected.rows_of(full_width.probabilities())
        expected, derived = self.expected.total(rows), self.expected.at_argmax(rows)
        return MeasuredCost(expected, derived, cost_loss(expected, derived, self.budget))

    def scalars(self, measured: MeasuredCost) -> dict[str, float | Tensor]:
        """What is logged of it, as shares of the unpruned network's."""
        return {
            f"{self.name}/expected_ratio": (measured.expected.detach() / self.full).float(),
            f"{self.name}/derived_ratio": (measured.derived / self.full).float(),
            f"{self.name}/band_low": self.budget.low / self.full,
            f"{self.name}/band_high": self.budget.high / self.full,
        }
