"""Commands that a scheduler starts again, and those that it is about to end."""

import os
import signal
from pathlib import Path

import pytest

from tas.config import SearchOptions
from tas.config.groups import Keeping
from tas.errors import FinishedBeforeError
from tas.runs.restarts import heeded, requeue, restarted
from tas.runs.run import Run
from tests.results import search_result


@pytest.fixture(autouse=True)
def no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)


def began(path: str, **options: object) -> Run:
    run = Run(path)
    run.start(SearchOptions.of(**options))
    return run


def gone_on_with(output: str | None = None, **options: object) -> Path | None:
    run = Run.of(Keeping(output=output), "search", "x", SearchOptions.of(output=output, **options))
    return run.path if run.go_on else None


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_a_command_that_is_started_again_goes_on_with_its_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began("here", output="here", epochs=3)
    began("runs/search/older", epochs=3)
    newer = began("runs/search/newer", epochs=3)
    os.utime(newer.path, (2e9, 2e9))
    for count in (None, "0", "none"):
        if count is not None:
            monkeypatch.setenv(name, count)
        assert not restarted(named=True)
        assert gone_on_with("here", epochs=3) is None and gone_on_with(epochs=3) is None
    monkeypatch.setenv(name, "2")
    assert gone_on_with("here", epochs=3) == Path("here")
    assert gone_on_with(epochs=3) == Path("runs/search/newer")
    assert gone_on_with("here", epochs=4) is None and gone_on_with(epochs=4) is None, "other options, another run"
    search_result().write(newer)
    began("runs/search/damaged").config.write_text("[")
    assert gone_on_with(epochs=3) == Path("runs/search/older"), "what is finished stays"
    search_result().write(Run("here"))
    with pytest.raises(FinishedBeforeError, match="--output here: finished before"):
        gone_on_with("here", epochs=3)


def test_another_machine_s_failure_is_no_restart_that_torchrun_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    began("here", output="here", epochs=3)
    began("runs/search/older", epochs=3)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert gone_on_with("here", epochs=3) == Path("here")
    assert gone_on_with(epochs=3) is None


def test_slurm_s_warning_is_heeded_in_its_jobs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heeded() == (signal.SIGINT, signal.SIGTERM)
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert heeded() == (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def test_the_first_process_has_a_task_of_an_array_requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "5", "ARRAY_JOB_ID": "4", "ARRAY_TASK_ID": "7", "PROCID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert requeue() == "the first process has the job put back into SLURM's queue"
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert requeue() == "scontrol requeue 4_7 failed (FileNotFoundError)"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/asked\nexit $((1 - $(/bin/cat {tmp_path}/works)))\n")
    scontrol.chmod(0o755)
    for works, said in ((0, "scontrol requeue 4_7 failed (CalledProcessError)"), (1, "SLURM has put job 4_7 back")):
        (tmp_path / "works").write_text(str(works))
        assert said in requeue()
        assert (tmp_path / "asked").read_text() == "requeue 4_7\n"
