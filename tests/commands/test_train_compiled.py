"""Trainings of compiled networks."""

from pathlib import Path

import pytest
import torch

import tas
from tests.commands.test_train import QUICK
from tests.conftest import run_script

TINY = """
from torch import nn

def make(num_classes=10, in_channels=1):
    layers = [nn.Conv2d(in_channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, num_classes))
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a network that is compiled soon, and an empty place for what is compiled."""
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    return tmp_path


@pytest.mark.slow
def test_a_compiled_training_leaves_weights_that_need_no_compiler(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--network", "tiny:make", *QUICK, "--compile", "--output", "run"]
    done = run_script("train.py", *arguments, cwd=tiny)
    assert done.status == 0, done.err
    assert any((tiny / "compiled").rglob("*.so"))  # it was compiled
    monkeypatch.syspath_prepend(str(tiny))
    network = tas.load(str(tiny / "run"))
    assert all("_orig_mod" not in name for name in network.state_dict())
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.slow
def test_where_no_compiler_works_one_line_says_so(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    done = run_script("train.py", "--network", "tiny:make", *QUICK, "--compile", cwd=tiny)
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith("tas train: error: --compile: torch.compile cannot do this here (")
