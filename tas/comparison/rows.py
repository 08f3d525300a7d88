"""What each training of a comparison gave: a row a run."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tas.comparison.aims import leading_measure
from tas.comparison.jobs import Job
from tas.comparison.methods import UNPRUNED
from tas.comparison.perform import commits_of
from tas.runs.results import FoundResult, TrainResult
from tas.runs.run import Run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Row:
    """One training run."""

    method: str
    """How the network was found, or "unpruned"."""
    training: str
    """scratch-e, scratch-b, finetune or init; of the unpruned network scratch-e, or pretrained."""
    kd: bool
    """Whether it was taught by the unpruned network."""
    target: float
    """What was aimed at, as a share of the unpruned network's; of several the first."""
    seed: int
    flops_ratio: float
    """FLOPs of the trained network, as a share of the unpruned one's; of unstructured pruning, multiply-adds with a
    weight that is not zero."""
    target_met: bool
    """Whether what was aimed at is within the tolerance."""
    test_accuracy: float
    """On all test images, after the last epoch."""
    params: int
    """Of the trained network."""
    params_ratio: float
    """As a share of the unpruned one's."""
    measure: str
    """What the target is of: flops, params, latency or memory; all of them, with + between, where several are kept at
    once."""
    epochs: int
    """Of the training."""
    search_seconds: float
    """Time it took to find the network, without the training of weights that were given."""
    train_seconds: float
    """Time it took to train it."""
    commit: str
    """The code that trained it; all of them, with commas between, if it went on with another."""
    search_commit: str
    """The code that found it, likewise; empty for the unpruned network."""
    run: str
    """The folder of the training, in that of the comparison."""
    aimed: str
    """What was aimed at, as it was given; with + between where several are kept at once."""
    latency_seconds: float | None = None
    """Of the network, measured by turns with the unpruned one when it was found; where one is aimed at."""
    latency_ratio: float | None = None
    """As a share of the unpruned one's: the median, and the quartiles, over the rounds."""
    latency_low: float | None = None
    latency_high: float | None = None
    memory: int | None = None
    """Its peak memory, counted, where one is aimed at."""
    memory_ratio: float | None = None
    """As a share of the unpruned network's."""

    @property
    def cost_ratio(self) -> float:
        """What was aimed at, of several the first, as it came out."""
        ratios = {
            "flops": self.flops_ratio,
            "params": self.params_ratio,
            "latency": self.latency_ratio,
            "memory": self.memory_ratio,
        }
        ratio = ratios[leading_measure(self.measure)]
        assert ratio is not None
        return ratio

    @property
    def way(self) -> str:
        """How it was trained, as --training has it."""
        return self.training + "+kd" * self.kd


def read_rows(jobs: Iterable[Job], home: Path) -> list[Row]:
    """A row for every finished training of a finished structure, the unpruned networks' last.

    Args:
        jobs: Of the comparison.
        home: Its folder.
    """
    ordered = sorted(jobs, key=lambda job: job.kind == "teacher")  # stable
    trainings = [job for job in ordered if job.kind in ("teacher", "training") and job.run.finished()]
    return [read_row(job, home) for job in trainings if job.kind == "teacher" or Run(job.needs[0]).finished()]


def read_row(job: Job, home: Path) -> Row:
    """The row of a finished training. What it cost is the training's own count, whatever its structure is by now."""
    trained = TrainResult.read(job.run)
    met, seconds, search_commit, measured = True, 0.0, "", {}
    if job.kind == "training":
        structure = Run(job.needs[0])
        found = FoundResult.read(structure)
        met, seconds, search_commit = found.target_met, found.seconds, commits_of(structure)
        measured = measured_of(found)
    training, _, kd = job.training.partition("+")
    return Row(
        method=job.method or UNPRUNED,
        training=training,
        kd=bool(kd),
        target=job.share,
        measure=job.aim.measure,
        seed=job.seed,
        flops_ratio=trained.counted_ratio,
        target_met=met,
        test_accuracy=trained.test_accuracy,
        params=trained.params,
        params_ratio=trained.params_ratio,
        epochs=trained.epochs,
        search_seconds=seconds,
        train_seconds=trained.seconds,
        commit=commits_of(job.run),
        search_commit=search_commit,
        run=job.path.relative_to(home).as_posix(),
        aimed=job.aim.aimed,
        **measured,
    )


def measured_of(found: FoundResult) -> dict[str, Any]:
    """The fields of a row that are known of a found network alone."""
    values: dict[str, Any] = {"memory": found.memory, "memory_ratio": found.memory_ratio}
    if (timed := found.latency) is not None:
        values |= {"latency_seconds": timed.seconds, "latency_ratio": timed.ratio}
        values |= {"latency_low": timed.ratio_low, "latency_high": timed.ratio_high}
    return values


def as_json(rows: "Sequence[DataclassInstance]") -> str:
    """Dataclasses as a JSON list of objects, one a line."""
    lines = ",\n".join("  " + json.dumps(asdict(row)) for row in rows)
    return f"[\n{lines}\n]\n" if rows else "[]\n"


def as_csv(kind: "type[DataclassInstance]", rows: "Sequence[DataclassInstance]") -> str:
    """Dataclasses of one kind as CSV, the names of the fields first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
