"""NVIDIA Model-Optimizer's FastNAS as a method of `tas prune`, for `peers.py`.

    pip install -e ".[peers]"
    PYTHONPATH=benchmarks tas prune --method peers_fastnas:fastnas --weights RUN --flops-target 0.5

FastNAS narrows each width of the trained network alone to each of its candidates, recalibrates the norms and asks for a
score; then all widths are narrowed as far as one common loss of score allows, the least within the constraint. What its
tracer does not follow stays whole: whatever a flatten reads, so the last width of most classifiers.
"""

import copy
from collections.abc import Iterable
from itertools import chain, islice, repeat

import modelopt.torch.prune as mtp
import torch
import torch.nn.functional as F
from peers import device_of, read_off
from torch import nn

from tas.config.groups import Strategy
from tas.data.images import SearchData
from tas.data.loaders import Batch
from tas.errors import TasError, explained
from tas.pruning.task import Pruned, PruneTask

CALIBRATING = 50
"""Batches by which it recalibrates norms; with fewer it warns and does not."""
CALIBRATING_IMAGES = 16
"""In each of these, at most."""

NARROWED = {"nn.Conv2d": "channel_divisor", "nn.BatchNorm2d": "feature_divisor"}
"""Layers with widths -> what these are rounded to; its default, 32, would leave most layers of small networks whole."""


def fastnas(task: PruneTask) -> Pruned:
    """The narrower network that FastNAS finds within an upper bound: the most that the budget allows, as `tas` has it.

    The score is the cross-entropy, below 0, on the training images by which `tas search --strategy sandwich` asks
    networks: an accuracy on images that the network has learned is the same for many widths, and stops far from the
    target.

    Raises:
        TasError: It cannot prune the network, or not into one that `tas` knows.
    """
    device, options = device_of(task), Strategy()
    share = task.budget.high / task.cost(task.full)
    judging = SearchData(task.data, task.seed, options.held_out, by_turns=False).probing_batches(options.probe_images)
    batches = [(images.to(device), labels.to(device)) for images, labels in judging]
    calibrating = calibrating_batches(task, device)
    rules = mtp.fastnas.FastNASConfig()
    for kind, divisor in NARROWED.items():
        rules[kind]["*"][divisor] = 1
    try:
        small, _ = mtp.prune(
            copy.deepcopy(task.network).to(device),
            mode=[("fastnas", rules)],
            constraints={task.budget.measure.name: f"{100 * share}%"},
            dummy_input=torch.zeros(1, *task.input_shape, device=device),
            config={
                "data_loader": calibrating,
                "max_iter_data_loader": CALIBRATING,
                "score_func": lambda candidate: -loss_of(candidate, batches),
                "verbose": False,
            },
        )
    except Exception as error:  # it raises what it likes
        raise TasError(f"FastNAS cannot prune {task.full.network} ({explained(error)})") from None
    return read_off(task, small)


def calibrating_batches(task: PruneTask, device: torch.device) -> list[Batch]:
    """Training images and their classes, from as many epochs as it takes."""
    epochs = chain.from_iterable(repeat(task.data.train_dataloader()))
    few = slice(CALIBRATING_IMAGES)
    return [(images[few].to(device), labels[few]) for images, labels in islice(epochs, CALIBRATING)]


@torch.no_grad()
def loss_of(network: nn.Module, batches: Iterable[Batch]) -> float:
    """The mean cross-entropy of a network on images; FastNAS recalibrates the norms as it goes into evaluation."""
    network.eval()
    losses = [F.cross_entropy(network(images), labels, reduction="none") for images, labels in batches]
    return float(torch.cat(losses).mean())
