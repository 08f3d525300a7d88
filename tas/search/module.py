"""The search: weights and architecture learned in turns, each on its own half of the training images."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.functional.classification import multiclass_accuracy

from tas.cost.budget import Budget, cost_loss
from tas.cost.count import exact_flops
from tas.cost.expected import ExpectedFlops
from tas.cost.tables import Probabilities, cost_tables
from tas.data.loaders import Batch
from tas.errors import check_finite
from tas.supernet.supernet import Supernet
from tas.training.schedules import cosine, linear

ARCH_TRAVEL = 1600.0
"""Learning rate x steps of the logits' SGD where no learning rate is given: longer searches see more images and move
the logits as far."""

MOST_ARCH_LR = 5.0
"""The logits' SGD takes no larger rate of itself: in a search of a few steps each would throw them about."""

ADAM_ARCH_LR = 0.02
"""Learning rate of the logits' Adam where none is given."""


class SearchModule(pl.LightningModule):
    """Alternating optimisation of a supernet (the paper's algorithm 1).

    Each iteration samples a network and updates the weights on cross-entropy, by SGD along a cosine; then samples
    another and updates the logits on cross-entropy + cost_weight x cost loss. A batch is {"weights": (images, labels),
    "architecture": (images, labels)}, of two halves of the training images.

    Args:
        supernet: The supernet.
        budget: The FLOPs aimed at.
        epochs: Length of the search.
        samples: |I|.
        depth_training: What the weights learn on: drawn, one depth of each stage in every step, so that a network of
            few blocks is trained as what it is; or mixed, all depths at once, the paper's. The logits learn on all.
        cost_weight: lambda.
        warmup: Share of the search, 0 to below 1, in which the weights alone are trained.
        unpruned_first: Share of the search, at most warmup, in which the unpruned network is trained. Then its channels
            are sorted by importance, all candidates start from its weights, and for the rest of the warm-up networks
            are sampled at the first temperature.
        tau: Temperature of the Gumbel-softmax at the start and at the end.
        lr, momentum, weight_decay: Of the weights' SGD.
        arch_optimizer: Of the logits. sgd moves each by what it changes in the loss, so that their sums, which the
            derivation weighs against FLOPs, add up losses; adam, the paper's, moves those that change nothing as fast
            as the others, by noise.
        arch_lr: Of the logits; None takes ARCH_TRAVEL / steps, at most MOST_ARCH_LR, with sgd, ADAM_ARCH_LR with adam.
        arch_weight_decay: L2 penalty of the logits.
        seed: Of the sampling.

    Raises:
        ValueError: unpruned_first is more than warmup.
    """

    def __init__(
        self,
        supernet: Supernet,
        budget: Budget,
        *,
        epochs: int,
        samples: int = 2,
        depth_training: Literal["drawn", "mixed"] = "drawn",
        cost_weight: float = 2.0,
        warmup: float = 0.3,
        unpruned_first: float = 0.0,
        tau: tuple[float, float] = (1.0, 0.1),
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        arch_optimizer: Literal["sgd", "adam"] = "sgd",
        arch_lr: float | None = None,
        arch_weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if unpruned_first > warmup:
            raise ValueError(f"unpruned_first is {unpruned_first}, more than warmup, {warmup}")
        self.automatic_optimization = False
        self.supernet = supernet.to(memory_format=torch.channels_last)
        space = supernet.space
        self.expected_flops = ExpectedFlops(cost_tables(space.plan, space.widths, space.depths))
        self.budget = budget
        self.flops_full = exact_flops(space.plan, space.full)
        self.epochs = epochs
        self.samples = samples
        self.depth_training = depth_training
        self.cost_weight = cost_weight
        self.warmup = warmup
        self.unpruned_first = unpruned_first
        self.tau = tau
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.arch_optimizer = arch_optimizer
        self.arch_lr = arch_lr
        self.arch_weight_decay = arch_weight_decay
        self.seed = seed
        self.generator = torch.Generator()
        self.val_accuracy = MulticlassAccuracy(space.full.num_classes, average="micro")

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        weights = torch.optim.SGD(
            self.supernet.weight_parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.momentum > 0,
        )
        logits = self.supernet.architecture_parameters()
        makers: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "sgd": torch.optim.SGD,
            "adam": partial(torch.optim.Adam, betas=(0.5, 0.999)),
        }
        # Their learning rates are set in every step.
        return [weights, makers[self.arch_optimizer](logits, weight_decay=self.arch_weight_decay)]

    def training_step(self, batch: dict[str, Batch], batch_index: int) -> None:
        batches = int(self.trainer.num_training_batches)
        iteration = self.current_epoch * batches + batch_index
        progress = iteration / (self.epochs * batches)
        searched = (progress - self.warmup) / (1 - self.warmup)
        tau = linear(*self.tau, max(0.0, searched))
        # Seeding by the iteration makes what is sampled a function of it alone: a resumed run samples the same.
        self.generator.manual_seed(self.seed * 1_000_003 + iteration)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        weights_optimizer, logits_optimizer = optimizers
        weights_optimizer.param_groups[0]["lr"] = cosine(self.lr, progress)
        logits_optimizer.param_groups[0]["lr"] = self.arch_lr_over((1 - self.warmup) * self.epochs * batches)
        unpruned_steps = math.ceil(self.unpruned_first * self.epochs * batches)
        if iteration == unpruned_steps > 0:
            self.supernet.share_unpruned()
            weights_optimizer.optimizer.state.clear()  # momentum of channels that have another place now
        loss = self.weights_step(batch["weights"], weights_optimizer, tau, iteration < unpruned_steps)
        if searched >= 0:
            self.architecture_step(batch["architecture"], logits_optimizer, tau)
        self.log("schedule/tau", tau)
        self.log("schedule/lr", weights_optimizer.param_groups[0]["lr"])
        self.log("schedule/arch_lr", logits_optimizer.param_groups[0]["lr"])
        self.log("loss", loss, prog_bar=True, logger=False)

    def arch_lr_over(self, steps: float) -> float:
        """The learning rate of the logits, which move in so many steps."""
        if self.arch_lr is not None:
            return self.arch_lr
        return ADAM_ARCH_LR if self.arch_optimizer == "adam" else min(MOST_ARCH_LR, ARCH_TRAVEL / steps)

    def weights_step(self, batch: Batch, optimizer: LightningOptimizer, tau: float, unpruned: bool) -> Tensor:
        """One step of SGD on the weights of the unpruned network or a sampled one; returns its loss."""
        self.toggle_optimizer(optimizer)
        if unpruned:
            self.supernet.force(self.supernet.space.full)
        else:
            self.supernet.sample(tau, self.samples, self.generator, self.depth_training == "mixed")
        loss = self.logged_loss(batch, "weights")
        self.descend(loss, optimizer)
        return loss.detach()

    def architecture_step(self, batch: Batch, optimizer: LightningOptimizer, tau: float) -> None:
        """One step on the logits of widths and depths, on another sampled network."""
        self.toggle_optimizer(optimizer)
        self.supernet.sample(tau, self.samples, self.generator)
        loss = self.logged_loss(batch, "architecture")
        expected, derived = self.costs()
        penalty = cost_loss(expected, derived, self.budget)
        self.descend(loss + self.cost_weight * penalty.to(loss), optimizer)
        self.log("architecture/cost_loss", penalty.float())
        self.log("flops/expected_ratio", expected.item() / self.flops_full)
        self.log("flops/derived_ratio", derived / self.flops_full)
        self.log("flops/band_low", self.budget.low / self.flops_full)
        self.log("flops/band_high", self.budget.high / self.flops_full)
        self.log("flops", derived / self.flops_full, prog_bar=True, logger=False)

    def logged_loss(self, batch: Batch, step: str) -> Tensor:
        """The cross-entropy of what the supernet computes, logged as that of this step."""
        images, labels = batch
        logits = self.supernet(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, labels)
        check_finite(loss.detach(), "--lr or --arch-lr")
        self.log(f"{step}/loss", loss)
        self.log(f"{step}/accuracy", batch_accuracy(logits, labels))
        return loss

    def descend(self, loss: Tensor, optimizer: LightningOptimizer) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)

    def costs(self) -> tuple[Tensor, float]:
        """The expected FLOPs, differentiable in the logits, and those of the argmax architecture."""
        widths, depths = self.supernet.probabilities()
        return self.expected_flops(widths, depths), float(self.expected_flops.at_argmax(widths, depths))

    def on_train_epoch_end(self) -> None:
        widths, depths = self.supernet.probabilities()
        gaps = {name: confidence(p) for name, p in (widths | depths).items() if len(p) > 1}
        for name, gap in gaps.items():
            self.log(f"confidence/{name}", gap)
        self.log("confidence/mean", mean_confidence(widths, depths))
        self.log("confidence", mean_confidence(widths, depths), prog_bar=True, logger=False)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        images, labels = batch
        self.val_accuracy(self.supernet(images), labels)
        self.log("val_accuracy", self.val_accuracy)


def confidence(probabilities: Tensor) -> float:
    """The highest probability minus the second highest; 1 where there is no choice."""
    if len(probabilities) == 1:
        return 1.0
    first, second = map(float, probabilities.detach().topk(2).values)
    return first - second


def mean_confidence(widths: Probabilities, depths: Probabilities) -> float:
    """The mean confidence of all that is searched."""
    gaps = [confidence(p) for p in (*widths.values(), *depths.values()) if len(p) > 1]
    return sum(gaps) / len(gaps) if gaps else 1.0


def batch_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of images whose class has the highest logit."""
    return multiclass_accuracy(logits.detach(), labels, logits.shape[1], average="micro")
