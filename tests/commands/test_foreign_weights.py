"""Trained weights of other programmes, and checkpoints of TAS's own, given to the commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tas
from tas.config.groups import Source
from tas.data.augmentation import Normalise
from tas.data.digits import Digits
from tas.data.folder import Folder
from tas.networks import open_network
from tas.reading.original import normalise_as, original_for
from tas.runs.run import Run
from tests.commands.conftest import metrics_of, yaml_of

IMAGENET = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}
QUICK = ["--epochs", "1", "--batch-size", "32"]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A checkpoint of the unpruned network as another programme writes it."""
    torch.manual_seed(0)
    state = open_network("resnet20", 10, 1).state_dict()
    torch.save({"epoch": 3, "state_dict": {f"model.{name}": state[name] for name in state}}, tmp_path / "foreign.ckpt")
    return tmp_path / "foreign.ckpt"


def test_a_foreign_checkpoint_teaches_without_being_trained(
    cli: Callable, few_digits: None, make_search: Callable, foreign: Path, tmp_path: Path
) -> None:
    make_search()
    outcome = cli("train", "--kd", "--teacher", foreign, *QUICK, "--output", "run")
    assert outcome.status == 0
    assert not (tmp_path / "runs" / "teachers").exists()
    assert metrics_of(Run("run"))["kd"] is True
    assert yaml_of(Run("run"))["teacher"] == [str(foreign)]


def test_a_foreign_checkpoint_gives_the_best_channels(
    cli: Callable, few_digits: None, make_search: Callable, foreign: Path
) -> None:
    make_search()
    still = (*QUICK, "--lr", "1e-9")
    assert cli("train", "--teacher", foreign, "--init", "teacher", *still, "--output", "run").status == 0
    given = torch.load(foreign)["state_dict"]["model.fc.bias"]
    torch.testing.assert_close(tas.load("run").fc.bias.detach(), given, atol=1e-6, rtol=0)


def test_a_foreign_teacher_of_other_classes_or_another_network_is_refused(refused: Callable, tmp_path: Path) -> None:
    given = ["train", "--network", "resnet20", *QUICK, "--kd", "--teacher"]
    torch.save(open_network("resnet20", 7, 1).state_dict(), tmp_path / "seven.pth")
    line = refused(*given, "seven.pth")
    assert "--teacher seven.pth: it tells other classes apart than the 10 of these images" in line
    torch.save(open_network("resnet32", 10, 1).state_dict(), tmp_path / "deeper.pth")
    assert "--teacher deeper.pth: the weights have 'stage1.3" in refused(*given, "deeper.pth")


def test_the_checkpoint_of_a_training_of_ours_is_a_file_of_weights(cli: Callable, few_digits: None) -> None:
    assert cli("train", "--network", "resnet20", *QUICK, "--output", "plain").status == 0
    quick = ("--epochs", "0", "--probes", "40", "--draws", "5", "--output", "asked")
    assert cli("search", "--weights", Run("plain").checkpoint, *quick).status == 0
    assert yaml_of(Run("asked"))["weights"] == str(Run("plain").checkpoint)


def test_a_teacher_of_classes_of_other_names_is_refused(
    refused: Callable, make_teacher: Callable, make_folder: Callable
) -> None:
    teacher, root = make_teacher(classes=2, channels=3), make_folder()
    images = {"channels": 3, "size": 16, **IMAGENET, "classes": ["dog", "ship"]}
    teacher.images.write_text(json.dumps(images))
    data = ("--data", "folder", "--data-dir", root, "--network", "resnet20")
    line = refused("train", *data, "--kd", "--teacher", teacher.path, *QUICK)
    assert (
        f"--teacher {teacher.path}: was trained on other classes; they and those of --data differ in cat, ship" in line
    )


def test_a_training_keeps_the_names_of_the_classes(cli: Callable, make_folder: Callable) -> None:
    data = ("--data", "folder", "--data-dir", make_folder(), "--network", "resnet20")
    assert cli("train", *data, "--epochs", "1", "--batch-size", "8", "--output", "teacher").status == 0
    images = json.loads(Run("teacher").images.read_text())
    assert images == {"channels": 3, "size": 16, "fit": "scale", **IMAGENET, "classes": ["cat", "dog"]}
    assert cli("train", *data, "--kd", "--teacher", "teacher", "--epochs", "1", "--batch-size", "8").status == 0


def test_a_teacher_of_images_normalised_otherwise_is_refused(
    refused: Callable, make_teacher: Callable, make_folder: Callable
) -> None:
    teacher, root = make_teacher(classes=2, channels=3), make_folder()
    images = {"channels": 3, "size": 16, "mean": [0.5] * 3, "deviation": [0.5] * 3, "classes": ["cat", "dog"]}
    teacher.images.write_text(json.dumps(images))
    given = [
        "train",
        "--data",
        "folder",
        "--data-dir",
        root,
        "--network",
        "resnet20",
        "--kd",
        "--teacher",
        teacher.path,
    ]
    assert "was trained on images normalised by mean [0.5, 0.5, 0.5]" in refused(*given)
    teacher.images.write_text("{}")
    assert f"{teacher.images}: cannot be read (channels is missing)" in refused(*given)


def test_images_are_normalised_as_the_run_of_given_weights_says(make_teacher: Callable, make_folder: Callable) -> None:
    run, data = make_teacher(classes=2, channels=3), Folder(str(make_folder()), None, batch_size=8)
    data.setup()
    images = {"channels": 3, "size": 16, "mean": [0.5] * 3, "deviation": [0.25] * 3, "classes": []}
    run.images.write_text(json.dumps(images))
    original_for(data, Source(network="resnet20", weights=str(run.path)))
    assert data.statistics == Normalise((0.5,) * 3, (0.25,) * 3)


def test_images_are_normalised_as_weights_of_a_library_expect(make_folder: Callable) -> None:
    source = Source(network="timm/vit_tiny_patch16_224", pretrained=True)
    colours, grey = Folder(str(make_folder()), None, batch_size=8), Digits(batch_size=8)
    for data, channels in ((colours, 3), (grey, 1)):
        normalise_as(data, source)
        assert data.statistics == Normalise((0.5,) * channels, (0.5,) * channels)
    assert Digits(batch_size=8).statistics != grey.statistics  # the others keep their own


@pytest.mark.slow
def test_a_network_that_asks_for_the_version_of_its_weights_is_searched_loaded_and_exported(
    cli: Callable, make_folder: Callable, tmp_path: Path
) -> None:
    name, images = "torchvision/mnasnet0_5", ["--data", "folder", "--data-dir", make_folder(size=(32, 32)).name]
    mnasnet = ["--network", name, *images, "--image-size", "32"]
    torch.save(dict(open_network(name, 2, 3).state_dict()), tmp_path / "foreign.pth")  # plain, without versions
    given = ["--weights", "foreign.pth", "--epochs", "0", "--probes", "20"]
    assert cli("search", *mnasnet, *given, "--output", "run").status == 0
    assert tas.load("run")(torch.zeros(2, 3, 32, 32)).shape == (2, 2)
    assert cli("export", "run", "--format", "safetensors").status == 0
