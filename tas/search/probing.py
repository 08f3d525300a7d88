"""Asking a supernet what it says of single networks: paired forward passes on the same held-out images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tas.architecture import Architecture, check_within
from tas.data.loaders import Batch
from tas.errors import TasError, blame, check_finite
from tas.runs.journal import Journal
from tas.runs.run import Run
from tas.space.space import SearchSpace
from tas.supernet.batch_statistics import batch_statistics
from tas.supernet.supernet import Supernet

CHANGES = 3
"""Widths of a network that are narrowed where the weights have learned on the unpruned network alone: with many of them
any network would fail, and say nothing of each."""


@dataclass(frozen=True)
class Probe:
    """What a supernet says of one network."""

    loss: float
    """Cross-entropy on held-out images. All networks of a search saw the same ones, so that differences have none of
    the images' noise."""
    accuracy: float
    """From 0 to 1."""
    widths: Mapping[str, int]
    depths: Mapping[str, int]


def probes_of(run: Run) -> Journal[Probe]:
    """What a search measured. TasError if the file is damaged."""
    return Journal(run.probes, Probe)


def check_probes(run: Run, probes: Sequence[Probe], full: Architecture) -> None:
    """TasError, naming the file, unless what a search measured is of networks that can be cut from its own."""
    with blame(str(run.probes)):
        for probe in probes:
            check_within("widths", probe.widths, full.widths)
            check_within("depths", probe.depths, full.depths)
            if not math.isfinite(probe.loss):
                raise TasError(f"a loss is {probe.loss}")


def write_probes(run: Run, probes: Sequence[Probe]) -> None:
    """Keep what a search measured: its answers to other budgets."""
    journal = probes_of(run)
    journal.entries = list(probes)
    journal.write()


@torch.no_grad()
def ask(
    supernet: Supernet, networks: Sequence[Architecture], batches: Iterable[Batch], device: torch.device
) -> list[Probe]:
    """What a supernet says of networks.

    Args:
        supernet: On the device.
        networks: Of its space.
        batches: Held-out images in any order but that of their classes: norms take each batch's statistics.
        device: Where it computes.
    """
    precision = next(supernet.parameters()).dtype  # under Lightning's "true" precisions not that of the images
    losses, right, count = *torch.zeros(2, len(networks), device=device), 0
    with batch_statistics(supernet):
        for images, labels in batches:
            images, labels = images.to(device, precision, memory_format=torch.channels_last), labels.to(device)
            count += len(labels)
            for place, network in enumerate(networks):
                supernet.force(network)
                logits = supernet(images).float()
                losses[place] += F.cross_entropy(logits, labels, reduction="sum")
                right[place] += (logits.argmax(1) == labels).sum()
    check_finite(losses.sum(), "--lr")
    return [
        Probe(loss / count, hits / count, dict(network.widths), dict(network.depths))
        for loss, hits, network in zip(losses.tolist(), right.tolist(), networks)
    ]


def random_networks(space: SearchSpace, count: int, generator: torch.Generator) -> list[Architecture]:
    """Networks of a space, every width and depth drawn uniformly from its candidates."""
    return [
        space.choose(
            {name: drawn(candidates, generator) for name, candidates in space.widths.items()},
            {name: drawn(candidates, generator) for name, candidates in space.depths.items()},
        )
        for _ in range(count)
    ]


def networks_near_the_full(space: SearchSpace, count: int, generator: torch.Generator) -> list[Architecture]:
    """The unpruned network with a few widths narrowed, and in every second one a stage shortened; first itself."""
    widths = [name for name, candidates in space.widths.items() if len(candidates) > 1]
    stages = [name for name, candidates in space.depths.items() if len(candidates) > 1]
    found = [space.full]
    while len(found) < count:
        order = torch.randperm(len(widths), generator=generator).tolist()
        narrowed = {widths[place]: drawn(space.widths[widths[place]][:-1], generator) for place in order[:CHANGES]}
        shortened: dict[str, int] = {}
        if stages and (not widths or len(found) % 2):
            stage = stages[int(torch.randint(len(stages), (), generator=generator))]
            shortened = {stage: drawn(space.depths[stage][:-1], generator)}
        found.append(
            space.choose(
                {name: narrowed.get(name, candidates[-1]) for name, candidates in space.widths.items()},
                {name: shortened.get(name, candidates[-1]) for name, candidates in space.depths.items()},
            )
        )
    return found


def drawn(candidates: Sequence[int], generator: torch.Generator) -> int:
    """One of several numbers, each as likely."""
    return candidates[int(torch.randint(len(candidates), (), generator=generator))]
