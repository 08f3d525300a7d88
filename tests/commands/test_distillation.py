"""Several teachers and feature terms, as a user asks for them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tas
from tas.data.digits import Digits
from tas.runs.run import Run
from tas.training.module import TrainModule
from tests.commands.conftest import metrics_of, same_but_for_time, yaml_of

QUICK = ["--epochs", "1", "--batch-size", "32"]
FOUND = ["--architecture", "runs/search/made"]
"""Named, so that a command which refuses its input says nothing else."""
FEATURES = ["--attention-transfer", "1000", "--hints", "1"]


def test_several_teachers_of_different_networks_teach_their_average(
    cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable
) -> None:
    make_search()
    teachers = [make_teacher("a"), make_teacher("b", network="resnet32")]
    status, out, err = cli("train", "--kd", "--teacher", "a", "b", *QUICK, "--output", "run")
    assert status == 0, err
    assert "the average of 2: a, b" in out
    assert yaml_of(Run("run"))["teacher"] == ["a", "b"]
    data = Digits(batch_size=64)
    images, labels = (torch.cat(part) for part in zip(*data.test_dataloader()))
    with torch.no_grad():
        logits = sum(tas.load(teacher.path)(images) for teacher in teachers)
    right = (logits.argmax(1) == labels).float().mean()
    assert metrics_of(Run("run"))["teacher_accuracy"] == pytest.approx(right.item(), abs=1e-6)


def test_a_student_starts_with_the_channels_of_the_first_of_its_teachers(
    cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable
) -> None:
    make_search(), make_teacher("a"), make_teacher("b", network="resnet32")
    given = ["train", "--kd", "--init", "teacher", *QUICK]
    assert cli(*given, "--teacher", "a", "b", "--lr", "1e-9", "--output", "run").status == 0
    # The stem's filters are among the first teacher's; the learning rate is as good as none.
    stem, own = (tas.load(path).conv1.weight.detach().flatten(1) for path in ("a", "run"))
    assert (torch.cdist(own, stem).min(1).values < 1e-5).all()


@pytest.mark.parametrize("first", ["other", "pruned"])
def test_only_the_unpruned_network_gives_its_channels(
    first: str, cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable, refused: Callable
) -> None:
    make_search()
    if first == "other":
        make_teacher("other", network="resnet32")
    else:
        assert cli("train", *QUICK, "--output", "pruned").status == 0
    make_teacher("good")
    line = refused("train", *FOUND, "--kd", "--init", "teacher", "--teacher", first, "good")
    assert "the first --teacher, which must be the unpruned resnet20" in line
    assert f"{first} is a" in line


def test_every_teacher_is_checked(refused: Callable, make_search: Callable, make_teacher: Callable) -> None:
    make_search(), make_teacher("a"), make_teacher("b", classes=2)
    assert "--teacher b: is for 2 classes" in refused("train", *FOUND, "--kd", "--teacher", "a,b")


def test_feature_terms_are_shown_and_cost_the_student_nothing(
    cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable
) -> None:
    make_search(), make_teacher("a", network="resnet32")
    for output, terms in (("with", FEATURES), ("without", [])):
        status, _, err = cli("train", "--kd", "--teacher", "a", *terms, *QUICK, "--output", output)
        assert status == 0, err
    tags = set(EventAccumulator("with").Reload().Tags()["scalars"])
    assert {"loss", "loss/kd", "loss/attention_transfer", "loss/hints"} <= tags
    kept, plain = metrics_of(Run("with")), metrics_of(Run("without"))
    assert all(kept[key] == plain[key] for key in ("flops", "flops_full", "params"))
    states = [load_file(f"{name}/model.safetensors") for name in ("with", "without")]
    assert states[0].keys() == states[1].keys()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_an_interrupted_training_with_feature_terms_ends_as_an_unbroken_one(
    cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable, interrupt: Callable
) -> None:
    make_search(), make_teacher("a")
    given = ["train", "--kd", "--teacher", "a", *FEATURES, *QUICK, "--epochs", "2"]
    assert cli(*given, "--output", "unbroken").status == 0
    interrupt(TrainModule, epoch=1)
    assert cli(*given, "--output", "broken").status == 130
    assert cli("train", "--resume", "broken").status == 0
    same_but_for_time(Run("broken"), Run("unbroken"))
    checkpoint = torch.load(Run("broken").checkpoint, weights_only=True)["state_dict"]
    assert {"features.regressors.0.weight", "features.regressors.0.bias"} <= checkpoint.keys()


OWN = """
import torch.nn as nn

def block(channels):
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.path = block(8)

    def forward(self, x):
        return x + self.path(x)

def make(blocks, num_classes, in_channels):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes)]
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3, padding=1), nn.Sequential(*blocks), *head)

def chain(num_classes=10, in_channels=1):
    return make([block(8)], num_classes, in_channels)

def one_stage(num_classes=10, in_channels=1):
    return make([Residual(), Residual()], num_classes, in_channels)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with networks of one's own: `chain` has no stages, `one_stage` has one."""
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("flag", ["--attention-transfer", "--hints"])
def test_a_network_without_stages_has_no_ends_to_compare(flag: str, own: None, refused: Callable) -> None:
    line = refused("train", "--network", "own_networks:chain", "--kd", flag, "1")
    assert f"error: {flag}: own_networks:chain has no stages" in line
    assert not Path("runs").exists()


def test_a_teacher_with_other_stages_is_refused(
    own: None, cli: Callable, few_digits: None, make_search: Callable, refused: Callable
) -> None:
    assert cli("train", "--network", "own_networks:one_stage", *QUICK, "--output", "teacher").status == 0
    make_search()
    line = refused("train", *FOUND, "--kd", "--teacher", "teacher", *FEATURES)
    said = "--attention-transfer --hints: the stages of the network end at 8x8, 4x4, 2x2, the teacher's at 8x8"
    assert said in line


def test_a_network_of_one_s_own_learns_from_the_features_of_its_unpruned_self(
    own: None, cli: Callable, few_digits: None
) -> None:
    given = ["train", "--network", "own_networks:one_stage", "--kd", *FEATURES, *QUICK, "--output", "run"]
    status, _, err = cli(*given)
    assert status == 0, err
    assert {"loss/attention_transfer", "loss/hints"} <= set(EventAccumulator("run").Reload().Tags()["scalars"])


def test_a_teacher_in_yaml_is_a_list(refused: Callable, make_search: Callable, tmp_path: Path) -> None:
    make_search()
    (tmp_path / "train.yaml").write_text("kd: true\nteacher: [missing, b]\n")
    assert "--teacher: missing: no such directory" in refused("train", *FOUND, "--config", "train.yaml")
    (tmp_path / "wrong.yaml").write_text("kd: true\nteacher: {a: b}\n")
    line = refused("train", *FOUND, "--config", os.path.relpath("wrong.yaml"))
    assert "teacher" in line
