"""Training of a plain network, alone or taught by others."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from tas.config.groups import Distillation, Recipe
from tas.data.loaders import Batch
from tas.distillation.features import FeatureDistillation
from tas.distillation.teachers import Teachers
from tas.errors import check_finite
from tas.training.losses import loss_for
from tas.training.optimizers import sgd
from tas.training.schedules import cosine
from tas.training.synchronised import SynchronisedNorms

STALE = 1e-3
"""The share of running statistics that may still be those of the start of a training."""


class TrainModule(pl.LightningModule):
    """SGD along a cosine on cross-entropy or, with teachers, on the distillation loss and the terms of the features.

    Args:
        network: The network to train; its parameters are updated in place.
        num_classes: Length of its logits.
        recipe: Length of the training, and its SGD, with Nesterov momentum.
        teachers: Have the same classes; None trains without any.
        features: Terms that compare this network's features with those teachers'; its parameters are trained, too.
        distillation: The weights of the distillation loss.
    """

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        recipe: Recipe,
        teachers: Teachers | None = None,
        features: FeatureDistillation | None = None,
        distillation: Distillation = Distillation(),
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.teachers = teachers
        self.features = features
        self.rates = "--lr" if features is None else "--lr, --attention-transfer, --hints"
        """The flags whose lower values may help where the training diverges."""
        self.loss = loss_for(recipe, None if teachers is None else distillation)
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.teacher_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.confusion = MulticlassConfusionMatrix(num_classes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        regressors = [] if self.features is None else self.features.parameters()
        return sgd([*self.network.parameters(), *regressors], self.recipe)

    def on_fit_start(self) -> None:
        if self.features is not None:
            self.features.watch()

    def on_fit_end(self) -> None:
        if self.features is not None:
            self.features.unwatch()

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        batches = self.trainer.num_training_batches
        progress = (self.current_epoch * batches + batch_index) / (self.recipe.epochs * batches)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.param_groups[0]["lr"] = cosine(self.recipe.lr, progress)
        self.log("schedule/lr", optimizer.param_groups[0]["lr"])

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        images, labels = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = self.loss(logits, labels, None if self.teachers is None else self.teachers(images))
        if self.teachers is not None:
            terms = {"kd": loss} if self.features is None else {"kd": loss, **self.features()}
            loss = torch.stack(list(terms.values())).sum()
            self.log_dict({f"loss/{name}": self.shown(term, batch_index) for name, term in terms.items()})
        self.train_accuracy(logits, labels)
        self.log("loss", self.shown(loss, batch_index), prog_bar=True)
        self.log("accuracy", self.train_accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def shown(self, loss: Tensor, batch_index: int) -> Tensor:
        """A loss to log: in steps of which something is written or looked at, the mean over all processes."""
        batches = int(self.trainer.num_training_batches)
        step, often = self.current_epoch * batches + batch_index + 1, self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if step % often and batch_index + 1 < batches:
            return loss
        return self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean")

    def renew_statistics(self, images: DataLoader, trainer: pl.Trainer) -> None:
        """After a training that was too short for the momentum of the norms: take their running statistics anew.

        Evaluation would else use those of the start, however well the network was trained: torchvision's MobileNet-v3
        takes 690 steps to forget them, its MNASNet 23,000.

        Args:
            images: Training batches, gone through once.
            trainer: That of the training, which is over.
        """
        steps = trainer.global_step
        norms = [module for module in self.network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if all((1 - (norm.momentum or 1)) ** steps <= STALE for norm in norms):
            return
        device = trainer.strategy.root_device  # Lightning has put the network back on the CPU
        self.to(device)
        dtype = next(self.network.parameters()).dtype
        # A run that goes on after its last epoch sees the same images.
        with torch.random.fork_rng(devices=[]), SynchronisedNorms():
            torch.manual_seed(0)
            update_bn((batch.to(device, dtype) for batch, _ in images), self.network)
        self.cpu()

    def on_train_epoch_end(self) -> None:
        # Before the checkpoint is written: the last one of a run that diverges is from before that.
        check_finite(self.trainer.callback_metrics["loss"], self.rates)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        images, labels = batch
        logits = self.network(images)
        self.test_accuracy(logits, labels)
        self.confusion(logits, labels)
        self.log("test_accuracy", self.test_accuracy)
        if self.teachers is not None:
            self.teacher_accuracy(self.teachers(images), labels)
            self.log("teacher_accuracy", self.teacher_accuracy)

    def on_test_epoch_end(self) -> None:
        images_of = self.confusion.compute().sum(1)
        self.log("constant_accuracy", images_of.max() / images_of.sum())
