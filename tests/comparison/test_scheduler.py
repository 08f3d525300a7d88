import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tas.comparison import perform as work
from tas.comparison import scheduler as running
from tas.comparison.aims import Aim
from tas.comparison.jobs import Job
from tas.comparison.processes import ThisProcess, process_pool
from tas.comparison.scheduler import run_all
from tas.config import TrainOptions
from tas.config.amount import Amount
from tests.results import train_result


def jobs_in(directory: Path, seeds: int = 4) -> list[Job]:
    """A training for every seed, which needs none."""
    return [
        Job("training", directory / str(seed), TrainOptions(), seed, "tas", Aim.of({"flops": Amount(0.5)}), "scratch-e")
        for seed in range(seeds)
    ]


class OfMortals(Executor):
    """Ends the process of the runs of some seeds: seed -> how often."""

    def __init__(self, killed: dict[int, int]) -> None:
        self.killed = killed
        self.begun: list[int] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        (job,) = arguments
        call: Future[Any] = Future()
        if self.begun.count(job.seed) < self.killed.get(job.seed, 0):
            call.set_exception(BrokenProcessPool("a process in the process pool was terminated abruptly"))
        else:
            call.set_result(carried_out(job))
        self.begun.append(job.seed)
        return call


def carried_out(job: Job) -> None:
    if job.seed == 7:
        raise MemoryError("no more")
    job.path.mkdir()
    train_result().write(job.run)


def test_a_run_whose_process_is_killed_begins_again_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    jobs, said = jobs_in(tmp_path), list[str]()
    executor = OfMortals({1: 1, 2: 9})
    outcome = run_all(jobs, executor, 2, said.append)
    assert outcome.failed == {jobs[2].name: "its process was killed 2 times, for want of memory perhaps"}
    assert [job.run.finished() for job in jobs] == [True, True, False, True]
    assert sorted(executor.begun) == [0, 1, 1, 2, 2, 3]
    assert sum("its process was killed; it goes on later" in line for line in said) == 2


def test_a_killed_process_takes_no_other_call_with_it() -> None:
    with process_pool(2) as executor:
        killed, other = executor.submit(signal.raise_signal, signal.SIGKILL), executor.submit(abs, -3)
        assert isinstance(killed.exception(), BrokenProcessPool)
        assert other.result() == 3
        assert [executor.submit(abs, -number).result() for number in (4, 5)] == [4, 5]


def test_an_exception_is_the_runs_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "perform_job", carried_out)
    jobs = jobs_in(tmp_path, 9)[6:]
    outcome = run_all(jobs, ThisProcess(), 1, lambda line: None)
    assert outcome.failed == {jobs[1].name: "MemoryError: no more"}
    assert [job.run.finished() for job in jobs] == [True, False, True]


def test_ctrl_c_is_no_runs_failure() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt  # what a signal becomes, unless whoever started the tests has it ignored

    with pytest.raises(KeyboardInterrupt):
        ThisProcess().submit(interrupted)


def test_a_run_whose_need_is_deleted_meanwhile_fails_and_the_comparison_ends(tmp_path: Path) -> None:
    first, teacher, student, ranking = jobs_in(tmp_path)
    carried_out(teacher)
    student = replace(student, needs=(teacher.path,))
    ranking = replace(ranking, needs=(student.path,))
    executor = OfMortals({})

    def said(line: str) -> None:
        if first.name in line:
            shutil.rmtree(teacher.path, ignore_errors=True)

    outcome = run_all([first, teacher, student, ranking], executor, 1, said)
    (error,) = outcome.failed.values()
    assert error.startswith(f"it needs {teacher.path}, finished when the command began and gone since")
    assert (list(outcome.failed), outcome.not_run) == ([student.name], [ranking.name])
    assert executor.begun == [first.seed]


def test_a_finished_run_that_cannot_be_seen_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "perform_job", lambda job: None)
    monkeypatch.setattr(work, "PATIENCE", 0)
    outcome = run_all(jobs_in(tmp_path, 1), ThisProcess(), 1, lambda line: None)
    (error,) = outcome.failed.values()
    assert error == f"{tmp_path / '0' / 'metrics.json'} does not appear; do all nodes share that directory?"


@pytest.mark.parametrize(("given", "threads"), [(None, "3"), ("5", "5")])
def test_threads_are_shared_out_unless_the_user_says_how_many(
    given: str | None, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tas.comparison.processes.processors", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    with process_pool(2):
        assert os.environ["OMP_NUM_THREADS"] == threads
    assert os.environ.get("OMP_NUM_THREADS") == given
