"""Equation 4 behind a convolution: the batch norms of several candidates and their interpolated mixture as one map.

All candidates normalise the same O with the same batch statistics, so sum_j w_j CWI(BN_j(O[:, :C_j]), max C) is one
map A x + b of the normalised x = (O - mean) / deviation: A = sum_j w_j M_j diag(scale_j), b = sum_j w_j M_j shift_j,
M_j the matrix of CWI. A and b do not depend on O, and are made for many norms at once.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


@functools.lru_cache(maxsize=4096)
def taps(candidates: tuple[int, ...], indices: tuple[int, ...], columns: int) -> Tensor:
    """Which channels CWI averages, for each of the drawn candidates, interpolated to the widest of them.

    To more channels, every channel that comes out is the mean of two that go in; of the same one twice where CWI takes
    but one.

    Args:
        candidates: Numbers of channels, ascending.
        indices: Which of them are drawn, ascending.
        columns: Those of A; beyond the widest drawn they are zero.

    Returns:
        (4, 2 x drawn x widest) int64 on the CPU, a column for each such pair: which of the drawn; the channel that goes
        in, counted through all candidates; the channel that comes out; the pair's place in the flattened A.
    """
    with torch.inference_mode(False):  # made under it, a cached tensor could not be used in training later
        width = candidates[indices[-1]]
        out = torch.arange(width)
        pairs = []
        for which, index in enumerate(indices):
            count = candidates[index]
            for channel in (out * count // width, -(-(out + 1) * count // width) - 1):
                start = sum(candidates[:index])
                pairs.append(torch.stack([torch.full_like(out, which), start + channel, out, columns * out + channel]))
        return torch.cat(pairs, 1)


class Candidates(NamedTuple):
    """What is drawn of a norm."""

    counts: tuple[int, ...]
    """Channels of all candidates, ascending."""
    indices: tuple[int, ...]
    """The drawn ones, ascending."""
    columns: int
    """Channels to which A is applied, the widest drawn or more."""
    weights: Tensor
    """Theirs, w: (drawn,)."""
    scales: Tensor
    """Of all candidates, one after another."""
    shifts: Tensor

    @property
    def width(self) -> int:
        """The widest drawn candidate."""
        return self.counts[self.indices[-1]]


def averaged_channels(candidates: tuple[int, ...], indices: tuple[int, ...], device: torch.device) -> Tensor:
    """The channels of O that each channel of the mixture is a weighted sum of: (2 x drawn, widest) int64."""
    return taps(candidates, indices, 0)[3].view(-1, candidates[indices[-1]]).to(device, non_blocking=True)


def mixtures(norms: Sequence[Candidates], dense: bool = True) -> list[tuple[Tensor, Tensor]]:
    """A, (widest drawn, columns), and b, (widest drawn,), for each of several norms.

    Made together, since one by one they would be many small operations for each norm.

    Args:
        norms: What is drawn of each.
        dense: Whether A is made as a matrix; else of each of its rows the summands, (2 x drawn, widest): factors of the
            channels that `averaged_channels` says.
    """
    if not norms:
        return []
    each = [taps(norm.counts, norm.indices, norm.columns) for norm in norms]
    widths = [norm.width for norm in norms]
    areas = [norm.width * norm.columns for norm in norms]
    lengths = [[len(norm.weights) for norm in norms], [len(norm.scales) for norm in norms], widths, areas]
    starts = torch.tensor(lengths).cumsum(1) - torch.tensor(lengths)
    index = torch.cat(each, 1) + starts.repeat_interleave(torch.tensor([tap.shape[1] for tap in each]), 1)
    scales, shifts = (torch.cat(parts) for parts in ([n.scales for n in norms], [n.shifts for n in norms]))
    which, channel, out, place = index.to(scales.device, non_blocking=True)
    halves = 0.5 * torch.cat([norm.weights for norm in norms])[which]
    factors = halves * scales[channel]
    offsets = scales.new_zeros(sum(widths)).index_add(0, out, halves * shifts[channel])
    if not dense:
        parts = torch.split(factors, [tap.shape[1] for tap in each])
        return [(part.view(-1, width), own) for width, part, own in zip(widths, parts, torch.split(offsets, widths))]
    matrices = scales.new_zeros(sum(areas)).index_add(0, place, factors)
    pairs = zip(widths, torch.split(matrices, areas), torch.split(offsets, widths))
    return [(matrix.view(width, -1), offset) for width, matrix, offset in pairs]


class NormalisedMap(torch.autograd.Function):
    """A x + b of the normalised x = (O - mean) / deviation, of which O alone is kept for the backward pass.

    The normalisation is folded into A and b: it costs no pass over the feature map, forward or backward. In bfloat16
    that is exact to 0.4 % of mean / deviation, not of x.

    Args:
        out: O, (N, C, H, W); fastest in channels_last.
        matrix: A, (C', C).
        offset: b, (C',).
        running_mean, running_var: As of batch norm, (C,); updated in training.
        training: Whether O is normalised with its own statistics or with the running ones.
        momentum, eps: As of batch norm.
    """

    @staticmethod
    def forward(
        ctx: Any,
        out: Tensor,
        matrix: Tensor,
        offset: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        mean, variance = running_mean, running_var
        if training:
            mean, variance = torch.batch_norm_update_stats(out, running_mean, running_var, momentum)
        exact = torch.promote_types(matrix.dtype, torch.float32)
        mean, inverse = mean.to(exact), (variance.to(exact) + eps).rsqrt_()
        folded = matrix * inverse
        ctx.save_for_backward(out, folded, mean, inverse)
        ctx.training, ctx.dtype = training, matrix.dtype
        return conv1x1(out, folded, torch.addmv(offset.to(exact), folded, mean, alpha=-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        out, folded, mean, inverse = ctx.saved_tensors
        gradient = upstream[0].to(out.dtype)
        total = channel_sums(gradient)
        # Of the folded matrix, less the mean's part, unfolded.
        slope = conv1x1_weight_gradient(gradient, out).to(mean)
        slope = slope.addr_(total, mean, alpha=-1).mul_(inverse)
        grad_out = None
        if ctx.needs_input_grad[0] and ctx.training:
            # Through the statistics: of what arrives at x, the mean and the part along x are taken off.
            count = out.numel() // out.shape[1]
            along = (folded * slope).sum(0).mul_(inverse).div_(-count)
            constant = torch.addmv(along * mean, folded.t(), total, beta=-1, alpha=-1 / count)
            grad_out = add_scaled(conv1x1(gradient, folded.t(), constant), out, along)
        elif ctx.needs_input_grad[0]:
            grad_out = conv1x1(gradient, folded.t(), None)
        return grad_out, slope.to(ctx.dtype), total.to(ctx.dtype), None, None, None, None, None


def conv1x1(x: Tensor, matrix: Tensor, offset: Tensor | None) -> Tensor:
    """`matrix` applied to the channels of every position, plus `offset`, in the precision of x."""
    return F.conv2d(x, matrix[:, :, None, None].to(x.dtype), None if offset is None else offset.to(x.dtype))


def conv1x1_weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient of `conv1x1` to its matrix: (channels of the gradient, channels of x)."""
    one, none = (1, 1), (0, 0)
    kernel = gradient.new_empty(gradient.shape[1], x.shape[1], 1, 1)  # its shape is looked at, no more
    _, slope, _ = torch.ops.aten.convolution_backward(
        gradient, x, kernel, None, one, none, one, False, none, 1, (False, True, False)
    )
    return slope[:, :, 0, 0]


def lines(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N H, W C), a view if x is in channels_last.

    Rows of a few channels are too short for torch's vectorised loops: sums and products would take several times as
    long.
    """
    return x.permute(0, 2, 3, 1).reshape(x.shape[0] * x.shape[2], -1)


def channel_sums(x: Tensor) -> Tensor:
    """The sums over all but the channels, (C,), in single precision at least."""
    return lines(x).sum(0, dtype=torch.promote_types(x.dtype, torch.float32)).view(-1, x.shape[1]).sum(0)


def add_scaled(x: Tensor, y: Tensor, factors: Tensor) -> Tensor:
    """x + factors * y, of two feature maps and a number for each channel; x may be overwritten."""
    batch, channels, height, width = x.shape
    total = lines(x).addcmul_(lines(y), factors.to(x.dtype).repeat(width))
    return total.view(batch, height, width, channels).permute(0, 3, 1, 2)
