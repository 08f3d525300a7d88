"""A latency that was predicted is measured, and the choice made again where the two are apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.latency import NANOSECONDS
from tas.reading.plan import Plan
from tas.runs.results import TimedLatency

ATTEMPTS = 6
"""Choices that are measured, at most."""

CENTRE = 0.5
"""The part of the band, around its target, in which no other choice is tried: times are measured with an error."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class LatencyPromise:
    """A budget of latency that holds of what is measured."""

    budget: Budget
    """In predicted nanoseconds."""
    absolute: bool
    """Whether a time is aimed at, not a share of the unpruned network's."""
    full: float
    """What is predicted for the unpruned network, in nanoseconds."""
    time: Callable[[Architecture], TimedLatency]
    """Measures a network."""

    def cost(self, timed: TimedLatency) -> float:
        """What was measured, in units of the budget."""
        return timed.seconds * NANOSECONDS if self.absolute else timed.ratio * self.full

    def kept(self, timed: TimedLatency) -> bool:
        """Whether what was measured is inside."""
        return self.budget.holds(self.cost(timed))

    def keep(
        self,
        find: Callable[[Sequence[Budget]], Found],
        architecture_of: Callable[[Found], Architecture],
        plan: Plan,
        budgets: Sequence[Budget],
    ) -> tuple[Found, TimedLatency]:
        """What is found inside budgets, of which that of latency is moved by as much as predictions are off.

        Args:
            find: From budgets to what is found inside them.
            architecture_of: Its widths and depths.
            plan: Of the unpruned network.
            budgets: All of them.

        Returns:
            What comes nearest to the target by what is measured, and what is measured.
        """
        aimed, tried = self.budget, list[tuple[float, Found, TimedLatency]]()
        seen = list[Architecture]()
        for _ in range(ATTEMPTS):
            found = find([aimed if budget == self.budget else budget for budget in budgets])
            architecture = architecture_of(found)
            if architecture in seen:
                break
            seen.append(architecture)
            timed = self.time(architecture)
            cost = self.cost(timed)
            apart = abs(cost / self.budget.target - 1)
            tried.append((apart, found, timed))
            if apart <= CENTRE * self.budget.tolerance:
                break
            predicted = self.budget.cost(plan, architecture)
            aimed = replace(self.budget, target=self.budget.target * predicted / cost)
        _, found, timed = min(tried, key=lambda one: one[0])
        return found, timed
