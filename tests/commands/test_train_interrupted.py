"""Trainings that Ctrl-C ends, and that go on."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tas.commands.train import as_begun
from tas.config import TrainOptions
from tas.runs.run import Run
from tas.training.module import TrainModule
from tests.commands.conftest import only_run, same_but_for_time
from tests.commands.test_train import PLAIN, QUICK


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_training_ends_as_an_unbroken_one(
    workers: int, cli: Callable, few_digits: None, interrupt: Callable, tmp_path: Path
) -> None:
    options = [*PLAIN, "--epochs", "3", "--workers", workers]
    assert cli("train", *options, "--output", "unbroken").status == 0
    interrupt(TrainModule, epoch=1)
    status, _, err = cli("train", *options, "--output", "broken")
    assert status == 130
    said = r"tas train: interrupted; kept broken/checkpoints/last.ckpt; go on with: .* --resume broken"
    assert re.fullmatch(said, err.splitlines()[-1])
    assert not Run(tmp_path / "broken").finished()
    assert cli("train", "--resume", "broken").status == 0
    same_but_for_time(Run(tmp_path / "broken"), Run(tmp_path / "unbroken"))
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("broken", "unbroken")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_interrupted_distillation_is_resumed_with_its_teacher(
    cli: Callable, few_digits: None, make_search: Callable, interrupt: Callable
) -> None:
    make_search()
    assert cli("train", "--kd", *QUICK, "--epochs", "2").status == 0
    interrupt(TrainModule, epoch=1)
    assert cli("train", "--kd", *QUICK, "--epochs", "2", "--output", "broken").status == 130
    status, out, _ = cli("train", "--resume", "broken")
    assert status == 0
    assert "teacher: resnet20 as trained before" in out
    same_but_for_time(Run("broken"), Run(next(Path("runs/train").iterdir())))


def test_an_interrupted_teacher_is_not_taken_for_a_trained_one(
    cli: Callable, few_digits: None, make_search: Callable, interrupt: Callable, tmp_path: Path
) -> None:
    make_search()
    command = ["train", "--kd", *QUICK, "--epochs", "2"]
    interrupt(TrainModule, epoch=1)
    status, _, err = cli(*command)
    assert status == 130
    assert "the same command" in err.splitlines()[-1]
    assert not only_run(tmp_path, "teachers").finished() and not (tmp_path / "runs" / "train").exists()
    status, out, _ = cli(*command)
    assert status == 0
    assert "teacher: training resnet20" in out
    assert only_run(tmp_path, "teachers").finished() and only_run(tmp_path, "train").finished()


def test_a_training_interrupted_while_it_is_tested_says_how_to_go_on(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainModule, "test_step", press)
        status, _, err = cli("train", *PLAIN, "--output", "broken")
    assert status == 130
    assert re.fullmatch(r"tas train: interrupted; .*; go on with: .* --resume broken", err.splitlines()[-1])
    assert cli("train", "--resume", "broken").status == 0
    assert Run("broken").finished()


def test_a_training_that_goes_on_in_other_numbers_keeps_its_teacher(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    begun = TrainOptions.of(network="resnet20", kd=True)
    run.start(begun)
    goes_on = begun.changed(precision="bf16-mixed", devices="1", workers=2)
    assert as_begun(goes_on, Run(run.path, go_on=True)).machine == begun.machine
    assert as_begun(goes_on, Run(tmp_path / "other")) == goes_on
