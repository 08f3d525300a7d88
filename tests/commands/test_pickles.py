"""No option that takes a file runs what a pickle in its place asks for."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tas
from tas.config import SearchOptions, TrainOptions
from tas.data.cifar import Cifar10
from tas.data.cifar_batches import read_batch
from tas.errors import TasError
from tas.networks.library import pretrained_network
from tas.runs.run import Run
from tas.runs.weights_file import load_state, save_state, torch_bytes
from tests.strangers import PICKLES, Payload, saved_by_torch

QUICK = ["--epochs", "1", "--batch-size", "32"]
TRAIN = ["train", "--network", "resnet20", *QUICK]
MODEL, ARCHITECTURE, IMAGES = "model.safetensors", "architecture.json", "images.json"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The directory that a payload makes where it runs."""
    return tmp_path / "the code ran"


@pytest.mark.parametrize("kind", PICKLES)
def test_the_payloads_run_where_pickles_are_read_without_care(kind: str, marker: Path, tmp_path: Path) -> None:
    PICKLES[kind](tmp_path / "file.pt", marker)
    if kind.startswith("torch"):
        torch.load(tmp_path / "file.pt", weights_only=False)
    else:
        pickle.loads((tmp_path / "file.pt").read_bytes())
    assert marker.exists()


ONE_FILE: dict[str, list[str]] = {
    "--weights": [*TRAIN, "--weights"],
    "--weights of a search": ["search", *QUICK, "--weights"],
    "--weights of a pruning": ["prune", "--method", "l1", "--weights"],
    "--teacher": [*TRAIN, "--kd", "--teacher"],
    "--architecture": ["train", *QUICK, "--architecture"],
    "--config": ["search", "--config"],
    "--config of a comparison": ["compare", "--config"],
}
"""Where an option names a file, the command without its name."""


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("place", ONE_FILE)
def test_an_option_that_names_a_file(
    place: str, kind: str, refused: Callable, few_digits: None, marker: Path, tmp_path: Path
) -> None:
    for name in ("given.pt", "given.safetensors"):
        PICKLES[kind](tmp_path / name, marker)
        assert name in refused(*ONE_FILE[place], name)
    assert not marker.exists()


RUNS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "predict": (["predict", "run", "image.png"], (MODEL, ARCHITECTURE, IMAGES)),
    "profile": (["profile", "run"], (MODEL, ARCHITECTURE)),
    "export": (
        ["export", "run", "--format", "safetensors"],
        (MODEL, ARCHITECTURE, IMAGES, "metrics.json", "config.yaml"),
    ),
    "--teacher": ([*TRAIN, "--kd", "--teacher", "run"], (MODEL, ARCHITECTURE, IMAGES, "metrics.json")),
    "--weights": ([*TRAIN, "--weights", "run"], (MODEL, IMAGES)),
    "--architecture": (
        ["train", *QUICK, "--init", "inherited", "--architecture", "run"],
        (MODEL, ARCHITECTURE, "config.yaml"),
    ),
}
"""What reads a run of somebody else's: the command, and the files of it that it reads."""


@pytest.mark.parametrize(("place", "file"), [(place, file) for place in RUNS for file in RUNS[place][1]])
def test_a_file_of_a_run(
    place: str, file: str, refused: Callable, few_digits: None, make_teacher: Callable, marker: Path
) -> None:
    run = make_teacher("run")
    for write in PICKLES.values():
        write(run.path / file, marker)
        assert file in refused(*RUNS[place][0])
        assert not marker.exists()


@pytest.mark.parametrize("place", RUNS)
def test_the_weights_of_an_earlier_version(
    place: str, refused: Callable, few_digits: None, make_teacher: Callable, marker: Path
) -> None:
    run = make_teacher("run")
    run.weights.unlink()
    for write in PICKLES.values():
        write(run.path / "weights.pt", marker)
        assert "weights.pt" in refused(*RUNS[place][0])
        assert not marker.exists()


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("options", [SearchOptions.of(epochs=1), TrainOptions.of(network="resnet20", epochs=1)])
def test_the_checkpoint_of_a_run_to_resume(
    options: SearchOptions | TrainOptions, kind: str, cli: Callable, few_digits: None, marker: Path, tmp_path: Path
) -> None:
    run, command = Run(tmp_path / "run"), "search" if isinstance(options, SearchOptions) else "train"
    run.start(options)
    run.checkpoint.parent.mkdir()
    PICKLES[kind](run.checkpoint, marker)
    status, _, err = cli(command, "--resume", "run")
    assert status == 2 and err.count("\n") == 1 and "last.ckpt: damaged" in err
    assert not marker.exists()


def test_what_derive_reads_of_a_search(
    refused: Callable, few_digits: None, make_search: Callable, marker: Path
) -> None:
    run = make_search(name="run")
    run.checkpoint.parent.mkdir()
    saved_by_torch(run.checkpoint, marker)
    assert "last.ckpt: not what this search left" in refused("derive", run.path, "--flops-target", "0.5")
    assert not marker.exists()
    saved_by_torch(run.probes, marker)
    refused("derive", run.path, "--flops-target", "0.5")
    assert not marker.exists()


def test_an_object_in_a_file_of_weights(marker: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_state(file, {"a._extra_state": Payload(marker)})
    with pytest.raises(TasError, match=r"model\.safetensors: cannot be read"):
        load_state(file)
    assert not marker.exists()
    torch.load(torch_file(tmp_path, Payload(marker)), weights_only=False)
    assert marker.exists()


def torch_file(directory: Path, content: object) -> Path:
    (directory / "content.pt").write_bytes(torch_bytes(content))
    return directory / "content.pt"


@pytest.mark.parametrize("kind", PICKLES)
def test_weights_in_a_library_s_cache(kind: str, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import get_model_weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]
    file = tmp_path / "hub" / "checkpoints" / name
    file.parent.mkdir(parents=True)
    PICKLES[kind](file, marker)
    with pytest.raises(TasError, match=r"^torchvision/squeezenet1_1: its weights "):
        pretrained_network("torchvision/squeezenet1_1", 10, 3)
    assert not marker.exists()


def test_the_batches_of_a_cifar(
    make_cifar: Callable[..., Path], marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_cifar(10, ["data_batch_1", "test_batch"])
    file = root / "cifar-10-batches-py" / "data_batch_1"
    PICKLES["pickle"](file, marker)
    monkeypatch.setattr(Cifar10, "whole", lambda self: True)  # were its digest forged
    data = Cifar10(str(root), batch_size=8)
    data.prepare_data()
    with pytest.raises(TasError, match=r"data_batch_1: not a file of CIFAR10 \(asks for \w+\.mkdir"):
        data.setup()
    with pytest.raises(pickle.UnpicklingError):
        read_batch(file)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["eval", "__import__", "getattr"])
def test_arrays_need_no_function_that_can_run_others(name: str, tmp_path: Path) -> None:
    for home in ("builtins", "numpy", "multiarray", "evil.multiarray"):
        (tmp_path / "batch").write_bytes(f"c{home}\n{name}\n.".encode())
        with pytest.raises(pickle.UnpicklingError, match=f"asks for {home}.{name}"):
            read_batch(tmp_path / "batch")


def test_code_that_a_run_names_is_said_to_run(
    make_teacher: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text(
        "from tas.networks import open_network\nmake = lambda: open_network('resnet20', 10, 1)\n"
    )
    run = make_teacher("run")
    run.architecture.write_text(run.architecture.read_text().replace('"resnet20"', '"theirs:make"'))
    tas.load(run.path)
    assert capsys.readouterr().err == f"tas: runs theirs:make, as {run.architecture} says\n"
