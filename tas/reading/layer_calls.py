"""The convolutions and linear layers that a forward pass goes through: what is counted, and where it stands."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerCall:
    """A convolution or linear layer as one forward pass used it."""

    name: str
    kernel: int
    positions: int
    in_channels: int
    """Input channels that each output channel reads; with groups, those of its group."""
    out_channels: int


def layer_calls(network: nn.Module, input_shape: Sequence[int]) -> list[LayerCall]:
    """The 2-d convolutions and linear layers that a forward pass of one image goes through, in order.

    Args:
        network: Any module that takes (N, C, H, W); it is neither run nor changed, a copy without storage is.
        input_shape: (C, H, W) of one image.
    """
    found: list[LayerCall] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.Linear):
                found.append(LayerCall(name, 1, output[0].numel() // output.shape[-1], *module.weight.shape[::-1]))
            else:
                assert isinstance(module, nn.Conv2d)
                kernel = module.weight[0, 0].numel()
                positions = output[0, 0].numel()
                found.append(LayerCall(name, kernel, positions, module.weight.shape[1], module.out_channels))

        return hook

    twin = without_storage(network)
    for name, module in twin.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(record(name))
    with torch.no_grad(), torch.device("meta"):
        twin(torch.empty(1, *input_shape, dtype=dtype_of(twin)))
    return found


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
