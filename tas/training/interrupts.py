"""Ctrl-C, SIGTERM and SLURM's warning: a run ends, says what it has kept, and how to go on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from tas.errors import Interrupted
from tas.runs.restarts import heeded
from tas.runs.run import Run


class HeedInterrupt(pl.Callback):
    """Makes sure that a signal ends a run: inside of an epoch once the step is done and kept, else at once.

    A second signal ends it at once. Python drops an exception that falls into a destructor or a callback; the signal is
    remembered.

    Args:
        keeps: Whether something looks at `pressed` after each step, keeps what there is, and stops the run.
    """

    def __init__(self, keeps: bool = False) -> None:
        self.keeps = keeps
        self.signal: int | None = None
        self.inside = False
        """Whether a step is under way, or follows, or what keeps them has still to do so."""

    @property
    def pressed(self) -> bool:
        """Whether the run is to stop."""
        return self.signal is not None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # After Lightning has set its own handlers; in their place, until it sets back what was there before.
        if threading.current_thread() is threading.main_thread():  # nowhere else can signals be handled
            for number in heeded():
                signal.signal(number, self.press)

    def press(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        again = self.pressed
        self.signal = number
        if again or not self.inside:
            self.stop()

    def stop(self) -> None:
        """End the run, by an exception that Lightning takes for Ctrl-C."""
        raise Interrupted(number=self.signal or signal.SIGTERM)

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if self.pressed and not self.keeps:
            self.stop()
        self.inside = self.keeps


@contextmanager
def interruptible(run: Run, go_on: str) -> Iterator[None]:
    """Turn a signal's exception, and Lightning's exit after it, into one that says what is kept and how to go on.

    Args:
        run: Where the checkpoint is.
        go_on: The command that goes on with the run.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        kept = f"kept {run.checkpoint}" if run.checkpoint.is_file() else "no checkpoint yet"
        raise Interrupted(f"{kept}; go on with: {go_on}", signal_of(error)) from None


def signal_of(error: BaseException) -> int:
    """The number of the signal behind an exception, or behind Lightning's exit because of it; else Ctrl-C's."""
    found = [one.number for one in (error, error.__context__) if isinstance(one, Interrupted)]
    return found[0] if found else signal.SIGINT
