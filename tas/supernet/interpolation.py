"""Channel-wise interpolation (CWI): adaptive average pooling along the channel axis."""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


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


class InterpolatedSum(torch.autograd.Function):
    """sum_l q_l CWI(O_l, C), C the widest of the O_l (eq. 5); nothing but the O_l is kept for the backward pass.

    Args:
        weights: q, (feature maps,).
        maps: O_l, (N, C_l, H, W) each.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *maps: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *maps)
        width = max(x.shape[1] for x in maps)
        factors = weights.to(maps[0].dtype)
        total = factors[0] * interpolate_channels(maps[0], width)
        for factor, x in zip(factors[1:], maps[1:]):
            total.addcmul_(interpolate_channels(x, width), factor)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        weights, *maps = ctx.saved_tensors
        gradient = upstream[0].to(maps[0].dtype)
        factors = weights.to(gradient.dtype)
        grad_weights, grad_maps = [], []
        for factor, x, needed in zip(factors, maps, ctx.needs_input_grad[1:]):
            width = gradient.shape[1]
            back = gradient
            if x.shape[1] < width:
                back = F.conv2d(gradient, kernel(x, x.shape[1], width).transpose(0, 1))
            if ctx.needs_input_grad[0]:
                grad_weights.append((back * x).sum(dtype=weights.dtype))
            grad_maps.append(factor * back if needed else None)
        return torch.stack(grad_weights) if grad_weights else None, *grad_maps
