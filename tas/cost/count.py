"""FLOPs and parameters of a network as it is, counted by its layers.

One unit throughout: a FLOP is one multiply-add of a convolution or a linear layer, as in the paper. Batch norm,
activations, pooling, interpolation and biases are not counted. `torch.utils.flop_counter` counts two per multiply-add.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tas.reading.layer_calls import IMAGES, dtype_of, layer_calls, without_storage


def flops(network: nn.Module, input_shape: Sequence[int]) -> int:
    """The multiply-adds of a network's convolutions and linear layers for one image; nothing else is counted.

    Args:
        network: Any module that takes images (N, C, H, W).
        input_shape: (C, H, W) of one image.
    """
    return sum(call.multiply_adds for call in layer_calls(network, input_shape))


def nonzero_flops(network: nn.Module, input_shape: Sequence[int]) -> int:
    """The multiply-adds of a network whose factor is not a zero weight: what is left to do where zeros cost nothing.

    The same layers as `flops` counts, each weight as often as it is applied. Ordinary hardware multiplies by zeros too.

    Args:
        network: Any module that takes images (N, C, H, W).
        input_shape: (C, H, W) of one image.
    """
    modules = dict(network.named_modules())
    return sum(
        call.positions * int(torch.count_nonzero(cast(Tensor, modules[call.name].weight)))
        for call in layer_calls(network, input_shape)
    )


def uncounted(network: nn.Module, input_shape: Sequence[int]) -> float:
    """The share of a network's multiply-adds, by torch's counter, that `flops` does not see: attention, for example.

    Args:
        network: Any module that takes images (N, C, H, W).
        input_shape: (C, H, W) of one image.
    """
    twin = without_storage(network).requires_grad_(False)  # the counter follows gradients, of which there are none
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        twin(torch.empty(IMAGES, *input_shape, dtype=dtype_of(twin)))
    everything = counter.get_total_flops() / 2 / IMAGES
    return 1 - flops(network, input_shape) / everything if everything else 0.0


def parameters(network: nn.Module) -> int:
    """How many numbers training sets: weights, biases and the normalisation's scales and shifts."""
    return sum(parameter.numel() for parameter in network.parameters())
