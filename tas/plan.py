"""What a network is made of, read off the network: the one description behind cost, supernet and derivation."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tas.networks.cifar_resnet import BasicBlock, Bottleneck, CifarResNet

Source = str | int
"""Where a number of channels comes from: a searched convolution, a stage (its output), or a fixed number."""
Width = str | int
"""A source that no depth changes: a searched convolution or a fixed number."""


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, and where the numbers of its channels come from."""

    name: str
    kernel: int
    """Weights for each pair of an input and an output channel: kernel height x width, 1 for a linear layer."""
    positions: int
    """Places at which the kernel is applied: output height x width (1 for a linear layer after pooling)."""
    reads: Source
    """Input channels. A stage's name stands for the output of the last block that the stage keeps."""
    writes: Source
    """Output channels."""
    stage: str | None = None
    """The stage it stands in; it runs if that stage keeps more than `block` blocks."""
    block: int = 0
    norm: str | None = None
    """The batch norm that it feeds, if it feeds one."""
    if_unequal: bool = False
    """A network has it only where `reads` and `writes` come out different; the unpruned one may lack it."""


@dataclass(frozen=True)
class Plan:
    """The structure of a network at one input size."""

    layers: tuple[Layer, ...]
    stages: Mapping[str, tuple[str, ...]]
    """Stage -> for each of its blocks, the convolution whose width the block's output has."""

    def cases(self, layer: Layer, depths: Mapping[str, tuple[int, ...]]) -> list["Case"]:
        """The ways in which a layer can run, given the depths that each stage may keep; no two of them at once."""
        if isinstance(layer.reads, str) and layer.reads in self.stages:
            ends = self.stages[layer.reads]
            return [Case(ends[depth - 1], layer.reads, (depth,)) for depth in depths[layer.reads]]
        if layer.stage is None:
            return [Case(layer.reads)]
        kept = tuple(depth for depth in depths[layer.stage] if depth > layer.block)
        if kept == depths[layer.stage]:
            return [Case(layer.reads)]
        return [Case(layer.reads, layer.stage, kept)] if kept else []


@dataclass(frozen=True)
class Case:
    """One way in which a layer can run: what it reads, and at which depths of which stage (None: at any)."""

    reads: Width
    stage: str | None = None
    depths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Applied:
    """A convolution or linear layer as one forward pass used it."""

    name: str
    kernel: int
    positions: int
    in_channels: int
    """Input channels that each output channel reads; with groups, those of its group."""
    out_channels: int


def applied_layers(network: nn.Module, input_shape: Sequence[int]) -> list[Applied]:
    """The 2-d convolutions and linear layers that a forward pass of one image goes through, in order.

    Args:
        network: Any module that takes (N, C, H, W); it is neither run nor changed, a copy without storage is.
        input_shape: (C, H, W) of one image.
    """
    found: list[Applied] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.Linear):
                found.append(Applied(name, 1, output[0].numel() // output.shape[-1], *module.weight.shape[::-1]))
            else:
                assert isinstance(module, nn.Conv2d)
                kernel = module.weight[0, 0].numel()
                positions = output[0, 0].numel()
                found.append(Applied(name, kernel, positions, module.weight.shape[1], module.out_channels))

        return hook

    twin = copy.deepcopy(network).to("meta").eval()
    for name, module in twin.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(record(name))
    with torch.no_grad():
        twin(torch.empty(1, *input_shape, device="meta"))
    return found


def read_plan(network: nn.Module, input_shape: Sequence[int]) -> Plan:
    """The plan of an unpruned network: each convolution has a width of its own, projections follow their neighbours.

    Args:
        network: The unpruned network, a CifarResNet.
        input_shape: (C, H, W) of one image.
    """
    assert isinstance(network, CifarResNet)
    applied = {layer.name: layer for layer in applied_layers(network, input_shape)}
    layers: list[Layer] = []
    stages: dict[str, tuple[str, ...]] = {}

    def add(
        name: str, reads: Source, writes: Source, norm: str | None, stage: str | None = None, block: int = 0
    ) -> None:
        layers.append(Layer(name, applied[name].kernel, applied[name].positions, reads, writes, stage, block, norm))

    add("conv1", applied["conv1"].in_channels, "conv1", "bn1")
    stream = "conv1"  # what feeds the next layer
    for stage, blocks in network.stages():
        outputs = []
        for index, block in enumerate(blocks):
            assert isinstance(block, BasicBlock | Bottleneck)
            block_input = stream
            for conv, norm in block.searched.items():
                name = f"{stage}.{index}.{conv}"
                add(name, stream, name, f"{stage}.{index}.{norm}", stage, index)
                stream = name
            outputs.append(stream)
            # A shortcut is (pool, convolution), (convolution, norm) or the identity. The last two depend on whether its
            # ends come out of one width, so a convolution may stand there in a pruned network alone, or not in it.
            shortcut, positions = f"{stage}.{index}.shortcut", applied[stream].positions
            if f"{shortcut}.1" in applied:
                add(f"{shortcut}.1", block_input, stream, None, stage, index)
            else:
                ends = (block_input, stream, stage, index)
                layers.append(Layer(f"{shortcut}.0", 1, positions, *ends, f"{shortcut}.1", if_unequal=True))
        stages[stage] = tuple(outputs)
        stream = stage
    add("fc", stream, network.fc.out_features, None)
    return Plan(tuple(layers), stages)
