"""The training inside methods, of the network that is to be pruned."""

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import nn

from tas.errors import TasError
from tas.pruning.task import PruneTask
from tas.training.module import TrainModule
from tas.training.progress import RunBar
from tas.training.trainer import fit, make_trainer


class Gates(pl.Callback):
    """Trains factors that multiply parts of a network, beside its weights, with an optimiser of their own.

    What derives from it says how in `optimizer`, and may change the gradients before a step and the factors after it.

    Args:
        gates: The factors, or what they are made of.
    """

    def __init__(self, gates: nn.ParameterList) -> None:
        self.gates = gates
        self.saved: dict[str, Any] | None = None
        self.stepper: torch.optim.Optimizer | None = None

    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the gates."""
        raise NotImplementedError

    def before_step(self, module: TrainModule, progress: float) -> None:
        """Called with the gates' gradients in place; progress is that of the training, from 0 to below 1."""

    def after_step(self, module: TrainModule) -> None:
        """Called when the gates have moved."""

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.stepper = self.optimizer()
        if self.saved is not None:
            self.stepper.load_state_dict(self.saved)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert isinstance(module, TrainModule) and self.stepper is not None
        steps = module.recipe.epochs * int(trainer.num_training_batches)
        self.before_step(module, trainer.global_step / steps)
        self.stepper.step()
        self.stepper.zero_grad()
        with torch.no_grad():
            self.after_step(module)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.stepper.state_dict()} if self.stepper else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = state_dict["optimizer"]


def train_here(task: PruneTask, network: nn.Module, callback: pl.Callback) -> float:
    """Train a network in the run's directory, from its checkpoint if it has one; leaves the network on the CPU.

    Args:
        task: Says how.
        network: Trained in place.
        callback: What makes this training the method's. Its gates are trained and kept with the network.

    Returns:
        Seconds that the training took before an interruption.
    """
    options, method, precision = task.options, task.options.pruning.method, task.options.machine.precision
    if isinstance(callback, Gates) and precision.startswith("16"):
        raise TasError(
            f"--precision {precision}: not with --method {method}, whose factors would get scaled gradients; "
            "allowed: 32-true, bf16-mixed"
        )
    # Lightning leaves the mode as it is, and torch_pruning leaves networks in evaluation.
    module = TrainModule(network.train(), task.full.num_classes, options.recipe)
    if isinstance(callback, Gates):
        module.gates = callback.gates  # on the same device, in the same checkpoint
    timer, began = Timer(), time.monotonic()
    batches = len(task.data.train_dataloader())
    callbacks = [RunBar(method), callback, timer]
    trainer = make_trainer(options.machine, options.recipe.epochs, options.keeping, task.run, batches, callbacks)
    fit(trainer, module, task.data, task.run, options)
    module.renew_statistics(task.data.train_dataloader(), trainer)
    network.cpu().float()
    callback_gates = getattr(callback, "gates", None)
    if callback_gates is not None:
        callback_gates.cpu()
    return max(0.0, timer.time_elapsed("train") - (time.monotonic() - began))
