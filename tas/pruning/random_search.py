"""Random search: networks drawn inside the budgets, each trained a little, the best one kept."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from tas.config.groups import Space
from tas.data.images import SearchData
from tas.pruning.task import Pruned, PruneTask
from tas.pruning.timed_draws import drawn_by_time
from tas.runs.journal import Journal
from tas.runs.results import TimedLatency
from tas.space.derivation import reachable
from tas.space.outlook import Outlook, outlook
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.training.short import evaluate, train_apart


@dataclass(frozen=True)
class Candidate:
    """What a short training of a candidate gave."""

    val_accuracy: float
    """From 0 to 1, on the images that it was not trained on."""
    cost: int
    """What counts against the budget, of several against the first one."""
    seconds: float
    widths: Mapping[str, int]
    depths: Mapping[str, int]


def random_search(task: PruneTask) -> Pruned:
    """Draw networks inside the budgets, train each, keep the one that is most accurate (the paper's Table 1).

    Where one of the budgets is of latency, each network is measured when it is drawn, and drawn again where it is
    outside: as many are compared as without, at an equal latency.

    The space is that of the search: the paper's shares and depths, --round-to, and equal widths where identity
    shortcuts add. The networks are trained from random weights on one half of the training images and judged on the
    other: trained weights may have seen both halves, so they serve for the network that is handed over alone.
    candidates.json in the run's directory has the candidates that are finished; an interrupted run goes on after them,
    with the networks of drawn.json where they were measured.
    """
    options, seed = task.options, task.seed
    halves = SearchData(task.data, seed)
    images = task.data.train_images()
    space, count, promise = drawn_space(task), options.pruning.candidates, task.promise()
    timed: Sequence[TimedLatency | None] = [None] * count
    inside = [True] * count
    if promise is None:
        generator = torch.Generator().manual_seed(seed)
        drawn = [random_architecture(space, task.budgets, generator) for _ in range(count)]
    else:
        drawn, times = drawn_by_time(task, space, count, promise)
        timed, inside = times, [promise.kept(one) for one in times]

    def tried(number: int) -> Candidate:
        began, architecture = time.monotonic(), drawn[number]
        network = task.fresh(architecture)
        batches = task.data.training_batches(images, halves.weights_half)
        label = f"candidate {number + 1} of {count}"
        how = options.recipe, options.machine, seed, label
        device = train_apart(network, batches, task.full.num_classes, *how)
        reached = evaluate(network, task.data.judging_batches(images, halves.architecture_half), device)
        seconds = time.monotonic() - began
        return Candidate(reached, task.cost(architecture), seconds, architecture.widths, architecture.depths)

    journal = Journal(task.run.path / "candidates.json", Candidate)
    before = sum(one.seconds for one in journal.entries)
    judged = journal.up_to(count, tried)
    place = max(range(count), key=lambda number: (inside[number], judged[number].val_accuracy))
    best = drawn[place]
    apart = promise is None and len(task.budgets) == 1 and not task.met(best)
    around = reachable(space, task.budget) if apart else ()
    return Pruned(best, task.start(best), task.cost(best), around, seconds_before=before, timed=timed[place])


def drawn_space(task: PruneTask) -> SearchSpace:
    """The networks that may be drawn."""
    return SearchSpace.of(task.plan, task.full, Space(round_to=task.options.pruning.round_to))


def random_outlook(task: PruneTask) -> Outlook:
    """What the space holds for the budgets."""
    return outlook(drawn_space(task), task.budgets)
