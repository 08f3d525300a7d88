"""Ctrl-C: a run ends, says what it has kept, and how to go on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from tas.errors import Interrupted
from tas.runs.run import Run


class HeedInterrupt(pl.Callback):
    """Makes sure that Ctrl-C ends a run: Python drops the exception where it falls into a destructor or a callback."""

    def __init__(self) -> None:
        self.pressed = False

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():  # nowhere else can signals be handled
            signal.signal(signal.SIGINT, self.press)

    def press(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal as Python does, and remember it."""
        self.pressed = True
        signal.default_int_handler(number, frame)

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        if self.pressed:
            raise KeyboardInterrupt


@contextmanager
def interruptible(run: Run, go_on: str) -> Iterator[None]:
    """Turn Ctrl-C, and Lightning's exit after it, into an Interrupted that says what is kept and how to go on.

    Args:
        run: Where the checkpoint is.
        go_on: The command that goes on with the run.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        kept = f"kept {run.checkpoint}" if run.checkpoint.is_file() else "no epoch was complete"
        raise Interrupted(f"{kept}; go on with: {go_on}") from None
