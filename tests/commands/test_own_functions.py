"""Methods of pruning and losses of the user's own, as docs/own-methods.md has them."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tas
from tas.runs.run import Run
from tests.commands.conftest import metrics_of
from tests.conftest import ROOT

QUICK = ["--epochs", "1", "--batch-size", "32"]

WRONG = """
import torch.nn.functional as F


def nothing(task):
    return None


def too_wide(task):
    return task.full.with_counts({name: 2 * width for name, width in task.full.widths.items()}, task.full.depths)


def broken(task):
    return task.no_such_thing


def unreduced(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


def per_class(logits, labels):
    return 0.5


def alike(logits, labels):
    return F.cross_entropy(logits, labels)


def alike_taught(logits, labels, teacher_logits):
    from tas.distillation.loss import distillation_loss

    return distillation_loss(logits, teacher_logits, labels, 0.9, 4.0)
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_digits: None) -> Iterator[None]:
    """The scripts of the documents, and wrong ones, in the working directory."""
    page = (ROOT / "docs" / "own-methods.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.py").write_text("\n".join(blocks), encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield
    for name in ("mine", "wrong"):
        sys.modules.pop(name, None)


def test_a_method_of_one_s_own_finds_a_network_inside_the_budget(cli: Callable, tmp_path: Path) -> None:
    status, out, err = cli("prune", "--method", "mine:tapered", "--flops-target", "0.4", "--output", "found")
    assert status == 0, err
    assert "mine:tapered" in out
    run = Run(tmp_path / "found")
    assert metrics_of(run)["target_met"] and abs(metrics_of(run)["flops_ratio"] - 0.4) < 0.4 * 0.02
    assert tas.flops(tas.load(run.path), (1, 8, 8)) == metrics_of(run)["flops"]


def test_a_comparison_takes_it_as_a_variant(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("variants: {tapered: {method: mine:tapered}}\nmethods: [uniform, tapered]\n")
    status, _, err = cli("compare", "--config", "mine.yaml", *QUICK, "--seeds", "0", "--output", "all")
    assert status == 0, err
    assert "tapered" in (tmp_path / "all" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("wrong:nothing", "--method wrong:nothing returned a NoneType; it must return an Architecture or a Pruned"),
        ("wrong:too_wide", "the architecture of resnet20: widths['conv1'] is 32; the network allows 1 to 16"),
        (
            "wrong:missing",
            "--method: wrong:missing cannot be imported (AttributeError: module 'wrong' has no attribute",
        ),
        ("absent:method", "--method: absent:method cannot be imported (ModuleNotFoundError: No module named 'absent')"),
        ("l3", "--method is l3; allowed: uniform, shallow, balanced, random, l1,"),
    ],
)
def test_a_method_that_is_none_is_named_and_leaves_no_run(
    method: str, said: str, refused: Callable, tmp_path: Path
) -> None:
    assert said in refused("prune", "--method", method, "--output", "found")
    assert not (tmp_path / "found").exists()


def test_what_a_method_raises_is_the_user_s_to_see_and_leaves_no_run(cli: Callable, tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        cli("prune", "--method", "wrong:broken", "--output", "found")
    assert not (tmp_path / "found").exists()


def weights_after(cli: Callable, tmp_path: Path, name: str, *arguments: str) -> dict[str, torch.Tensor]:
    """What a command leaves."""
    status, _, err = cli(*arguments, *QUICK, "--output", name)
    assert status == 0, err
    return load_file(tmp_path / name / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("command", [["search"], ["train", "--network", "resnet20"]])
def test_a_loss_stands_for_the_cross_entropy(command: list[str], cli: Callable, tmp_path: Path) -> None:
    plain = weights_after(cli, tmp_path, "plain", *command)
    assert same(plain, weights_after(cli, tmp_path, "alike", *command, "--loss", "wrong:alike"))
    assert not same(plain, weights_after(cli, tmp_path, "smoothed", *command, "--loss", "mine:smoothed"))


def test_a_loss_stands_for_the_whole_of_a_distillation_and_not_for_the_teacher_s(cli: Callable, tmp_path: Path) -> None:
    command = ["train", "--network", "resnet20", "--kd"]
    plain = weights_after(cli, tmp_path, "plain", *command)
    assert same(plain, weights_after(cli, tmp_path, "alike", *command, "--loss", "wrong:alike_taught"))
    assert not same(plain, weights_after(cli, tmp_path, "cosine", *command, "--loss", "mine:cosine_taught"))
    assert len(list((tmp_path / "runs" / "teachers").iterdir())) == 1
    assert not same(plain, weights_after(cli, tmp_path, "hard", *command, "--loss", "mine:smoothed"))


@pytest.mark.parametrize(
    ("command", "loss", "said"),
    [
        ("search", "mine:cosine_taught", "takes teacher_logits, so it goes with tas train --kd alone"),
        ("train", "mine:cosine_taught", "takes teacher_logits, so it goes with tas train --kd alone"),
        ("search", "wrong:missing", "--loss: wrong:missing cannot be imported"),
        ("train", "focal", "--loss is focal; allowed: package.module:function"),
    ],
)
def test_a_loss_that_is_none_is_named(command: str, loss: str, said: str, refused: Callable) -> None:
    own = ["--network", "resnet20"] if command == "train" else []
    assert said in refused(command, *own, *QUICK, "--loss", loss)


@pytest.mark.parametrize(("loss", "kind"), [("wrong:unreduced", "a tensor (32,)"), ("wrong:per_class", "a float")])
@pytest.mark.parametrize("command", [["search"], ["train", "--network", "resnet20"]])
def test_what_is_no_loss_is_named_in_the_first_step_and_leaves_no_run(
    loss: str, kind: str, command: list[str], cli: Callable, tmp_path: Path
) -> None:
    status, _, err = cli(*command, *QUICK, "--loss", loss, "--output", "run")
    assert status == 2
    said = f"--loss {loss}: returned {kind}; it must return a tensor of one number, the batch's mean"
    assert err.splitlines()[-1] == f"tas {command[0]}: error: {said}"
    assert not (tmp_path / "run").exists()
