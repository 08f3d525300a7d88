"""Reading the CIFAR ResNets, whose residual sums take any two widths."""

from collections.abc import Sequence

from tas.networks.cifar_resnet import BasicBlock, Bottleneck, CifarResNet
from tas.reading.layer_calls import layer_calls
from tas.reading.plan import ChannelSource, Layer, Plan, Segment, Stage


def read_cifar_resnet(network: CifarResNet, input_shape: Sequence[int]) -> Plan:
    """The plan of an unpruned CIFAR ResNet: each convolution has a width, projections follow their neighbours.

    Args:
        network: The unpruned network.
        input_shape: (C, H, W) of one image.
    """
    applied = {layer.name: layer for layer in layer_calls(network, input_shape)}
    layers: list[Layer] = []
    stages: dict[str, Stage] = {}
    widths: dict[str, int] = {}
    additions: list[str] = []

    def add(
        name: str,
        reads: ChannelSource,
        writes: ChannelSource,
        norm: str | None,
        stage: str | None = None,
        block: int = 0,
    ) -> None:
        call = applied[name]
        layers.append(
            Layer(
                *(name, call.kernel, call.resolution, (Segment(reads),), Segment(writes), stage, block, norm),
                stride=call.stride,
                bias=call.bias,
            )
        )
        if writes == name:
            widths[name] = call.out_channels

    add("conv1", applied["conv1"].in_channels, "conv1", "bn1")
    stream = "conv1"  # what feeds the next layer
    for stage, blocks in network.stages():
        ends = []
        for index, block in enumerate(blocks):
            additions.append(f"{stage}.{index}.add")
            assert isinstance(block, BasicBlock | Bottleneck)
            block_input = stream
            for conv, norm in block.searched.items():
                name = f"{stage}.{index}.{conv}"
                add(name, stream, name, f"{stage}.{index}.{norm}", stage, index)
                stream = name
            ends.append(stream)
            # A shortcut is (pool, convolution), (convolution, norm) or the identity. The last two depend on whether its
            # ends come out of one width, so a convolution may stand there in a pruned network alone, or not in it.
            shortcut, resolution = f"{stage}.{index}.shortcut", applied[stream].resolution
            if f"{shortcut}.1" in applied:
                add(f"{shortcut}.1", block_input, stream, None, stage, index)
            else:
                reads, writes = (Segment(block_input),), Segment(stream)
                place = (stage, index, f"{shortcut}.1")
                layers.append(Layer(f"{shortcut}.0", (1, 1), resolution, reads, writes, *place, if_unequal=True))
        stages[stage] = Stage(stage, tuple(map(str, range(len(blocks)))), tuple(ends))
        stream = stage
    add("fc", stream, network.fc.out_features, None)
    return Plan(tuple(layers), stages, widths, network.fc.out_features, additions=tuple(additions))
