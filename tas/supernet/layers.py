"""Searchable layers: each takes and returns a feature map, and computes the channels that are drawn, no others."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.supernet.choice import Choice
from tas.supernet.interpolation import interpolate_channels, interpolation_matrix


class SearchableConv2d(nn.Module):
    """A convolution whose width is searched, with a batch norm of its own for every candidate (eq. 4).

    Its output is sum_j w_j CWI(BN_j(O[:, :C_j]), max C) over the drawn candidates j, O being the convolution's output.
    All candidates normalise the same O with the same batch statistics, so the sum is one linear map A x + b of the
    normalised O: A = sum_j w_j M_j diag(scale_j), b = sum_j w_j M_j shift_j, M_j the matrix of CWI. Hence one buffer of
    running statistics serves them all.

    Args:
        conv: The convolution; its parameters are taken over.
        norm: The batch norm that follows it, whose place this layer takes too; None if none does.
        choice: The width.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, choice: Choice) -> None:
        super().__init__()
        self.conv = conv
        self.choice = choice
        self.norm = None if norm is None else CandidateNorm(norm, choice)

    def forward(self, x: Tensor) -> Tensor:
        """(N, any number up to the full input channels, H, W) to (N, widest drawn candidate, H', W')."""
        conv, width = self.conv, self.choice.drawn()[-1]
        weight = conv.weight[:width, : x.shape[1]]
        bias = None if conv.bias is None else conv.bias[:width]
        if self.norm is None and len(self.choice.indices) > 1:
            # Without a norm in between, the mixture is a linear map of the kernel.
            mixture = candidate_maps(self.choice, width).sum(0)
            weight = torch.einsum("om,mikl->oikl", mixture, weight)
            bias = None if bias is None else mixture @ bias
        out = F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
        return out if self.norm is None else self.norm(out)


class CandidateNorm(nn.BatchNorm2d):
    """The batch norms of all candidates of a width, and their interpolated mixture.

    Args:
        norm: The norm of the unpruned network; every candidate starts from its scales and shifts.
        choice: The width.
    """

    def __init__(self, norm: nn.BatchNorm2d, choice: Choice) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.load_state_dict(dict(norm.named_buffers()))
        rows = len(choice.candidates)
        self.scales = nn.Parameter(norm.weight.detach().repeat(rows, 1))
        self.shifts = nn.Parameter(norm.bias.detach().repeat(rows, 1))
        self.choice = choice

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, C being the widest drawn candidate."""
        width, choice = x.shape[1], self.choice
        momentum = self.momentum
        assert self.running_mean is not None and self.running_var is not None  # they are: this norm tracks
        if self.training:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            if momentum is None:  # a cumulative average, as `torch.optim.swa_utils.update_bn` asks for
                momentum = 1 / float(self.num_batches_tracked)
        mean, variance = self.running_mean[:width], self.running_var[:width]
        if len(choice.indices) == 1:
            row = choice.indices[0]
            scale, shift = self.scales[row, :width], self.shifts[row, :width]
            return F.batch_norm(x, mean, variance, scale, shift, self.training, momentum or 0.0, self.eps)
        x = F.batch_norm(x, mean, variance, None, None, self.training, momentum or 0.0, self.eps)
        rows = list(choice.indices)
        maps = candidate_maps(choice, width)
        mixture = (maps * self.scales[rows, None, :width]).sum(0)
        shift = (maps @ self.shifts[rows, :width, None]).sum(0)[:, 0]
        return F.conv2d(x, mixture[:, :, None, None].to(x.dtype), shift.to(x.dtype))


def candidate_maps(choice: Choice, width: int) -> Tensor:
    """w_j M_j of the drawn candidates j, M_j the matrix of CWI from C_j channels to `width`, the widest drawn.

    Returns:
        (candidates drawn, width, width); the columns beyond C_j are zero.
    """
    like = choice.weights
    padded = [
        F.pad(interpolation_matrix(channels, width, like.device, like.dtype), (0, width - channels))
        for channels in choice.drawn()
    ]
    return like[:, None, None] * torch.stack(padded)


class SlicedLinear(nn.Module):
    """A linear layer that reads as many features as it is given, from the first."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """(N, any number up to the full features) to (N, out_features)."""
        return F.linear(x, self.linear.weight[:, : x.shape[1]], self.linear.bias)


class PaddedAdd(nn.Module):
    """A sum in which the narrower side is filled up with zero channels."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        missing = branch.shape[1] - shortcut.shape[1]
        if missing > 0:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, missing))
        elif missing < 0:
            branch = F.pad(branch, (0, 0, 0, 0, 0, -missing))
        return branch + shortcut


class SearchableStage(nn.Module):
    """A chain of blocks whose number is searched (eq. 5).

    Its output is sum_l q_l CWI(O_l, C) over the drawn depths l, O_l the output of block l, C the widest of them.

    Args:
        blocks: The blocks of the stage, searchable inside.
        choice: The depth.
    """

    def __init__(self, blocks: nn.Sequential, choice: Choice) -> None:
        super().__init__()
        self.blocks = blocks
        self.choice = choice

    def forward(self, x: Tensor) -> Tensor:
        depths = self.choice.drawn()
        ends = []
        for depth, block in enumerate(list(self.blocks)[: depths[-1]], start=1):
            x = block(x)
            if depth in depths:
                ends.append(x)
        if len(ends) == 1:
            return x
        width = max(end.shape[1] for end in ends)
        mixed = [weight * interpolate_channels(end, width) for weight, end in zip(self.choice.weights, ends)]
        return torch.stack(mixed).sum(0)
