"""An ONNX file where there is no torch: in an environment that has ONNX Runtime and NumPy alone."""

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import tas
from tas.exports.formats import write_file

SCRIPT = """
from importlib.util import find_spec
import numpy, onnxruntime
assert [name for name in ("torch", "tas", "onnx") if find_spec(name)] == []
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
logits = session.run(None, {"images": numpy.load("images.npy")})[0]
numpy.testing.assert_allclose(logits, numpy.load("logits.npy"), rtol=0, atol=1e-4)
"""


@pytest.mark.slow
def test_a_file_runs_where_torch_is_not_installed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, images = tas.open_network("resnet20", num_classes=10).eval(), torch.randn(5, 3, 32, 32)
    write_file("onnx", network, images, tmp_path / "model.onnx", {})
    np.save(tmp_path / "images.npy", images.numpy())
    with torch.no_grad():
        np.save(tmp_path / "logits.npy", network(images).numpy())
    venv.create(tmp_path / "bare", with_pip=False)
    bare = tmp_path / "bare" / "bin" / "python"
    needed = [f"{name}=={version(name)}" for name in ("numpy", "onnxruntime")]
    install = [sys.executable, "-m", "pip", "--python", str(bare), "install", "--quiet", *needed]
    subprocess.run(install, check=True)
    subprocess.run([bare, "-I", "-c", SCRIPT], cwd=tmp_path, check=True)
