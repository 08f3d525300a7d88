import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tas.timing.layer_table
from tas.architecture import Architecture
from tas.config import SearchOptions, TrainOptions
from tas.cost.measures import FLOPS
from tas.cutting.build import build
from tas.data.digits import Digits
from tas.runs.run import Run
from tas.timing.layer_kinds import LayerKind
from tas.timing.setting import Setting
from tas.timing.stopwatch import Stopwatch
from tests.conftest import ROOT, environment, run_script
from tests.results import search_result, train_result
from tests.spaces import unpruned

DIGITS = ["--epochs", "2"]
"""A search this short still has the ten steps after which Lightning writes to TensorBoard."""


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A directory in which `python search.py` ran on the digits, and what it printed."""
    directory = tmp_path_factory.mktemp("searched")
    status, out, err = run_script("search.py", *DIGITS, cwd=directory)
    assert status == 0, err
    return directory, out


@pytest.fixture(scope="session")
def trained(searched: tuple[Path, str]) -> tuple[Path, str]:
    """The same after `python train.py --kd`, and what that printed."""
    directory, _ = searched
    status, out, err = run_script("train.py", "--kd", "--epochs", "1", cwd=directory)
    assert status == 0, err
    return directory, out


def only_run(directory: Path, kind: str) -> Run:
    (path,) = (directory / "runs" / kind).iterdir()
    return Run(path)


def metrics_of(run: Run) -> dict[str, Any]:
    return json.loads(run.metrics.read_text(encoding="utf-8"))


def same_but_for_time(first: Run, second: Run) -> None:
    """Assert that two runs ended in the same place, to the last bit."""
    metrics = [{key: value for key, value in metrics_of(run).items() if key != "seconds"} for run in (first, second)]
    assert metrics[0] == metrics[1]
    assert Architecture.load(first.architecture) == Architecture.load(second.architecture)
    states = [torch.load(run.checkpoint, weights_only=True) for run in (first, second)]
    assert states[0]["epoch"] == states[1]["epoch"]
    weights = [state["state_dict"] for state in states]
    assert weights[0].keys() == weights[1].keys()
    assert [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])] == []


def interrupt_after_first_checkpoint(script: str, *arguments: str, cwd: Path, run: Path) -> tuple[int, str]:
    """Start a script, press Ctrl-C once its first checkpoint is there; returns the exit status and stderr."""
    process = subprocess.Popen(
        [sys.executable, ROOT / script, *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (cwd / run / "checkpoints" / "last.ckpt").is_file():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, err


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Ctrl-C in this process, when a module's training reaches an epoch for the first time."""

    def arm(module: type, epoch: int) -> None:
        step = module.training_step
        pressed: list[bool] = []

        def training_step(self: Any, *arguments: Any) -> Any:
            if self.current_epoch == epoch and not pressed:
                pressed.append(True)
                raise KeyboardInterrupt
            return step(self, *arguments)

        monkeypatch.setattr(module, "training_step", training_step)

    yield arm


@pytest.fixture
def make_search(tmp_path: Path) -> Callable[..., Run]:
    """Leave in `tmp_path` what a finished search leaves, without searching."""

    def make(name: str = "made", classes: int = 10, channels: int = 1, **options: Any) -> Run:
        run = Run(tmp_path / "runs" / "search" / name)
        run.start(SearchOptions.of(**options))
        full = unpruned("resnet20", classes, channels, size=8)
        halved = full.with_counts({name: count // 2 for name, count in full.widths.items()}, full.depths)
        run.keep(halved, build(halved), Digits(batch_size=8).described())
        search_result().write(run)
        return run

    return make


@pytest.fixture
def make_teacher(tmp_path: Path) -> Callable[..., Run]:
    """Leave in `tmp_path` what a finished training leaves, without training."""

    def make(name: str = "teacher", classes: int = 10, channels: int = 1, network: str = "resnet20") -> Run:
        run = Run(tmp_path / name)
        run.start(TrainOptions.of(data="digits"))
        full = unpruned(network, classes, channels, size=8)
        run.keep(full, build(full), Digits(batch_size=8).described())
        train_result(test_accuracy=0.1).write(run)
        return run

    return make


def yaml_of(run: Run) -> dict[str, Any]:
    return yaml.safe_load(run.config.read_text(encoding="utf-8"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of measured times, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tas" / "latency"


@dataclass
class Machine:
    """Whole networks take a millisecond and what their FLOPs to the power say, layers a time for each pair."""

    power: float = 0.7
    whole: int = 0
    """Networks that were timed."""
    layers: int = 0
    busy_after: int | None = None
    """Networks after which every one takes nearly as long as the unpruned one."""


@pytest.fixture
def machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The made-up machine in the place of the real one."""
    own = Machine()

    def time_of(kind: LayerKind, inputs: int, outputs: int, setting: Setting) -> float:
        own.layers += 1
        return 1e-9 * inputs * outputs * math.prod(kind.kernel) * math.prod(kind.resolution)

    def times(
        watch: Stopwatch, architecture: Architecture, seconds: float, rounds: int, least: int = 5
    ) -> tuple[tuple[float, ...], ...]:
        own.whole += 1
        subject = watch.subject
        share = FLOPS.exact(subject.plan, architecture) / FLOPS.exact(subject.plan, subject.full)
        busy = own.busy_after is not None and own.whole > own.busy_after
        return (0.010,) * rounds, (0.009 if busy else 0.001 + 0.009 * share**own.power,) * rounds

    monkeypatch.setattr(tas.timing.layer_table, "time_of", time_of)
    monkeypatch.setattr(Stopwatch, "times", times)
    return own
