"""Short trainings by which networks are judged, and which leave nothing but weights."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tas.config.groups import Machine, Recipe
from tas.training.interrupts import HeedInterrupt
from tas.training.module import TrainModule
from tas.training.position import EpochPosition
from tas.training.progress import RunBar
from tas.training.trainer import open_trainer, quiet


def train_apart(
    network: nn.Module,
    images: DataLoader,
    num_classes: int,
    recipe: Recipe,
    machine: Machine,
    seed: int,
    label: str,
) -> torch.device:
    """Train a network without leaving anything of it but its weights; it ends on the CPU.

    Args:
        network: Trained in place.
        images: Its training batches.
        num_classes: Length of its logits.
        recipe, machine: How it is trained, and on what.
        seed: Of the augmentation.
        label: What the progress bar calls it.

    Returns:
        The device that it was trained on.
    """
    quiet()
    callbacks = [HeedInterrupt(), EpochPosition(seed), RunBar(label)]
    trainer = open_trainer(machine, recipe.epochs, logger=False, enable_checkpointing=False, callbacks=callbacks)
    # Lightning leaves the mode as it is, and torch_pruning leaves networks in evaluation.
    module = TrainModule(network.train(), num_classes, recipe)
    trainer.fit(module, images)
    module.renew_statistics(images, trainer)
    network.cpu().float()
    return trainer.strategy.root_device


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
