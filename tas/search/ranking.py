"""Whether a supernet ranks networks as training each of them alone does, and where the found network stands.

A search can only choose well among networks that its supernet tells apart. Kendall's rank correlation between the
supernet's validation loss, forced to each of several networks of the same cost, and the validation accuracy of each
trained alone says how well it does: 1 is the same order, 0 none. Whether it chose well shows when what it found is
trained alone like them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from tas.architecture import Architecture
from tas.supernet.supernet import Supernet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Judged:
    """One network, judged in both ways."""

    supernet_loss: float
    """Cross-entropy of the supernet forced to it."""
    val_accuracy: float
    """From 0 to 1, trained alone, on the half of the images that it did not learn by."""
    widths: Mapping[str, int]
    depths: Mapping[str, int]


def forced_loss(
    supernet: Supernet, architecture: Architecture, images: DataLoader, judging: DataLoader, device: torch.device
) -> float:
    """The cross-entropy of a supernet forced to one architecture, its norms' statistics measured anew for it.

    Args:
        supernet: On the device.
        architecture: One of its space.
        images: Training images, for the statistics.
        judging: Images and classes that it has not been trained on.
        device: Where it computes.
    """
    supernet.force(architecture)
    update_bn(images, supernet, device)
    supernet.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch, labels in judging:
            total += float(F.cross_entropy(supernet(batch.to(device)), labels.to(device), reduction="sum"))
            count += len(labels)
    return total / count


def kendall_tau(judged: Sequence[Judged]) -> tuple[float, float]:
    """Kendall's rank correlation (tau-b) of low loss with high accuracy, and its p-value under no correlation.

    Not a number where one of the two is the same for all networks.
    """
    result = kendalltau([-one.supernet_loss for one in judged], [one.val_accuracy for one in judged])
    tau, p_value = float(result.statistic), float(result.pvalue)
    return (tau, p_value) if math.isfinite(tau) else (math.nan, math.nan)


def draw_ranking(judged: Sequence[Judged], found: Judged) -> "Figure":
    """A picture: each network's accuracy, trained alone, against the supernet's loss for it; the found one a star."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([one.supernet_loss for one in judged], [100 * one.val_accuracy for one in judged], color="#2b6cb0")
    axes.plot(found.supernet_loss, 100 * found.val_accuracy, "*", color="#c05621", markersize=12, label="found network")
    axes.legend(fontsize=8)
    axes.set_xlabel("validation loss of the supernet, forced to the network")
    axes.set_ylabel("validation accuracy, trained alone (%)")
    tau, p_value = kendall_tau(judged)
    axes.set_title(f"{len(judged)} random networks: Kendall's tau {tau:.2f} (p = {p_value:.2g})", fontsize=9)
    return figure
