"""What a layer reads, sampled: patches of its inputs at a few positions of a few images."""

from collections.abc import Callable, Sequence
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.data.loaders import Batch

ReadingLayer = nn.Conv2d | nn.Linear

POSITIONS = 10
"""Places of a feature map that are sampled in every batch, the same ones of all its images."""


def patches(layer: ReadingLayer, x: Tensor, generator: torch.Generator) -> Tensor:
    """What a layer multiplies its weights with at sampled positions: (samples, in_channels * kernel).

    Args:
        layer: A convolution without groups, padded by zeros, or a linear layer.
        x: Its input, (N, C, H, W) or (N, ..., features).
        generator: Source of the positions; in the same state it gives the same ones for any number of channels.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, x.shape[-1])
    assert not isinstance(layer.padding, str)
    (rows, columns), (down, across) = layer.kernel_size, layer.dilation
    high, wide = layer.padding
    x = F.pad(x, (wide, wide, high, high))
    spans = (rows - 1) * down + 1, (columns - 1) * across + 1
    places = [(size - span) // step + 1 for size, span, step in zip(x.shape[2:], spans, layer.stride)]
    sampled = torch.randint(places[0] * places[1], (POSITIONS,), generator=generator).tolist()
    found = []
    for place in sampled:
        top, left = (place // places[1]) * layer.stride[0], (place % places[1]) * layer.stride[1]
        found.append(x[:, :, top : top + spans[0] : down, left : left + spans[1] : across].flatten(1))
    return torch.cat(found)


@torch.no_grad()
def sampled_inputs(
    network: nn.Module,
    names: Sequence[str],
    batches: Sequence[Batch],
    seed: int,
    see: Callable[[str, Tensor], None],
) -> None:
    """Run a network in evaluation and show the patches that layers read.

    Args:
        network: It has these layers.
        names: The layers.
        batches: Images to run it on.
        seed: Of the positions, which are the same for every network with layers of these names and resolutions.
        see: Called for every batch in turn with a layer's name and (samples, in_channels * kernel) float64.
    """
    number = -1

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(module, (nn.Conv2d, nn.Linear))
            generator = torch.Generator().manual_seed(crc32(f"{seed} {number} {name}".encode()))
            see(name, patches(module, inputs[0], generator).double())

        return look

    hooks = [network.get_submodule(n).register_forward_pre_hook(hook(n)) for n in names]
    network.eval()
    try:
        for images, _ in batches:
            number += 1
            network(images)
    finally:
        for handle in hooks:
            handle.remove()


def second_moments(network: nn.Module, names: Sequence[str], batches: Sequence[Batch], seed: int) -> dict[str, Tensor]:
    """Layer -> the sum of the outer products of its sampled inputs, (in_channels * kernel,) * 2, float64."""
    moments: dict[str, Tensor] = {}

    def see(name: str, read: Tensor) -> None:
        moments[name] = moments.get(name, 0) + read.T @ read

    sampled_inputs(network, names, batches, seed, see)
    return moments
