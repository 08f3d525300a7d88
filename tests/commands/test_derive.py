"""`tas search --strategy sandwich`, and `tas derive`, which answers other budgets from it."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tas
from tas.architecture import Architecture
from tas.runs.results import SearchResult
from tas.runs.run import Run
from tests.commands.conftest import interrupt_after_first_checkpoint, metrics_of, same_but_for_time, yaml_of
from tests.conftest import run_script

QUICK = ["--strategy", "sandwich", "--epochs", "2", "--probes", "60", "--draws", "20"]


@pytest.fixture(scope="module")
def sandwich(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """A search of the digits by the sandwich rule, and what it printed."""
    directory = tmp_path_factory.mktemp("sandwich")
    status, out, err = run_script("search.py", *QUICK, "--output", "found", cwd=directory)
    assert status == 0, err
    return Run(directory / "found"), out


def test_a_sandwich_leaves_what_a_search_leaves_and_its_scores(sandwich: tuple[Run, str]) -> None:
    run, out = sandwich
    metrics = metrics_of(run)
    assert metrics["strategy"] == "sandwich" and metrics["probes"] == 60 and metrics["target_met"]
    assert set(metrics["predicted_gain"]) == {"uniform", "shallow", "balanced"}
    assert all(error >= 0 for _, error in metrics["predicted_gain"].values())
    assert metrics["control"] in (None, "uniform", "shallow", "balanced")
    assert metrics["r_squared"] <= 1 and -1 <= metrics["tau"] <= 1
    probes = json.loads(run.probes.read_text(encoding="utf-8"))
    assert len(probes) == 60 and {"loss", "accuracy", "widths", "depths"} == set(probes[0])
    for name in ("architecture.png", "elasticities.png", "space.txt", "curves.csv", "distributions.csv"):
        assert (run.path / name).is_file()
    assert {"scores", "predicted loss", "handed over"} <= set(re.findall(r"^  (\w[\w ]*?)  ", out, re.MULTILINE))
    record = SearchResult.read(run)
    assert record.standing is not None and record.flat() == metrics


def test_the_weights_that_are_left_are_those_of_the_network(sandwich: tuple[Run, str]) -> None:
    run, _ = sandwich
    network, found = tas.load(run.path), Architecture.load(run.architecture)
    assert tas.flops(network, (1, 8, 8)) == metrics_of(run)["flops"] == tas.flops(tas.build(found), (1, 8, 8))


def test_another_budget_is_answered_from_the_same_search_and_again_the_same(
    sandwich: tuple[Run, str], cli: Callable, tmp_path: Path
) -> None:
    run, _ = sandwich
    for name in ("first", "second"):
        status, out, err = cli("derive", run.path, "--flops-target", 0.3, "--output", name)
        assert status == 0, err
    first, second = Run(tmp_path / "first"), Run(tmp_path / "second")
    metrics = [{key: value for key, value in metrics_of(one).items() if key != "seconds"} for one in (first, second)]
    assert metrics[0] == metrics[1]
    assert metrics[0]["derived_from"] == str(run.path) and metrics[0]["target_met"]
    assert 0.285 <= metrics[0]["flops_ratio"] <= 0.315
    states = [load_file(one.weights) for one in (first, second)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert first.architecture.read_bytes() == second.architecture.read_bytes()
    assert f"tas train --kd --architecture {Path('second')}" in out
    assert yaml_of(first)["flops_target"] == 0.3
    status, _, err = cli("train", "--architecture", "first", "--epochs", 1)
    assert status == 0, err


def test_a_budget_of_parameters_and_both_together_are_answered(
    sandwich: tuple[Run, str], cli: Callable, tmp_path: Path
) -> None:
    run, _ = sandwich
    assert cli("derive", run.path, "--params-target", 0.4, "--output", "params").status == 0
    both = ("--params-target", 0.5, "--flops-target", 0.5, "--tolerance", 0.1)
    assert cli("derive", "--run", run.path, *both, "--output", "both").status == 0
    assert 0.38 <= metrics_of(Run(tmp_path / "params"))["params_ratio"] <= 0.42
    met = metrics_of(Run(tmp_path / "both"))
    assert met["target_met"] and 0.45 <= met["params_ratio"] <= 0.55 and 0.45 <= met["flops_ratio"] <= 0.55


def test_what_was_killed_before_its_result_is_derived_by_the_same_command(
    sandwich: tuple[Run, str], cli: Callable, refused: Callable, tmp_path: Path
) -> None:
    command, run = ("derive", sandwich[0].path, "--output", "derived"), Run(tmp_path / "derived")
    assert cli(*command, "--flops-target", 0.4).status == 0
    weights = load_file(run.weights)
    run.metrics.unlink()  # it is written last
    run.weights.unlink()
    said = "--output derived: exists already"
    assert said in refused(*command, "--flops-target", 0.6)
    assert cli(*command, "--flops-target", 0.4).status == 0
    again = load_file(run.weights)
    assert run.finished() and all(torch.equal(again[name], weights[name]) for name in weights)
    assert said in refused(*command, "--flops-target", 0.4)


def test_a_front_is_a_table_and_a_picture(sandwich: tuple[Run, str], cli: Callable, tmp_path: Path) -> None:
    run, _ = sandwich
    status, out, err = cli("derive", run.path, "--front", 4, "--output", "front")
    assert status == 0, err
    with (tmp_path / "front" / "front.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["network"] for row in rows} == {"found", "uniform", "shallow", "balanced"}
    assert (tmp_path / "front" / "front.png").is_file()
    # What is drawn and said never gets worse as it costs more.
    said = [float(accuracy) for accuracy in re.findall(r"^  [\d.]+% +([\d.]+)% \+-", out, re.MULTILINE)]
    assert said and said == sorted(said)


def test_a_front_goes_over_one_cost(refused: Callable) -> None:
    line = refused("derive", "x", "--front", 4, "--flops-target", 0.5, "--params-target", 0.5)
    assert "--front goes over one cost, not over --flops-target and --params-target; give one of them" in line


def test_a_search_of_mixtures_answers_other_budgets_too(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    mixture = ("--strategy", "gumbel-mixture", "--epochs", 1, "--batch-size", 32)
    assert cli("search", *mixture, "--output", "found").status == 0
    status, _, err = cli("derive", "found", "--flops-target", 0.4, "--output", "derived")
    assert status == 0, err
    metrics = metrics_of(Run(tmp_path / "derived"))
    assert metrics["strategy"] == "gumbel-mixture" and 0.38 <= metrics["flops_ratio"] <= 0.42
    assert "predicted_gain" not in metrics
    status, _, err = cli("derive", "found", "--flops-target", 0.4, "--draws", 50)
    assert (status, "--draws" in err) == (2, True)
    status, _, err = cli("derive", "found", "--front", 4)
    assert (status, "--front" in err, "--strategy sandwich" in err) == (2, True, True)


def test_a_trained_network_is_asked_without_training_and_handed_over_with_its_weights(
    cli: Callable, tmp_path: Path
) -> None:
    assert cli("train", "--network", "resnet20", "--data", "digits", "--epochs", 2, "--output", "teacher").status == 0
    asked = ("--strategy", "sandwich", "--epochs", 0, "--weights", "teacher", "--probes", 60, "--draws", 20)
    status, out, err = cli("search", *asked, "--output", "found")
    assert status == 0, err
    assert "warm-up" not in out
    assert cli("derive", "found", "--flops-target", 0.25, "--output", "quarter").status == 0
    status, out, err = cli("train", "--kd", "--architecture", "quarter", "--epochs", 1, "--teacher", "teacher")
    assert status == 0, err
    assert "start: the weights in quarter" in out
    (trained,) = (tmp_path / "runs" / "train").iterdir()
    assert yaml_of(Run(trained))["init"] == "inherited"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "--epochs", 0, "--strategy", "gumbel-mixture"), "--epochs is 0; allowed: 1 and more; 0 goes with"),
        (("search", "--epochs", 0), "1 and more without trained weights"),
        (("train", "--epochs", 0, "--network", "resnet20"), "--epochs"),
        (("prune", "--epochs", 0), "--epochs"),
        (("derive",), "--run is missing; name a finished search"),
        (("derive", "nothing"), "nothing: not a finished search"),
        (("derive", "nothing", "--front", 1), "--front is 1; allowed: 0, or 2 and more"),
        (("derive", "nothing", "--draws", 0), "--draws"),
        (("search", "--probes", 5), "--probes is 5; allowed: 20 or more"),
        (("search", "--align", "interpolate"), "--align goes with --strategy gumbel-mixture"),
        (("search", "--strategy", "sandwhich"), "--strategy is sandwhich; expected"),
        (("search", "--held-out", 0.999), "--held-out 0.999: leaves fewer training images"),
    ],
)
def test_bad_input_is_one_line_that_names_the_flag(refused: Callable, arguments: tuple[Any, ...], said: str) -> None:
    assert said in refused(*arguments)


@pytest.mark.slow
def test_an_interrupted_sandwich_ends_as_one_that_was_not(tmp_path: Path) -> None:
    status, err = interrupt_after_first_checkpoint(
        "search.py", *QUICK, "--output", "broken", cwd=tmp_path, run=Path("broken")
    )
    assert status == 130 and "--resume broken" in err
    assert run_script("search.py", "--resume", "broken", cwd=tmp_path).status == 0
    assert run_script("search.py", *QUICK, "--output", "whole", cwd=tmp_path).status == 0
    same_but_for_time(Run(tmp_path / "broken"), Run(tmp_path / "whole"))
    assert (tmp_path / "broken" / "probes.json").read_bytes() == (tmp_path / "whole" / "probes.json").read_bytes()


def test_the_derived_run_says_where_it_is_from(sandwich: tuple[Run, str], cli: Callable) -> None:
    run, _ = sandwich
    status, out, _ = cli("derive", run.path, "--flops-target", 0.6, "--output", "wide")
    assert status == 0 and f"started from    {run.path}" in out


def test_what_a_search_measured_must_be_there(sandwich: tuple[Run, str], refused: Callable, tmp_path: Path) -> None:
    shutil.copytree(sandwich[0].path, tmp_path / "copy")
    (tmp_path / "copy" / "probes.json").unlink()
    assert "copy/probes.json: is missing" in refused("derive", "copy", "--flops-target", 0.3)
