"""Where a run is inside of an epoch, so that it goes on there as if it had not been interrupted."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics import Metric

from tas.data.loaders import LateDataLoader
from tas.errors import TasError
from tas.runs.processes import gathered


class EpochPosition(pl.Callback):
    """Makes what is drawn in an epoch, augmentation above all, a function of seed and epoch, and keeps with a
    checkpoint from inside of one what has been seen, drawn and measured in it.

    Lightning has loaders keep what they have given themselves, but forgets it where the length of a training is asked
    for before it begins.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.seen = 0
        """Batches of this epoch; 0 behind its end."""
        self.interrupted: dict[str, Any] | None = None
        """What a checkpoint says of the epoch that is gone on with."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # Else the images of all processes would be augmented alike. On a CPU the lowest 32 bits of a seed count.
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch + trainer.global_rank * 2_654_435_761)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen = batch_idx + 1

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.seen = 0

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["generators"] = gathered(torch.get_rng_state())
        if self.seen:
            on_gpu = module.device.type == "cuda"
            checkpoint["inside_epoch"] = {
                "seen": self.seen,
                "processes": trainer.world_size,
                "drawn": gathered([loader.drawn for loader in loaders_of(trainer)]),
                "metrics": measured_in(module),
                "cuda": gathered(torch.cuda.get_rng_state() if on_gpu else None),
            }

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        inside, generators = checkpoint.get("inside_epoch"), checkpoint.get("generators", [])
        if inside is not None and "processes" not in inside:
            raise TasError("--resume: the checkpoint is from inside of an epoch, by an earlier version of TAS")
        if inside is not None and inside["processes"] != trainer.world_size:
            raise TasError(
                f"--devices: the checkpoint is from inside of an epoch of {inside['processes']} processes; go on with "
                f"as many, not {trainer.world_size}"
            )
        if trainer.global_rank < len(generators):
            # Behind the last epoch no hook of the training is called any more, and what comes then draws too.
            torch.set_rng_state(generators[trainer.global_rank])
        if inside is not None:
            self.interrupted = inside | {"generator": generators[trainer.global_rank]}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.interrupted is None:
            return
        for loader, drawn in zip(loaders_of(trainer), self.interrupted["drawn"][trainer.global_rank], strict=True):
            loader.go_on(self.interrupted["seen"], drawn)
        if trainer.is_global_zero:  # the sum over all processes is in it
            for name, states in self.interrupted["metrics"].items():
                metric = module.get_submodule(name)
                for state, value in states.items():
                    setattr(metric, state, value.to(module.device))
        torch.set_rng_state(self.interrupted["generator"])
        cuda = self.interrupted["cuda"][trainer.global_rank]
        if cuda is not None and module.device.type == "cuda":
            torch.cuda.set_rng_state(cuda)
        self.interrupted = None


def loaders_of(trainer: pl.Trainer) -> list[LateDataLoader]:
    """The loaders of a training's batches."""
    given: Any = trainer.train_dataloader
    return list(given.values()) if isinstance(given, dict) else [given]


def measured_in(module: pl.LightningModule) -> dict[str, dict[str, Tensor]]:
    """Metric -> its states, of those that have been measured in this epoch; the sum over all processes."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and metric.update_called:
            with metric.sync_context():
                found[name] = {state: torch.as_tensor(value) for state, value in metric.metric_state.items()}
    return found
