"""The formats of exported files: how each is written, and how its FLOPs are counted again."""

import io
import json
import logging
import math
import runpy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tas.errors import TasError, gist, innermost
from tas.exports.onnx_flops import onnx_multiply_adds
from tas.exports.python_code import write_python

EXTRA = 'pip install "tas[export]"'
"""What installs the libraries that formats need."""

OPSET = 18
"""The version of ONNX's operators; what torch's exporter writes of itself."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    suffix: str
    needs: tuple[str, ...]
    """Libraries beside those of TAS."""
    write: Callable[[nn.Module, Tensor, Path, Mapping[str, str]], None]
    """Writes a network, shown a batch of what it takes, and what there is to say of it."""
    multiply_adds: Callable[[Path, Tensor], int]
    """Of a batch, counted in the file."""
    reloader: str
    """The script that loads the file in a process of its own."""


def dynamic_batch(batch: Tensor) -> tuple[dict[int, Any], ...]:
    """That the first dimension may have any length."""
    return ({0: torch.export.Dim("batch")},)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep to itself what exporters say of their own workings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def exported(network: nn.Module, batch: Tensor) -> torch.export.ExportedProgram:
    """The network as a program of torch.export, for batches of any length."""
    with quietly(), torch.no_grad():
        return torch.export.export(network, (batch,), dynamic_shapes=dynamic_batch(batch))


def onnx_model(network: nn.Module, batch: Tensor) -> Any:
    """The network as ONNX's ModelProto by torch's exporter, from `images` to `logits`, for batches of any length.

    Args:
        network: In evaluation, on the CPU.
        batch: What it takes, of two images or more: an exporter takes a dimension of 1 for a constant.
    """
    with quietly(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (batch,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=dynamic_batch(batch),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def write_onnx(network: nn.Module, batch: Tensor, path: Path, said: Mapping[str, str]) -> None:
    """By torch's exporter, in one file."""
    import onnx

    model = onnx_model(network, batch)
    onnx.helper.set_model_props(model, dict(said))
    onnx.save(model, path)


def write_program(network: nn.Module, batch: Tensor, path: Path, said: Mapping[str, str]) -> None:
    """By torch.export, for programs with torch alone."""
    buffer = io.BytesIO()
    with quietly():
        torch.export.save(exported(network, batch), buffer, extra_files=dict(said))
    path.write_bytes(buffer.getbuffer())  # torch itself would not say why it cannot write it


def program_multiply_adds(path: Path, batch: Tensor) -> int:
    """Of a program of torch.export."""
    with quietly():
        return multiply_adds_of(torch.export.load(path).module(), batch)


def write_weights(network: nn.Module, batch: Tensor, path: Path, said: Mapping[str, str]) -> None:
    """The weights alone, by the safetensors library; the architecture and the images stand in the file's metadata."""
    state = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    path.write_bytes(save(state, metadata=dict(said)))


def weights_multiply_adds(path: Path, batch: Tensor) -> int:
    """Of the network that the metadata names."""
    from safetensors import safe_open

    from tas.architecture import Architecture
    from tas.cutting.build import build

    with safe_open(path, "pt") as file:
        said = file.metadata()
    return multiply_adds_of(build(Architecture(**json.loads(said["architecture"]))).eval(), batch)


def write_openvino(network: nn.Module, batch: Tensor, path: Path, said: Mapping[str, str]) -> None:
    """By OpenVINO's own converter; the weights stand in a file of the same name that ends with .bin."""
    import openvino

    model = openvino.convert_model(exported(network, batch))
    for name, text in said.items():
        model.set_rt_info(text, ["tas", name])
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # so it says that the disk is full
        raise OSError(gist(error)) from None


def openvino_multiply_adds(path: Path, batch: Tensor) -> int:
    """Of the convolutions, matrix products and attention of an OpenVINO file."""
    import openvino

    model = openvino.Core().read_model(path)
    model.reshape(list(batch.shape))
    total = 0
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Convolution", "GroupConvolution"):
            weight = list(node.input(1).get_shape())
            total += math.prod(list(node.output(0).get_shape())) * math.prod(
                weight[2 if kind.startswith("Group") else 1 :]
            )
        elif kind == "MatMul":
            turned = node.get_attributes()["transpose_a"]
            total += math.prod(list(node.output(0).get_shape())) * list(node.input(0).get_shape())[-2 if turned else -1]
        elif kind == "ScaledDotProductAttention":
            queries, keys, made = node.input(0).get_shape(), node.input(1).get_shape(), node.output(0).get_shape()
            total += (math.prod(list(queries)) + math.prod(list(made))) * list(keys)[-2]
    return total


def python_multiply_adds(path: Path, batch: Tensor) -> int:
    """Of the network that a Python file makes."""
    return multiply_adds_of(runpy.run_path(str(path))["load"](), batch)


def multiply_adds_of(network: nn.Module, batch: Tensor) -> int:
    """The multiply-adds of a network for a batch, of everything that torch's counter counts."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:  # the counter follows gradients, of which there are none
            parameter.requires_grad_(False)
        with FlopCounterMode(display=False) as counter, without_fused_attention(), torch.no_grad():
            network(batch)
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
    return counter.get_total_flops() // 2


@contextmanager
def without_fused_attention() -> Iterator[None]:
    """Attention by plain products: torch's counter passes over the kernels that fuse them on a CPU."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), write_onnx, onnx_multiply_adds, "reload_onnx.py"),
    "torch": Format(".pt2", (), write_program, program_multiply_adds, "reload_torch.py"),
    "safetensors": Format(".safetensors", (), write_weights, weights_multiply_adds, "reload_safetensors.py"),
    "openvino": Format(".xml", ("openvino",), write_openvino, openvino_multiply_adds, "reload_openvino.py"),
    "python": Format(".py", (), write_python, python_multiply_adds, "reload_python.py"),
}
"""--format -> what it is."""


def check_installed(name: str, needs: tuple[str, ...]) -> None:
    """TasError unless all libraries that something needs are installed."""
    missing = [library for library in needs if not find_spec(library)]
    if missing:
        raise TasError(f"{name} needs {' and '.join(missing)}, which {EXTRA} installs")


def write_file(kind: str, network: nn.Module, batch: Tensor, path: Path, said: Mapping[str, str]) -> None:
    """Write a network in a format. TasError where its exporter cannot do that, OSError where the disk cannot."""
    try:
        FORMATS[kind].write(network, batch, path, said)
    except (TasError, OSError):
        raise
    except Exception as error:  # exporters raise what they like
        raise TasError(f"--format {kind}: its exporter cannot do this network ({gist(innermost(error))})") from None
