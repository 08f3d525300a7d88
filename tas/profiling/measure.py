"""All that is measured of a network, or of two beside each other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tas.cost.count import flops, nonzero_flops, parameters
from tas.cost.memory import peak_activations
from tas.errors import TasError
from tas.exports.formats import EXTRA
from tas.profiling.coding import CodedSize, coded_size, saved_size
from tas.profiling.layers import LayerTable, layer_times
from tas.runs.provenance import accelerator
from tas.timing.conditions import Conditions, conditions_here, name_of_device, threads_of_torch
from tas.timing.interleaved import Spread, in_eager, interleaved, ratios
from tas.timing.onnx_runtime import OnnxNetwork, OnnxRuntimeError, runtime_version
from tas.training.compiling import compiler_blamed


@dataclass(frozen=True)
class Figure:
    """A whole number of each network."""

    before: int
    after: int | None
    """None where one network is profiled alone."""

    @property
    def kept(self) -> float:
        """The second as a share of the first."""
        return (self.before if self.after is None else self.after) / self.before if self.before else 1.0


@dataclass(frozen=True)
class Latency:
    """The time from the call to the logits of a batch, in seconds."""

    engine: str
    device: str
    images: int
    rounds: int
    """Measurements of each network."""
    before: Spread
    after: Spread | None
    ratio: Spread | None
    """After to before, round by round."""

    @property
    def words(self) -> str:
        """How it ran."""
        return f"{self.engine}, {self.device}, {counted(self.images)}"


@dataclass(frozen=True)
class Profile:
    """What was measured."""

    conditions: Conditions
    image: tuple[int, ...]
    """(C, H, W)."""
    flops: Figure
    """Multiply-adds for one image."""
    params: Figure
    file_bytes: Figure
    """Of the weights, as saved."""
    peak_activation_bytes: Figure
    """The most bytes of tensors alive at once, for one image, without weights."""
    coded: CodedSize
    """Of the second network; of one alone its own."""
    latencies: tuple[Latency, ...]
    layers: LayerTable
    notes: tuple[str, ...]
    """What could not be measured, and what the figures do not say."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    batch_size: int
    threads: int
    seconds: float
    """For each latency."""
    rounds: int
    compile: bool
    onnx: bool


def measure(
    networks: Sequence[nn.Module], input_shape: tuple[int, ...], effort: Effort, progress: Callable[[str], None]
) -> Profile:
    """Measure one network, or two by turns.

    Args:
        networks: On the CPU, in eval mode: the unpruned one, then the smaller one.
        input_shape: (C, H, W) of one image.
        effort: How much is measured.
        progress: Told in words what is being measured.

    Raises:
        TasError: --batch-size does not fit into the memory, or torch.compile cannot do what --compile asks for.
    """
    conditions, notes = conditions_here(effort.threads), list[str]()
    small, large = torch.randn(1, *input_shape), torch.randn(effort.batch_size, *input_shape)
    batches = [small, large] if effort.batch_size > 1 else [small]
    progress("sizes and memory")
    last = networks[-1]
    share = nonzero_flops(last, input_shape) / max(1, flops(last, input_shape))
    if share < 0.99:
        notes.append(f"{1 - share:.1%} of the FLOPs have a weight of zero as a factor; dense kernels compute them all")
    figures = {
        "flops": figure([flops(network, input_shape) for network in networks]),
        "params": figure([parameters(network) for network in networks]),
        "file_bytes": figure([saved_size(network) for network in networks]),
        "peak_activation_bytes": figure([peak_activations(network, small) for network in networks]),
    }
    with threads_of_torch(effort.threads), memory_blamed(effort.batch_size):
        coded = coded_size(last)
        latencies = in_onnx_runtime(networks, batches, effort, progress, notes)
        device = accelerator()
        for place in (torch.device("cpu"), *([device] if device else [])):
            there = [network.to(place) for network in networks]
            moved = [batch.to(place) for batch in batches]
            latencies += in_pytorch(there, moved, effort, progress)
            table_of = moved[-1]
        progress(f"layers on the {name_of_device(table_of.device)}")
        layers = layer_times(networks, table_of)
    if device is None:
        notes.append("no GPU was found; all is measured on the CPU")
    return Profile(conditions, input_shape, coded=coded, latencies=tuple(sorted(latencies, key=order_of)),
                   layers=layers, notes=tuple(notes), **figures)  # fmt: skip


def counted(images: int) -> str:
    """'1 image' or '64 images'."""
    return f"{images} image{'s' if images > 1 else ''}"


def figure(values: Sequence[int]) -> Figure:
    """One of each network."""
    return Figure(values[0], values[1] if len(values) > 1 else None)


def in_pytorch(
    networks: Sequence[nn.Module], batches: Sequence[Tensor], effort: Effort, progress: Callable[[str], None]
) -> list[Latency]:
    """The latencies of batches in PyTorch, where networks and batches are: eager and, if asked for, compiled."""
    found = []
    for batch in batches:
        found.append(latency("PyTorch", [in_eager(network, batch) for network in networks], batch, effort, progress))
        if effort.compile:
            torch.compiler.reset()  # else the compiler counts batches of other sizes, and may give up
            with compiler_blamed():
                made = [torch.compile(network, dynamic=False) for network in networks]
                calls = [in_eager(network, batch) for network in made]
                found.append(latency("torch.compile", calls, batch, effort, progress))
    return found


def in_onnx_runtime(
    networks: Sequence[nn.Module],
    batches: Sequence[Tensor],
    effort: Effort,
    progress: Callable[[str], None],
    notes: list[str],
) -> list[Latency]:
    """The latencies of batches in ONNX Runtime, on the CPU; a note says why there are none."""
    if not effort.onnx:
        return []
    if runtime_version() is None:
        notes.append(f"ONNX Runtime is not timed: onnx, onnxscript or onnxruntime is not installed; {EXTRA}")
        return []
    progress("export to ONNX")
    try:
        made = [OnnxNetwork(network, batches[0], effort.threads) for network in networks]
    except OnnxRuntimeError as why:
        notes.append(f"ONNX Runtime is not timed: it cannot take this network ({why})")
        return []
    if accelerator() is not None:
        notes.append("ONNX Runtime is timed on the CPU alone")
    return [
        latency("ONNX Runtime", [network.call(batch) for network in made], batch, effort, progress) for batch in batches
    ]


def latency(
    engine: str, calls: Sequence[Callable[[], object]], images: Tensor, effort: Effort, progress: Callable[[str], None]
) -> Latency:
    """Time a batch in one engine, the networks by turns."""
    device = name_of_device(images.device)
    progress(f"{engine}, {device}, {counted(len(images))}")
    for call in calls:
        call()  # what is done once, as compiling, is not timed
    times = interleaved(calls, effort.threads, effort.seconds, effort.rounds)
    before = Spread.of(times[0])
    after, ratio = (Spread.of(times[1]), ratios(*times)) if len(times) > 1 else (None, None)
    return Latency(engine, device, len(images), len(times[0]), before, after, ratio)


def order_of(row: Latency) -> tuple[bool, int, int]:
    """Where a latency stands in the table: by device, then engine, then batch."""
    return row.device != "CPU", ("PyTorch", "torch.compile", "ONNX Runtime").index(row.engine), row.images


@contextmanager
def memory_blamed(batch_size: int) -> Iterator[None]:
    """TasError, naming --batch-size, where memory does not suffice inside."""
    try:
        yield
    except RuntimeError as error:
        words = ("out of memory", "not enough memory", "can't allocate memory")
        if not any(part in str(error) for part in words):
            raise
        raise TasError(f"--batch-size {batch_size}: so many images do not fit into the memory; give fewer") from None
