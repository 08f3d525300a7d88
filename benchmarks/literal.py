"""Equations 4 and 5 written out literally, as a reference for speed: no identity is used, nothing is shared."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.supernet import Supernet
from tas.supernet.choice import Choice
from tas.supernet.layers import SearchableConv2d, SearchableStage


def interpolate(x: Tensor, channels: int) -> Tensor:
    """CWI by PyTorch's own operator: (N, C, H, W) to (N, channels, H, W)."""
    return F.adaptive_avg_pool3d(x.unsqueeze(1), (channels, *x.shape[2:])).squeeze(1)


class LiteralConv2d(nn.Module):
    """sum_j w_j CWI(BN_j(O[:, :C_j]), max C), with all channels of O computed and a norm for each candidate."""

    def __init__(self, searchable: SearchableConv2d) -> None:
        super().__init__()
        self.conv = searchable.conv
        self.choice: Choice = searchable.choice
        has_norm = searchable.norm is not None
        kinds = [nn.BatchNorm2d(c) if has_norm else nn.Identity() for c in self.choice.candidates]
        self.norms = nn.ModuleList(kinds)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        out = F.conv2d(x, conv.weight[:, : x.shape[1]], conv.bias, conv.stride, conv.padding)
        width = self.choice.drawn()[-1]
        mixed = [
            weight * interpolate(self.norms[index](out[:, : self.choice.candidates[index]]), width)
            for weight, index in zip(self.choice.weights, self.choice.indices)
        ]
        return torch.stack(mixed).sum(0)


class LiteralStage(nn.Module):
    """sum_l q_l CWI(O_l, C), C the widest of the outputs."""

    def __init__(self, searchable: SearchableStage) -> None:
        super().__init__()
        self.blocks = searchable.blocks
        self.choice: Choice = searchable.choice

    def forward(self, x: Tensor) -> Tensor:
        ends = []
        for depth, block in enumerate(self.blocks, start=1):
            x = block(x)
            if depth in self.choice.candidates:
                ends.append(x)
        width = max(end.shape[1] for end in ends)
        return torch.stack([w * interpolate(end, width) for w, end in zip(self.choice.weights, ends)]).sum(0)


def make_literal(supernet: Supernet) -> Supernet:
    """The same supernet with every searchable layer and stage replaced by its literal form; changed in place."""
    for name, module in list(supernet.network.named_modules()):
        if isinstance(module, SearchableConv2d):
            supernet.replace(name, LiteralConv2d(module))
    for name, module in list(supernet.network.named_modules()):
        if isinstance(module, SearchableStage):
            supernet.replace(name, LiteralStage(module))
    return supernet
