"""What the rows of a comparison say: means over seeds, differences paired over seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from tas.comparison.results import UNPRUNED, Row

CONTROL = "uniform"
"""The method with which the others are compared: every layer the same share."""


@dataclass(frozen=True)
class Mean:
    """One method, target and way of training, over its seeds."""

    method: str
    target: float
    training: str
    """With +kd where a teacher taught."""
    seeds: int
    """How many runs there are."""
    accuracy_mean: float
    accuracy_std: float | None
    """Sample standard deviation (n - 1); None with one seed."""
    flops_ratio: float
    target_met: bool
    """Whether every run is within the tolerance."""
    params: float
    epochs: float
    search_seconds: float
    train_seconds: float


@dataclass(frozen=True)
class Difference:
    """How much more accurate a method is than the control with the same seeds, target and training."""

    method: str
    target: float
    training: str
    seeds: int
    """How many both have."""
    mean: float | None
    """Of the differences, seed by seed; None where no seed is common."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the mean, by Student's t; None with fewer than two seeds."""

    @property
    def clear(self) -> bool | None:
        """Whether the interval excludes 0; None where there is none."""
        return None if self.low is None or self.high is None else not self.low <= 0 <= self.high


def means(rows: Sequence[Row]) -> list[Mean]:
    """The means over seeds, in the order in which methods, targets and trainings first come."""
    groups: dict[tuple[str, float, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.target, row.way), []).append(row)
    return [mean_of(*key, group) for key, group in groups.items()]


def mean_of(method: str, target: float, training: str, rows: Sequence[Row]) -> Mean:
    """The mean of some rows of one kind."""
    accuracies = [row.test_accuracy for row in rows]

    def mean(key: str) -> float:
        return statistics.fmean(getattr(row, key) for row in rows)

    return Mean(
        method,
        target,
        training,
        len(rows),
        statistics.fmean(accuracies),
        statistics.stdev(accuracies) if len(rows) > 1 else None,
        mean("flops_ratio"),
        all(row.target_met for row in rows),
        mean("params"),
        mean("epochs"),
        mean("search_seconds"),
        mean("train_seconds"),
    )


def differences(rows: Sequence[Row]) -> list[Difference]:
    """Every method's difference to the control, for each target and way of training that has one."""
    found: list[Difference] = []
    groups: dict[tuple[float, str], dict[str, dict[int, float]]] = {}
    for row in rows:
        of_method = groups.setdefault((row.target, row.way), {}).setdefault(row.method, {})
        of_method[row.seed] = row.test_accuracy
    for (target, training), methods in groups.items():
        control = methods.get(CONTROL, {})
        for method, accuracies in methods.items():
            if method not in (CONTROL, UNPRUNED) and control:
                gaps = [accuracies[seed] - control[seed] for seed in accuracies if seed in control]
                found.append(paired(method, target, training, gaps))
    return found


def paired(method: str, target: float, training: str, gaps: Sequence[float]) -> Difference:
    """The mean of differences and its 95 % interval: mean -+ t(0.975, n - 1) s / sqrt(n)."""
    count = len(gaps)
    if count < 2:
        return Difference(method, target, training, count, gaps[0] if gaps else None, None, None)
    mean = statistics.fmean(gaps)
    half = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(gaps) / math.sqrt(count)
    return Difference(method, target, training, count, mean, mean - half, mean + half)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, value) that no other one beats: none that costs as little or less is as good or better.

    They are returned with their cost ascending; of equal points there is one.
    """
    front: list[tuple[float, float]] = []
    for cost, value in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front
