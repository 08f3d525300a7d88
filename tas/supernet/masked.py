"""What is drawn as vectors at full width: every shape stays, and nothing is read back from the device.

A channel that is not drawn has the scale and the shift 0, so that it is 0 behind its norm: whoever reads it reads as
much as there is of it in a narrower network. With padding the mixture of the candidates (eq. 4) is a scale and a shift
for each channel too (`tas.supernet.padding`): scale[c] = sum_j w_j scale_j[c] over the candidates j that have it, w_j =
0 for those that are not drawn. The vectors of all modules are gathered at once; where each of their numbers comes from
never changes.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tas.supernet.choice import Choice
from tas.supernet.features import Features

ALIGNED = 8
"""Numbers: each vector begins at a multiple, from where a GPU reads 16 bytes at a time, in half precision too."""


@dataclass
class Vector:
    """A number for each channel of a module, made of what is drawn."""

    module: nn.Module | None
    """Whose parameter it is made of; None: of ones."""
    parameter: str
    of: Choice | Features
    """A width of whose candidates the parameter has numbers for each, one candidate after another, which are mixed; or
    the features that it has a number for each, of which those that are there keep it."""
    value: Tensor | None = field(default=None, repr=False)
    """(channels,), for the next forward pass; of several networks side by side one after another: (networks x
    channels,)."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to one forward pass."""
        return {**vars(self), "value": None}

    def source(self) -> Tensor | None:
        """The parameter."""
        return None if self.module is None else getattr(self.module, self.parameter)

    @property
    def channels(self) -> int:
        """How many there are at full width; several for each feature where a depthwise convolution makes several."""
        if isinstance(self.of, Choice):
            return self.of.candidates[-1]
        source = self.source()
        return self.of.full if source is None else source.numel()


@dataclass(frozen=True)
class Places:
    """Where the numbers of vectors come from, each a sum over slots, one for a candidate, of a weight times a source.

    Weights stand in a table of a row for each width, as flat; after them what is there of each, likewise, then a 0 and
    a 1. Sources stand one after another, then a 0 and a 1.
    """

    weights: Tensor
    """(slots, numbers) int64."""
    sources: Tensor
    """Likewise."""
    rows: Tensor
    """(numbers, widths): 1 where the number is a mixture of that width's candidates, else 0; of a single network."""
    back: Tensor
    """(networks, numbers of all sources): where each stands in the flat (slots, numbers), once for each network."""

    def to(self, like: Tensor) -> "Places":
        """The same on a tensor's device, for numbers of its type."""
        moved = {name: tensor.to(like.device) for name, tensor in vars(self).items()}
        return replace(self, **moved | {"rows": self.rows.to(like)})


class MaskedVectors:
    """All vectors of a supernet.

    Args:
        vectors: In any order.
        widths: The widths whose draws they are made of, in the order of the rows of `make`'s table.
    """

    def __init__(self, vectors: Sequence[Vector], widths: Sequence[Choice]) -> None:
        self.vectors = tuple(vectors)
        self.widths = tuple(widths)
        self.channels = tuple(vector.channels for vector in vectors)
        self.of_features = any(isinstance(vector.of, Features) for vector in vectors)
        self.places: dict[object, Places] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made when it is needed."""
        return {**vars(self), "places": {}}

    def make(self, weights: Tensor, mixing: bool) -> None:
        """Give every vector its value.

        Args:
            weights: (widths, most candidates): of each candidate in the mixture, 0 where it is not drawn. Of several
                networks side by side: (networks, widths, most candidates), which get no gradient.
            mixing: Whether several candidates are drawn, so that some more channels are there (`Choice.computed`).
        """
        if not self.vectors:
            return
        networks = len(weights) if weights.dim() == 3 else 1
        key = (mixing, networks, weights.device, weights.dtype)
        if key not in self.places:
            self.places[key] = places_of(self.vectors, self.widths, mixing, networks).to(weights)
        sources = [source for vector in self.vectors if (source := vector.source()) is not None]
        there = up_to_the_widest(weights.detach()) if self.of_features else weights.detach()
        channels = tuple(networks * count for count in self.channels)
        values = Gathered.apply(self.places[key], channels, weights, there, *sources)
        for vector, value in zip(self.vectors, values, strict=True):
            vector.value = value


def up_to_the_widest(weights: Tensor) -> Tensor:
    """1 for each candidate that is no wider than the widest that is drawn, else 0: (..., widths, candidates)."""
    most = weights.shape[-1]
    lower = torch.ones(most, most, device=weights.device, dtype=weights.dtype).tril_()
    return ((weights > 0).to(weights) @ lower).clamp_(max=1)


def places_of(vectors: Sequence[Vector], widths: Sequence[Choice], mixing: bool, networks: int) -> Places:
    """Where the numbers come from. Arguments as for `MaskedVectors`, and as for `make`."""
    row_of = {id(choice): row for row, choice in enumerate(widths)}
    most = max(len(choice.candidates) for choice in widths)
    cells = len(widths) * most
    nothing = 2 * networks * cells  # the 0 behind both tables
    given = sum(len(source) for vector in vectors if (source := vector.source()) is not None)
    weights, sources, rows, before = [], [], [], 0
    for vector in vectors:
        weight = torch.full((most, vector.channels), nothing)
        source = torch.full((most, vector.channels), given)  # the 0 behind the sources
        row = torch.zeros(vector.channels, len(widths))
        if isinstance(vector.of, Choice):
            own = row_of[id(vector.of)]
            row[:, own] = 1.0
            start = before
            for slot, count in enumerate(vector.of.candidates):
                weight[slot, :count] = own * most + slot
                source[slot, :count] = torch.arange(start, start + count)
                start += count
        else:
            tables = (networks * cells, nothing + 1)
            found = torch.tensor(present(vector.of, row_of, most, tables, mixing))
            weight[0] = found.repeat_interleave(vector.channels // vector.of.full)
            source[0] = torch.arange(before, before + vector.channels)
        if (tensor := vector.source()) is None:
            source = torch.where(weight == nothing, given, given + 1)  # the 1
        else:
            before += tensor.numel()
        # One network's numbers after the other's: each looks a table of its own up.
        further = cells * torch.arange(networks).repeat_interleave(vector.channels)
        weight, source = weight.repeat(1, networks), source.repeat(1, networks)
        weight = torch.where(weight < nothing, weight + further, weight)
        missing = -weight.shape[1] % ALIGNED
        weights.append(F.pad(weight, (0, missing), value=nothing))
        sources.append(F.pad(source, (0, missing), value=given))
        rows.append(F.pad(row, (0, 0, 0, missing)))
    index = torch.cat(sources, 1)
    used = (index < given).flatten().nonzero()[:, 0]
    # Those of a number stand in the networks' order, as a stable sort leaves them.
    order = index.flatten()[used].argsort(stable=True)
    return Places(torch.cat(weights, 1), index, torch.cat(rows), used[order].view(given, networks).t().contiguous())


def present(
    features: Features, row_of: Mapping[int, int], most: int, tables: tuple[int, int], mixing: bool
) -> list[int]:
    """For each feature, where the flat tables say whether it is there.

    Args:
        features: The features.
        row_of: Identity of a width's choice -> its row.
        most: Columns of a table.
        tables: Where the table of what is there begins, and where the 1 stands, for what always is.
        mixing: As for `MaskedVectors.make`.
    """
    found = []
    for part in features.parts:
        if part.choice is None:
            found += [tables[1]] * part.full
            continue
        choice, row = part.choice, tables[0] + row_of[id(part.choice)] * most
        for channel in range(part.full // part.repeat):
            slot = next(slot for slot, count in enumerate(choice.candidates) if choice.rounded(count, mixing) > channel)
            found += [row + slot] * part.repeat
    return found


class Gathered(torch.autograd.Function):
    """The values of all vectors, one buffer's views.

    Args:
        places: Where they come from.
        channels: How many numbers each vector has.
        weights: As for `MaskedVectors.make`.
        there: Likewise: 1 for a candidate no wider than the widest that is drawn, else 0.
        sources: The parameters, in the vectors' order.
    """

    @staticmethod
    def forward(
        ctx: Any, places: Places, channels: tuple[int, ...], weights: Tensor, there: Tensor, *sources: Tensor
    ) -> tuple[Tensor, ...]:
        ends = constant(weights.device, weights.dtype)[-2:]
        table = torch.cat([weights.reshape(-1), there.reshape(-1), ends])[places.weights]
        numbers = torch.cat([*(source.reshape(-1) for source in sources), ends])[places.sources]
        ctx.places = places
        ctx.lengths = [source.shape for source in sources]
        ctx.save_for_backward(table, numbers)
        parts = torch.split((table * numbers).sum(0), [count + -count % ALIGNED for count in channels])
        return tuple(part[:count] for part, count in zip(parts, channels, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        table, numbers = ctx.saved_tensors
        room = constant(table.device, table.dtype)
        parts = [part for own in upstream for part in (own, room[: -len(own) % ALIGNED])]
        gradient = torch.cat(parts)
        grad_weights = None
        if ctx.needs_input_grad[2]:
            grad_weights = ((numbers * gradient) @ ctx.places.rows).t()
        grad_sources: list[Tensor | None] = [None] * len(ctx.lengths)
        if any(ctx.needs_input_grad[4:]):
            flat = (table * gradient).reshape(-1)[ctx.places.back]
            pieces = (flat.sum(0) if len(flat) > 1 else flat[0]).split([shape.numel() for shape in ctx.lengths])
            grad_sources = [piece.view(shape) for piece, shape in zip(pieces, ctx.lengths)]
        return None, None, grad_weights, None, *grad_sources


@functools.lru_cache(maxsize=16)
def constant(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(ALIGNED + 1,): zeros, and a 1 at the end."""
    with torch.inference_mode(False):  # made under it, it could not be used in training later
        return torch.cat([torch.zeros(ALIGNED), torch.ones(1)]).to(device, dtype)
