"""`tas export`, as a user types it."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import tas
from tas.commands import export as command
from tas.data.digits import Digits
from tas.runs.run import Run

WITHOUT_TORCH = """
import sys
sys.modules.update(torch=None, tas=None)
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
assert session.get_inputs()[0].type == sys.argv[2], session.get_inputs()[0].type
numpy.save("logits.npy", session.run(None, {"images": numpy.load("images.npy")})[0])
"""


def without_torch(file: Path, images: torch.Tensor, place: Path, kind: str) -> torch.Tensor:
    """What ONNX Runtime makes of images where there is no torch."""
    np.save(place / "images.npy", images.numpy())
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(file), kind], cwd=place, check=True)
    return torch.from_numpy(np.load(place / "logits.npy"))


@pytest.mark.parametrize("bare", [True, False])
def test_an_onnx_file_is_run_without_torch(
    cli: Callable, make_teacher: Callable[..., Run], tmp_path: Path, bare: bool
) -> None:
    run, data = make_teacher(), Digits(batch_size=8)
    status, out, err = cli("export", run.path, *([] if bare else ["--with-preprocessing"]), "--images", "9")
    assert status == 0, err
    assert "9 test images" in out and "counted in the file and in the network" in out
    pixels = data.load(train=False).pixels[:5]
    images = data.normalisation()(pixels)
    kind = "tensor(float)" if bare else "tensor(uint8)"
    found = without_torch(run.path / "model.onnx", images if bare else pixels, tmp_path, kind)
    with torch.no_grad():
        torch.testing.assert_close(found, tas.load(run.path)(images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [("torch", "model.pt2"), ("safetensors", "weights.safetensors"), ("openvino", "model.xml"), ("python", "model.py")],
)
def test_other_formats_are_loaded_again_and_compared(
    cli: Callable, make_teacher: Callable[..., Run], kind: str, name: str
) -> None:
    run = make_teacher()
    status, out, err = cli("export", run.path, "--format", kind)
    assert status == 0, err
    assert (run.path / name).is_file()
    assert f"{run.path / name}, " in out and "all told as the same class" in out
    assert tas.load(run.path)  # the run's own weights are as they were


@pytest.mark.slow
def test_a_file_of_8_bits_is_made_and_measured(cli: Callable, make_teacher: Callable[..., Run], tmp_path: Path) -> None:
    run, to = make_teacher(), tmp_path / "files" / "small.onnx"
    status, out, err = cli("export", run.path, "--quantize", "int8", "--calibration-images", "32", "--output", to)
    assert status == 0, err
    assert to.with_name("small-int8.onnx").stat().st_size < 0.5 * to.stat().st_size
    for said in ("int8", "by 32 training images", "accuracy", "on all test images", "timed by turns"):
        assert said in out


def test_what_fails_leaves_the_earlier_file_whole(
    cli: Callable, make_teacher: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_teacher()
    (run.path / "model.onnx").write_text("earlier")
    before = {file.name for file in run.path.iterdir()}

    def full(kind: str, network: object, batch: object, path: Path, said: object) -> None:
        path.write_text("half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "write_file", full)
    status, _, err = cli("export", run.path)
    assert status == 2
    assert err.splitlines()[-1].endswith(f"{run.path / 'model.onnx'}: cannot be written (No space left on device)")
    assert (run.path / "model.onnx").read_text() == "earlier"
    assert {file.name for file in run.path.iterdir()} == before


def test_what_cannot_be_asked_for_is_said_in_a_line(cli: Callable, make_teacher: Callable[..., Run]) -> None:
    run = make_teacher()
    wrong = {
        "--run is missing": (),
        "nowhere: no such directory": ("nowhere",),
        "--format is tflite": (run.path, "--format", "tflite"),
        "--quantize goes with --format onnx": (run.path, "--format", "torch", "--quantize", "int8"),
        "--with-preprocessing goes with files": (run.path, "--format", "safetensors", "--with-preprocessing"),
        "--images is 0": (run.path, "--images", "0"),
        "--output small.txt: a file of --format onnx ends with .onnx": (run.path, "--output", "small.txt"),
    }
    for message, arguments in wrong.items():
        status, out, err = cli("export", *arguments)
        assert (status, out) == (2, ""), err
        assert message in err.splitlines()[-1]
    own = (run.path, "--format", "safetensors", "--output", run.weights)
    assert "is the run's own" in cli("export", *own).err
    images = run.images.read_text()
    run.images.write_text(json.dumps(json.loads(images) | {"mean": []}))
    assert "images.json: cannot be read" in cli("export", run.path).err
    run.images.write_text(images)
    run.config.write_text(run.config.read_text().replace("data: digits", "data: folder"))
    assert "--data-dir" in cli("export", run.path).err
