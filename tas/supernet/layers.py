"""Searchable layers: each takes and returns a feature map, and computes the channels that are drawn, no others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.cutting.cut import set_features
from tas.supernet.choice import Choice
from tas.supernet.depthwise import convolve_padded, reaches_across
from tas.supernet.features import Features
from tas.supernet.masked import Vector
from tas.supernet.masked_maps import Map
from tas.supernet.norms import CandidateNorm, mixing_matrix, normalise_side_by_side
from tas.supernet.pointwise import can_fold, multiplies, multiply
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
    norm: CandidateNorm | None = None
    """What it feeds, if that is the norm of candidates."""


class SearchableLayer(Searchable):
    """A convolution or linear layer that reads the features that are there and writes the channels that are drawn.

    Where a batch norm follows that every candidate has for itself, the output is O[:, :max C], and `CandidateNorm`
    mixes the candidates. Without one in between, the mixture sum_j w_j CWI(O[:, :C_j], max C) is a linear map of the
    weights, and is made here.
    """

    tas_slice: Slice
    tas_vectors: dict[str, Vector]
    """"there": of each channel its part in the mixture, where what is drawn are vectors and no norm has them."""
    tas_map: Map | None
    """The mixture, where candidates are interpolated at full width and no norm mixes them."""
    # The layer's own:
    weight: Tensor
    bias: Tensor | None

    @classmethod
    def on(cls, module: nn.Module, part: Slice) -> Self:  # type: ignore[override]
        """Make a convolution or linear layer searchable."""
        layer = super().on(module)
        vars(layer)["tas_slice"] = part  # the supernet owns the choice
        if part.norm is not None and isinstance(layer, nn.Conv2d):
            part.norm.foldable = layer.runs_as(nn.Conv2d) and can_fold(layer) and part.norm.choice.align != "pad"
        layer.tas_vectors, layer.tas_map = {}, None
        return layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """(N, features, H, W) to (N, channels computed, H', W'), or for a linear layer (N, ..., features)."""
        part, x = self.tas_slice, first(args, kwargs)
        choice, weight, bias = part.choice, self.weight, self.bias
        mixture: Tensor | None = None
        if choice is not None and choice.masked:
            if not part.mixes:
                return self.own_forward(*args, **kwargs)
            mixture = None if self.tas_map is None else self.tas_map.matrix
            if mixture is None:
                there = self.tas_vectors["there"].value
                assert there is not None
                if len(there) > len(weight):
                    return side_by_side(self.own_forward(*args, **kwargs), there, torch.mul)
                weight = weight * there.view(-1, *[1] * (weight.dim() - 1))
                bias = None if bias is None else bias * there
        elif choice is not None:
            width = choice.present() if part.mixes else choice.computed()
            if width < len(weight):  # a slice of all would be copied in the backward pass
                weight, bias = weight[:width], None if bias is None else bias[:width]
            if part.mixes and len(choice.indices) > 1:
                mixture = mixing_matrix(choice)
        weight = part.reads.take(weight, 1, x.shape[1 if isinstance(self, nn.Conv2d) else -1])
        if mixture is not None:
            weight = torch.tensordot(mixture, weight, 1)
            bias = None if bias is None else mixture @ bias
        self.say_counts(weight)
        if part.norm is not None and part.norm.folds:
            return part.norm.behind(self, x, weight)  # type: ignore[arg-type]
        if self.runs_as(nn.Conv2d):
            if multiplies(self, x):  # type: ignore[arg-type]
                return multiply(x, weight, bias)
            return nn.Conv2d._conv_forward(self, x, weight, bias)  # type: ignore[arg-type]
        if self.runs_as(nn.Linear):
            return F.linear(x, weight, bias)
        # A class derived from them may do more than they do; its own forward runs.
        with holding(self, {"weight": weight} if bias is None else {"weight": weight, "bias": bias}):
            return self.own_forward(*args, **kwargs)

    def say_counts(self, weight: Tensor) -> None:
        """Whoever asks for its channels is told those that a network with this weight has."""
        counts = ("out_channels", "in_channels") if isinstance(self, nn.Conv2d) else ("out_features", "in_features")
        vars(self).update(zip(counts, weight.shape))


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
    tas_vectors: dict[str, Vector]
    """Of its parameters, the numbers for the channels that are there, where what is drawn are vectors; else none."""

    @classmethod
    def on(cls, module: nn.Module, features: Features, dim: int) -> Self:  # type: ignore[override]
        """Make a module take the features that are there. Arguments as in `Dimension`."""
        made = super().on(module)
        vars(made)["tas_treated"] = Dimension(features, dim)
        made.tas_vectors = {}
        return made

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Any number of channels up to the full one, to as many, or to a fixed multiple."""
        features = self.tas_treated.features
        if self.tas_vectors:
            return self.masked_forward(*args, **kwargs)
        count = first(args, kwargs).shape[self.tas_treated.dim]
        set_features(self, count)
        state = dict([*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)])
        taken = {name: features.take(tensor, 0, count) for name, tensor in state.items() if tensor.dim()}
        with holding(self, taken):
            result = self.treat(*args, **kwargs)
        if self.training and len(features.parts) > 1 and count < features.full:
            # Concatenated running statistics are a copy, which the module has updated; a prefix is a view.
            for name, buffer in self.named_buffers(recurse=False):
                if name in taken:
                    features.put(buffer, taken[name])
        return result

    def treat(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward, or what is faster and gives the same."""
        x = first(args, kwargs)
        if isinstance(self, nn.Conv2d) and self.runs_as(nn.Conv2d) and reaches_across(self, x):
            return convolve_padded(self, x)
        return self.own_forward(*args, **kwargs)

    def masked_forward(self, *args: Any, **kwargs: Any) -> Any:
        """At full width: channels that are not there stay 0, and leave no statistics."""
        taken: dict[str, Any] = {name: vector.value for name, vector in self.tas_vectors.items()}
        norm = isinstance(self, nn.modules.batchnorm._BatchNorm)
        networks = max(len(taken[name]) // vector.channels for name, vector in self.tas_vectors.items())
        if networks > 1 and norm:
            affine, eps = (taken.get("weight"), taken.get("bias")), float(vars(self)["eps"])
            return normalise_side_by_side(first(args, kwargs), *affine, eps, networks)
        if networks > 1:
            without: dict[str, Any] = {"bias": None}
            with holding(self, without):
                return side_by_side(self.own_forward(*args, **kwargs), taken["bias"], torch.add)
        if self.training and norm:
            taken |= {"running_mean": None, "running_var": None, "num_batches_tracked": None}
        with holding(self, taken):
            return self.own_forward(*args, **kwargs)


def side_by_side(x: Tensor, vector: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """An operation of the features of several networks' images by turns, each network with its own part of a vector.

    Args:
        x: (images x networks, channels, H, W), or of a linear layer (images x networks, ..., features).
        vector: (networks x channels,).
        operation: Of x and of what is broadcast to it.
    """
    dim = 1 if x.dim() == 4 else x.dim() - 1
    networks = len(vector) // x.shape[dim]
    shape = [1, networks, *(x.shape[dim] if place == dim else 1 for place in range(1, x.dim()))]
    return operation(x.view(len(x) // networks, networks, *x.shape[1:]), vector.view(shape)).view(x.shape)


class SlicedParameter(nn.Module):
    """A parametrisation: of a bare parameter with a number for each channel, those of the channels that are there."""

    def __init__(self, features: Features, dim: int) -> None:
        super().__init__()
        self.features = features
        self.dim = dim
        self.tas_vectors: dict[str, Vector] = {}
        """"there": 1 for each feature that is there, where what is drawn are vectors; else none."""

    def forward(self, parameter: Tensor) -> Tensor:
        if self.tas_vectors:
            there = self.tas_vectors["there"].value
            assert there is not None
            return parameter * there.view(-1, *[1] * (parameter.dim() - 1)).transpose(0, self.dim)
        return self.features.take(parameter, self.dim, self.features.drawn())
