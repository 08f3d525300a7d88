"""The FLOPs that a found network may have, and the loss that drives a search toward them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Budget:
    """A band of FLOPs: (1 - tolerance) target to (1 + tolerance) target."""

    target: float
    """Multiply-adds for one image."""
    tolerance: float = 0.05
    """Half the band's width, as a share of the target."""

    @property
    def low(self) -> float:
        """The fewest FLOPs inside."""
        return (1 - self.tolerance) * self.target

    @property
    def high(self) -> float:
        """The most FLOPs inside."""
        return (1 + self.tolerance) * self.target

    def holds(self, flops: float) -> bool:
        """Whether a cost lies inside, ends included."""
        return self.low <= flops <= self.high


def cost_loss(expected: Tensor, derived: float, budget: Budget) -> Tensor:
    """The piecewise cost loss (the paper's eq. 7): its descent moves the expected cost toward the band.

    Args:
        expected: The expected FLOPs under the learned distributions, a differentiable scalar.
        derived: The FLOPs of the argmax architecture; it alone decides the sign.
        budget: The band.

    Returns:
        +log(expected) above the band, 0 inside, -log(expected) below.
    """
    if derived > budget.high:
        return expected.log()
    if derived < budget.low:
        return -expected.log()
    return 0.0 * expected
