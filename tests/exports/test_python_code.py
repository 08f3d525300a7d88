"""Networks as Python code: that it is whole without tas, gives the same, and reads as code of one's own."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
from tas.errors import TasError
from tas.exports.formats import write_file
from tas.exports.preprocessing import Preprocessed

IMAGES = {"channels": 3, "size": 16, "mean": [0.4, 0.5, 0.6], "deviation": [0.2, 0.3, 0.25], "fit": "scale"}

ALONE = """
import sys
sys.modules.update(tas=None, torchvision=None, safetensors=None, pytorch_lightning=None)
import torch, model
with torch.no_grad():
    torch.save(model.load()(torch.load("images.pt")), "logits.pt")
"""


def drawn(name: str, seed: int) -> tuple[nn.Module, dict[str, str]]:
    """A network of random widths and depths and random norms, and what is said of it."""
    torch.manual_seed(seed)
    full, generator = tas.open_network(name, num_classes=7), random.Random(seed)
    space = tas.search_space(full, torch.empty(1, 3, 16, 16), name=name)
    widths, depths = (
        {one: generator.choice(candidates) for one, candidates in some.items()} for some in (space.widths, space.depths)
    )
    architecture = space.choose(widths, depths)
    network = tas.build(architecture)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.normal_(module.running_mean, std=0.1)
    images: dict[str, Any] = {**IMAGES, "classes": ['a "quoted" one', *"bcdefg"]}
    return network.eval(), {"architecture": json.dumps(asdict(architecture)), "images": json.dumps(images)}


@pytest.mark.parametrize(
    ("name", "preprocessed"), [("resnet20", False), ("resnet20", True), ("resnet164", False), ("mobilenetv2", False)]
)
def test_the_code_gives_the_same_without_tas(name: str, preprocessed: bool, tmp_path: Path) -> None:
    network, said = drawn(name, seed=int(preprocessed))
    images = torch.randn(3, 3, 16, 16)
    if preprocessed:
        network = Preprocessed(network, IMAGES["mean"], IMAGES["deviation"]).eval()  # type: ignore[arg-type]
        images = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8)
    write_file("python", network, images, tmp_path / "model.py", said)
    torch.save(images, tmp_path / "images.pt")
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, check=True)
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / "logits.pt"), network(images))
    check_style(tmp_path / "model.py")


def check_style(file: Path) -> None:
    """Assert that code is as one writes it oneself."""
    text = file.read_text(encoding="utf-8")
    assert "import tas" not in text and "from tas" not in text and "$" not in text
    ruff = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))
    for check in (["check", "--select", "E,F,W,I,B,UP"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *check, "--isolated", "--line-length", "120", file.name],
            cwd=file.parent,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("network", "needs"), [("torchvision/resnet18", "torchvision"), ("their.networks:small", "their.networks")]
)
def test_code_of_others_is_refused_with_what_it_needs(network: str, needs: str, tmp_path: Path) -> None:
    said = {"architecture": json.dumps({"network": network}), "images": json.dumps(IMAGES)}
    with pytest.raises(TasError, match=rf"--format python writes resnet20, .*; {network} needs {needs} and tas"):
        write_file("python", nn.Flatten(), torch.zeros(2, 3, 16, 16), tmp_path / "model.py", said)
    assert not list(tmp_path.iterdir())
