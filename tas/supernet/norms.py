"""The batch norms of all candidates of a width, and their mixture (eq. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.supernet.choice import Choice
from tas.supernet.masked import Vector
from tas.supernet.masked_maps import Map
from tas.supernet.mixture import Candidates, NormalisedMap, averaged_channels, mixtures
from tas.supernet.padding import padded_mixtures
from tas.supernet.pointwise import convolve_folded
from tas.supernet.searchable import Searchable, first


class CandidateNorm(Searchable):
    """The batch norms of all candidates of a width, and their aligned mixture (eq. 4).

    Its output is sum_j w_j CWI(BN_j(x[:, :C_j]), max C) over the drawn candidates j. All candidates normalise the same
    x with the same batch statistics, so the sum is one linear map A x + b of the normalised x: A = sum_j w_j M_j
    diag(scale_j), b = sum_j w_j M_j shift_j, M_j the matrix of CWI. Hence one buffer of running statistics serves all.
    With padding in the place of CWI, A is diagonal.
    """

    choice: Choice
    scales: nn.Parameter
    """One after another, of each candidate as many as it has channels."""
    shifts: nn.Parameter
    # The norm's own:
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: Any  # float | None, which nn.Module does not allow for
    eps: float
    num_features: int
    mixture: "Mixture | None"
    tas_vectors: dict[str, Vector]
    """Scales and shifts at full width, where what is drawn are vectors; else none."""
    tas_map: Map | None
    """At full width the mixture, where candidates are interpolated."""
    foldable: bool
    """Whether a 1x1 convolution is in front, from fewer channels to more, and candidates are interpolated."""
    folded: bool
    """Whether the convolution in front has already done in this forward pass what there is to do."""
    transient = ("mixture",)

    @classmethod
    def on(cls, module: nn.Module, choice: Choice) -> Self:  # type: ignore[override]
        """Make a norm that of all candidates.

        Args:
            module: A batch norm; every candidate starts from its scales and shifts. Children that it has, such as
                timm's activation, come after normalising.
            choice: The width.
        """
        full = module._parameters.pop("weight"), module._parameters.pop("bias")
        norm = super().on(module)
        choice.used_by(norm)
        norm.scales, norm.shifts = (nn.Parameter(for_all(own, choice)) for own in full if own is not None)
        norm.mixture = None
        norm.foldable = norm.folded = False
        norm.tas_vectors, norm.tas_map = {}, None
        return norm

    @property
    def weight(self) -> Tensor:
        """The scales of the widest candidate that is drawn."""
        return self.scale_and_shift(self.choice.indices[-1])[0]

    @property
    def bias(self) -> Tensor:
        """The shifts of the widest candidate that is drawn."""
        return self.scale_and_shift(self.choice.indices[-1])[1]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(N, channels computed, H, W) or (N, channels computed) to the same with the channels of the mixture."""
        out = self.normalise(first(args, kwargs))
        for after in self.children():
            out = after(out)
        return out

    def normalise(self, x: Tensor) -> Tensor:
        """The mixture."""
        if self.folded:
            self.folded = False
            return x
        width, choice = x.shape[1], self.choice
        if choice.masked:
            if self.tas_map is not None and self.tas_map.matrix is not None:
                return self.mapped(x, self.tas_map)
            scale, shift = (self.tas_vectors[name].value for name in ("scales", "shifts"))
            assert scale is not None and shift is not None and self.momentum is not None
            if len(scale) > width:
                return normalise_side_by_side(x, scale, shift, self.eps, len(scale) // width)
            state = (self.running_mean, self.running_var, scale, shift)
            return F.batch_norm(x, *state, self.training, self.momentum, self.eps)
        momentum = self.count()
        mean, variance = self.running_mean[:width], self.running_var[:width]
        if len(choice.indices) == 1:
            scale, shift = map(at_vector, self.scale_and_shift(choice.indices[0]))
            return F.batch_norm(x, mean, variance, scale, shift, self.training, momentum, self.eps)
        matrix, offset = self.mixture_of_drawn()
        if choice.align == "pad":
            scale, shift = at_vector(matrix), at_vector(offset)
            return F.batch_norm(x, mean, variance, scale, shift, self.training, momentum, self.eps)
        if self.training and x.numel() == width:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        maps = x if x.dim() == 4 else x[:, :, None, None]
        with torch.autocast(x.device.type, enabled=False):  # it works in the precision in which x comes
            out = NormalisedMap.apply(maps, matrix, offset, mean, variance, self.training, momentum, self.eps)
        return out if x.dim() == 4 else out[:, :, 0, 0]

    def mapped(self, x: Tensor, own: Map) -> Tensor:
        """The same where candidates are interpolated at full width."""
        assert own.matrix is not None and self.momentum is not None
        state = self.running_mean, self.running_var, None, None
        normalised = F.batch_norm(x, *state, self.training, self.momentum, self.eps)
        if x.dim() == 2:
            return F.linear(normalised, own.matrix, own.offset)
        return F.conv2d(normalised, own.matrix[:, :, None, None], own.offset)

    def count(self) -> float:
        """Count a batch, in training; the momentum by which the running statistics go after it."""
        if self.training:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a cumulative average, as `torch.optim.swa_utils.update_bn` asks for
                return 1 / float(self.num_batches_tracked)
        return self.momentum or 0.0

    @property
    def folds(self) -> bool:
        """Whether what is drawn now is folded into the convolution in front."""
        return self.foldable and len(self.choice.indices) > 1 and not self.choice.masked

    def behind(self, convolution: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
        """What a 1x1 convolution, this norm and the mixture make of its input: one 1x1 convolution.

        Mean and variance of the convolution's output W x follow from its input's: W m and diag(W S W^T). So its output,
        which has more channels than its input, is never made, nor mixed: A's rows are sums of rows of W.

        Args:
            convolution: It, without a bias.
            x: (N, C, H, W).
            weight: W, (channels computed, C, 1, 1).

        Returns:
            (N, widest drawn, H', W').
        """
        choice = self.choice
        x = x[:, :, :: convolution.stride[0], :: convolution.stride[1]]
        if self.training and x.numel() == x.shape[1]:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        momentum = self.count()
        factors, offset = self.mixture_of_drawn()
        channels = averaged_channels(choice.candidates, choice.indices, x.device)
        running = self.running_mean, self.running_var
        made = convolve_folded(
            x, weight[: choice.drawn()[-1]], factors, channels, offset, running, self.training, momentum, self.eps
        )
        self.folded = True
        return made

    def mixture_of_drawn(self) -> tuple[Tensor, Tensor]:
        """A (with padding its diagonal) and b of what is drawn now: made for the pass with all others', or here."""
        if self.mixture is None or self.mixture.weights is not self.choice.weights:
            return next(iter(aligned_mixtures([self]).values()))
        return self.mixture.matrix, self.mixture.offset

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


@dataclass(frozen=True)
class Mixture:
    """What a norm needs for one forward pass and its backward pass."""

    weights: Tensor
    """Of the candidates for which it was made."""
    matrix: Tensor
    """A, with padding its diagonal, or the summands of its rows where it is folded."""
    offset: Tensor
    """b."""


def prepare(norms: Sequence[CandidateNorm]) -> None:
    """Make the mixtures of several norms, all of one alignment, for the next forward pass: at once, which is faster."""
    for norm in norms:
        norm.mixture = None
    mixing = [norm for norm in norms if len(norm.choice.indices) > 1]
    for norm, mixture in aligned_mixtures(mixing).items():
        norm.mixture = Mixture(norm.choice.weights, *mixture)


def normalise_side_by_side(x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float, networks: int) -> Tensor:
    """Batch norm of several networks' images by turns, of each by its own statistics: they are channels of one norm.

    Args:
        x: (images x networks, channels, ...), contiguous.
        scale, shift: Of the first network, then of the second, ...: (networks x channels,).
        eps: As of batch norm.
        networks: How many.
    """
    parts = x.reshape(len(x) // networks, networks * x.shape[1], *x.shape[2:])
    return F.batch_norm(parts, None, None, scale, shift, True, 0.0, eps).view(x.shape)


def for_all(full: Tensor, choice: Choice) -> Tensor:
    """Of a number for each channel, those of every candidate's first channels, one candidate after another."""
    return torch.cat([full.detach()[:count] for count in choice.candidates])


def at_vector(part: Tensor) -> Tensor:
    """A part of a tensor at an address from which a GPU's batch norm reads 16 bytes at a time; it fails at others."""
    return part if part.data_ptr() % 16 == 0 else part.clone()


def aligned_mixtures(norms: Sequence[CandidateNorm]) -> dict[CandidateNorm, tuple[Tensor, Tensor]]:
    """What each of several norms, all of one alignment, needs for its next forward pass: A and b, or A's diagonal."""
    if norms and norms[0].choice.align == "pad":
        return dict(zip(norms, padded_mixtures([norm.drawn() for norm in norms]), strict=True))
    made: dict[CandidateNorm, tuple[Tensor, Tensor]] = {}
    for folded in (False, True):
        own = [norm for norm in norms if norm.folds is folded]
        made |= zip(own, mixtures([norm.drawn() for norm in own], dense=not folded), strict=True)
    return made


def mixing_matrix(choice: Choice) -> Tensor:
    """sum_j w_j M_j of the drawn candidates j, M_j the matrix that aligns: (channels of the mixture, the same)."""
    ones = torch.ones(sum(choice.candidates)).to(choice.weights)
    candidates = Candidates(choice.candidates, choice.indices, choice.present(), choice.weights, ones, ones)
    if choice.align == "pad":
        return padded_mixtures([candidates])[0][0].diag()
    return mixtures([candidates])[0][0]
