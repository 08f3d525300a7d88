"""Checkpoints: written whole or not at all, when they are due, and checked before they are gone on from."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from tas.config.groups import Keeping
from tas.errors import TasError, explained, gist
from tas.inputs.torch_file import read_torch
from tas.runs.console import warn
from tas.runs.files import written_whole
from tas.runs.processes import gathered
from tas.runs.restarts import REQUEUE
from tas.training.interrupts import HeedInterrupt


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then puts it in its place, so that one of them is always whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written_whole(Path(path)) as draft:
            super().save_checkpoint(checkpoint, draft, storage_options)


class Checkpoints(Checkpoint):
    """Keeps a checkpoint of each complete epoch, and from inside of one when it is due or the run is stopped.

    The newest is last.ckpt; earlier ones that are kept are step-N.ckpt beside it.

    Args:
        last: The file.
        keeping: How often, and how many.
        interrupts: Tells that the run is to stop.
    """

    def __init__(self, last: Path, keeping: Keeping, interrupts: HeedInterrupt) -> None:
        self.last = last
        self.often = keeping.often
        self.kept = keeping.keep_checkpoints
        self.interrupts = interrupts
        self.saved_at = time.monotonic()
        self.saved_step = 0

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.saved_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved_step = state_dict["step"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        batches = int(trainer.num_training_batches)
        step = trainer.current_epoch * batches + batch_idx + 1
        # What a step has logged reaches the loggers after this hook, and would be missing where the run goes on; the
        # last step of an epoch is followed by the checkpoint of that.
        logs = step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]  # it has
        if logs or batch_idx + 1 == batches:
            return
        due = step - self.saved_step >= self.often.steps or time.monotonic() - self.saved_at >= self.often.seconds
        # Processes do not see the clock, or a signal, at the same step.
        if trainer.strategy.reduce_boolean_decision(due or self.interrupts.pressed, all=False):
            self.save(trainer, module, step)
            self.stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.save(trainer, module, (trainer.current_epoch + 1) * int(trainer.num_training_batches))
        # One of several processes must not stop alone: all do, after the next step.
        self.interrupts.inside = trainer.world_size > 1
        self.stop_if_asked(trainer)

    def stop_if_asked(self, trainer: pl.Trainer) -> None:
        """End the run, on all processes, where one of them got a signal: by the same one, SLURM's before others."""
        if trainer.strategy.reduce_boolean_decision(self.interrupts.pressed, all=False):
            given = [number for number in gathered(self.interrupts.signal) if number is not None]
            self.interrupts.signal = REQUEUE if REQUEUE in given else given[0]
            self.interrupts.stop()

    def save(self, trainer: pl.Trainer, module: pl.LightningModule, step: int) -> None:
        """Write a checkpoint, unless the weights are no numbers any more: the earlier ones stay then."""
        check_weights(trainer, module, step)
        self.saved_step = step
        trainer.save_checkpoint(self.last)
        self.saved_at = time.monotonic()
        if trainer.is_global_zero and self.kept > 1:
            self.keep(step)

    def keep(self, step: int) -> None:
        """Give the newest checkpoint a name of its own too, and delete what is older than the ones that are kept."""
        named = self.last.with_name(f"step-{step:09d}.ckpt")
        named.unlink(missing_ok=True)
        try:
            os.link(self.last, named)
        except OSError:  # a file system without hard links
            with written_whole(named) as draft:
                shutil.copyfile(self.last, draft)
        for file in earlier_checkpoints(self.last)[self.kept :]:
            file.unlink()


def earlier_checkpoints(last: Path) -> list[Path]:
    """The checkpoints beside the newest one, the newest of them first."""
    return sorted(last.parent.glob("step-*.ckpt"), reverse=True)


def check_weights(trainer: pl.Trainer, module: pl.LightningModule, step: int) -> None:
    """TasError, naming the step and the first parameter that is not finite, if one that is trained is not."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    for name, parameter in module.named_parameters():
        if id(parameter) in trained and not torch.isfinite(parameter).all():
            raise TasError(f"{module.rates}: after step {step} {name} is not finite any more; a lower value may help")


class FirstStep(pl.Callback):
    """Tells whether a training has taken a step: all that is wrong in a checkpoint that can be read shows before."""

    taken = False

    def on_train_batch_end(self, *_: Any) -> None:
        self.taken = True


@contextmanager
def going_on(trainer: pl.Trainer, checkpoint: Path) -> Iterator[None]:
    """TasError where the block cannot go on with a training from a checkpoint, which can be read: it is another
    training's, or no training's."""
    first = FirstStep()
    trainer.callbacks.append(first)  # type: ignore[attr-defined]  # a list
    try:
        yield
    except (TasError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # Lightning and torch raise what they like
        if first.taken or trainer.world_size > 1:  # processes fail to find each other, too
            raise
        raise TasError(f"{checkpoint}: no training can go on from it ({explained(error)})") from None


def check_readable(checkpoint: Path) -> None:
    """TasError if a checkpoint is damaged."""
    try:
        read_torch(checkpoint)
    except Exception as error:
        raise TasError(f"{checkpoint}: damaged ({gist(error, 100)}); delete it to start the run anew") from None


def newest_whole(last: Path) -> Path | None:
    """The newest checkpoint that can be read; None where there is none at all. TasError if all are damaged."""
    files = [file for file in (last, *earlier_checkpoints(last)) if file.is_file()]
    for file in files:
        try:
            check_readable(file)
            return file
        except TasError as error:
            if file == files[-1]:
                raise
            warn("resume", f"{error}; an earlier one is taken")
    return None
