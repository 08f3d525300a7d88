"""What `tas search --rank` adds: whether the supernet ranks networks as training each alone does, and where the network
that was found stands among them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

import torch
import yaml
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tas.architecture import Architecture
from tas.config import SearchOptions
from tas.config.search import RANKED_BY
from tas.cutting.build import build
from tas.errors import TasError
from tas.runs.run import Run
from tas.runs.summary import percent
from tas.search.ranking import Judged, draw_ranking, forced_loss, judge, kendall_tau, read_judged
from tas.search.task import SearchTask
from tas.space.random_networks import random_architecture
from tas.supernet.supernet import Supernet
from tas.training.short import evaluate, train_apart


def accuracies_alone(options: SearchOptions) -> list[float] | None:
    """The accuracies of the networks that --rank-from has trained alone, from 0 to 1; None without it.

    Raises:
        TasError: It is no finished search with --rank, or drew other networks, or trained them otherwise.
    """
    if options.rank_from is None:
        return None
    other, blamed = Run(options.rank_from), f"--rank-from {options.rank_from}"
    if not (other.finished() and other.ranking.is_file()):
        raise TasError(f"{blamed}: not the directory of a finished search with --rank")
    before = yaml.safe_load(other.config.read_text(encoding="utf-8"))
    before.setdefault("rank_lr", before.get("lr"))  # older versions trained them at the search's own
    now = yaml.safe_load(yaml.safe_dump(asdict(options)))
    for key in RANKED_BY:
        if before.get(key) != now[key]:
            raise TasError(f"{blamed}: that search has {key} {before.get(key)}, this one {now[key]}; give the same")
    return [one.val_accuracy for one in read_judged(other.ranking)[: options.rank]]


def rank(
    task: SearchTask,
    supernet: Supernet,
    found: Architecture,
    run: Run,
    device: torch.device,
    known: Sequence[float] | None,
) -> dict[str, Any]:
    """Judge random networks inside the budget, and the found one, in both ways; leaves ranking.json and ranking.png in
    the run.

    The networks are trained alone on the weights' half of the images, from random weights, with the search's momentum
    and weight decay; both judgements are made on the architecture's half. Started again after an
    interruption, it goes on with the network that it was at.

    Args:
        task: What was searched.
        supernet: As the search left it; it ends on the device.
        found: The network that the search found.
        run: The search's.
        device: Where the supernet computes.
        known: The accuracies of the random networks trained alone, where another search has them; None trains them.

    Returns:
        The metrics that it adds to the search's.
    """
    supernet.to(device)  # validation has put it back on the CPU
    options, halves, full = task.options, task.halves, task.space.full
    images = halves.data.train_images()
    recipe = replace(options, epochs=options.rank_epochs, lr=options.rank_lr)
    generator = torch.Generator().manual_seed(options.seed)
    drawn = [random_architecture(task.space, task.budget, generator) for _ in range(options.rank)]

    def loss_of(architecture: Architecture) -> float:
        batches = halves.data.training_batches(images, halves.weights_half)
        return forced_loss(supernet, architecture, batches, halves.val_dataloader(), device)

    def accuracy_of(architecture: Architecture, number: int) -> float:
        if known is not None and number < len(known):
            return known[number]
        torch.manual_seed(options.seed)
        network = build(architecture)
        batches = halves.data.training_batches(images, halves.weights_half)
        label = f"network {number + 1} of {len(drawn)}" if number < len(drawn) else "found network"
        trained_on = train_apart(network, batches, full.num_classes, recipe, label)
        return evaluate(network, halves.val_dataloader(), trained_on)

    *judged, own = judge([*drawn, found], loss_of, accuracy_of, run.ranking)
    draw(judged, own, run)
    tau, p_value = kendall_tau(judged)
    told = math.isfinite(tau)
    return {
        "kendall_tau": tau if told else None,
        "kendall_p_value": p_value if told else None,
        "ranked": len(judged),
        "ranked_accuracy_mean": fmean(one.val_accuracy for one in judged),
        "ranked_accuracy_best": max(one.val_accuracy for one in judged),
        "found_accuracy": own.val_accuracy,
        "found_beats": sum(one.val_accuracy < own.val_accuracy for one in judged),
    }


@rank_zero_only
def draw(judged: list[Judged], found: Judged, run: Run) -> None:
    """Leave the picture."""
    draw_ranking(judged, found).savefig(run.path / "ranking.png", dpi=150)


def describe(ranking: dict[str, Any]) -> list[tuple[str, str]]:
    """The summary's lines on it."""
    tau, p_value, count = ranking["kendall_tau"], ranking["kendall_p_value"], ranking["ranked"]
    correlation = f"cannot be told: all {count} networks are judged equal"
    if tau is not None:
        correlation = f"Kendall's tau {tau:.2f} (p = {p_value:.2g}) over {count} random networks"
    mean, best = percent(ranking["ranked_accuracy_mean"]), percent(ranking["ranked_accuracy_best"])
    beaten = f"better than {ranking['found_beats']} of {count} random ones (mean {mean}, best {best})"
    return [
        ("rank correlation", correlation),
        ("trained alone", f"{percent(ranking['found_accuracy'])} on the architecture half, {beaten}"),
    ]
