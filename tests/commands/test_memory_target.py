"""Limits of the peak memory: told before a run, refused, kept by what is handed over, and derived anew."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tas
from tas.commands import search as searching
from tas.cost.memory import peak_activations
from tas.runs.results import SearchResult
from tas.runs.run import Run
from tests.commands.conftest import metrics_of

QUICK = ["--epochs", "1", "--batch-size", "32"]
FEW = ["--probes", "40", "--draws", "20"]


def counted(run: Run) -> int:
    """The peak of what a run handed over."""
    return peak_activations(tas.load(run.path).cpu().eval(), torch.randn(1, 1, 8, 8))


@pytest.mark.slow
def test_a_limit_is_kept_and_another_one_is_derived(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    status, out, err = cli("search", *QUICK, *FEW, "--memory-target", "0.5", "--flops-target", "0.5", "--output", "run")
    assert status == 0, err
    run = Run(tmp_path / "run")
    metrics = metrics_of(run)
    assert metrics["target_met"] and metrics["memory_target"] == metrics["flops_target"] == 0.5
    assert metrics["memory"] == counted(run) <= 1.05 * 0.5 * metrics["memory_full"]
    assert metrics["memory_ratio"] == metrics["memory"] / metrics["memory_full"]
    assert 0.475 <= metrics["flops_ratio"] <= 0.525
    assert SearchResult.read(run).memory == metrics["memory"]
    before, _, after = out.partition("search finished")
    assert re.search(r"^what can be found +FLOPs +parameters +peak memory$", before, re.MULTILINE)
    assert re.search(rf"^full .* {metrics['memory_full'] / 1e3:.1f} kB \(100.0%\)$", before, re.MULTILINE)
    assert re.search(r"^target 0.5 \+ 5 %, at most [\d.]+ kB peak memory: can be met together$", before, re.MULTILINE)
    assert "0.5 of the FLOPs, at most 0.5 of the memory +- 5%: met" in after
    sizes = rf"{metrics['memory_full'] / 1e3:.1f} kB -> {metrics['memory'] / 1e3:.1f} kB"
    assert re.search(rf"^  peak memory +{re.escape(sizes)} \(", after, re.MULTILINE)

    status, out, err = cli("derive", run.path, "--memory-target", "8.5kB", "--tolerance", "0.001", "--output", "small")
    assert status == 0, err
    small = Run(tmp_path / "small")
    assert metrics_of(small)["memory"] == counted(small) <= 8500 * 1.001
    assert metrics_of(small)["flops_target"] is None


def test_the_mixture_is_driven_under_a_limit(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    mixture = ["--strategy", "gumbel-mixture", "--warmup", "0.0"]
    status, _, err = cli("search", *QUICK, *mixture, "--memory-target", "8kB", "--output", "run")
    assert status == 0, err
    assert counted(Run(tmp_path / "run")) <= 8400


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--memory-target", "40M"], r"--memory-target is 40M; allowed: a share .*, or bytes with kB, MB or GB"),
        (["--memory-target", "0.1"], r"--memory-target 0.1: the smallest network .* keeps 0\.\d+ of the peak memory"),
        (["--memory-target", "1GB"], r"--memory-target 1GB: resnet20 has .* kB peak memory unpruned; give at most"),
        (["--memory-target", "0.5", "--residuals", "free"], r"--memory-target: .* give --residuals tied"),
        (
            ["--flops-target", "0.9", "--memory-target", "0.3"],
            r"--flops-target 0.9 and --memory-target 0.3 \+ 5 %: no network of this search is inside both; inside the "
            r"first, 0\.\d+ \([\d.]+ kB\) of the peak memory of resnet20 can be reached; give that",
        ),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(given: list[str], said: str, refused: Callable) -> None:
    assert re.search(said, refused("search", *given))


def test_a_limit_that_was_missed_ends_with_its_status(
    cli: Callable, few_digits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "check_reachable", lambda task, prospect: None)
    given = ["--search", "depth", "--memory-target", "0.95", "--flops-target", "0.99", "--tolerance", "0.001"]
    status, out, err = cli("search", *QUICK, *FEW, *given, "--output", "run")
    metrics = metrics_of(Run(tmp_path / "run"))
    assert status == 3 and not metrics["target_met"] and metrics["memory"] == counted(Run(tmp_path / "run"))
    assert "cannot be met together" in out and "tas search: target not met: " in err.splitlines()[-1]
