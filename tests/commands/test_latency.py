"""Latency as a target of the commands: on a machine whose times are made up, and once on the real one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import tas.timing.layer_table
from tas.architecture import Architecture
from tas.cost.measures import FLOPS
from tas.runs.run import Run
from tas.timing.layer_kinds import LayerKind
from tas.timing.setting import Setting
from tas.timing.stopwatch import Stopwatch
from tests.commands.conftest import metrics_of

QUICK = ["--epochs", "1", "--batch-size", "32", "--probes", "20", "--draws", "2"]
MADE_UP = ["--latency-threads", "1"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of its own."""
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
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
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


def test_what_is_found_keeps_its_latency_where_predictions_are_off(
    machine: Machine, cli: Callable, few_digits: None
) -> None:
    status, out, err = cli("search", *QUICK, *MADE_UP, "--latency-target", "0.6", "--output", "run")
    assert status == 0, err
    metrics = metrics_of(Run("run"))
    assert 0.57 <= metrics["latency"]["ratio"] <= 0.63 and metrics["latency_target"] == 0.6 and metrics["target_met"]
    assert metrics["latency"]["seconds_full"] == 0.010 and len(metrics["latency_errors"]) == 2
    assert "0.6 of the latency +- 5%: met" in out and "as it" not in out
    assert "PyTorch, CPU, 1 thread, 1 image; predicted from layers, off by " in out
    whole, layers = machine.whole, machine.layers
    assert whole > 20 and layers > 0
    for target, low, high in (("7ms", 0.665, 0.735), ("0.5", 0.475, 0.525)):
        status, out, err = cli("derive", "run", *MADE_UP, "--latency-target", target, "--output", f"derived-{target}")
        assert status == 0, err
        timed = metrics_of(Run(f"derived-{target}"))["latency"]
        assert low <= timed["ratio"] <= high
    assert machine.layers == layers  # what was measured is kept, and of whole networks what is found alone is timed
    assert machine.whole <= whole + 12


def test_latency_and_parameters_are_kept_together(machine: Machine, cli: Callable, few_digits: None) -> None:
    both = ("--latency-target", "0.7", "--params-target", "0.6", "--output", "run")
    status, _, err = cli("prune", "--method", "balanced", "--tolerance", "0.05", *MADE_UP, *both)
    assert status == 0, err
    metrics = metrics_of(Run("run"))
    assert 0.665 <= metrics["latency"]["ratio"] <= 0.735 and 0.57 <= metrics["params_ratio"] <= 0.63


def test_a_latency_that_is_not_reached_is_said_with_status_3(machine: Machine, cli: Callable, few_digits: None) -> None:
    machine.busy_after = 20
    options = ("--method", "uniform", *MADE_UP, "--latency-target", "0.6", "--output", "run")
    status, out, err = cli("prune", *options)
    assert status == 3, err
    (line,) = [line for line in err.splitlines() if "target not met" in line]
    assert "latency 0.9, aimed at 0.6 +- 2 %, as measured: the nearest network is in run" in line
    assert metrics_of(Run("run"))["target_met"] is False and "NOT MET" in out


def test_a_corrupt_cache_is_said_and_rebuilt(machine: Machine, cli: Callable, few_digits: None, cache: Path) -> None:
    options = ("prune", "--method", "uniform", *MADE_UP, "--latency-target", "0.6")
    assert cli(*options, "--output", "first").status == 0
    (file,) = cache.iterdir()
    layers = machine.layers
    file.write_text(file.read_text()[:100])
    status, _, err = cli(*options, "--output", "second")
    assert status == 0 and f"{file}: no whole file of measured times" in err
    assert machine.layers == 2 * layers


REFUSED = (
    (("--latency-target", "5x"), "--latency-target is 5x; allowed: a share above 0, at most 1, or a time with s, ms"),
    (("--latency-target", "40M"), "--latency-target is 40M; allowed: a share above 0, at most 1, or a time with"),
    (("--latency-target", "0ms"), "--latency-target is 0ms; allowed: "),
    (("--latency-target", "1.5"), "--latency-target is 1.5; allowed: "),
    (("--latency-target", "0.6", "--latency-runtime", "tflite"), "latency"),
    (("--latency-target", "0.6", "--latency-batch", "0"), "--latency-batch is 0; allowed: 1 or more"),
    (("--latency-target", "0.6", "--latency-threads", "0"), "--latency-threads is 0; allowed: 1 or more"),
    (
        ("--latency-target", "0.6", "--latency-runtime", "onnxruntime", "--latency-device", "cuda"),
        "--latency-runtime onnxruntime is timed on the CPU alone; give --latency-device cpu",
    ),
)


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_latency_is_refused(options: tuple[str, ...], said: str, refused: Callable) -> None:
    assert said in refused("search", *options)


def test_a_latency_below_the_smallest_is_refused_with_what_can_be_reached(machine: Machine, refused: Callable) -> None:
    line = refused("search", *MADE_UP, "--latency-target", "0.01")
    assert "--latency-target 0.01: the smallest network that this search can find keeps 0." in line
    assert "of the latency of resnet20" in line and " ms; give at least that" in line
    line = refused("search", *MADE_UP, "--latency-target", "3s")
    assert "--latency-target 3s: resnet20 has" in line and "ms latency unpruned; give at most that" in line


def test_methods_that_judge_channels_refuse_a_latency(refused: Callable) -> None:
    line = refused("prune", "--method", "random", "--latency-target", "0.6")
    assert "--latency-target goes with --method uniform or shallow or balanced, not with random" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_there_is_refused(refused: Callable) -> None:
    line = refused("search", "--latency-target", "0.6", "--latency-device", "cuda")
    assert "--latency-device cuda: this machine has no such device; allowed: cpu" in line


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["eager", "onnxruntime"])
def test_on_the_real_machine(runtime: str, cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("tas.timing.latency_model.SAMPLES", 5)  # an export takes seconds
    options = ("--latency-runtime", runtime, "--latency-target", "0.6", "--tolerance", "0.4", "--output", "run")
    status, out, err = cli("prune", "--method", "balanced", *MADE_UP, *options)
    assert status == 0, err  # a wide band: other tests run beside
    timed = metrics_of(Run("run"))["latency"]
    assert timed["rounds"] >= 30 and 0.36 <= timed["ratio"] <= 0.84
    assert ("ONNX Runtime" if runtime == "onnxruntime" else "PyTorch") in out
