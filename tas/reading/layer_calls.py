"""The convolutions and linear layers that a forward pass goes through: what is counted, and where it stands."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from tas.errors import gist

COUNTED = (_ConvNd, nn.Linear)
"""What costs something: convolutions of any dimension, transposed ones too, and linear layers."""

IMAGES = 127
"""Images in a batch by which a network is read, without computing anything. A dimension that is a multiple of this
prime is the batch, perhaps with what code folds into it, and none of size 1 is mistaken for it."""


@dataclass(frozen=True)
class LayerCall:
    """A convolution or linear layer as one forward pass used it."""

    name: str
    kernel: tuple[int, ...]
    """Height and width; of a linear layer (1, 1)."""
    stride: tuple[int, ...]
    groups: int
    resolution: tuple[int, ...]
    """Where the kernel is applied for one image: height and width of the output, of a transposed convolution those of
    its input; of a linear layer all dimensions but the first and the features. What code folds into the batch, windows
    for example, comes before them."""
    in_channels: int
    """Input channels that each output channel reads; with groups, those of its group."""
    out_channels: int
    bias: bool

    @classmethod
    def of(cls, name: str, layer: nn.Module, given: Sequence[int], result: Sequence[int]) -> "LayerCall":
        """What a layer is, and where it is applied.

        Args:
            name: The layer's.
            layer: One of `COUNTED`.
            given, result: The shapes of its input and output, for a batch of `IMAGES`.
        """
        if isinstance(layer, _ConvNd):
            outputs, inputs = layer.weight.shape[:2]
            applied = result
            if isinstance(layer, _ConvTransposeNd):
                inputs, outputs, applied = outputs // layer.groups, inputs * layer.groups, given
            return cls(
                name,
                kernel=tuple(layer.weight.shape[2:]),
                stride=tuple(layer.stride),
                groups=layer.groups,
                resolution=for_one_image(applied[0], applied[2:]),
                in_channels=inputs,
                out_channels=outputs,
                bias=layer.bias is not None,
            )
        assert isinstance(layer, nn.Linear)
        places = for_one_image(result[0], result[1:-1]) if len(result) > 1 else ()
        outputs, inputs = layer.weight.shape
        return cls(name, (1, 1), (1, 1), 1, places, inputs, outputs, layer.bias is not None)

    @property
    def positions(self) -> int:
        """Places at which the kernel is applied: 1 for a linear layer after pooling."""
        return math.prod(self.resolution)

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return math.prod(self.kernel) * self.positions * self.in_channels * self.out_channels


def for_one_image(leading: int, others: Sequence[int]) -> tuple[int, ...]:
    """The dimensions of one image's share of a tensor, of which the first dimension was `leading` for the batch.

    One that is no multiple of the batch has nothing to do with it, as a table of positions has not: it is there whole.
    """
    times = leading // IMAGES if leading % IMAGES == 0 else leading
    return tuple(others) if times == 1 else (times, *others)


def layer_calls(network: nn.Module, input_shape: Sequence[int]) -> list[LayerCall]:
    """The convolutions and linear layers that a forward pass goes through, in order, each as for one image.

    Args:
        network: Any module that takes (N, C, H, W); it is neither run nor changed, a copy without storage is.
        input_shape: (C, H, W) of one image.
    """
    found: list[LayerCall] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found.append(LayerCall.of(name, module, inputs[0].shape if inputs else output.shape, output.shape))

        return hook

    twin = without_storage(network)
    for name, module in twin.named_modules():
        if isinstance(module, COUNTED):
            module.register_forward_hook(record(name))
    on_meta(twin, input_shape)
    return found


def shape_of_output(network: nn.Module, input_shape: Sequence[int]) -> torch.Size:
    """The shape of what a network gives for `IMAGES` images, (C, H, W) each; it is neither run nor changed."""
    return on_meta(without_storage(network), input_shape).shape


def on_meta(twin: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """What a copy without storage gives for `IMAGES` images, (C, H, W) each."""
    with torch.no_grad(), torch.device("meta"):
        result: Tensor = twin(torch.empty(IMAGES, *input_shape, dtype=dtype_of(twin)))
    return result


def failure_in_training(network: nn.Module, input_shape: Sequence[int], images: int = 2) -> str | None:
    """What goes wrong when a copy of a network without storage is run in training; None where nothing does."""
    twin = without_storage(network).train()
    try:
        with torch.no_grad(), torch.device("meta"):
            twin(torch.empty(images, *input_shape, dtype=dtype_of(twin)))
    except Exception as error:  # whatever the user's code raises
        return gist(error) or type(error).__name__
    return None


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
