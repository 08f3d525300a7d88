"""The convolutions and linear layers that a forward pass goes through: what is counted, and where it stands."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerCall:
    """A convolution or linear layer as one forward pass used it."""

    name: str
    kernel: tuple[int, ...]
    """Height and width; of a linear layer (1, 1)."""
    stride: tuple[int, ...]
    groups: int
    resolution: tuple[int, ...]
    """Height and width of the output; of a linear layer all its dimensions but the first and the features."""
    in_channels: int
    """Input channels that each output channel reads; with groups, those of its group."""
    out_channels: int
    bias: bool

    @property
    def positions(self) -> int:
        """Places at which the kernel is applied: 1 for a linear layer after pooling."""
        return math.prod(self.resolution)

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return math.prod(self.kernel) * self.positions * self.in_channels * self.out_channels


def layer_calls(network: nn.Module, input_shape: Sequence[int]) -> list[LayerCall]:
    """The 2-d convolutions and linear layers that a forward pass of one image goes through, in order.

    Args:
        network: Any module that takes (N, C, H, W); it is neither run nor changed, a copy without storage is.
        input_shape: (C, H, W) of one image.
    """
    found: list[LayerCall] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d | nn.Linear)
            conv = module if isinstance(module, nn.Conv2d) else None
            found.append(
                LayerCall(
                    name,
                    kernel=tuple(module.weight.shape[2:]) if conv else (1, 1),
                    stride=tuple(conv.stride) if conv else (1, 1),
                    groups=conv.groups if conv else 1,
                    resolution=tuple(output.shape[2:] if conv else output.shape[1:-1]),
                    in_channels=module.weight.shape[1],
                    out_channels=module.weight.shape[0],
                    bias=module.bias is not None,
                )
            )

        return hook

    twin = without_storage(network)
    for name, module in twin.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(record(name))
    on_meta(twin, input_shape)
    return found


def shape_of_output(network: nn.Module, input_shape: Sequence[int]) -> torch.Size:
    """The shape of what a network gives for one image, (C, H, W); it is neither run nor changed."""
    return on_meta(without_storage(network), input_shape).shape


def on_meta(twin: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """What a copy without storage gives for one image, (C, H, W)."""
    with torch.no_grad(), torch.device("meta"):
        result: Tensor = twin(torch.empty(1, *input_shape, dtype=dtype_of(twin)))
    return result


def without_storage(network: nn.Module) -> nn.Module:
    """A copy on the meta device, in eval mode: it computes nothing but shapes."""
    twin = copy.deepcopy(network).to("meta").eval()
    for module in twin.modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):  # neither parameter nor buffer, so that `to` leaves it where it is
                setattr(module, key, value.to("meta"))
    return twin


def dtype_of(network: nn.Module) -> torch.dtype:
    """The type of number in which a network computes."""
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.get_default_dtype())
