"""What the documents say of the code must be there."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import tas
from tas.config import TrainOptions
from tas.cutting.build import build
from tas.runs.run import Run
from tests.conftest import ROOT, bare_trainer
from tests.results import train_result
from tests.spaces import unpruned

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def found(name: str) -> Any:
    """The module, or what a module has, of a dotted name."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            thing = getattr(thing, attribute)
        return thing
    raise AssertionError(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_name_of_the_code_in_a_document_is_one(document: Path) -> None:
    for name in re.findall(r"`(tas(?:\.\w+)+)`", document.read_text(encoding="utf-8")):
        found(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_every_file_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert (ROOT / name).is_file() or (ROOT / "tas" / name).is_file() or list((ROOT / "tas").rglob(name)), name


def test_the_search_in_python_runs_as_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "SearchModule" in block]
    assert len(code.strip().splitlines()) <= 12 and "._" not in code
    monkeypatch.chdir(tmp_path)
    network = tas.open_network("resnet20", num_classes=3)
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 3
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    known = {"tas": tas, "torch": torch, "network": network, "loader": loader, "held_out": loader}
    known["space"] = tas.search_space(network, images)
    quick = code.replace("pl.Trainer(max_epochs=40)", "bare_trainer(1, None)").replace("epochs=40", "epochs=1")
    assert "epochs=1)" in quick and "bare_trainer" in quick
    exec(quick, known | {"bare_trainer": bare_trainer}, known)
    assert known["small"](images).shape == (8, 3)
    architecture = tas.Architecture.load("architecture.json")
    assert abs(tas.flops(tas.build(architecture), (3, 64, 64)) / tas.flops(network, (3, 64, 64)) - 0.5) <= 0.025


def test_the_image_of_the_readme_is_classified_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "cat.jpg" in block]
    monkeypatch.chdir(tmp_path)
    run = Run("runs/train/RUN")
    run.start(TrainOptions())
    full = unpruned("resnet20", 3)
    images = {"channels": 3, "size": 32, "fit": "scale", "mean": [0.5] * 3, "deviation": [0.2] * 3}
    run.keep(full, build(full), images | {"classes": ["cat", "dog", "rat"]})
    train_result().write(run)
    Image.new("L", (50, 40), 128).save("cat.jpg")
    names: dict[str, Any] = {}
    exec(code, names)
    assert isinstance(names["network"], torch.nn.Module)
    (guesses,) = tas.predict("runs/train/RUN", ["cat.jpg"])
    assert {guess.name for guess in guesses} == {"cat", "dog", "rat"}
