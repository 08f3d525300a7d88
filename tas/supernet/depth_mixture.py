"""Equation 5: the mixture of what a stage gives at several depths."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from tas.supernet.choice import Alignment
from tas.supernet.interpolation import interpolate_channels, kernel


class AlignedSum(torch.autograd.Function):
    """sum_l q_l align(O_l, C), C the widest of the O_l (eq. 5); nothing but the O_l is kept for the backward pass.

    Args:
        align: How a narrower O_l gets C channels: by CWI, or filled up with zeros.
        weights: q, (feature maps,).
        maps: O_l, (N, C_l, H, W) each.
    """

    @staticmethod
    def forward(ctx: Any, align: Alignment, weights: Tensor, *maps: Tensor) -> Tensor:
        ctx.align = align
        ctx.save_for_backward(weights, *maps)
        width = max(x.shape[1] for x in maps)
        factors = weights.to(maps[0].dtype)
        first, *others = (pad_channels(x, width) if align == "pad" else interpolate_channels(x, width) for x in maps)
        total = factors[0] * first
        for factor, x in zip(factors[1:], others, strict=True):
            total.addcmul_(x, factor)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        weights, *maps = ctx.saved_tensors
        gradient = upstream[0].to(maps[0].dtype)
        factors = weights.to(gradient.dtype)
        grad_weights, grad_maps = [], []
        for factor, x, needed in zip(factors, maps, ctx.needs_input_grad[2:]):
            channels, width = x.shape[1], gradient.shape[1]
            back = gradient
            if channels < width and ctx.align == "pad":
                back = gradient[:, :channels]
            elif channels < width:
                back = F.conv2d(gradient, kernel(x, channels, width).transpose(0, 1))
            if ctx.needs_input_grad[1]:
                grad_weights.append((back * x).sum(dtype=weights.dtype))
            grad_maps.append(factor * back if needed else None)
        return None, torch.stack(grad_weights) if grad_weights else None, *grad_maps


class SideBySideSum(torch.autograd.Function):
    """`WeightedSum` for several networks' images by turns, each with its own weights, which get no gradient.

    Args:
        weights: (networks, feature maps).
        maps: O_l, (images x networks, C, H, W) each.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *maps: Tensor) -> Tensor:
        ctx.weights = weights.t().reshape(len(maps), 1, -1, 1).to(maps[0])
        stacked = torch.stack([x.reshape(-1, len(weights), x[0].numel()) for x in maps])
        return (stacked * ctx.weights).sum(0).view(maps[0].shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradient = upstream[0].contiguous()
        flat = gradient.view(-1, ctx.weights.shape[2], gradient[0].numel())
        return None, *((flat * weights).view(gradient.shape) for weights in ctx.weights)


class WeightedSum(torch.autograd.Function):
    """sum_l q_l O_l of feature maps of one shape, in two operations forward and two backward.

    Args:
        weights: q, (feature maps,).
        maps: O_l, (N, C, H, W) each.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *maps: Tensor) -> Tensor:
        last = maps[0].is_contiguous(memory_format=torch.channels_last)
        stacked = torch.stack([x.permute(0, 2, 3, 1) if last else x for x in maps])
        ctx.last = last
        ctx.save_for_backward(weights, stacked)
        total = (weights.to(stacked.dtype) @ stacked.view(len(maps), -1)).view(stacked.shape[1:])
        return total.permute(0, 3, 1, 2) if last else total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        weights, stacked = ctx.saved_tensors
        gradient = upstream[0].permute(0, 2, 3, 1) if ctx.last else upstream[0]
        flat = gradient.to(stacked.dtype).reshape(-1)
        grad_weights = (stacked.view(len(stacked), -1) @ flat).to(weights) if ctx.needs_input_grad[0] else None
        parts = torch.outer(weights.to(flat), flat).view(stacked.shape).unbind()
        return grad_weights, *(part.permute(0, 3, 1, 2) if ctx.last else part for part in parts)


def pad_channels(x: Tensor, channels: int) -> Tensor:
    """A feature map with zero channels added: (N, C, H, W) to (N, channels, H, W)."""
    return x if x.shape[1] == channels else F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))
