"""Network Slimming: an L1 penalty on the scales of the batch norms, and one threshold over all of them."""

import copy
from dataclasses import replace

import pytorch_lightning as pl
import torch
import torch_pruning as tp
from torch import nn

from tas.pruning.channels import ChannelPruner, pruner_options, refusal
from tas.pruning.penalty import shrinking_weight
from tas.pruning.task import Pruned, PruneTask
from tas.pruning.training import train_here
from tas.training.module import TrainModule


class Sparsity(pl.Callback):
    """Adds the penalty's subgradient to the gradients of the batch norms' scales, by torch_pruning.

    Args:
        pruner: That of the network which is trained.
        weight: Of the penalty; None has it follow from the length of the training.
    """

    def __init__(self, pruner: tp.pruner.BNScalePruner, weight: float | None) -> None:
        self.pruner = pruner
        self.weight = weight

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, TrainModule)
        if self.weight is None:
            self.weight = shrinking_weight(
                module.recipe.lr, int(trainer.estimated_stepping_batches), module.recipe.momentum
            )

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert isinstance(module, TrainModule)
        self.pruner.regularize(module.network, reg=self.weight)


def slimming(task: PruneTask) -> Pruned:
    """Train the network with the penalty, then let the channels of the smallest scales go (Liu et al. 2017, "Learning
    Efficient Convolutional Networks through Network Slimming"). Channels without a batch norm stay."""
    network = copy.deepcopy(task.network)
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise refusal(task, "it has no batch norm")
    importance = tp.importance.BNScaleImportance(normalizer=None)
    sparsity = Sparsity(sparsity_pruner(task, network, importance), task.options.pruning.sparsity_weight)
    before = train_here(task, network, sparsity)
    pruned = ChannelPruner(task, network, importance).to_budget()
    return replace(pruned, sparsity_weight=sparsity.weight, seconds_before=before)


def sparsity_pruner(
    task: PruneTask, network: nn.Module, importance: tp.importance.BNScaleImportance
) -> tp.pruner.BNScalePruner:
    """torch_pruning's pruner, for its regularisation. TasError where it cannot read the network."""
    ChannelPruner(task, copy.deepcopy(network), importance)  # says so before hours go into the training
    return tp.pruner.BNScalePruner(network, importance=importance, **pruner_options(task, network))
