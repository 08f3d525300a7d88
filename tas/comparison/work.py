"""One run of a comparison, carried out: begun, gone on with, or left as it is when finished."""

import dataclasses
import json
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytorch_lightning  # noqa: F401  # before output is redirected: its logger keeps the stream that it finds
import yaml

from tas.commands import perform
from tas.comparison.jobs import LEFT_TO_THE_MACHINE, Job
from tas.comparison.version import code_version
from tas.errors import TasError, gist
from tas.runs import Run, write_text

LOCATIONS = ("architecture", "teacher", "weights")
"""Options that name other runs of the comparison; they change when its directory is moved."""


def metrics_of(run: Run) -> dict[str, Any]:
    """What a finished run measured."""
    measured: dict[str, Any] = json.loads(run.metrics.read_text(encoding="utf-8"))
    return measured


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
    """TasError, naming the option, if the folder of a job, which is `ready`, holds a run made by another recipe."""
    if not job.run.config.is_file():
        return
    before = yaml.safe_load(job.run.config.read_text(encoding="utf-8"))
    now = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(job.options)))
    for key, value in now.items():
        if key not in (*LEFT_TO_THE_MACHINE, *LOCATIONS) and before.get(key, value) != value:
            raise TasError(
                f"--output: {job.path} was made with {key} {before[key]}, which is now {value}; "
                "give the same options, or another directory"
            )


def perform_job(job: Job) -> str | None:
    """Carry out a job in this process, unless it is finished; its output goes to log.txt in its folder.

    Returns:
        None, or why it failed, in one line.
    """
    if job.run.finished():
        return None
    job = ready(job)
    # With `resume` an unfinished run goes on from its checkpoint, and a folder without one is begun.
    options = dataclasses.replace(job.options, resume=str(job.path))
    job.path.mkdir(parents=True, exist_ok=True)
    with (
        open(job.path / "log.txt", "a", buffering=1, encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} tas {job.command}, code {code_version()}")
        write_text(job.path / "commit.txt", code_version() + "\n")
        try:
            perform(job.command, options)
        except TasError as error:
            print(error)
            return str(error)
        except Exception as error:  # whatever torch raises, out of memory for one: the other runs go on
            traceback.print_exc()
            return f"{type(error).__name__}: {gist(error)}; see {job.path / 'log.txt'}"
    return None
