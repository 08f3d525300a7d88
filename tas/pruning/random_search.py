"""Random search: networks drawn inside the budget, each trained a little, the best one kept."""

import json
import time
from dataclasses import dataclass

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.architecture import Architecture
from tas.cost.count import exact_flops
from tas.data.images import SearchData
from tas.errors import TasError
from tas.pruning.task import Pruned, PruneTask
from tas.reading.residuals import tie_residuals
from tas.runs.files import write_text
from tas.space.derivation import reachable
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.training.short import evaluate, train_apart


@dataclass(frozen=True)
class Candidate:
    """What a short training of a candidate gave."""

    val_accuracy: float
    """From 0 to 1, on the images that it was not trained on."""
    seconds: float


def random_search(task: PruneTask) -> Pruned:
    """Draw networks inside the budget, train each, keep the one that is most accurate (the paper's Table 1).

    The space is that of the search: the paper's shares and depths, with equal widths where identity shortcuts add. The
    networks are trained from random weights on one half of the training images and judged on the other: trained weights
    may have seen both halves, so they serve for the network that is handed over alone. candidates.json in the run's
    directory has the candidates that are finished; an interrupted run goes on after them.
    """
    options = task.options
    halves = SearchData(task.data, options.seed)
    images = task.data.train_images()
    space = SearchSpace.of(tie_residuals(task.plan), task.full)
    generator = torch.Generator().manual_seed(options.seed)
    drawn = [random_architecture(space, task.budget, generator) for _ in range(options.candidates)]
    judged = read(task)
    before = sum(one.seconds for one in judged)
    for number in range(len(judged), len(drawn)):
        began = time.monotonic()
        network = task.fresh(drawn[number])
        batches = task.data.training_batches(images, halves.weights_half)
        label = f"candidate {number + 1} of {len(drawn)}"
        device = train_apart(network, batches, task.full.num_classes, options, label)
        reached = evaluate(network, task.data.judging_batches(images, halves.architecture_half), device)
        judged.append(Candidate(reached, time.monotonic() - began))
        write(task, drawn, judged)
    best = drawn[max(range(len(drawn)), key=lambda number: judged[number].val_accuracy)]
    cost = exact_flops(task.plan, best)
    around = (cost,) if task.budget.holds(cost) else reachable(space, task.budget.target)
    return Pruned(best, task.start(best), cost, around, seconds_before=before)


def read(task: PruneTask) -> list[Candidate]:
    """The finished candidates of an interrupted run. TasError if the file with them is damaged."""
    path = task.run.path / "candidates.json"
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [Candidate(float(row["val_accuracy"]), float(row["seconds"])) for row in rows]
    except (ValueError, KeyError, TypeError):
        raise TasError(f"{path}: damaged; delete it to draw and train all candidates anew") from None


@rank_zero_only
def write(task: PruneTask, drawn: list[Architecture], judged: list[Candidate]) -> None:
    """Keep what is known of the finished candidates."""
    rows = [
        {
            "val_accuracy": one.val_accuracy,
            "flops": exact_flops(task.plan, architecture),
            "seconds": one.seconds,
            "widths": dict(architecture.widths),
            "depths": dict(architecture.depths),
        }
        for architecture, one in zip(drawn, judged)
    ]
    write_text(task.run.path / "candidates.json", json.dumps(rows, indent=1) + "\n")
