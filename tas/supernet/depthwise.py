"""Depthwise convolutions of feature maps that are smaller than the kernel, as the last ones of small images are."""

import torch.nn.functional as F
from torch import Tensor, nn

from tas.supernet.pointwise import on_cpu


def reaches_across(convolution: nn.Conv2d, x: Tensor) -> bool:
    """Whether a kernel is larger than the map, and zeros are around that, on a CPU.

    oneDNN's gradient of the weights takes forty times as long as all else then; of a map with its zeros it does not.
    """
    larger = any(own > side for own, side in zip(convolution.kernel_size, x.shape[-2:]))
    padded = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    return larger and padded and on_cpu(x)


def convolve_padded(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """What a convolution gives, of a map that gets the zeros around it first."""
    assert not isinstance(convolution.padding, str)
    height, width = convolution.padding
    x = F.pad(x, (width, width, height, height))
    return F.conv2d(
        x, convolution.weight, convolution.bias, convolution.stride, 0, convolution.dilation, convolution.groups
    )
