"""Networks in ONNX Runtime, which is there where it is installed."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from tas.errors import explained
from tas.exports.formats import onnx_model

NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""What an export and its run need; all in the extra."""


class OnnxRuntimeError(Exception):
    """Why a network cannot be run there, in a line."""


def runtime_version() -> str | None:
    """The version of ONNX Runtime; None where it, or what an export needs, is not installed."""
    try:
        return str([import_module(name) for name in NEEDED][-1].__version__)
    except ImportError:
        return None


def onnx_session(model: bytes | str, threads: int) -> Any:
    """A session of ONNX Runtime on the CPU, of a serialised model, or of a file."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads wait for more by spinning, and slow down the session that is timed next by several times. So they
    # stop where a run ends, and are as fast inside of it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxNetwork:
    """A network, exported once for batches of any size, on the CPU in ONNX Runtime.

    Args:
        network: In eval mode, on the CPU.
        image: (1, C, H, W).
        threads: That one operation uses.

    Raises:
        OnnxRuntimeError: The network cannot be exported or run, or gives other logits there.
    """

    def __init__(self, network: nn.Module, image: Tensor, threads: int) -> None:
        # Two images that differ: an exporter takes a dimension of 1 for a constant.
        pair = torch.cat([image, image.flip(-1)])
        try:
            content = onnx_model(network, pair).SerializeToString()
            self.session = onnx_session(content, threads)
            self.input = self.session.get_inputs()[0].name
            with torch.no_grad():
                expected = network(pair)
            answers = torch.from_numpy(self.session.run(None, {self.input: pair.numpy()})[0])
        except Exception as error:  # whatever exporter and runtime raise
            raise OnnxRuntimeError(explained(error)) from None
        if not torch.allclose(answers, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max())):
            difference = float((answers - expected).abs().max())
            raise OnnxRuntimeError(f"its logits there differ by {difference:.2g} from PyTorch's")

    def call(self, images: Tensor) -> Callable[[], Any]:
        """What judges the images, (N, C, H, W) on the CPU, when it is called."""
        given = {self.input: images.numpy()}
        return lambda: self.session.run(None, given)
