"""The search as Lightning runs it: a strategy's steps, what is logged of them, the accuracy at the end."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from tas.config.groups import Recipe, Strategy
from tas.cost.budget import Budget
from tas.data.loaders import Batch
from tas.errors import TasError, check_finite
from tas.search.computing import Iterate, Way, choose_compute, iterations, why_not_captured
from tas.search.confidence import confidence, mean_confidence
from tas.search.strategies import STRATEGIES
from tas.search.strategy import Moment
from tas.supernet.supernet import Supernet


class SearchModule(pl.LightningModule):
    """A search for widths and depths; `tas.finish_search` makes a network of what it has learned.

    A batch is {"weights": (images, labels), "architecture": (images, labels)}, of two parts of the training images; the
    strategy sandwich takes the first alone.

    Args:
        supernet: The supernet.
        budgets: The costs aimed at, one for each measure that counts.
        recipe: Training of the weights; its epochs are those of the search, as those of the Trainer must be.
        strategy: How widths and depths are learned.
        seed: Of the sampling.
        compiled: Whether torch.compile takes the steps; they are masked or captured then.
    """

    def __init__(
        self,
        supernet: Supernet,
        budgets: Sequence[Budget],
        recipe: Recipe = Recipe(epochs=40),
        strategy: Strategy = Strategy(),
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.supernet = supernet.to(memory_format=torch.channels_last)
        self.epochs = recipe.epochs
        self.strategy = STRATEGIES[strategy.strategy](supernet, budgets, recipe, strategy, seed)
        self.rates = self.strategy.rates
        """The flags whose lower values may help where the search diverges."""
        self.compiled = compiled
        self.compute: Way | None = None if strategy.compute == "auto" else strategy.compute
        """How iterations are computed; None until that is chosen."""
        self.captured = strategy.compute == "captured"
        """Whether that was asked for."""
        self.iterate: Iterate | None = None
        """An iteration, from the first one on."""
        self.val_accuracy = MulticlassAccuracy(supernet.space.full.num_classes, average="micro")

    def on_fit_start(self) -> None:
        self.iterate = None
        if self.compute == "captured" and (why := why_not_captured(self.trainer)) is not None:
            if self.captured:
                raise TasError(f"--compute captured: {why}; masked computes the same")
            self.compute = "masked"  # a search that is gone on with elsewhere than it began

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return self.strategy.optimizers()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["compute"] = self.compute

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.compute = checkpoint.get("compute", self.compute)

    def training_step(self, batch: dict[str, Batch], batch_index: int) -> None:
        batches = int(self.trainer.num_training_batches)
        iteration = self.current_epoch * batches + batch_index
        # What a step's losses were is not looked at where nothing is written: that would be to wait for the device.
        often: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # it has
        written = (iteration + 1) % often == 0 or batch_index + 1 == batches
        moment = Moment(iteration, self.epochs * batches, written)
        if self.compute is None:
            # One for all processes: the ways differ in their backward passes, in each of which these meet.
            chosen: Way = self.trainer.strategy.broadcast(self.choose(batch, moment))
            self.compute = chosen
        if self.iterate is None:
            optimizers: Any = self.optimizers()  # Lightning unwraps the list of a single one
            steppers = optimizers if isinstance(optimizers, list) else [optimizers]
            self.iterate = iterations(self.strategy, self.compute, steppers, self.manual_backward, self.compiled)
        own = self.iterate(batch, moment)
        if not written:
            return
        mean = self.trainer.strategy.reduce  # over all processes: each has seen other images
        scalars = {name: mean(value) if isinstance(value, Tensor) else value for name, value in own.items()}
        for name in ("weights/loss", "architecture/loss"):
            if name in scalars:
                check_finite(scalars[name], self.rates)
        self.log_dict(scalars)
        for name, value in self.strategy.shown(scalars).items():
            self.log(name, value, prog_bar=True, logger=False)

    def choose(self, batch: dict[str, Batch], moment: Moment) -> Way:
        """How iterations are to be computed where that is left open."""
        fixed: Way = "masked" if why_not_captured(self.trainer) else "captured"
        if self.compiled:
            return fixed
        if self.device.type == "cpu":
            return "sliced"
        return choose_compute(self.strategy, batch, moment, self.manual_backward, fixed)

    def on_train_epoch_end(self) -> None:
        self.log_distributions()

    def on_validation_epoch_end(self) -> None:
        if self.strategy.measures_scores:  # they have come to their end since the last epoch
            self.log_distributions()

    def log_distributions(self) -> None:
        """Log how sure the distributions are, and what they cost where no step has logged it."""
        widths, depths = self.strategy.probabilities()
        if self.strategy.measures_scores:
            for cost in self.strategy.costs:
                self.log_dict(cost.scalars(cost.measured()))
        for name, p in {**widths, **depths}.items():
            if len(p) > 1:
                self.log(f"confidence/{name}", confidence(p))
        self.log("confidence/mean", mean_confidence(widths, depths))
        self.log("confidence", mean_confidence(widths, depths), prog_bar=True, logger=False)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        images, labels = batch
        self.val_accuracy(self.supernet(images), labels)
        self.log("val_accuracy", self.val_accuracy)
