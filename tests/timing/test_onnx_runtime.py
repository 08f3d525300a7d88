"""Networks in ONNX Runtime, where it is installed."""

import sys
import time

import pytest
import torch
from torch import nn

from tas.timing import onnx_runtime
from tas.timing.onnx_runtime import NEEDED, OnnxNetwork, OnnxRuntimeError, runtime_version


@pytest.mark.parametrize("missing", NEEDED)
def test_without_one_of_the_packages_there_is_none(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert runtime_version() is None


def test_what_cannot_be_exported_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")

    def fails(*_: object) -> bytes:
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(onnx_runtime, "onnx_model", fails)
    with pytest.raises(OnnxRuntimeError, match=r"^RuntimeError: no such operator$"):
        OnnxNetwork(nn.Flatten(), torch.randn(1, 3, 4, 4), threads=1)


@pytest.mark.slow
def test_batches_of_all_sizes_are_judged_as_in_pytorch() -> None:
    for name in NEEDED:
        pytest.importorskip(name)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    made = OnnxNetwork(network, torch.randn(1, 3, 8, 8), threads=1)
    for count in (1, 7):
        images = torch.randn(count, 3, 8, 8)
        (logits,) = made.call(images)()
        assert torch.allclose(torch.from_numpy(logits), network(images), atol=1e-5)


def test_its_threads_rest_between_runs() -> None:
    for name in NEEDED:
        pytest.importorskip(name)
    network, image = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten()).eval(), torch.randn(1, 3, 64, 64)
    judge = OnnxNetwork(network, image, threads=2).call(image)

    def worked_while_resting() -> float:
        judge()
        before = time.process_time()
        time.sleep(0.02)
        return time.process_time() - before

    assert min(worked_while_resting() for _ in range(10)) < 0.005
