"""The numbers of a run as CSV files, which a resumed run leaves as an unbroken one does."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers.logger import Logger

from tas.errors import TasError
from tas.runs.files import write_text, writing


class GrowingCsv:
    """A CSV file that gets rows as a run goes on, and is cut where the run goes on from an earlier checkpoint.

    The first column counts up.

    Args:
        path: The file.
        first: The columns that it begins with; others follow, sorted by their names, as rows bring them.
    """

    def __init__(self, path: Path, first: Sequence[str]) -> None:
        self.path = path
        self.first = list(first)

    @rank_zero_only
    def cut(self, last: int) -> None:
        """Take away the rows that count further, and one that was written by half.

        Args:
            last: The count of the checkpoint's last row; in a run that begins it is below all, and the file goes.
        """
        if not self.path.is_file():
            return
        try:
            with self.path.open(encoding="utf-8") as file:
                whole = [line for line in file if line.endswith("\n")]
            kept = [row for row in csv.reader(whole[1:]) if int(row[0]) <= last]
        except (ValueError, IndexError, csv.Error):
            raise TasError(f"{self.path}: damaged; delete it to go on without its rows") from None
        if kept:
            write_text(self.path, whole[0] + csv_lines(kept))
        else:
            self.path.unlink()

    @rank_zero_only
    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows. Where they bring columns, which is rare, the file is written anew, empty where they had none."""
        header = self.header()
        names = [*self.first, *sorted({*header, *(name for row in rows for name in row)} - {*self.first})]
        new = csv_lines([[cell(row.get(name, "")) for name in names] for row in rows])
        if names == header:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(new)
            return
        old: list[list[str]] = []
        if header:
            with self.path.open(encoding="utf-8") as file:
                old = [[row.get(name, "") for name in names] for row in csv.DictReader(file)]
        write_text(self.path, csv_lines([names, *old]) + new)

    def header(self) -> list[str]:
        """The names of the columns; none where there is no file."""
        if not self.path.is_file():
            return []
        with self.path.open(encoding="utf-8") as file:
            return next(csv.reader(file))


def cell(value: Any) -> str:
    """A value as CSV has it. Nine digits are a float32, in which networks compute, to the last bit."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def csv_lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class CurveLogger(Logger):
    """Takes the scalars that Lightning logs of steps, beside TensorBoard's logger, and puts them into curves.csv.

    Args:
        path: The file.
        epochs: Length of the training.
    """

    name = ""
    version = ""

    def __init__(self, path: Path, epochs: int) -> None:
        super().__init__()
        self.file = GrowingCsv(path, ("step", "epoch"))
        self.epochs = epochs
        self.last = -1
        """The step of the last row that is in the file."""
        self.rows: dict[int, dict[str, float]] = {}
        """Step -> its scalars, of what is not in the file."""

    def log_hyperparams(self, *arguments: Any, **named: Any) -> None:
        """Options stand in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take a step's scalars. Lightning gives those of an epoch's end once more, when their row is written."""
        if step is not None and step > self.last:
            scalars = {name: float(value) for name, value in metrics.items() if name != "epoch"}
            # From 1, as the progress bar counts. What is measured after the last epoch is measured of that.
            epoch = min(int(metrics["epoch"]) + 1, self.epochs)
            self.rows.setdefault(step, {"step": step, "epoch": epoch}).update(scalars)

    def write(self) -> None:
        """Put what was taken into the file."""
        if self.rows:
            self.file.add(list(self.rows.values()))
            self.last = max(self.rows)
            self.rows.clear()

    def finalize(self, status: str) -> None:
        """Called by Lightning at the end of a training or a test, a failed one included: its last steps show why."""
        self.write()


class Curves(Checkpoint):
    """Writes a run's curves.csv: every scalar that it logs, a row each logged step, at the end of each epoch and before
    every checkpoint.

    Lightning calls a Checkpoint at an epoch's end when the module has logged, and in the order of the callbacks: before
    the Checkpoints behind it. So the rows up to a checkpoint are always in the file, and those after it can be cut.

    Args:
        logger: The Trainer's second one.
    """

    def __init__(self, logger: CurveLogger) -> None:
        self.logger = logger

    def state_dict(self) -> dict[str, Any]:
        self.logger.write()
        return {"step": self.logger.last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logger.last = state_dict["step"]

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.logger.file.cut(self.logger.last)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # Those of the last step are among them. Asked for on every process: metrics may be summed over all.
        scalars = trainer.logged_metrics
        step = (trainer.current_epoch + 1) * int(trainer.num_training_batches) - 1
        self.logger.log_metrics({**scalars, "epoch": trainer.current_epoch}, step)
        self.logger.write()
