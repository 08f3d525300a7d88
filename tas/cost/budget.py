"""What a found network may cost, and the loss that drives a search toward it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from tas.architecture import Architecture
from tas.cost.measures import FLOPS, Measure
from tas.reading.plan import Plan


@dataclass(frozen=True)
class Budget:
    """A band of one cost: (1 - tolerance) target to (1 + excess) target; of a maximum, which is a limit, from 0."""

    target: float
    """In units of the measure: multiply-adds for one image, parameters."""
    tolerance: float = 0.05
    """How far below the target the band reaches, as a share of it."""
    measure: Measure = FLOPS
    """What is measured."""
    excess: float | None = None
    """How far above it; None: as far as below."""

    @property
    def low(self) -> float:
        """The least inside."""
        return 0.0 if self.measure.maximum else (1 - self.tolerance) * self.target

    @property
    def high(self) -> float:
        """The most inside."""
        return (1 + (self.tolerance if self.excess is None else self.excess)) * self.target

    def at_most(self) -> "Budget":
        """The part of the band that does not exceed the target."""
        return replace(self, excess=0.0)

    def narrower(self, margin: float) -> "Budget":
        """The band without a margin, a share of the target, at either end."""
        excess = None if self.excess is None else self.excess - margin
        return replace(self, tolerance=self.tolerance - margin, excess=excess)

    def holds(self, cost: float) -> bool:
        """Whether a cost lies inside, ends included."""
        return self.low <= cost <= self.high

    def cost(self, plan: Plan, architecture: Architecture) -> int:
        """What an architecture costs, from the plan of the unpruned network."""
        return self.measure.exact(plan, architecture)


def all_hold(budgets: Sequence[Budget], plan: Plan, architecture: Architecture) -> bool:
    """Whether an architecture lies inside every budget."""
    return all(budget.holds(budget.cost(plan, architecture)) for budget in budgets)


def cost_loss(expected: Tensor, derived: Tensor, budget: Budget) -> Tensor:
    """The piecewise cost loss (the paper's eq. 7): its descent moves the expected cost toward the band.

    Args:
        expected: The expected cost under the learned distributions, a differentiable scalar.
        derived: The cost of the argmax architecture, a scalar; it alone decides the sign.
        budget: The band.

    Returns:
        +log(expected) above the band, 0 inside, -log(expected) below.
    """
    beyond = derived - derived.clamp(budget.low, budget.high)
    return beyond.sign() * expected.log()
