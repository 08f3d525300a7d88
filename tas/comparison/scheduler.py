"""The runs of a comparison, carried out: one after another, several at once, or on a cluster."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tas.comparison.jobs import Job
from tas.comparison.perform import UNSEEN, appears, perform_job
from tas.comparison.processes import ThisProcess, process_pool
from tas.config import CompareOptions
from tas.errors import Interrupted, gist
from tas.runs.results import FoundResult, Result, TrainResult
from tas.runs.run import Run
from tas.runs.summary import percent
from tas.training.interrupts import signal_of


def executor_for(options: CompareOptions) -> AbstractContextManager[Executor]:
    """Where the options want the runs to be carried out."""
    if options.ray is not None:
        from tas.comparison.ray_cluster import ray_cluster  # an optional package

        return ray_cluster(options.ray, options.job_cpus, options.job_gpus)
    return process_pool(options.jobs) if options.jobs > 1 else ThisProcess()


TRIES = 2
"""How often a run is begun whose process is killed: for want of memory, which there may be more of later."""

GONE = "it needs {}, finished when the command began and gone since; the same command makes it anew"
"""What is wrong if a run that others need is deleted meanwhile."""


@dataclass
class Outcome:
    """What came of the runs of a comparison."""

    failed: dict[str, str] = field(default_factory=dict)
    """Name of a run -> why it failed."""
    not_run: list[str] = field(default_factory=list)
    """Names of runs that need a failed one."""


def run_all(jobs: Sequence[Job], executor: Executor, at_once: int | None, say: Callable[[str], None]) -> Outcome:
    """Carry out the jobs that are not finished, each once those that it needs are.

    Args:
        jobs: All runs, each after those it needs.
        executor: What carries them out.
        at_once: How many it is handed at a time; None for all that can begin.
        say: Takes a line on each run that begins or ends.
    """
    outcome = Outcome()
    waiting = [job for job in jobs if not job.run.finished()]
    failed: set[Path] = set()
    under_way: dict[Future[str | None], tuple[Job, float]] = {}
    done = len(jobs) - len(waiting)
    killed: Counter[Path] = Counter()
    try:
        while waiting or under_way:
            for job in list(waiting):
                if failed.intersection(job.needs):
                    waiting.remove(job)
                    failed.add(job.path)
                    outcome.not_run.append(job.name)
            able = [job for job in waiting if all(map(finished, job.needs))]
            for job in able[: None if at_once is None else at_once - len(under_way)]:
                say(f"[{done}/{len(jobs)}] {job.name}: begins")
                began = time.monotonic()
                under_way[executor.submit(perform_job, job)] = job, began
                waiting.remove(job)
            if waiting and not under_way:  # the first can never begin; what needs it is not run either
                job = waiting.pop(0)
                failed.add(job.path)
                outcome.failed[job.name] = GONE.format(", ".join(str(path) for path in job.needs if not finished(path)))
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                job, began = under_way.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    killed[job.path] += 1
                    if killed[job.path] < TRIES:
                        say(f"[{done}/{len(jobs)}] {job.name}: its process was killed; it goes on later")
                        waiting.append(job)
                        continue
                error = failure(future) or unseen(job)
                done += error is None
                if error is not None:
                    failed.add(job.path)
                    outcome.failed[job.name] = error
                took = f"{time.monotonic() - began:.0f} s"
                say(f"[{done}/{len(jobs)}] {job.name}: {f'FAILED, {error}' if error else f'{gained(job)} in {took}'}")
    except KeyboardInterrupt as error:
        kept = f"{sum(job.run.finished() for job in jobs)} of {len(jobs)} runs are finished"
        raise Interrupted(f"{kept}; the same command goes on", signal_of(error)) from None
    return outcome


def finished(path: Path) -> bool:
    """Whether a folder holds a finished run."""
    return Run(path).finished()


def failure(future: Future[str | None]) -> str | None:
    """Why a job failed, in one line; None if it did not."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenExecutor):
        return f"its process was killed {TRIES} times, for want of memory perhaps"
    if isinstance(error, Exception):
        return f"{type(error).__name__}: {gist(error)}"
    raise error


def unseen(job: Job) -> str | None:
    """What is wrong if a run that ended well cannot be seen from here."""
    return None if appears(job.run) else UNSEEN.format(job.run.metrics)


def gained(job: Job) -> str:
    """What a finished run gave, in a few words."""
    if job.kind in ("alone", "ranking"):
        return "finished"
    result = Result.read(job.run)
    if isinstance(result, TrainResult):
        return percent(result.test_accuracy)
    assert isinstance(result, FoundResult)
    return job.aim.reached(result)
