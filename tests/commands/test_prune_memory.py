"""Limits of the peak memory in `tas prune`: kept by recount, together with other targets, and refused."""

import re
from collections.abc import Callable

import pytest
import torch

import tas
from tas.config.methods import METHODS
from tas.cost.memory import peak_activations
from tas.runs.results import PruneResult
from tas.runs.run import Run
from tests.commands.conftest import metrics_of

FEW = ("--epochs", 1, "--batch-size", 32, "--accelerator", "cpu")
LIMITED = [name for name, method in METHODS.items() if "memory" in method.measures]


def counted(run: Run) -> int:
    """The peak of what a run handed over."""
    return peak_activations(tas.load(run.path).cpu().eval(), torch.randn(1, 1, 8, 8))


@pytest.mark.parametrize("method", LIMITED)
def test_a_limit_is_kept_and_hardly_any_of_it_is_left(
    method: str, cli: Callable, few_digits: None, make_teacher: Callable
) -> None:
    own = ("--weights", make_teacher().path) if METHODS[method].needs_weights else ()
    own += ("--candidates", 2) if method == "random" else ()
    status, out, err = cli("prune", "--method", method, *own, "--memory-target", 0.5, "--output", "run", *FEW)
    assert status == 0, err
    run = Run("run")
    metrics = metrics_of(run)
    assert metrics["target_met"] and metrics["memory_target"] == 0.5 and metrics["flops_target"] is None
    assert metrics["memory"] == counted(run) <= 1.02 * 0.5 * metrics["memory_full"]
    assert metrics["memory_ratio"] == metrics["memory"] / metrics["memory_full"]
    assert PruneResult.read(run).memory == metrics["memory"]
    assert "target        at most 0.5 of the memory +- 2%: met" in out or method == "slimming"
    assert re.search(r"^  peak memory +20\.7 kB -> [\d.]+ kB \(", out, re.MULTILINE)
    if method != "random":  # which may draw small ones
        assert metrics["memory_ratio"] > 0.44  # of 16 channels one is 6 %


@pytest.mark.parametrize("method", ["uniform", "balanced", "random"])
def test_a_limit_is_kept_beside_a_target_of_flops(method: str, cli: Callable, few_digits: None) -> None:
    own = ("--candidates", 2) if method == "random" else ()
    both = ("--flops-target", 0.4, "--memory-target", "14kB")
    status, out, err = cli("prune", "--method", method, *own, *both, "--output", "run", *FEW)
    assert status == 0, err
    metrics = metrics_of(Run("run"))
    flops = tas.flops(tas.load("run"), (1, 8, 8))
    assert 0.392 <= flops / metrics["flops_full"] <= 0.408 and metrics["memory"] == counted(Run("run")) <= 14_280
    assert "target 14kB + 2 %, at most 14.3 kB peak memory: can be met together" in out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--memory-target", "40M"), "--memory-target is 40M; allowed: a share above 0, at most 1, or bytes with kB"),
        (("--memory-target", "1GB"), "--memory-target 1GB: resnet20 has 20.7 kB peak memory unpruned; give at most"),
        (("--memory-target", "0.01"), "--memory-target 0.01 + 2 %: no network of uniform is inside; 0.0741 (1.5 kB)"),
        (
            ("--flops-target", "0.9", "--memory-target", "0.3", "--method", "balanced"),
            "--flops-target 0.9 and --memory-target 0.3 + 2 %: no network of balanced is inside both; inside the first",
        ),
        (
            ("--method", "sss", "--memory-target", "0.5"),
            f"--memory-target goes with --method {' or '.join(LIMITED)}, not with sss",
        ),
        (
            ("--method", "l1", "--memory-target", "0.5", "--flops-target", "0.5"),
            "--flops-target and --memory-target go together with --method uniform or shallow or balanced or random, ",
        ),
    ],
)
def test_what_is_no_limit_or_cannot_be_kept_is_refused(given: tuple[str, ...], said: str, refused: Callable) -> None:
    assert said in refused("prune", *given, "--output", "run")


def test_a_limit_that_one_share_of_all_widths_cannot_keep_beside_another_target_ends_with_status_3(
    cli: Callable, few_digits: None
) -> None:
    both = ("--flops-target", 0.7, "--memory-target", 0.5)
    status, out, err = cli("prune", *both, "--output", "run", *FEW)
    metrics = metrics_of(Run("run"))
    assert status == 3 and not metrics["target_met"] and metrics["memory"] == counted(Run("run"))
    assert out.count("cannot be met together by one share of all widths; the nearest network is handed over") == 2
    assert f"memory {metrics['memory_ratio']:.4g}, aimed at no more than 0.5 + 2 %" in err.splitlines()[-1]
