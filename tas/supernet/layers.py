"""Searchable layers: each takes and returns a feature map, and computes the channels that are drawn, no others.

Those that stand for a module of torch name their input as it does: a forward pass may give it by name.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.cutting.cut import set_features
from tas.supernet.choice import Choice
from tas.supernet.features import Features
from tas.supernet.norms import mixing_matrix


class SearchableLayer(nn.Module):
    """A convolution or linear layer that reads the features that are there and writes the channels that are drawn.

    Where a batch norm follows that every candidate has for itself, the output is O[:, :max C], and `CandidateNorm`
    mixes the candidates. Without one in between, the mixture sum_j w_j CWI(O[:, :C_j], max C) is a linear map of the
    weights, and is made here.

    Args:
        layer: The layer; its parameters are taken over.
        reads: Where its input features come from.
        choice: The width of its output; None if that is fixed.
        mixes: Whether it mixes the candidates itself.
    """

    choice: Choice | None

    def __init__(self, layer: nn.Conv2d | nn.Linear, reads: Features, choice: Choice | None, mixes: bool) -> None:
        super().__init__()
        self.layer = layer
        self.reads = reads
        self.choice = None
        if choice is not None:
            choice.used_by(self)
        self.mixes = mixes

    def forward(self, input: Tensor) -> Tensor:
        """(N, features, H, W) to (N, channels computed, H', W'), or for a linear layer (N, ..., features)."""
        layer, choice = self.layer, self.choice
        is_conv = isinstance(layer, nn.Conv2d)
        weight, bias = layer.weight, layer.bias
        if choice is not None:
            width = choice.present() if self.mixes else choice.computed()
            weight, bias = weight[:width], None if bias is None else bias[:width]
        weight = self.reads.take(weight, 1, input.shape[1] if is_conv else input.shape[-1])
        if choice is not None and self.mixes and len(choice.indices) > 1:
            mixture = mixing_matrix(choice)
            weight = torch.tensordot(mixture, weight, 1)
            bias = None if bias is None else mixture @ bias
        if type(layer) is nn.Conv2d:
            return layer._conv_forward(input, weight, bias)
        if type(layer) is nn.Linear:
            return F.linear(input, weight, bias)
        # A class derived from them may do more than they do; its own forward runs, and may ask for its channels.
        if isinstance(layer, nn.Conv2d):
            layer.out_channels, layer.in_channels = weight.shape[:2]
        else:
            layer.out_features, layer.in_features = weight.shape
        tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, tensors, (input,))


class ChannelwiseModule(nn.Module):
    """A module that treats every channel by itself, such as a depthwise convolution or a norm, on those that are there.

    The module's own forward runs, with the first entries of its parameters and buffers.

    Args:
        module: The module; its class may be the user's own.
        features: Where its input features come from.
        dim: The dimension of its input that has them.
    """

    def __init__(self, module: nn.Module, features: Features, dim: int) -> None:
        super().__init__()
        self.module = module
        self.features = features
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any number of channels up to the full one, to as many, or to a fixed multiple."""
        module, features = self.module, self.features
        count = input.shape[self.dim]
        set_features(module, count)
        state = dict([*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)])
        taken = {name: features.take(tensor, 0, count) for name, tensor in state.items() if tensor.dim()}
        result = torch.func.functional_call(module, taken, (input,))
        if module.training and len(features.parts) > 1 and count < features.full:
            # Concatenated running statistics are a copy, which the module has updated; a prefix is a view.
            for name, buffer in module.named_buffers(recurse=False):
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
