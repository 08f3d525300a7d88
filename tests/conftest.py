import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tas.cli import main

# Before torch is imported. Tensors as small as the tests' gain nothing from a second thread, and where others use the
# machine too, threads that wait for one another make a step take seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    import pytorch_lightning as pl

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    # Lightning's remarks on runs as short as the tests', and on resumed ones; everything else stays an error.
    for message in (
        "The number of training batches .* is smaller than the logging interval",
        "Checkpoint directory .* exists and is not empty",
    ):
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run_script(name: str, *arguments: str, cwd: Path) -> Outcome:
    """`python NAME ARGUMENTS` in `cwd`."""
    done = subprocess.run(
        [sys.executable, ROOT / name, *arguments], cwd=cwd, env=environment(), capture_output=True, text=True
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def bare_trainer(epochs: int, callback: "pl.Callback | None") -> "pl.Trainer":
    """A Trainer that writes and shows nothing."""
    import pytorch_lightning as pl

    from tas.training.trainer import quiet

    quiet()
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback] if callback else [],
    )


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable]:
    """Run a command in this process, in `tmp_path`: much faster than in one of its own."""
    monkeypatch.chdir(tmp_path)
    # Lightning ignores Ctrl-C for good once it has seen one.
    handler = signal.getsignal(signal.SIGINT)

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        return Outcome(status, *capfd.readouterr())

    yield call
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def refused(cli: Callable, tmp_path: Path) -> Callable:
    """Run a command that has to refuse its input, check how it does that, return the line it says."""

    def runs() -> list[Path]:
        return sorted(tmp_path.glob("runs/**/config.yaml"))

    def call(*arguments: object) -> str:
        before = runs()
        status, out, err = cli(*arguments)
        assert status == 2
        assert out == ""
        # What of a file runs code is said before it does.
        err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("tas: runs "))
        assert err.endswith("\n") and err.count("\n") == 1, err
        assert "Traceback" not in err
        assert runs() == before, "a refused command leaves no run"
        return err

    return call


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits, but 64 to train on and 40 to test on."""
    from tas.data.digits import Digits
    from tas.data.images import Images

    load = Digits.load

    def few(self: Digits, train: bool) -> Images:
        images, count = load(self, train), 64 if train else 40
        return Images(images.pixels[:count], images.labels[:count])

    monkeypatch.setattr(Digits, "load", few)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a directory of images: {part: {class: number of images}}, each class of a brightness of its own."""

    def make(
        parts: Mapping[str, Mapping[str, int]] | None = None,
        size: tuple[int, int] = (16, 16),
        suffix: str = ".jpg",
        name: str = "images",
    ) -> Path:
        parts = parts or {"train": {"cat": 12, "dog": 12}, "test": {"cat": 4, "dog": 4}}
        noise = np.random.default_rng(0)
        for part, classes in parts.items():
            for place, (label, count) in enumerate(classes.items()):
                directory = tmp_path / name / part / label
                directory.mkdir(parents=True)
                for index in range(count):
                    pixels = noise.integers(0, 60, (size[1], size[0], 3)) + 90 * place
                    Image.fromarray(pixels.astype(np.uint8)).save(directory / f"{index:03}{suffix}")
        return tmp_path / name

    return make


@pytest.fixture
def make_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a tiny CIFAR in torchvision's format, and have torchvision take its files for the real ones."""
    from torchvision.datasets import CIFAR10, CIFAR100
    from torchvision.datasets.utils import calculate_md5

    def write(path: Path, content: object) -> list[str]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content))
        return [path.name, calculate_md5(path)]

    def make(classes: int, files: Sequence[str], per_file: int = 20) -> Path:
        dataset = CIFAR10 if classes == 10 else CIFAR100
        key, names = ("labels", "label_names") if classes == 10 else ("fine_labels", "fine_label_names")
        base = tmp_path / "cifar" / dataset.base_folder
        noise = np.random.default_rng(0)
        listed = []
        for file in files:
            pixels = noise.integers(0, 256, (per_file, 3072), dtype=np.uint8)
            content = {"data": pixels, key: [index % classes for index in range(per_file)]}
            listed.append(write(base / file, content))
        meta = dataset.meta["filename"]
        digest = write(base / meta, {names: [str(label) for label in range(classes)]})[1]
        monkeypatch.setattr(dataset, "train_list", listed[:-1])
        monkeypatch.setattr(dataset, "test_list", listed[-1:])
        monkeypatch.setattr(dataset, "meta", {"filename": meta, "key": names, "md5": digest})
        return tmp_path / "cifar"

    return make
