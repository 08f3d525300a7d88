"""Channels chosen by what the next layer makes of them: ThiNet's greedy choice, and LASSO regression."""

import copy
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch_pruning as tp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram
from torch import Tensor, nn

from tas.pruning.channels import ChannelPruner, make_pruner, readers, writers
from tas.pruning.importance import OfFilters
from tas.pruning.patches import ReadingLayer, second_moments
from tas.pruning.refit import refit
from tas.pruning.task import Pruned, PruneTask

ChannelRanking = Callable[[Tensor], Tensor]
"""From the Gram matrix of the channels' contributions, (channels, channels) float64, to their scores, (channels,)."""


class ByReader:
    """Every group loses the same share of its channels; which ones, the layer that reads them decides.

    A channel's score is its place in its group, as a share of the group, so that one threshold over all groups takes
    the same share of each. Where several layers read a group, or make it, its filters' L1 norms decide.

    Args:
        rank: How a reader decides.
        grams: ReadingLayer -> the Gram matrix of the contributions to its output, (channels, channels).
    """

    def __init__(self, rank: ChannelRanking, grams: Mapping[ReadingLayer, Tensor]) -> None:
        self.rank = rank
        self.grams = grams
        self.otherwise = OfFilters(tp.importance.MagnitudeImportance(p=1))
        self.asked = 0

    def __call__(self, group: tp.Group) -> Tensor | None:
        reader = lone_reader(group)
        scores = self.otherwise(group) if reader is None else self.rank(self.grams[reader])
        if scores is None:
            return None
        places = scores.argsort(stable=True).argsort().double()
        # Groups of the same size reach a share together; they lose a channel one after another.
        self.asked += 1
        return (places + 0.5) / len(places) + 1e-6 * self.asked


def thinet(task: PruneTask) -> Pruned:
    """The channels whose loss changes the next layer's output least go, found greedily (Luo et al. 2017, "ThiNet: A
    Filter Level Pruning Method for Deep Neural Network Compression")."""
    return by_reader(task, greedy, False)


def reconstruction(task: PruneTask) -> Pruned:
    """The channels that a LASSO regression of the next layer's output needs least go, and the weights which read the
    others are fitted anew (He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks")."""
    return by_reader(task, lasso, True)


def by_reader(task: PruneTask, rank: ChannelRanking, fit: bool) -> Pruned:
    """Take the same share of channels from every layer, chosen by their readers."""
    network = copy.deepcopy(task.network).eval().requires_grad_(True)
    pruner = make_pruner(task, network, tp.importance.MagnitudeImportance(p=1))
    groups = pruner.DG.get_all_groups(ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types)
    names = {module: name for name, module in network.named_modules()}
    chosen = {names[reader]: reader for group in groups if (reader := lone_reader(group)) is not None}
    batches = task.judging_batches()
    grams = {
        chosen[name]: gram(moment, chosen[name])
        for name, moment in second_moments(network, list(chosen), batches, task.seed).items()
    }
    remover = ChannelPruner(task, network, ByReader(rank, grams))
    pruned = remover.to_budget()
    if fit:
        order = [layer.name for layer in task.plan.layers if layer.name in chosen]
        refit(task.network, pruned.network, order, remover.removed, batches, task.seed)
        pruned.network.train()
    return pruned


def lone_reader(group: tp.Group) -> ReadingLayer | None:
    """The one layer that reads a group's channels, and nothing else, where one layer makes them; else None."""
    made, reading = writers(group), readers(group)
    if len(made) != 1 or len(reading) != 1:
        return None
    module, inputs, channels = reading[0]
    if list(inputs) != list(channels):
        return None
    if isinstance(module, nn.Conv2d):
        usable = module.groups == 1 and module.in_channels == len(inputs) and not isinstance(module.padding, str)
        return module if usable and module.padding_mode == "zeros" else None
    return module if isinstance(module, nn.Linear) and module.in_features == len(inputs) else None


def gram(moment: Tensor, reader: ReadingLayer) -> Tensor:
    """The Gram matrix of what each input channel adds to a layer's output, summed over positions and output channels.

    Entry (i, j) is the inner product of channel i's part of the output and channel j's: the error of leaving out a set
    of channels is the sum of its entries over that set.

    Args:
        moment: Sum over positions of the outer products of the layer's inputs, (channels k, channels k) float64, k
            weights for each channel.
        reader: The layer.
    """
    outputs, channels = reader.weight.shape[:2]
    weight = reader.weight.detach().double().reshape(outputs, -1)
    kernel = weight.shape[1] // channels
    products = moment * (weight.T @ weight)
    return products.reshape(channels, kernel, channels, kernel).sum((1, 3))


def greedy(matrix: Tensor) -> Tensor:
    """The step at which each channel leaves when always that one leaves which adds least to the error, (channels,)."""
    left = torch.zeros(len(matrix), dtype=torch.float64)
    cost, step = matrix.diagonal().clone(), 0
    gone = torch.zeros(len(matrix), dtype=torch.bool)
    while step < len(matrix):
        channel = int(cost.masked_fill(gone, torch.inf).argmin())
        gone[channel] = True
        left[channel] = step
        cost = cost + 2 * matrix[channel]
        step += 1
    return left


def lasso(matrix: Tensor) -> Tensor:
    """The penalty at which a LASSO regression on the channels' contributions begins to use each one, (channels,).

    The regression's target is the whole output, the sum of all contributions; its path is LARS's (Efron et al. 2004).
    """
    values = matrix.numpy().copy()
    values /= max(float(np.trace(values)) / len(values), 1e-30)
    target = values.sum(1)
    values[np.diag_indices_from(values)] += 1e-6  # channels may depend on one another
    with warnings.catch_warnings():
        # Near the end of a path channels may be dropped for being numerically alike; they come last, as they should.
        warnings.simplefilter("ignore", ConvergenceWarning)
        penalties, _, coefficients = lars_path_gram(target, values, n_samples=1, method="lasso")
    used = coefficients != 0  # (channels, steps)
    # A channel is used from the step after the penalty at which it comes in.
    first = np.where(used.any(1), used.argmax(1) - 1, len(penalties) - 1)
    return torch.from_numpy(np.where(used.any(1), penalties[first], 0.0))
