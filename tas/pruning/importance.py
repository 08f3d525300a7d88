"""Channels ranked by an importance of their own: L1 norm, geometric median, Taylor expansion."""

import copy

import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import Tensor

from tas.pruning.channels import WRITING, ChannelPruner, Importance
from tas.pruning.task import Pruned, PruneTask


class OfFilters:
    """An importance that sees nothing of a channel but the filters which make it.

    torch_pruning's own also count the weights that read a channel and the norms on its way; the papers do not.

    Args:
        importance: One of torch_pruning's, given the convolutions and linear layers that make a group's channels.
    """

    def __init__(self, importance: Importance) -> None:
        self.importance = importance

    def __call__(self, group: tp.Group) -> Tensor | None:
        filters = tp.Group()
        for place, (dep, indices) in enumerate(group.items):
            if dep.handler in WRITING:
                filters.add_dep(dep, indices)
                filters[-1].root_idxs = group[place].root_idxs
        return self.importance(filters) if len(filters) else None


def l1(task: PruneTask) -> Pruned:
    """Filters of the smallest L1 norm go (Li et al. 2017, "Pruning Filters for Efficient ConvNets")."""
    return prune_by(task, OfFilters(tp.importance.MagnitudeImportance(p=1)))


def fpgm(task: PruneTask) -> Pruned:
    """Filters nearest to all others go (He et al. 2019, "Filter Pruning via Geometric Median")."""
    return prune_by(task, OfFilters(tp.importance.FPGMImportance(p=1)))


def prune_by(task: PruneTask, importance: Importance) -> Pruned:
    """Take the least important channels out of the network as it is, until the budget is met."""
    return ChannelPruner(task, copy.deepcopy(task.network), importance).to_budget()


def taylor(task: PruneTask) -> Pruned:
    """Channels whose removal changes the loss least, to first order, go (Molchanov et al. 2019, "Importance Estimation
    for Neural Network Pruning"). The gradients are those of a few training batches, norms in evaluation."""
    network = copy.deepcopy(task.network).eval()
    for images, labels in task.judging_batches():
        F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    for parameter in network.parameters():
        if parameter.grad is None:  # it has no part in the loss
            parameter.grad = torch.zeros_like(parameter)
    return ChannelPruner(task, network, tp.importance.TaylorImportance()).to_budget()
