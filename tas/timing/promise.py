"""A latency that was predicted is measured, and the choice made again where the two are apart."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tas.architecture import Architecture
from tas.config.amount import Amount
from tas.config.targets import Target
from tas.cost.budget import Budget
from tas.cost.latency import NANOSECONDS
from tas.reading.plan import Plan
from tas.runs.results import TimedLatency
from tas.timing.latency_model import PredictedLatency, latency_blamed
from tas.timing.stopwatch import Stopwatch, Subject

ATTEMPTS = 6
"""Choices that are measured, at most."""

CENTRE = 0.5
"""The part of the band, around its target, in which no other choice is tried: times are measured with an error."""

Finding = TypeVar("Finding")


@dataclass(frozen=True)
class LatencyPromise:
    """A budget of latency that holds of what is measured."""

    budget: Budget
    """In predicted nanoseconds."""
    amount: Amount
    """What is aimed at: a time, or a share of the unpruned network's."""
    full: float
    """What is predicted for the unpruned network, in nanoseconds."""
    time: Callable[[Architecture], TimedLatency]
    """Measures a network."""

    def cost(self, timed: TimedLatency) -> float:
        """What was measured, in units of the budget."""
        return timed.seconds * NANOSECONDS if self.amount.absolute else timed.ratio * self.full

    def kept(self, timed: TimedLatency) -> bool:
        """Whether what was measured is inside the band."""
        return latency_kept(self.amount, self.budget.tolerance, timed)

    def keep(
        self,
        find: Callable[[Sequence[Budget]], Finding],
        architecture_of: Callable[[Finding], Architecture],
        plan: Plan,
        budgets: Sequence[Budget],
    ) -> tuple[Finding, TimedLatency]:
        """What is found inside budgets, of which that of latency is moved by as much as predictions are off.

        Args:
            find: From budgets to what is found inside them.
            architecture_of: Its widths and depths.
            plan: Of the unpruned network.
            budgets: All of them.

        Returns:
            What comes nearest to the target by what is measured, and what is measured.
        """
        aimed, tried = self.budget, list[tuple[float, Finding, TimedLatency]]()
        points = dict[float, float]()
        for _ in range(ATTEMPTS):
            found = find([aimed if budget == self.budget else budget for budget in budgets])
            architecture = architecture_of(found)
            predicted = math.log(self.budget.cost(plan, architecture))
            if predicted in points:  # as near as the networks lie
                break
            timed = self.time(architecture)
            points[predicted] = math.log(self.cost(timed))
            tried.append((abs(self.cost(timed) / self.budget.target - 1), found, timed))
            if tried[-1][0] <= CENTRE * self.budget.tolerance:
                break
            aimed = replace(self.budget, target=math.exp(corrected(points, math.log(self.budget.target))))
        _, found, timed = min(tried, key=lambda one: one[0])
        return found, timed


def promise_of(
    target: Target, budgets: Sequence[Budget], predicted: PredictedLatency | None, subject: Subject
) -> LatencyPromise | None:
    """What holds the budget of latency to what is measured; None where there is none.

    Args:
        target: What is aimed at.
        budgets: One for each.
        predicted: What latencies are predicted by, where one is aimed at.
        subject: What networks are cut from.

    Raises:
        TasError: The network cannot be run there.
    """
    if predicted is None:
        return None
    (budget,) = (one for one in budgets if one.measure.name == "latency")
    full = budget.cost(subject.plan, subject.full)
    with latency_blamed():
        watch = Stopwatch(subject, predicted.setting)
    return LatencyPromise(budget, target.amounts()["latency"], full, watch.time)


def latency_kept(amount: Amount, tolerance: float, timed: TimedLatency) -> bool:
    """Whether a measured latency is inside the band of its target."""
    return Budget(amount.value, tolerance).holds(timed.seconds * NANOSECONDS if amount.absolute else timed.ratio)


def share_aimed_at(amount: Amount, timed: TimedLatency) -> float:
    """A target as a share of what the unpruned network takes, as measured."""
    return amount.value / NANOSECONDS / timed.seconds_full if amount.absolute else amount.value


def corrected(points: Mapping[float, float], target: float) -> float:
    """What to aim at, by the secant through the last two points, or along the diagonal through a single one.

    Args:
        points: Logarithms of predicted costs -> those of the measured ones, in the order of their making.
        target: Logarithm of what is to be measured.
    """
    predicted, measured = list(points.items())[-1]
    slope = 1.0
    if len(points) > 1:
        before, then = list(points.items())[-2]
        slope = min(3.0, max(0.5, (measured - then) / (predicted - before)))  # errors of times may turn it round
    return predicted + (target - measured) / slope
