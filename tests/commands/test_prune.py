import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tas
from tas.architecture import Architecture
from tas.config import PruneOptions
from tas.config.methods import METHODS, Pruning
from tas.config.parsing import parse
from tas.data.digits import Digits
from tas.pruning import blocks, importance
from tas.runs.run import Run
from tests.commands.conftest import metrics_of

NOTHING = type(None)
KEYS = {
    "command": str,
    "flops": int,
    "flops_full": int,
    "flops_ratio": float,
    "flops_target": float,
    "flops_nonzero": NOTHING,
    "flops_nonzero_ratio": NOTHING,
    "target_met": bool,
    "reachable": NOTHING,
    "params": int,
    "params_full": int,
    "params_ratio": float,
    "params_target": NOTHING,
    "latency": NOTHING,
    "latency_target": NOTHING,
    "latency_errors": NOTHING,
    "memory": NOTHING,
    "memory_full": NOTHING,
    "memory_ratio": NOTHING,
    "memory_target": NOTHING,
    "sparsity_weight": NOTHING,
    "seconds": float,
    "seed": int,
    "method": str,
}
FEW = ("--epochs", 1, "--batch-size", 32, "--accelerator", "cpu")


@pytest.fixture
def no_test_images(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the test images were asked for."""
    asked: list[bool] = []
    load = Digits.load

    def counted(self: Digits, train: bool) -> Any:
        asked.append(train)
        return load(self, train)

    monkeypatch.setattr(Digits, "load", counted)
    monkeypatch.setattr(Digits, "test_dataloader", lambda self: pytest.fail("the test images are not to be seen"))
    return asked


@pytest.mark.parametrize("method", METHODS)
def test_every_name_of_a_method_has_its_function(method: str) -> None:
    assert callable(METHODS[method].load())
    assert set(METHODS[method].options) <= set(Pruning.__dataclass_fields__)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_leaves_a_run_and_sees_no_test_image(
    method: str, cli: Callable, few_digits: None, make_teacher: Callable, no_test_images: list[bool]
) -> None:
    teacher = make_teacher()
    own = ("--candidates", 2) if method == "random" else ()
    status, out, err = cli("prune", "--method", method, "--weights", teacher.path, "--output", "found", *FEW, *own)
    assert status == (3 if method == "sss" else 0), err
    run, zeros = Run("found"), method == "unstructured"
    metrics = metrics_of(run)
    more = {"flops_nonzero": int, "flops_nonzero_ratio": float} if zeros else {}
    if method in ("slimming", "sss"):
        more = {"sparsity_weight": float} | ({"reachable": list} if method == "sss" else {})
        assert f"{metrics['sparsity_weight']:.3g}" in out
    assert {key: type(value) for key, value in metrics.items()} == KEYS | more
    found = Architecture.load(run.architecture)
    assert metrics["flops"] == tas.flops(tas.build(found), (1, 8, 8))
    assert metrics["params"] == tas.parameters(tas.load(run.path))
    assert metrics["params_ratio"] == metrics["params"] / metrics["params_full"]
    assert (metrics["command"], metrics["flops_target"]) == ("prune", 0.5)
    if method == "sss":
        assert metrics["reachable"] == pytest.approx([0.4179, 0.5343], abs=1e-4)
    counted = metrics["flops_nonzero" if zeros else "flops"] / metrics["flops_full"]
    assert metrics["target_met"] == (0.49 <= counted <= 0.51)
    assert ("NOT MET" in out) == (not metrics["target_met"]) == (method == "sss")
    assert (run.path / "architecture.png").is_file()
    assert parse("prune", PruneOptions, ["--config", str(run.config)]).pruning.method == method
    assert no_test_images == [True]


def test_a_missed_target_names_what_can_be_reached(cli: Callable, few_digits: None, make_teacher: Callable) -> None:
    command = ("prune", "--method", "sss", "--weights", make_teacher().path, "--output", "found")
    status, out, err = cli(*command, *FEW)
    assert "0.5 +- 2%: NOT MET; this is the nearest network, sss can reach 0.4179 and 0.5343" in out
    said = "flops 0.5343, aimed at 0.5 +- 2 %: the nearest network is in found; 0.4179 and 0.5343 can be reached"
    assert (status, err.splitlines()[-1]) == (3, f"tas prune: target not met: {said}")
    assert Run("found").finished()


def test_a_target_may_be_a_count(cli: Callable, few_digits: None) -> None:
    status, out, err = cli("prune", "--params-target", "100k", "--output", "found", *FEW)
    assert status == 0, err
    metrics = metrics_of(Run("found"))
    assert 98_000 <= metrics["params"] <= 102_000 and metrics["params"] == tas.parameters(tas.load("found"))
    assert metrics["params_target"] == 100_000 / metrics["params_full"] and metrics["target_met"]
    assert "100k parameters +- 2%: met" in out
    assert parse("prune", PruneOptions, ["--config", "found/config.yaml"]).target.params_target == "100k"


@pytest.mark.parametrize("method", ["uniform", "random", "l1", "slimming", "autopruner"])
def test_a_target_for_the_parameters_is_met(
    method: str, cli: Callable, few_digits: None, make_teacher: Callable
) -> None:
    own = ("--candidates", 2) if method == "random" else ()
    given = ("--method", method, "--weights", make_teacher().path, "--params-target", 0.4)
    status, out, err = cli("prune", *given, "--output", "found", *FEW, *own)
    assert status == 0, err
    metrics = metrics_of(Run("found"))
    assert metrics["target_met"] and 0.392 <= metrics["params_ratio"] <= 0.408
    assert (metrics["flops_target"], metrics["params_target"]) == (None, 0.4)
    assert metrics["params"] == tas.parameters(tas.load("found"))
    assert re.search(r"^  target +0.4 of the parameters \+- 2%: met$", out, re.MULTILINE)


def test_without_weights_uniform_is_fresh_by_the_seed(cli: Callable, few_digits: None) -> None:
    states = []
    for seed, output in ((0, "a"), (0, "b"), (1, "c")):
        status, out, err = cli("prune", "--seed", seed, "--output", output, *FEW)
        assert status == 0, err
        assert out.count(f"tas train --architecture {output}\n") == 1
        states.append(load_file(Run(output).weights)["conv1.weight"])
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_training_takes_data_set_and_weights_from_the_pruning(
    cli: Callable, few_digits: None, make_teacher: Callable
) -> None:
    cli("prune", "--method", "l1", "--weights", make_teacher().path, "--output", "found", *FEW)
    command = ("train", "--architecture", "found", "--init", "inherited", "--output", "trained", *FEW)
    status, _, err = cli(*command)
    assert status == 0, err
    assert metrics_of(Run("trained"))["flops"] == metrics_of(Run("found"))["flops"]


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.needs_weights])
def test_methods_that_judge_weights_ask_for_them(method: str, refused: Callable) -> None:
    said = refused("prune", "--method", method)
    assert f"--method {method} judges trained weights: give --weights RUN or --pretrained" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "l2"), "--method is l2"),
        (("--candidates", 0), "--candidates is 0; allowed: 1 or more"),
        (("--method", "l1", "--candidates", 5), "--candidates goes with --method random, not with l1"),
        (("--method", "l1", "--blocks", 1), "--blocks goes with --method uniform or shallow or balanced, not with l1"),
        (("--method", "l1", "--sparsity-weight", 1), "--sparsity-weight goes with --method slimming or sss, not with"),
        (("--params-target", 1.5), "--params-target is 1.5"),
        (("--sparsity-weight", 0), "--sparsity-weight is 0.0; allowed: above 0"),
        (("--flops-target", 1.5), "--flops-target is 1.5"),
        (
            ("--flops-target", "40Q"),
            "--flops-target is 40Q; allowed: a share above 0, at most 1, or a number with k, M",
        ),
        (("--flops-target", "1G"), "--flops-target 1G: resnet20 has 2,532,992 FLOPs unpruned; give at most that"),
        (("--pretrained", "--weights", "x"), "--pretrained and --weights exclude each other"),
        (("--method", "l1", "--weights", "nowhere"), "--weights nowhere"),
        (("--network", "resnet21"), "--network: unknown network"),
    ],
)
def test_bad_options_are_refused_in_one_line(arguments: tuple[object, ...], said: str, refused: Callable) -> None:
    assert said in refused("prune", *arguments)


def test_an_interrupted_pruning_goes_on_and_ends_as_an_unbroken_one(
    cli: Callable, few_digits: None, make_teacher: Callable, interrupt: Callable
) -> None:
    weights = make_teacher().path
    command = ("prune", "--method", "sss", "--weights", weights, *FEW[2:], "--epochs", 2)
    assert cli(*command, "--output", "whole").status == 3  # its blocks are few: no share of them is near half
    interrupt(blocks.TrainModule, 1)
    status, _, err = cli(*command, "--output", "broken")
    assert status == 130
    assert "interrupted; go on with: tas prune --resume broken" in err
    status, _, err = cli("prune", "--resume", "broken")
    assert status == 3, err
    states = [load_file(Run(name).weights) for name in ("whole", "broken")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    results = [json.loads(Path(name, "architecture.json").read_text()) for name in ("whole", "broken")]
    assert results[0] == results[1]


def test_a_short_method_starts_over_in_its_directory(
    cli: Callable, few_digits: None, make_teacher: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importance, "l1", interrupted)
        command = ("prune", "--method", "l1", "--weights", make_teacher().path, "--output", "found", *FEW)
        assert cli(*command).status == 130
    assert not Run("found").finished()
    status, _, err = cli("prune", "--resume", "found")
    assert status == 0, err
    assert metrics_of(Run("found"))["target_met"]


@pytest.fixture
def refusing(tmp_path, monkeypatch):
    """A method of the user's own that refuses its task."""
    code = "from tas.errors import TasError\n\ndef refuse(task):\n    raise TasError('not with this one')\n"
    (tmp_path / "refusing.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "refusing:refuse"


def test_a_method_that_refuses_leaves_no_run(refused, refusing, make_teacher, tmp_path):
    teacher = make_teacher()
    said = refused("prune", "--method", refusing, "--weights", teacher.path, "--output", "x")
    assert "not with this one" in said and not (tmp_path / "x").exists()


def test_a_run_that_goes_on_is_not_given_up(cli, refusing, make_teacher, tmp_path):
    teacher = make_teacher()
    run = Run(tmp_path / "run")
    run.start(PruneOptions.of(method=refusing, weights=str(teacher.path)))
    status, _, err = cli("prune", "--resume", run.path)
    assert status == 2 and "not with this one" in err and run.config.is_file()
