"""Checkpoints: written whole or not at all, checked before they are gone on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from tas.errors import TasError, explained, gist
from tas.inputs.torch_file import read_torch
from tas.runs.files import written_whole


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then puts it in its place, so that one of them is always whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written_whole(Path(path)) as draft:
            super().save_checkpoint(checkpoint, draft, storage_options)


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
        if first.taken:
            raise
        raise TasError(f"{checkpoint}: no training can go on from it ({explained(error)})") from None


def check_readable(checkpoint: Path) -> None:
    """TasError if a checkpoint is damaged."""
    try:
        read_torch(checkpoint)
    except Exception as error:
        raise TasError(f"{checkpoint}: damaged ({gist(error, 100)}); delete it to start the run anew") from None
