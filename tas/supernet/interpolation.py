"""Channel-wise interpolation (CWI): adaptive average pooling along the channel axis."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


@functools.lru_cache(maxsize=4096)
def interpolation_matrix(in_channels: int, out_channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """CWI as a matrix: (out_channels, in_channels).

    Row i averages the input channels floor(i in/out) to ceil((i+1) in/out) - 1, as `adaptive_avg_pool3d` does.
    """
    with torch.inference_mode(False):  # made under it, a cached matrix could not be trained through later
        rows = torch.arange(out_channels)
        start = rows * in_channels // out_channels
        end = -(-(rows + 1) * in_channels // out_channels)
        columns = torch.arange(in_channels)
        covered = (columns >= start[:, None]) & (columns < end[:, None])
        return (covered.double() / (end - start)[:, None]).to(device, dtype)


def interpolate_channels(x: Tensor, out_channels: int) -> Tensor:
    """CWI of a feature map: (N, C, H, W) to (N, out_channels, H, W)."""
    if x.shape[1] == out_channels:
        return x
    return F.conv2d(x, kernel(x, x.shape[1], out_channels))


def kernel(like: Tensor, in_channels: int, out_channels: int) -> Tensor:
    """CWI as the weights of a 1x1 convolution: (out_channels, in_channels, 1, 1)."""
    return interpolation_matrix(in_channels, out_channels, like.device, like.dtype)[:, :, None, None]
