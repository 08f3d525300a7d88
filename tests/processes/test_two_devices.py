"""Two processes with half a batch each are one with the whole: as launched by torchrun, on CPUs by gloo."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tas.runs.run import Run
from tests.conftest import environment

OBSERVED = str(Path(__file__).parent / "observed.py")
LAUNCHED = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# In 32 bits roundings grow to percents within a few steps of so high a learning rate.
EXACT = ["--precision", "64-true", "--sync-batchnorm", "--epochs", "2"]
PROBES = ["--probes", "20", "--draws", "5"]
MIXED = ["--strategy", "gumbel-mixture", "--warmup", "0.25", "--align", "interpolate", "--depth-training", "mixed"]
SEARCHES = {
    "sandwich": ["search", *EXACT, *PROBES],
    "sandwich, masked": ["search", *EXACT, *PROBES, "--compute", "masked"],
    "mixture": ["search", *EXACT, *MIXED, "--compute", "masked"],
}


def done(command: Sequence[str], cwd: Path, **more: str) -> str:
    """Run it in a shell's place; what it says on stderr."""
    ended = subprocess.run(command, cwd=cwd, env={**environment(), **more}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def alone(place: Path, command: Sequence[str], batch: int = 96) -> None:
    place.mkdir()
    given = ["--batch-size", str(batch), "--output", str(place / "run"), "--devices", "1", "--accelerator", "cpu"]
    done([sys.executable, OBSERVED, str(place), *command, *given], place.parent)


def together(place: Path, command: Sequence[str], *launcher: str) -> str:
    place.mkdir(exist_ok=True)
    given = ["--batch-size", "48", "--output", str(place / "run"), "--devices", "2", "--accelerator", "cpu"]
    # Else those that are started again may wait for those that are gone (torch's issue 135712).
    shared = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return done([*LAUNCHED, *launcher, OBSERVED, str(place), *command, *given], place.parent, **shared)


def seen(place: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(place.glob("rank-*.json"))]


def close_curves(one: Run, two: Run) -> None:
    """Assert that scalars are the same in the steps that both have logged, the last of each epoch among them."""
    rows = [{row["step"]: row for row in csv.DictReader(run.curves.read_text().splitlines())} for run in (one, two)]
    both = rows[0].keys() & rows[1].keys()
    assert both
    for step in both:
        names = [name for name in rows[0][step] if rows[0][step][name] and not name.startswith("epoch")]
        values = [torch.tensor([float(row[step][name]) for name in names]) for row in rows]
        torch.testing.assert_close(*values, atol=1e-6, rtol=1e-5)


def close_weights(one: Run, two: Run) -> None:
    states = [load_file(run.weights) for run in (one, two)]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_on_two_devices_finds_what_it_finds_on_one(name: str, tmp_path: Path) -> None:
    alone(tmp_path / "one", SEARCHES[name])
    together(tmp_path / "two", SEARCHES[name])
    (one,), two = seen(tmp_path / "one"), seen(tmp_path / "two")
    assert [rank["processes"] for rank in two] == [2, 2]
    for what in ("widths", "depths", "costs", "val_accuracy", "sums"):
        assert two[0][what] == two[1][what], "all ranks agree"
    for what in ("widths", "depths", "costs"):
        assert two[0][what] == one[what]
    runs = Run(tmp_path / "one" / "run"), Run(tmp_path / "two" / "run")
    assert runs[0].architecture.read_text() == runs[1].architecture.read_text()
    close_weights(*runs)
    close_curves(*runs)
    assert one["val_accuracy"] == pytest.approx(two[0]["val_accuracy"])


@pytest.mark.slow
def test_a_training_on_two_devices_learns_what_it_learns_on_one(tmp_path: Path) -> None:
    train = ["train", "--network", "resnet20", *EXACT]
    alone(tmp_path / "teacher", train)
    taught = [*train, "--kd", "--teacher", str(tmp_path / "teacher" / "run")]
    alone(tmp_path / "one", taught)
    together(tmp_path / "two", taught)
    runs = Run(tmp_path / "one" / "run"), Run(tmp_path / "two" / "run")
    close_weights(*runs)
    close_curves(*runs)
    metrics = [json.loads(run.metrics.read_text()) for run in runs]
    for what in ("test_accuracy", "train_accuracy", "teacher_accuracy", "constant_accuracy"):
        assert metrics[0][what] == pytest.approx(metrics[1][what])


@pytest.mark.slow
def test_torchrun_s_restart_goes_on_where_a_process_died(tmp_path: Path) -> None:
    command = ["search", "--epochs", "2", *PROBES, "--checkpoint-every", "2steps", "--seed", "3"]
    together(tmp_path / "unbroken", command)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "dies-1-6").touch()
    together(broken, command, "--max-restarts", "1")
    states = [load_file(tmp_path / name / "run" / "model.safetensors") for name in ("unbroken", "broken")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    curves = [(tmp_path / name / "run" / "curves.csv").read_text() for name in ("unbroken", "broken")]
    assert curves[0] == curves[1]


SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "search",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
}


@pytest.mark.slow
def test_slurm_s_warning_keeps_a_checkpoint_and_the_job_that_is_requeued_goes_on(tmp_path: Path) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    variables = {**SLURM, "PATH": f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "tas", "train", "--network", "resnet20", "--accelerator", "cpu", "--devices", "1"]
    command += ["--epochs", "3", "--train-images", "300", "--batch-size", "8"]
    done([*command, "--output", "unbroken"], tmp_path, **variables)
    command += ["--output", "broken"]
    job = subprocess.Popen(command, cwd=tmp_path, env={**environment(), **variables}, stderr=subprocess.PIPE, text=True)
    curves = tmp_path / "broken" / "curves.csv"
    while not curves.exists():
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    said = job.communicate()[1]
    assert job.returncode == 128 + signal.SIGUSR1
    assert "SLURM has put job 77 back into its queue; kept broken/checkpoints/last.ckpt" in said
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert not [*tmp_path.glob("**/hpc_ckpt*")], "Lightning's own checkpoint, from the midst of a step"
    done(command, tmp_path, **variables, SLURM_RESTART_COUNT="1")
    states = [load_file(tmp_path / name / "model.safetensors") for name in ("unbroken", "broken")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
