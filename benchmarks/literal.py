"""Equations 4 and 5 written out literally, as a reference for speed: no identity is used, nothing is shared."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.data.loaders import Batch
from tas.search.strategies.gumbel_mixture import GumbelMixture, Learned, descend, sum_of
from tas.search.strategy import Backward, Stepper
from tas.supernet.choice import Choice
from tas.supernet.layers import SearchableLayer
from tas.supernet.norms import CandidateNorm
from tas.supernet.stage import DepthMixture
from tas.supernet.supernet import Supernet


def interpolate(x: Tensor, channels: int) -> Tensor:
    """CWI by PyTorch's own operator: (N, C, H, W) to (N, channels, H, W)."""
    return F.adaptive_avg_pool3d(x.unsqueeze(1), (channels, *x.shape[2:])).squeeze(1)


class LiteralMixtures(GumbelMixture):
    """The two steps with gradients of all parameters in each, in contiguous memory."""

    def weights_step(
        self, batch: Batch, optimizer: Stepper, backward: Backward, tau: float | Tensor, noise: Tensor | None = None
    ) -> Learned:
        """One step of the weights."""
        self.sample(tau, noise)
        loss, logits = self.loss(batch)
        descend(loss, optimizer, backward)
        return Learned(loss.detach(), logits.detach(), batch[1])

    def architecture_step(
        self, batch: Batch, optimizer: Stepper, backward: Backward, tau: float | Tensor, noise: Tensor | None = None
    ) -> Learned:
        """One step of the logits."""
        self.sample(tau, noise)
        loss, logits = self.loss(batch)
        costs = [cost.measured() for cost in self.costs]
        descend(loss + self.options.cost_weight * sum_of(costs).to(loss), optimizer, backward)
        return Learned(loss.detach(), logits.detach(), batch[1], costs)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The cross-entropy of what the supernet computes, and that."""
        images, labels = batch
        logits = self.supernet(images).float()
        return F.cross_entropy(logits, labels), logits


class LiteralConv2d(nn.Module):
    """All channels of a convolution's output O, whatever is drawn."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        return F.conv2d(x, conv.weight[:, : x.shape[1]], conv.bias, conv.stride, conv.padding)


class LiteralMixture(nn.Module):
    """sum_j w_j CWI(BN_j(O[:, :C_j]), max C), with a norm for each candidate, or none."""

    choice: Choice

    def __init__(self, choice: Choice, has_norm: bool) -> None:
        super().__init__()
        choice.used_by(self)
        kinds = [nn.BatchNorm2d(c) if has_norm else nn.Identity() for c in choice.candidates]
        self.norms = nn.ModuleList(kinds)

    def forward(self, x: Tensor) -> Tensor:
        width = self.choice.drawn()[-1]
        mixed = [
            weight * interpolate(self.norms[index](x[:, : self.choice.candidates[index]]), width)
            for weight, index in zip(self.choice.weights, self.choice.indices)
        ]
        return torch.stack(mixed).sum(0)


class LiteralDepths(DepthMixture):
    """sum_l q_l CWI(O_l, C), C the widest of the outputs."""

    def after(self, depth: int, x: Tensor) -> Tensor:
        self.ends[depth] = x
        if depth < self.choice.candidates[-1]:
            return x
        ends = [self.ends[depth] for depth in self.choice.candidates]
        width = max(end.shape[1] for end in ends)
        return torch.stack([w * interpolate(end, width) for w, end in zip(self.choice.weights, ends)]).sum(0)


def make_literal(supernet: Supernet) -> Supernet:
    """The same supernet with every searchable layer and stage in its literal form; changed in place."""
    network = supernet.network

    def replace(name: str, module: nn.Module) -> None:
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, module)

    for name, module in list(network.named_modules()):
        if isinstance(module, SearchableLayer) and isinstance(module, nn.Conv2d):
            literal: nn.Module = LiteralConv2d(module)
            if module.tas_slice.mixes and module.tas_slice.choice is not None:
                literal = nn.Sequential(literal, LiteralMixture(module.tas_slice.choice, has_norm=False))
            replace(name, literal)
        elif isinstance(module, CandidateNorm):
            replace(name, LiteralMixture(module.choice, has_norm=True))
    for stage in supernet.stages.values():
        stage.__class__ = LiteralDepths
    supernet.norms.clear()
    return supernet
