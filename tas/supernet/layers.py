"""Searchable layers: each takes and returns a feature map, and computes the channels that are drawn, no others."""

from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.cutting.cut import set_features
from tas.supernet.choice import Choice
from tas.supernet.features import Features
from tas.supernet.norms import mixing_matrix
from tas.supernet.searchable import Searchable, first, holding


@dataclass(frozen=True)
class Slice:
    """Of a layer's weight, what is computed with."""

    reads: Features
    """Where its input features come from."""
    choice: Choice | None
    """The width of its output; None if that is fixed."""
    mixes: bool
    """Whether the layer mixes the candidates itself."""


class SearchableLayer(Searchable):
    """A convolution or linear layer that reads the features that are there and writes the channels that are drawn.

    Where a batch norm follows that every candidate has for itself, the output is O[:, :max C], and `CandidateNorm`
    mixes the candidates. Without one in between, the mixture sum_j w_j CWI(O[:, :C_j], max C) is a linear map of the
    weights, and is made here.
    """

    tas_slice: Slice
    # The layer's own:
    weight: Tensor
    bias: Tensor | None

    @classmethod
    def on(cls, module: nn.Module, reads: Features, choice: Choice | None, mixes: bool) -> Self:  # type: ignore[override]
        """Make a convolution or linear layer searchable. Arguments as in `Slice`."""
        layer = super().on(module)
        vars(layer)["tas_slice"] = Slice(reads, choice, mixes)  # the supernet owns the choice
        return layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """(N, features, H, W) to (N, channels computed, H', W'), or for a linear layer (N, ..., features)."""
        part, x = self.tas_slice, first(args, kwargs)
        choice, weight, bias = part.choice, self.weight, self.bias
        if choice is not None:
            width = choice.present() if part.mixes else choice.computed()
            weight, bias = weight[:width], None if bias is None else bias[:width]
        weight = part.reads.take(weight, 1, x.shape[1 if isinstance(self, nn.Conv2d) else -1])
        if choice is not None and part.mixes and len(choice.indices) > 1:
            mixture = mixing_matrix(choice)
            weight = torch.tensordot(mixture, weight, 1)
            bias = None if bias is None else mixture @ bias
        # Whoever asks for its channels is told those that a smaller network has.
        counts = ("out_channels", "in_channels") if isinstance(self, nn.Conv2d) else ("out_features", "in_features")
        vars(self).update(zip(counts, weight.shape))
        if self.runs_as(nn.Conv2d):
            return nn.Conv2d._conv_forward(self, x, weight, bias)  # type: ignore[arg-type]
        if self.runs_as(nn.Linear):
            return F.linear(x, weight, bias)
        # A class derived from them may do more than they do; its own forward runs.
        with holding(self, {"weight": weight} if bias is None else {"weight": weight, "bias": bias}):
            return self.own_forward(*args, **kwargs)


@dataclass(frozen=True)
class Dimension:
    """The features that a module treats, each by itself."""

    features: Features
    """Where they come from."""
    dim: int
    """The dimension of its input that has them."""


class ChannelwiseModule(Searchable):
    """A module that treats every channel by itself, such as a depthwise convolution or a norm, on those that are there.

    The module's own forward runs, with the first entries of its parameters and buffers.
    """

    tas_treated: Dimension

    @classmethod
    def on(cls, module: nn.Module, features: Features, dim: int) -> Self:  # type: ignore[override]
        """Make a module take the features that are there. Arguments as in `Dimension`."""
        made = super().on(module)
        vars(made)["tas_treated"] = Dimension(features, dim)
        return made

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Any number of channels up to the full one, to as many, or to a fixed multiple."""
        features = self.tas_treated.features
        count = first(args, kwargs).shape[self.tas_treated.dim]
        set_features(self, count)
        state = dict([*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)])
        taken = {name: features.take(tensor, 0, count) for name, tensor in state.items() if tensor.dim()}
        with holding(self, taken):
            result = self.own_forward(*args, **kwargs)
        if self.training and len(features.parts) > 1 and count < features.full:
            # Concatenated running statistics are a copy, which the module has updated; a prefix is a view.
            for name, buffer in self.named_buffers(recurse=False):
                if name in taken:
                    features.put(buffer, taken[name])
        return result


class SlicedParameter(nn.Module):
    """A parametrisation: of a bare parameter with a number for each channel, those of the channels that are there."""

    def __init__(self, features: Features, dim: int) -> None:
        super().__init__()
        self.features = features
        self.dim = dim

    def forward(self, parameter: Tensor) -> Tensor:
        return self.features.take(parameter, self.dim, self.features.drawn())
