"""One run of a comparison, carried out: begun, gone on with, or left as it is when finished."""

import dataclasses
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytorch_lightning  # noqa: F401  # before output is redirected: its logger keeps the stream that it finds

from tas.architecture import Architecture

# The commands too are imported now, not when the first run begins: CODE is then the code that runs, whatever becomes of
# the checkout meanwhile.
from tas.commands.prune import prune_in
from tas.commands.search import search_in
from tas.commands.train import train
from tas.comparison.jobs import Job
from tas.comparison.ranking import AloneOptions, RankOptions, judged_networks, rank, train_alone
from tas.config import PruneOptions, SearchOptions, TrainOptions
from tas.config.files import read_yaml
from tas.config.options import Options
from tas.errors import TasError, gist
from tas.runs.files import write_text
from tas.runs.provenance import code_version
from tas.runs.results import FoundResult
from tas.runs.run import Run, plain

COMMIT = "commit.txt"
"""In a run's folder: the code that made it, a line each."""

PERFORMERS: dict[type[Options], Callable[[Any, Run], object]] = {
    SearchOptions: search_in,
    PruneOptions: prune_in,
    TrainOptions: train,
    AloneOptions: train_alone,
    RankOptions: rank,
}
"""Options of a job -> what carries it out, in a run that is begun or gone on with."""

CODE = code_version()
"""The code that this process runs."""

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
    assert isinstance(job.options, TrainOptions)
    share = FoundResult.read(Run(job.needs[0])).flops_ratio
    return dataclasses.replace(job, options=job.options.changed(epochs=round(job.options.recipe.epochs / share)))


def check_unchanged(job: Job) -> None:
    """TasError, naming the option, if the folder of a job, which is `ready`, holds a run made by another recipe.

    Where a run is, or is computed, may differ.
    """
    if not job.run.config.is_file():
        return
    before, now = read_yaml(str(job.run.config), job.run.config), plain(job.options.flat())
    for key, option in job.options.listed().items():
        was, value = before.get(key, plain({key: option.default})[key]), now[key]
        same = was == value or option.where
        if option.other_run:
            same = same or beside(was, before["output"]) == beside(value, now["output"])
        if not same:
            raise TasError(
                f"--output: {job.path} was made with {key} {was}, which is now {value}; "
                "give the same options, or another directory"
            )


def beside(places: str | list[str] | None, output: str) -> list[str]:
    """Where other runs are, seen from a run's own directory: the same after all were moved together."""
    given = [places] if isinstance(places, str) else places or []
    return [os.path.relpath(place, output) for place in given]


def check_same_networks(jobs: Iterable[Job]) -> None:
    """TasError if a training or a ranking is of another network than its structure is now."""
    for job in jobs:
        if job.kind in ("training", "ranking") and job.run.finished() and Run(job.needs[0]).finished():
            found, verb = Architecture.load(Run(job.needs[0]).architecture), job.kind.removesuffix("ing")
            if network_of(job) != (found.widths, found.depths):
                raise TasError(
                    f"--output: {job.path} {verb}ed another network than {job.needs[0]} has now; "
                    f"delete the folder to {verb} the present one"
                )


def network_of(job: Job) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Widths and depths of what a finished training trained, or a finished ranking held against random networks."""
    of = judged_networks(job.run).entries[-1] if job.kind == "ranking" else Architecture.load(job.run.architecture)
    return of.widths, of.depths


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
    job.path.mkdir(parents=True, exist_ok=True)
    with (
        open(job.path / "log.txt", "a", buffering=1, encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {job.name}, code {CODE}")
        note_commit(job.run)
        try:
            PERFORMERS[type(job.options)](job.options, job.run)
        except TasError as error:
            print(error)
            return str(error)
        except Exception as error:  # whatever torch raises, out of memory for one: the other runs go on
            traceback.print_exc()
            return f"{type(error).__name__}: {gist(error)}; see {job.path / 'log.txt'}"
    return None
