"""The one progress bar of a run."""

import sys
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm


class RunBar(ProgressBar):
    """One bar over the whole run: epoch, loss, what else the module logs for it, time left.

    Args:
        label: What is running.
        targets: Name of a number that the module logs -> what it is to come to, shown beside it.
    """

    def __init__(self, label: str, targets: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.label = label
        self.targets = targets or {}
        self.bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Called by Lightning on all processes but the first."""
        self.shown = False

    def enable(self) -> None:
        """Called by Lightning when it is to be shown."""
        self.shown = True

    shown = True

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        batches = int(trainer.num_training_batches)
        assert trainer.max_epochs is not None
        self.bar = tqdm(
            total=trainer.max_epochs * batches,
            initial=trainer.current_epoch * batches,
            desc=self.label,
            unit="step",
            dynamic_ncols=True,
            disable=not self.shown,
            # A log file gets a line every ten seconds instead of one that is redrawn.
            mininterval=0.2 if sys.stderr.isatty() else 10,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        assert self.bar is not None
        # More than one where the run goes on inside of an epoch.
        self.bar.update(trainer.current_epoch * int(trainer.num_training_batches) + batch_index + 1 - self.bar.n)
        if self.bar.n % trainer.log_every_n_steps:  # type: ignore[attr-defined]  # it has
            return
        values = {key: value for key, value in self.get_metrics(trainer, module).items() if isinstance(value, float)}
        shown = {"epoch": f"{trainer.current_epoch + 1}/{trainer.max_epochs}"}
        shown |= {key: f"{value:.3f}" for key, value in values.items()}
        for name, target in self.targets.items():
            if name in shown:
                shown[name] += f" (target {target:g})"
        self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
