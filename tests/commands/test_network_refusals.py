"""What --network, --weights and the like refuse: always in one line, before a run is begun."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tas.networks import open_network

QUICK = ["--epochs", "1", "--batch-size", "32"]
MYNET = """
from torch import nn

def make(num_classes=10):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, num_classes))

def seven(): return make(7)
def broken(): raise RuntimeError("out of\\norder")
def nothing(): return None
def late_norm(): return nn.Sequential(nn.Conv2d(1, 8, 8), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10))
def colours(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
number = 5
"""


@pytest.fixture
def mynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_digits: None) -> Iterator[None]:
    (tmp_path / "mynet.py").write_text(MYNET)
    (tmp_path / "faulty.py").write_text("import nosuchthing")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield
    sys.modules.pop("mynet", None)


@pytest.mark.parametrize("command", ["search", "train"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuchmodule:make", "cannot be imported (ModuleNotFoundError: No module named 'nosuchmodule')"),
        ("faulty:make", "cannot be imported (ModuleNotFoundError: No module named 'nosuchthing')"),
        ("mynet:absent", "cannot be imported (AttributeError: module 'mynet' has no attribute 'absent')"),
        ("mynet:number", "is a int; it must be a function or class that makes a network"),
        ("mynet:broken", "cannot be called (RuntimeError: out of order)"),
        ("mynet:nothing", "returned a NoneType; it must return an nn.Module"),
        ("mynet:seven", "tells 7 classes apart, the images have 10; let its function take num_classes"),
        ("mynet:colours", "does not take images of 1x8x8 (channels, height, width): "),
        ("torchvision/resnet18", "takes images of 3 channels; these have 1"),
    ],
)
def test_a_network_that_cannot_be_had(command: str, name: str, said: str, mynet: None, refused: Callable) -> None:
    line = refused(command, "--network", name, *QUICK)
    assert line.startswith(f"tas {command}: error: --network: {name} {said}")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("torchvision/resnet81", "resnet18"),
        ("timm/resnet81", "resnet18"),
        ("torchvision/fcn_resnet50", "wide_resnet50_2"),
    ],
)
def test_a_name_that_a_library_does_not_have(name: str, nearest: str, few_digits: None, refused: Callable) -> None:
    line = refused("search", "--network", name, *QUICK)
    library, wrong = name.split("/")
    assert f"{library} has no" in line and repr(wrong) in line
    assert "did you mean" in line
    assert nearest in line or library == "torchvision"


def test_timm_is_not_installed(few_digits: None, refused: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    line = refused("search", "--network", "timm/resnet26d", *QUICK)
    assert line.endswith('timm/resnet26d needs timm, which is not installed; pip install "tas[timm]"\n')


@pytest.mark.parametrize("name", ["resnet20", "mynet:make"])
def test_pretrained_weights_of_no_library(name: str, mynet: None, refused: Callable) -> None:
    line = refused("search", "--network", name, "--pretrained", *QUICK)
    assert f"--network: {name} is of no library; --pretrained goes with torchvision/NAME and timm/NAME" in line


def test_ways_to_start_that_do_not_go_together(refused: Callable) -> None:
    line = refused("search", "--pretrained", "--weights", "mine.pt", *QUICK)
    assert "--pretrained and --weights exclude each other" in line
    assert "--init teacher needs trained weights" in refused("search", "--init", "teacher", *QUICK)


def test_weights_that_are_none_or_another_network_s(mynet: None, refused: Callable, tmp_path: Path) -> None:
    def said(path: str, name: str = "mynet:make") -> str:
        line = refused("search", "--network", name, "--weights", path, *QUICK)
        assert f"--weights {path}: " in line
        return line

    assert "does not hold weights" in said("absent.pt")
    (tmp_path / "text.pt").write_text("no weights")
    assert "does not hold weights" in said("text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "does not hold weights, names and their tensors" in said("list.pt")
    torch.save({"0.weight": 5}, tmp_path / "numbers.pt")
    assert "does not hold weights, names and their tensors" in said("numbers.pt")
    torch.save(torch.nn.ReLU(), tmp_path / "pickled.pt")
    assert "it has an object of torch.nn.modules.activation.ReLU: save the network's state_dict()" in said("pickled.pt")

    torch.save(open_network("resnet20", 10, 1).state_dict(), tmp_path / "other.pt")
    assert "so they are another network's" in said("other.pt")
    state = open_network("resnet20", 10, 3).state_dict()
    torch.save(state, tmp_path / "colours.pt")
    assert "'conv1.weight' of (16, 3, 3, 3), not (16, 1, 3, 3), so they are another network's" in said(
        "colours.pt", "resnet20"
    )
    del state["fc.bias"]
    torch.save(state, tmp_path / "lacking.pt")
    assert "the weights lack 'fc.bias'" in said("lacking.pt", "resnet20")


@pytest.mark.parametrize("command", ["search", "train"])
def test_batches_of_one_image_whose_maps_are_single_numbers(command: str, mynet: None, refused: Callable) -> None:
    said = refused(command, "--network", "mynet:late_norm", "--epochs", "1", "--batch-size", "1")
    assert "--batch-size 1: mynet:late_norm does not learn by single images (Expected more than 1 value" in said
    assert said.strip().endswith("; give at least 2")


def test_a_pattern_that_fits_nothing(mynet: None, refused: Callable) -> None:
    line = refused("search", "--network", "mynet:make", "--exclude", "['4',nothing.*]", *QUICK)
    assert "--exclude" in line and "'nothing.*'" in line


@pytest.mark.parametrize("number", ["0", "-8"])
def test_widths_cannot_be_multiples_of_nothing(number: str, refused: Callable) -> None:
    assert f"--round-to is {number}; allowed: 1 or more" in refused("search", "--round-to", number, *QUICK)
