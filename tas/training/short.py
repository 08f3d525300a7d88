"""Short trainings by which networks are judged, and which leave nothing but weights."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tas.config import CommonOptions
from tas.training.interrupts import HeedInterrupt
from tas.training.module import TrainModule
from tas.training.progress import RunBar
from tas.training.trainer import SeedEachEpoch, open_trainer, quiet


def train_apart(
    network: nn.Module, images: DataLoader, num_classes: int, options: CommonOptions, label: str
) -> torch.device:
    """Train a network without leaving anything of it but its weights; it ends on the CPU. The label says which.

    Returns:
        The device that it was trained on.
    """
    quiet()
    callbacks = [HeedInterrupt(), SeedEachEpoch(options.seed), RunBar(label)]
    trainer = open_trainer(options, logger=False, enable_checkpointing=False, callbacks=callbacks)
    trainer.fit(training(network, num_classes, options), images)
    network.cpu().float()
    return trainer.strategy.root_device


def training(network: nn.Module, num_classes: int, options: CommonOptions) -> TrainModule:
    """The training of a network by the recipe of the options, without a teacher."""
    return TrainModule(
        network.train(),  # Lightning leaves the mode as it is, and torch_pruning leaves networks in evaluation
        num_classes,
        epochs=options.epochs,
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        kd_alpha=0.0,
        kd_temperature=1.0,
    )


@torch.no_grad()
def evaluate(network: nn.Module, images: DataLoader, device: torch.device) -> float:
    """The share of images that a network tells right, from 0 to 1, in evaluation on a device, on which it stays."""
    network.to(device).eval()
    right, total = 0, 0
    for batch, labels in images:
        logits: Tensor = network(batch.to(device))
        right += int((logits.argmax(1) == labels.to(device)).sum())
        total += len(labels)
    return right / total
