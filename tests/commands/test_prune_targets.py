"""Targets of `tas prune`: several at once, what is told of them before, and what is refused at once."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import tas
from tas.config.methods import METHODS
from tas.runs.run import Run
from tests.commands.conftest import metrics_of

FEW = ("--epochs", 1, "--batch-size", 32, "--accelerator", "cpu")
SEVERAL = [name for name, method in METHODS.items() if method.several]
FREE = ("balanced", "random")
"""The methods that choose every width by itself."""


@pytest.mark.parametrize("method", FREE)
def test_two_targets_are_met_together(method: str, cli: Callable, few_digits: None) -> None:
    own = ("--candidates", 2) if method == "random" else ()
    given = ("--method", method, "--flops-target", 0.5, "--params-target", "81.6k", *own)
    status, out, err = cli("prune", *given, "--output", "found", *FEW)
    assert status == 0, err
    metrics, network = metrics_of(Run("found")), tas.load("found")
    assert metrics["target_met"] and metrics["flops_target"] == 0.5
    assert 0.49 <= tas.flops(network, (1, 8, 8)) / metrics["flops_full"] <= 0.51
    assert 0.98 * 81_600 <= tas.parameters(network) <= 1.02 * 81_600
    before, _, after = out.partition("pruning finished")
    assert re.search(r"^smallest .*\n(.*\n)*full .*\(100.0%\)", before, re.MULTILINE)
    assert "target 0.5 +- 2 %, 1,241,167 to 1,291,825 FLOPs: can be met together\n" in before
    assert "target 81.6k +- 2 %, 79,968 to 83,232 parameters: can be met together\n" in before
    assert "0.5 of the FLOPs, 81.6k parameters +- 2%: met" in after


@pytest.mark.parametrize("method", ["uniform", "shallow"])
def test_one_share_of_all_widths_meets_two_targets_where_some_share_does(
    method: str, cli: Callable, few_digits: None
) -> None:
    assert cli("prune", "--method", method, "--output", "one", *FEW).status == 0
    shares = metrics_of(Run("one"))
    given = ("--flops-target", shares["flops_ratio"] * 1.01, "--params-target", shares["params_ratio"] * 0.99)
    status, out, err = cli("prune", "--method", method, *given, "--output", "two", *FEW)
    assert status == 0, err
    metrics = metrics_of(Run("two"))
    assert abs(metrics["flops_ratio"] / given[1] - 1) <= 0.02 and abs(metrics["params_ratio"] / given[3] - 1) <= 0.02
    assert out.count("can be met together") == 2 and metrics["reachable"] is None


def test_where_no_share_meets_both_the_nearest_is_handed_over_and_that_is_said(cli: Callable, few_digits: None) -> None:
    given = ("--flops-target", 0.5, "--params-target", 0.47)
    status, out, err = cli("prune", *given, "--output", "found", *FEW)
    assert status == 3
    assert out.count("cannot be met together by one share of all widths; the nearest network is handed over") == 2
    metrics = metrics_of(Run("found"))
    assert not metrics["target_met"] and metrics["reachable"] == []
    # Between the two: each is missed by about as much.
    apart = metrics["params_ratio"] / 0.47 - 1, 1 - metrics["flops_ratio"] / 0.5
    assert min(apart) > 0.02 and abs(apart[0] - apart[1]) < 0.02
    said = f"flops {metrics['flops_ratio']:.4g}, aimed at 0.5 +- 2 %; params {metrics['params_ratio']:.4g}, aimed at"
    assert err.splitlines()[-1].startswith(f"tas prune: target not met: {said} 0.47 +- 2 %: the nearest network is in")


@pytest.mark.parametrize("method", [name for name in METHODS if name not in (*SEVERAL, "unstructured")])
def test_methods_that_keep_one_target_refuse_two_and_name_those_that_do_not(method: str, refused: Callable) -> None:
    line = refused("prune", "--method", method, "--flops-target", 0.5, "--params-target", 0.5)
    said = f"--flops-target and --params-target go together with --method {' or '.join(SEVERAL)}, not with {method}"
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "balanced", "--params-target", 0.005), "no network of balanced is inside; 0.0092 (2,490) of the"),
        (
            ("--method", "balanced", "--flops-target", 0.2, "--params-target", 0.9),
            "no network of balanced is inside both; inside the first, 0.4685 (127,425) of the parameters",
        ),
        (
            ("--method", "random", "--flops-target", 0.01),
            "no network of random is inside; 0.0230 (58,186) of the FLOPs",
        ),
        (("--flops-target", 0.05, "--round-to", 8), "no network of uniform is inside; 0.1170 (296,272) of the FLOPs"),
        (("--flops-target", 0.9, "--blocks", 1), "no network of uniform is inside; 0.3014 (763,520) of the FLOPs of"),
        (("--method", "balanced", "--flops-target", 0.99, "--blocks", 1), "no network of balanced is inside; 0.3014"),
        (("--method", "shallow", "--flops-target", 0.9, "--blocks", 2), "no network of shallow is inside; 0.65"),
    ],
)
def test_what_cannot_be_met_is_refused_at_once_with_what_can(
    arguments: tuple[object, ...], said: str, refused: Callable, tmp_path: Path
) -> None:
    assert said in refused("prune", *arguments, "--output", "run")
    assert not (tmp_path / "run").exists()


def test_a_target_between_two_shares_is_no_refusal(cli: Callable, few_digits: None) -> None:
    status, out, err = cli(
        "prune", "--round-to", 16, "--flops-target", 0.65, "--tolerance", 0.001, "--output", "found", *FEW
    )
    metrics = metrics_of(Run("found"))
    assert status == 3 and "lies between two networks of this method; the nearest is handed over" in out
    below, above = metrics["reachable"]
    assert below < 0.65 < above and metrics["flops_ratio"] in (below, above)
    assert f"{below:.4f} and {above:.4f} can be reached" in err


def test_a_function_of_ones_own_is_given_all_budgets(
    cli: Callable, few_digits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    Path("keeping.py").write_text(
        "def all_of_it(task):\n    assert [one.measure.name for one in task.budgets] == ['flops', 'params']\n"
        "    return task.full\n\n\ndef one(task):\n    return task.budget.target\n"
    )
    given = ("--flops-target", 1.0, "--params-target", 0.99, *FEW)
    status, _, err = cli("prune", "--method", "keeping:all_of_it", *given, "--output", "found")
    assert status == 0, err
    status, _, err = cli("prune", "--method", "keeping:one", *given, "--output", "other")
    assert status == 2 and "--method keeping:one keeps one target; several were given" in err
    assert not Path("other").exists()
