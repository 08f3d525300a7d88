"""Random networks of one latency, each held to what is measured of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any
from zlib import crc32

import torch

from tas.architecture import Architecture
from tas.pruning.task import PruneTask
from tas.runs.journal import Journal
from tas.runs.results import TimedLatency
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.timing.promise import LatencyPromise

DRAWS = 12
"""Networks that are drawn and measured for each that is wanted, at most: a prediction is off by a few per cent, so that
about one in three lies in a band of 2 %."""


@dataclass(frozen=True)
class Drawn:
    """A network that was measured when it was drawn."""

    widths: Mapping[str, int]
    depths: Mapping[str, int]
    latency: Mapping[str, Any]
    """The values of a `TimedLatency`."""


def drawn_by_time(
    task: PruneTask, space: SearchSpace, count: int, promise: LatencyPromise
) -> tuple[list[Architecture], list[TimedLatency]]:
    """Networks inside the budgets, that of latency by what is measured, or as near to that as the draws come.

    A network that is measured outside is drawn again, for a budget that is moved by what predictions have been off so
    far, at the median. drawn.json in the run's directory has what is drawn, which a run that goes on takes over.

    Args:
        task: Says what is asked for.
        space: What is drawn from.
        count: Networks.
        promise: Measures them.

    Returns:
        The networks, and what was measured of each.
    """
    journal = Journal(task.run.path / "drawn.json", Drawn)

    def network(one: Drawn) -> Architecture:
        return task.full.with_counts(one.widths, one.depths)

    def off(found: Architecture, timed: TimedLatency) -> float:
        return promise.cost(timed) / promise.budget.cost(task.plan, found)

    def draw(number: int) -> Drawn:
        # By its number: how many are drawn for the one before depends on times, which differ where a run goes on.
        generator = torch.Generator().manual_seed(crc32(f"{task.seed} {number}".encode()))
        factors = [off(network(one), TimedLatency(**one.latency)) for one in journal.entries]
        tried = list[tuple[Architecture, TimedLatency]]()
        while len(tried) < DRAWS and not (tried and promise.kept(tried[-1][1])):
            aimed = replace(promise.budget, target=promise.budget.target / median(factors or [1.0]))
            budgets = [aimed if budget == promise.budget else budget for budget in task.budgets]
            found = random_architecture(space, budgets, generator)
            tried.append((found, promise.time(found)))
            factors.append(off(*tried[-1]))
        found, timed = min(tried, key=lambda one: abs(promise.cost(one[1]) - promise.budget.target))
        return Drawn(found.widths, found.depths, asdict(timed))

    drawn = journal.up_to(count, draw)
    return list(map(network, drawn)), [TimedLatency(**one.latency) for one in drawn]
