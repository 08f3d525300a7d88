"""What each training of a comparison gave: a row a run."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

from tas.comparison.jobs import Job
from tas.comparison.work import metrics_of
from tas.runs import Run

UNPRUNED = "unpruned"
"""What stands for a method in the rows of the unpruned network."""


@dataclass(frozen=True)
class Row:
    """One training run."""

    method: str
    """How the network was found, or "unpruned"."""
    training: str
    """scratch-e, scratch-b, finetune or init."""
    kd: bool
    """Whether it was taught by the unpruned network."""
    target: float
    """FLOPs aimed at, as a share of the unpruned network's."""
    seed: int
    flops_ratio: float
    """FLOPs kept; of unstructured pruning, multiply-adds with a weight that is not zero."""
    target_met: bool
    """Whether that is within the tolerance."""
    test_accuracy: float
    """On all test images, after the last epoch."""
    params: int
    """Parameters kept."""
    epochs: int
    """Of the training."""
    search_seconds: float
    """Time it took to find the network, without the training of weights that were given."""
    train_seconds: float
    """Time it took to train it."""
    commit: str
    """The code that trained it."""
    run: str
    """The folder of the training."""

    @property
    def way(self) -> str:
        """How it was trained, as --training has it."""
        return self.training + "+kd" * self.kd


def read_rows(jobs: Iterable[Job]) -> list[Row]:
    """A row for every finished training, the unpruned networks' last."""
    ordered = sorted(jobs, key=lambda job: job.kind == "teacher")  # stable
    return [read_row(job) for job in ordered if job.kind != "structure" and job.run.finished()]


def read_row(job: Job) -> Row:
    """The row of a finished training."""
    trained = metrics_of(job.run)
    if job.kind == "teacher":
        found, way = trained | {"seconds": 0.0, "target_met": True}, "scratch-e"
    else:
        found, way = metrics_of(Run(job.needs[0])), job.training
    training, _, kd = way.partition("+")
    return Row(
        method=job.method or UNPRUNED,
        training=training,
        kd=bool(kd),
        target=job.target,
        seed=job.seed,
        flops_ratio=found.get("flops_nonzero_ratio", found["flops_ratio"]),
        target_met=found["target_met"],
        test_accuracy=trained["test_accuracy"],
        params=found["params"],
        epochs=trained["epochs"],
        search_seconds=found["seconds"],
        train_seconds=trained["seconds"],
        commit=(job.path / "commit.txt").read_text(encoding="utf-8").strip(),
        run=str(job.path),
    )


def as_json(rows: Sequence[object]) -> str:
    """Dataclasses as a JSON list of objects, one a line."""
    lines = ",\n".join("  " + json.dumps(asdict(row)) for row in rows)  # type: ignore[call-overload]
    return f"[\n{lines}\n]\n" if rows else "[]\n"


def as_csv(kind: type, rows: Sequence[object]) -> str:
    """Dataclasses of one kind as CSV, the names of the fields first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)  # type: ignore[call-overload]
    return text.getvalue()
