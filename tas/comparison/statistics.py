"""What the rows of a comparison say: means over seeds, differences paired over seeds."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from tas.comparison.methods import UNPRUNED
from tas.comparison.rows import Row


@dataclass(frozen=True)
class Mean:
    """One method, target and way of training, over its seeds."""

    method: str
    measure: str
    """What the target is of."""
    target: float
    training: str
    """With +kd where a teacher taught."""
    seeds: int
    """How many runs there are."""
    accuracy_mean: float
    accuracy_std: float | None
    """Sample standard deviation (n - 1); None with one seed."""
    flops_ratio: float
    cost_ratio: float
    """Of what was aimed at; of several the first."""
    target_met: bool
    """Whether every run is within the tolerance."""
    params: float
    epochs: float
    search_seconds: float
    train_seconds: float
    aimed: str
    """What was aimed at, as it was given."""
    params_ratio: float
    latency_seconds: float | None
    """What was measured; None, like the next, where none was aimed at."""
    latency_ratio: float | None
    latency_low: float | None
    latency_high: float | None
    """The least first quartile and the largest third one."""
    memory: float | None
    memory_ratio: float | None


LEAST_SEEDS = 3
"""Fewer common seeds tell nothing: the spread of two is a guess."""


@dataclass(frozen=True)
class Difference:
    """How much more accurate a method is than a control with the same seeds, target and training."""

    method: str
    control: str
    measure: str
    target: float
    training: str
    seeds: int
    """How many both have; all that follows is over these."""
    mean: float | None
    """Of the differences, seed by seed; None where no seed is common."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the mean, by Student's t; None with fewer than two seeds."""
    cost_ratio: float | None
    control_cost_ratio: float | None
    """What was aimed at, as it came out on average; None where no seed is common."""
    target_met: bool
    control_target_met: bool
    """Whether every run is within the tolerance."""
    aimed: str
    """What was aimed at, as it was given."""

    @property
    def verdict(self) -> Literal["better", "worse", "within the spread"] | None:
        """What the interval says of the difference; None where it can say nothing.

        That is with fewer than LEAST_SEEDS seeds, where one of the two missed the target, so that costs differ, and
        where all seeds differ by the same: no spread at all is chance, or one network measured several times.
        """
        if self.low is None or self.high is None or self.seeds < LEAST_SEEDS or self.high - self.low < 1e-9:
            return None
        if not (self.target_met and self.control_target_met):
            return None
        if self.low <= 0 <= self.high:
            return "within the spread"
        return "better" if self.low > 0 else "worse"


def means(rows: Sequence[Row]) -> list[Mean]:
    """The means over seeds, in the order in which methods, targets and trainings first come."""
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.measure, row.aimed, row.way), []).append(row)
    return [mean_of(group) for group in groups.values()]


def mean_of(rows: Sequence[Row]) -> Mean:
    """The mean of some rows of one method, aim and way of training."""
    accuracies = [row.test_accuracy for row in rows]

    def mean(key: str) -> float:
        return statistics.fmean(getattr(row, key) for row in rows)

    def known(key: str, summed: Callable[[Iterable[float]], float] = statistics.fmean) -> float | None:
        values = [value for row in rows if (value := getattr(row, key)) is not None]
        return summed(values) if values else None

    return Mean(
        rows[0].method,
        rows[0].measure,
        rows[0].target,
        rows[0].way,
        len(rows),
        statistics.fmean(accuracies),
        statistics.stdev(accuracies) if len(rows) > 1 else None,
        mean("flops_ratio"),
        mean("cost_ratio"),
        all(row.target_met for row in rows),
        mean("params"),
        mean("epochs"),
        mean("search_seconds"),
        mean("train_seconds"),
        rows[0].aimed,
        mean("params_ratio"),
        known("latency_seconds"),
        known("latency_ratio"),
        known("latency_low", min),
        known("latency_high", max),
        known("memory"),
        known("memory_ratio"),
    )


def differences(rows: Sequence[Row], controls: Sequence[str]) -> list[Difference]:
    """Every method's difference to each control, for each target and way of training that has it."""
    found: list[Difference] = []
    groups: dict[tuple[str, str, str], dict[str, dict[int, Row]]] = {}
    for row in rows:
        groups.setdefault((row.measure, row.aimed, row.way), {}).setdefault(row.method, {})[row.seed] = row
    for methods in groups.values():
        others = {method: rows for method, rows in methods.items() if method != UNPRUNED}
        for control in controls:
            # Taken out, so that a later control is compared with an earlier one and not the other way round too.
            known = others.pop(control, {})
            for own in others.values() if known else ():
                pairs = [(row, known[seed]) for seed, row in own.items() if seed in known]
                found.append(paired(next(iter(own.values())), control, pairs))
    return found


def paired(kind: Row, control: str, pairs: Sequence[tuple[Row, Row]]) -> Difference:
    """The mean of differences and its 95 % interval.

    Args:
        kind: A row of the method, whose aim and way of training both have.
        control: What it is compared with.
        pairs: The row of the method and that of the control, for each seed that both have.
    """
    gaps = [own.test_accuracy - other.test_accuracy for own, other in pairs]
    mean, low, high = interval(gaps) if gaps else (None, None, None)
    return Difference(
        kind.method,
        control,
        kind.measure,
        kind.target,
        kind.way,
        len(gaps),
        mean,
        low,
        high,
        cost_ratio=statistics.fmean(own.cost_ratio for own, _ in pairs) if pairs else None,
        control_cost_ratio=statistics.fmean(other.cost_ratio for _, other in pairs) if pairs else None,
        target_met=all(own.target_met for own, _ in pairs),
        control_target_met=all(other.target_met for _, other in pairs),
        aimed=kind.aimed,
    )


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean and the ends of its 95 % interval by Student's t: mean -+ t(0.975, n - 1) s / sqrt(n).

    The ends of a single value are None.
    """
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, value) that no other one beats: none that costs as little or less is as good or better.

    They are returned with their cost ascending; of equal points there is one.
    """
    front: list[tuple[float, float]] = []
    for cost, value in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front
