"""What latency is measured on, and how a network or a layer is run there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from tas.config.targets import Timing
from tas.errors import TasError
from tas.exports.formats import EXTRA
from tas.timing.interleaved import in_eager
from tas.timing.onnx_runtime import OnnxNetwork, onnx_session, runtime_version
from tas.training.threads import ALL

COPIES = 4
"""Of a layer, side by side, where it is run by itself in ONNX Runtime: a call of its own takes as long as a layer."""


@dataclass(frozen=True)
class Setting:
    """What latency is measured on."""

    device: str = "cpu"
    """cpu or cuda."""
    runtime: str = "eager"
    """eager, PyTorch operation by operation, or onnxruntime."""
    batch: int = 1
    """Images."""
    threads: int = 1
    """On the CPU."""

    @classmethod
    def of(cls, timing: Timing) -> Self:
        """As options say. TasError if this machine has no such device, or ONNX Runtime is not installed."""
        if timing.latency_device == "cuda" and not torch.cuda.is_available():
            raise TasError("--latency-device cuda: this machine has no such device; allowed: cpu")
        if timing.latency_runtime == "onnxruntime" and runtime_version() is None:
            raise TasError(f"--latency-runtime onnxruntime: it is not installed; {EXTRA}")
        # Not the number at the moment: what was trained before in this process may have set another one.
        threads = timing.latency_threads or ALL
        return cls(timing.latency_device, timing.latency_runtime, timing.latency_batch, threads)

    def __str__(self) -> str:
        """In words."""
        engine = "ONNX Runtime" if self.runtime == "onnxruntime" else "PyTorch"
        where = f"CPU, {self.threads} thread{'s' * (self.threads > 1)}" if self.device == "cpu" else "GPU"
        return f"{engine}, {where}, {self.batch} image{'s' * (self.batch > 1)}"

    def network_call(self, network: nn.Module, image_shape: tuple[int, ...]) -> Callable[[], Any]:
        """What judges one batch when it is called.

        Args:
            network: On the CPU, in eval mode; it may be moved.
            image_shape: (C, H, W).

        Raises:
            OnnxRuntimeError: It cannot be run there.
        """
        images = torch.randn(self.batch, *image_shape, generator=torch.Generator().manual_seed(0))
        if self.runtime == "onnxruntime":
            return OnnxNetwork(network, images[:1], self.threads).call(images)
        return in_eager(network.to(self.device), images.to(self.device))

    def layer_call(self, layer: nn.Module, given: Tensor) -> tuple[Callable[[], Any], int]:
        """What runs a convolution or linear layer some times when it is called, and how many times."""
        if self.runtime == "onnxruntime":
            return onnx_layer(layer, given, self.threads), COPIES
        return in_eager(layer.eval().to(self.device), given.to(self.device)), 1


def onnx_layer(layer: nn.Module, given: Tensor, threads: int) -> Callable[[], Any]:
    """A layer in ONNX Runtime, `COPIES` times side by side.

    Convolutions are followed by a global pooling, which reads its input in any order of numbers that the runtime likes
    to keep: inside of a network there is no other order to go back to, either.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, outputs = [], [], []
    for copy in range(COPIES):
        ends = [f"{name}{copy}" for name in ("weight", "made", "left")]
        weight, made, left = ends
        numbers = layer.weight.detach().numpy()  # type: ignore[operator]
        parameters = [weight]
        if isinstance(layer, nn.Linear):
            weights.append(numpy_helper.from_array(numbers.T.copy(), weight))
            nodes.append(helper.make_node("MatMul", ["images", weight], [left]))
        else:
            assert isinstance(layer, nn.modules.conv._ConvNd) and not isinstance(layer.padding, str)
            weights.append(numpy_helper.from_array(numbers, weight))
            if layer.bias is not None:
                weights.append(numpy_helper.from_array(layer.bias.detach().numpy(), f"bias{copy}"))
                parameters.append(f"bias{copy}")
            nodes.append(
                helper.make_node(
                    "Conv", ["images", *parameters], [made], strides=list(layer.stride), group=layer.groups,
                    pads=[*layer.padding, *layer.padding],
                )
            )  # fmt: skip
            nodes.append(helper.make_node("GlobalAveragePool", [made], [left]))
        outputs.append(helper.make_tensor_value_info(left, TensorProto.FLOAT, None))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, list(given.shape))
    graph = helper.make_graph(nodes, "layer", [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session, numbers = onnx_session(model.SerializeToString(), threads), given.numpy()
    return lambda: session.run(None, {"images": numbers})
