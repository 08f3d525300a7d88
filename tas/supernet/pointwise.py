"""1x1 convolutions as matrix products, and with the norm and the mixture behind them as a single one.

oneDNN compiles a convolution for every size that it meets, and a search meets many; a matrix product needs none.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tas.supernet.mixture import channel_sums

NARROW = 64
"""Channels: with no more of them on either side a convolution is computed as ever, as those of CIFAR ResNets are, whose
results stay what they were, bit for bit."""


def is_pointwise(convolution: nn.Conv2d) -> bool:
    """Whether a convolution looks at one position alone, and mixes all channels of it."""
    padded = convolution.padding not in ("valid", "same", (0, 0))
    return convolution.kernel_size == (1, 1) and convolution.groups == 1 and not padded


def can_fold(convolution: nn.Conv2d) -> bool:
    """Whether it is cheaper to fold the mixture behind a convolution into it: to more channels than it reads."""
    wider = max(NARROW, convolution.in_channels) < convolution.out_channels
    return is_pointwise(convolution) and convolution.bias is None and wider


def multiplies(convolution: nn.Conv2d, x: Tensor) -> bool:
    """Whether a convolution is computed as a matrix product: on a CPU, at every position, and if it is wide."""
    wide = max(convolution.weight.shape[:2]) > NARROW
    everywhere = is_pointwise(convolution) and convolution.stride == (1, 1)
    return wide and everywhere and on_cpu(x) and x.is_contiguous(memory_format=torch.channels_last)


def on_cpu(x: Tensor) -> bool:
    """Whether a feature map is on a CPU, and computed with in its own precision."""
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1 convolution: (N, C, H, W) and (C', C, 1, 1) to (N, C', H, W) in channels_last."""
    made: Tensor = Product.apply(x, weight.flatten(1), bias)
    return made


class Product(torch.autograd.Function):
    """A matrix applied to the channels of every position, plus a vector. Nothing that it returns is a view, which could
    not be overwritten without a copy in the backward pass.

    Args:
        x: (N, C, H, W).
        matrix: (C', C).
        bias: (C',) or None.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, matrix)
        return product(x, matrix.t(), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, matrix = ctx.saved_tensors  # type: ignore[attr-defined]
        needs_x, needs_matrix, needs_bias = ctx.needs_input_grad  # type: ignore[attr-defined]
        gradient = upstream[0]
        return (
            product(gradient, matrix, None) if needs_x else None,
            flat(gradient).t() @ flat(x) if needs_matrix else None,
            channel_sums(gradient).to(gradient.dtype) if needs_bias else None,
        )


def flat(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N H W, C), a view if x is in channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def product(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """The channels of every position times a matrix, (C, C'), plus a bias: (N, C', H, W) in channels_last."""
    batch, _, height, width = x.shape
    shape = batch, matrix.shape[1], height, width
    made = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    room = flat(made)
    if bias is None:
        torch.mm(flat(x), matrix, out=room)
    else:
        torch.addmm(bias, flat(x), matrix, out=room)
    return made


class Moments(torch.autograd.Function):
    """Mean, (C,), and covariance, (C, C), over the positions of a feature map, in single precision at least.

    Args:
        x: (N, C, H, W); fastest in channels_last. It is all that is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> tuple[Tensor, Tensor]:
        positions = flat(x).to(torch.promote_types(x.dtype, torch.float32))
        mean = channel_sums(x).div_(len(positions))
        centred = positions - mean
        ctx.save_for_backward(x, mean)
        return mean, (centred.t() @ centred).div_(len(positions))

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, *upstream: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors  # type: ignore[attr-defined]
        of_mean, of_covariance = upstream
        count = x.numel() // x.shape[1]
        slope = (of_covariance + of_covariance.t()).div_(count)
        constant = torch.addmv(of_mean / count, slope, mean, alpha=-1)
        return product(x, slope.to(x.dtype), constant.to(x.dtype))


def statistics_behind(weight: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance, (C',), of what a 1x1 convolution gives, of its weight, (C', C), and of what it is given."""
    return weight @ mean, ((weight @ covariance) * weight).sum(1).clamp(min=0)


def mix_rows(matrix: Tensor, factors: Tensor, sources: Tensor) -> Tensor:
    """Rows that are weighted sums of a matrix's rows.

    Args:
        matrix: (rows, columns).
        factors: (summands, mixed rows).
        sources: Likewise, the row that each is a factor of: int64.

    Returns:
        (mixed rows, columns).
    """
    taken = matrix.index_select(0, sources.reshape(-1)).view(*sources.shape, -1)
    return (factors[:, :, None] * taken).sum(0)


def convolve_folded(
    x: Tensor,
    weight: Tensor,
    factors: Tensor,
    channels: Tensor,
    offset: Tensor,
    running: tuple[Tensor, Tensor],
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """A 1x1 convolution, the norm behind it and the mixture of its candidates (eq. 4), as one 1x1 convolution.

    Args:
        x: (N, C, H, W).
        weight: W, (C', C, 1, 1).
        factors, channels: The rows of A, (summands, C''): of each channel of the mixture the factors, and the channels
            of W x, int64.
        offset: b, (C'',).
        running: Mean and variance, (C' or more,) each; updated in training.
        training: Whether W x is normalised with its own statistics or with the running ones.
        momentum, eps: As of batch norm.

    Returns:
        (N, C'', H, W).
    """
    matrix = weight.flatten(1)
    mean, variance = (own[: len(matrix)] for own in running)
    with torch.autocast(x.device.type, enabled=False):
        if training:
            own_mean, own_variance = statistics_behind(matrix, *Moments.apply(x))
            count = x.numel() // x.shape[1]
            with torch.no_grad():
                mean.lerp_(own_mean.to(mean), momentum)
                variance.lerp_(own_variance.to(variance) * (count / (count - 1)), momentum)
            mean, variance = own_mean, own_variance
        normalised = torch.cat([matrix, mean[:, None]], 1) * (variance + eps).rsqrt()[:, None]
        mixed = mix_rows(normalised, factors, channels)
        kernel, bias = mixed[:, :-1, None, None], offset - mixed[:, -1]
    return multiply(x, kernel, bias) if on_cpu(x) else F.conv2d(x, kernel, bias)
