"""Lightning's Trainer as every command uses it: what is kept and what is shown."""

import logging
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy

from tas.config import PruneOptions, SearchOptions, TrainOptions
from tas.config.checks import flag
from tas.config.groups import Keeping, Machine
from tas.errors import TasError, gist
from tas.runs.run import Run
from tas.training.checkpoints import Checkpoints, WholeFileCheckpointIO, going_on, newest_whole
from tas.training.compiling import compiler_blamed
from tas.training.curves import CurveLogger, Curves
from tas.training.interrupts import HeedInterrupt
from tas.training.memory import keep_freed_memory
from tas.training.position import EpochPosition
from tas.training.synchronised import SynchronisedNorms


class Unprofiled(PassThroughProfiler):
    """Profiles nothing. Lightning's own for that makes a generator for each of two dozen hooks in every iteration."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # narrower there
        """A context around a hook."""
        return nullcontext()


def make_trainer(
    machine: Machine,
    epochs: int,
    keeping: Keeping,
    run: Run,
    batches: int,
    callbacks: list[pl.Callback],
    partial: bool = False,
) -> pl.Trainer:
    """A Trainer that writes into the run's directory and keeps checkpoints there.

    Args:
        machine: What it computes on.
        epochs: Length of the training.
        keeping: Seed of the augmentation; how often checkpoints are written, and how many are kept.
        run: Where things go.
        batches: Of one epoch.
        callbacks: What the command adds.
        partial: As for `open_trainer`.
    """
    quiet()
    keep_freed_memory()
    interrupts = HeedInterrupt(keeps=True)
    checkpoints = Checkpoints(run.checkpoint, keeping, interrupts)
    curves = CurveLogger(run.curves, epochs)
    trainer = open_trainer(
        machine,
        epochs,
        partial,
        logger=[TensorBoardLogger(run.path, name="", version=""), curves],
        callbacks=[Curves(curves), checkpoints, interrupts, EpochPosition(keeping.seed), *callbacks],
        plugins=[WholeFileCheckpointIO()],
        default_root_dir=run.path,  # under SLURM, Lightning goes on from what it finds there
        profiler=Unprofiled(),
        num_sanity_val_steps=0,
        check_val_every_n_epoch=epochs + 1,  # a command that validates does so after the last epoch
    )
    trainer.log_every_n_steps = max(1, min(10, batches // trainer.world_size))  # type: ignore[attr-defined]  # it has
    return trainer


def open_trainer(machine: Machine, epochs: int, partial: bool = False, **settings: Any) -> pl.Trainer:
    """A Trainer on a machine's devices; TasError where Lightning refuses them.

    Args:
        machine: What it computes on.
        epochs: Length of the training.
        partial: Whether steps leave parameters without a gradient; on several devices those have to be looked for.
        settings: Further ones of the Trainer.
    """
    ours = ("workers", "lightning_strategy", "sync_batchnorm")
    given = {name: value for name, value in asdict(machine).items() if name not in ours}
    given["strategy"] = machine.lightning_strategy
    devices = machine.devices
    settings |= {"max_epochs": epochs, "enable_model_summary": False}
    try:
        given["devices"] = int(devices) if devices.lstrip("-").isdigit() else devices
        trainer = pl.Trainer(**given, **settings)
        if partial and machine.lightning_strategy == "auto" and isinstance(trainer.strategy, DDPStrategy):
            trainer = pl.Trainer(**given | {"strategy": "ddp_find_unused_parameters_true"}, **settings)
        return trainer
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        flags = " ".join(f"{flag(key)} {value}" for key, value in asdict(machine).items() if key != "workers")
        raise TasError(f"{flags}: Lightning refuses this ({gist(error)})") from None


def fit(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    data: Any,
    run: Run,
    options: SearchOptions | PruneOptions | TrainOptions,
) -> None:
    """Start the run's directory and train, from its checkpoint if it has one; what fails at the start leaves no run.

    Args:
        trainer: From `make_trainer`.
        module, data: As for `Trainer.fit`.
        run: Where things go.
        options: Those of the run, for its config.yaml.
    """
    run.start(options)
    checkpoint = newest_whole(run.checkpoint)
    assert trainer.logger is not None
    trainer.logger.log_hyperparams(options.flat())
    try:
        with (
            nullcontext() if checkpoint is None else going_on(trainer, checkpoint),
            SynchronisedNorms() if options.machine.sync_batchnorm else nullcontext(),
            compiler_blamed(),
        ):
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except Exception:
        run.give_up()
        raise


def quiet() -> None:
    """Keep from the user what Lightning says of choices made here on purpose, and of its own use of torch."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        "You're resuming from a checkpoint that ended before the epoch ended.*",  # tas.training.position sees to it
        ".*in eval mode at the start of training.*",  # the teacher
        "Grad strides do not match bucket view strides",  # of 1x1 convolutions in channels_last; a matter of speed
        ".*Using `DistributedSampler` with the dataloaders.*",  # docs/runs.md says what it means
        ".*sync_dist=True.*",  # what is logged without it is the same on every process
        "The .grad attribute of a Tensor that is not a leaf.*",  # torch's compiler looks at all that a graph is given
        r".*isinstance\(treespec, LeafSpec\).*",  # Lightning 2.6 with torch 2.15
    ):
        warnings.filterwarnings("ignore", message=message)
