"""The runs of a comparison, carried out: one after another, several at once, or on a cluster."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tas.comparison.jobs import Job
from tas.comparison.work import metrics_of, perform_job
from tas.config import CompareOptions
from tas.errors import Interrupted, gist
from tas.report import percent
from tas.runs import Run


class ThisProcess(Executor):
    """An executor that does what it is given at once, in this process, so that Ctrl-C ends it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call a function and return its result as a Future that is done."""
        done: Future[Any] = Future()
        done.set_result(function(*arguments, **named))
        return done


def prepare_worker() -> None:
    """Have a worker leave Ctrl-C to the main process, and end with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own is shared between processes, and a killed one leaves it behind
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the main process to end, then end this one: the same command must find no run still under way."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def process_pool(size: int) -> Iterator[Executor]:
    """Processes that share the processor's cores; killed on Ctrl-C, since a run can be gone on with at any time."""
    threads = str(max(1, (os.cpu_count() or 1) // size))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads  # torch reads it when the new processes import it
    pool = ProcessPoolExecutor(size, multiprocessing.get_context("spawn"), prepare_worker)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def executor_for(options: CompareOptions) -> AbstractContextManager[Executor]:
    """Where the options want the runs to be carried out."""
    if options.ray is not None:
        from tas.comparison.ray_cluster import ray_cluster  # an optional package

        return ray_cluster(options.ray, options.job_cpus, options.job_gpus)
    return process_pool(options.jobs) if options.jobs > 1 else ThisProcess()


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
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                job, began = under_way.pop(future)
                error = failure(future)
                done += error is None
                if error is not None:
                    failed.add(job.path)
                    outcome.failed[job.name] = error
                took = f"{time.monotonic() - began:.0f} s"
                say(f"[{done}/{len(jobs)}] {job.name}: {f'FAILED, {error}' if error else f'{gained(job)} in {took}'}")
    except KeyboardInterrupt:
        kept = f"{sum(job.run.finished() for job in jobs)} of {len(jobs)} runs are finished"
        raise Interrupted(f"{kept}; the same command goes on") from None
    return outcome


def finished(path: Path) -> bool:
    """Whether a folder holds a finished run."""
    return Run(path).finished()


def failure(future: Future[str | None]) -> str | None:
    """Why a job failed, in one line; None if it did not."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return f"its process ended ({type(error).__name__}: {gist(error)})"
    raise error


def gained(job: Job) -> str:
    """What a finished run gave, in a few words."""
    metrics = metrics_of(job.run)
    if job.kind == "structure":
        return f"{percent(metrics.get('flops_nonzero_ratio', metrics['flops_ratio']))} of the FLOPs"
    return percent(metrics["test_accuracy"])
