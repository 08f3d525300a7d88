"""Searchable layers: each takes and returns a feature map, and computes the channels that are drawn, no others.

Those that stand for a module of torch name their input as it does: a forward pass may give it by name.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.cutting import set_features
from tas.supernet.choice import Choice
from tas.supernet.depth_mixture import AlignedSum
from tas.supernet.features import Features
from tas.supernet.mixture import Candidates, NormalisedMap, mixtures
from tas.supernet.padding import padded_mixtures


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

    def __init__(self, layer: nn.Conv2d | nn.Linear, reads: Features, choice: Choice | None, mixes: bool) -> None:
        super().__init__()
        self.layer = layer
        self.reads = reads
        self.choice = choice
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


class CandidateNorm(nn.BatchNorm2d):
    """The batch norms of all candidates of a width, and their aligned mixture (eq. 4).

    Its output is sum_j w_j CWI(BN_j(x[:, :C_j]), max C) over the drawn candidates j. All candidates normalise the same
    x with the same batch statistics, so the sum is one linear map A x + b of the normalised x: A = sum_j w_j M_j
    diag(scale_j), b = sum_j w_j M_j shift_j, M_j the matrix of CWI. Hence one buffer of running statistics serves all.
    With padding in the place of CWI, A is diagonal.

    Args:
        norm: The norm of the unpruned network; every candidate starts from its scales and shifts.
        choice: The width.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm, choice: Choice) -> None:
        like = norm.weight
        super().__init__(norm.num_features, norm.eps, norm.momentum, False, True, like.device, like.dtype)
        self.load_state_dict({name: buffer for name, buffer in norm.named_buffers() if "." not in name})
        self.choice = choice
        # One after another, of each candidate as many as it has channels.
        self.scales = nn.Parameter(self.for_all(norm.weight))
        self.shifts = nn.Parameter(self.for_all(norm.bias))
        self.mixture: tuple[Tensor, Tensor] | None = None
        """A (with padding its diagonal) and b for the next forward pass; None: it makes them itself."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels computed, H, W) or (N, channels computed) to the same with the channels of the mixture."""
        x = input
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
            scale, shift = self.scale_and_shift(choice.indices[0])
            return F.batch_norm(x, mean, variance, scale, shift, self.training, momentum or 0.0, self.eps)
        # Used up at once: made for the candidates that are drawn now, and for a single backward pass.
        (matrix, offset), self.mixture = self.mixture or aligned_mixtures([self])[0], None
        if choice.align == "pad":
            return F.batch_norm(x, mean, variance, matrix, offset, self.training, momentum or 0.0, self.eps)
        if self.training and x.numel() == width:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        maps = x if x.dim() == 4 else x[:, :, None, None]
        with torch.autocast(x.device.type, enabled=False):  # it works in the precision in which x comes
            out = NormalisedMap.apply(maps, matrix, offset, mean, variance, self.training, momentum or 0.0, self.eps)
        return out if x.dim() == 4 else out[:, :, 0, 0]

    def for_all(self, full: Tensor) -> Tensor:
        """Of a number for each channel, those of every candidate's first channels, one candidate after another."""
        return torch.cat([full.detach()[:count] for count in self.choice.candidates])

    def start_from(self, scale: Tensor, shift: Tensor) -> None:
        """Give every candidate these scales and shifts, (features,)."""
        self.scales.copy_(self.for_all(scale))
        self.shifts.copy_(self.for_all(shift))

    def drawn(self) -> Candidates:
        """What is drawn at present."""
        choice = self.choice
        return Candidates(
            choice.candidates, choice.indices, choice.computed(), choice.weights, self.scales, self.shifts
        )

    def scale_and_shift(self, index: int) -> tuple[Tensor, Tensor]:
        """The scales and the shifts of the candidate of that index."""
        candidates = self.choice.candidates
        start = sum(candidates[:index])
        return self.scales[start : start + candidates[index]], self.shifts[start : start + candidates[index]]

    def tensors(self, candidate: int) -> dict[str, Tensor]:
        """The state of a candidate's norm under the names of a batch norm; scales beyond its width are 1, shifts 0."""
        scale, shift = self.scale_and_shift(self.choice.candidates.index(candidate))
        missing = (0, self.num_features - candidate)
        affine = {"weight": F.pad(scale, missing, value=1.0), "bias": F.pad(shift, missing)}
        return affine | dict(self.named_buffers(recurse=False))


def aligned_mixtures(norms: Sequence[CandidateNorm]) -> list[tuple[Tensor, Tensor]]:
    """What each of several norms, all of one alignment, needs for its next forward pass: A and b, or A's diagonal."""
    make = padded_mixtures if norms and norms[0].choice.align == "pad" else mixtures
    return make([norm.drawn() for norm in norms])


def mixing_matrix(choice: Choice) -> Tensor:
    """sum_j w_j M_j of the drawn candidates j, M_j the matrix that aligns: (channels of the mixture, the same)."""
    ones = torch.ones(sum(choice.candidates)).to(choice.weights)
    candidates = Candidates(choice.candidates, choice.indices, choice.present(), choice.weights, ones, ones)
    if choice.align == "pad":
        return padded_mixtures([candidates])[0][0].diag()
    return mixtures([candidates])[0][0]


class Channelwise(nn.Module):
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


class PaddedAdd(nn.Module):
    """A sum in which the narrower side is filled up with zero channels."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        missing = branch.shape[1] - shortcut.shape[1]
        if missing == 0:
            return branch + shortcut
        wide, narrow = (branch, shortcut) if missing > 0 else (shortcut, branch)
        return F.pad(narrow, (0, 0, 0, 0, 0, abs(missing))).add_(wide)


class SearchableStage(nn.Module):
    """A chain of blocks whose number is searched (eq. 5).

    Its output is sum_l q_l CWI(O_l, C) over the drawn depths l, O_l the output of block l, C the widest of them; with
    padding, zero channels are added in the place of CWI.

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
        with torch.autocast(x.device.type, enabled=False):  # it mixes in the precision in which the outputs come
            return AlignedSum.apply(self.choice.align, self.choice.weights, *ends)
