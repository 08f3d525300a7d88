"""One run of a comparison, carried out: begun, gone on with, or left as it is when finished."""

import dataclasses
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytorch_lightning  # noqa: F401  # before output is redirected: its logger keeps the stream that it finds
import yaml

from tas.architecture import Architecture

# The commands too are imported now, not when the first run begins: CODE is then the code that runs, whatever becomes of
# the checkout meanwhile.
from tas.commands.prune import prune
from tas.commands.search import search
from tas.commands.train import train
from tas.comparison.jobs import Job
from tas.config import CommonOptions
from tas.errors import TasError, gist
from tas.runs.files import write_text
from tas.runs.provenance import code_version
from tas.runs.run import Run

COMMIT = "commit.txt"
"""In a run's folder: the code that made it, a line each."""

PERFORMERS: dict[str, Callable[[Any], object]] = {"search": search, "prune": prune, "train": train}
"""What carries out a job's command."""

CODE = code_version()
"""The code that this process runs."""

LOCATIONS = ("architecture", "teacher", "weights")
"""Options that name other runs of the comparison; they change when its directory is moved."""

MACHINE = ("output", "resume", "data_dir", "workers", "accelerator", "devices", "strategy", "num_nodes", "rank_from")
"""Options that say where a run is carried out and kept, and which other one spares it work: a later one may differ and
be the same run."""

OF_SOME_METHODS = {"candidates": ("random",), "sparsity_weight": ("slimming", "sss")}
"""Options of `tas prune` -> the only methods that read them."""

OF_RANKING = ("rank_epochs", "rank_lr")
"""Options of `tas search` that are read with --rank alone."""

PATIENCE = 20
"""Seconds in which a file that another machine has written must be seen here."""


UNSEEN = "{} does not appear; do all nodes share that directory?"
"""What is wrong if a finished run cannot be seen."""


def appears(run: Run) -> bool:
    """Whether a run is finished; waits a little, since a network's file system shows files late."""
    until = time.monotonic() + PATIENCE
    while not run.finished() and time.monotonic() < until:
        time.sleep(0.2)
    return run.finished()


def metrics_of(run: Run) -> dict[str, Any]:
    """What a finished run measured."""
    measured: dict[str, Any] = json.loads(run.metrics.read_text(encoding="utf-8"))
    return measured


def commits_of(run: Run) -> str:
    """The code that made a run; where several did, one after another, all of them."""
    file = run.path / COMMIT
    return ", ".join(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else "unknown"


def note_commit(run: Run) -> None:
    """Add this process's code to those that made a run."""
    file = run.path / COMMIT
    before = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if CODE not in before:
        write_text(file, "".join(f"{commit}\n" for commit in [*before, CODE]))


def ready(job: Job) -> Job:
    """A job whose needs are finished, with the one option that follows from them: the epochs of scratch-b.

    Liu et al. (arXiv 1810.05270) train a smaller network for as much compute as the unpruned one takes: for its
    epochs times its FLOPs over those that are kept.
    """
    if not job.training.startswith("scratch-b"):
        return job
    share = metrics_of(Run(job.needs[0]))["flops_ratio"]
    return dataclasses.replace(job, options=dataclasses.replace(job.options, epochs=round(job.options.epochs / share)))


def check_unchanged(job: Job) -> None:
    """TasError, naming the option, if the folder of a job, which is `ready`, holds a run made by another recipe.

    What an older version did not know counts as its present default.
    """
    if not job.run.config.is_file():
        return
    before = yaml.safe_load(job.run.config.read_text(encoding="utf-8"))
    now, defaults = as_saved(job.options), as_saved(type(job.options)())  # type: ignore[call-arg]  # each command has defaults for all
    for key, value in now.items():
        if now.get("method") not in OF_SOME_METHODS.get(key, (now.get("method"),)):
            continue
        if key in OF_RANKING and not now["rank"]:
            continue
        was = before.get(key, defaults[key])
        if key in LOCATIONS:
            same = was == value or beside(was, before["output"]) == beside(value, now["output"])
        else:
            same = key in MACHINE or was == value
        if not same:
            raise TasError(
                f"--output: {job.path} was made with {key} {was}, which is now {value}; "
                "give the same options, or another directory"
            )


def as_saved(options: CommonOptions) -> dict[str, Any]:
    """Options as config.yaml has them."""
    saved: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(options)))
    return saved


def beside(places: str | list[str] | None, output: str) -> list[str]:
    """Where other runs are, seen from a run's own directory: the same after all were moved together."""
    given = [places] if isinstance(places, str) else places or []
    return [os.path.relpath(place, output) for place in given]


def check_same_networks(jobs: Iterable[Job]) -> None:
    """TasError if a training is of another network than its structure is now."""
    for job in jobs:
        if job.kind == "training" and job.run.finished():
            found = Run(job.needs[0])
            if found.finished() and Architecture.load(found.architecture) != Architecture.load(job.run.architecture):
                raise TasError(
                    f"--output: {job.path} trained another network than {found.path} has now; "
                    "delete the folder to train the present one"
                )


def perform_job(job: Job) -> str | None:
    """Carry out a job in this process, unless it is finished; its output goes to log.txt in its folder.

    Returns:
        None, or why it failed, in one line.
    """
    if job.run.finished():
        return None
    for need in map(Run, job.needs):
        if not appears(need):
            return UNSEEN.format(need.metrics)
    job = ready(job)
    # With `resume` an unfinished run goes on from its checkpoint, and a folder without one is begun.
    options = dataclasses.replace(job.options, resume=str(job.path))
    job.path.mkdir(parents=True, exist_ok=True)
    with (
        open(job.path / "log.txt", "a", buffering=1, encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} tas {job.command}, code {CODE}")
        note_commit(job.run)
        try:
            PERFORMERS[job.command](options)
        except TasError as error:
            print(error)
            return str(error)
        except Exception as error:  # whatever torch raises, out of memory for one: the other runs go on
            traceback.print_exc()
            return f"{type(error).__name__}: {gist(error)}; see {job.path / 'log.txt'}"
    return None
