"""Interpolated mixtures at full width: a matrix for each module, made of what is drawn without a look at it.

Behind CWI a channel has no place of its own, so that no vector can say what is drawn, as with padding
(`tas.supernet.masked`). Where K channels come out, channel i of a mixture is a weighted sum, over the maps that are
mixed, of the mean of channels floor(i C / K) and ceil((i + 1) C / K) - 1 of the C that a map has. C and K are numbers
on the device here; rows of channels that do not come out are 0. The matrices of all modules are made at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tas.supernet.choice import Choice

ChannelCount = int | tuple[Choice, ...]
"""A number of channels, or as many as the widest that is drawn of these widths has."""


class Affine(Protocol):
    """A norm with scales and shifts of all candidates, one candidate after another."""

    @property
    def scales(self) -> Tensor: ...
    @property
    def shifts(self) -> Tensor: ...


@dataclass(frozen=True)
class MixedMap:
    """One of the maps of a mixture."""

    channels: ChannelCount
    choice: Choice | None = None
    """The width of whose candidates it is one, with that one's weight; None: its weight is 1."""
    candidate: int = 0
    """Which: the index."""


@dataclass
class Map:
    """A mixture as a linear map of the channels of a module."""

    mixed: tuple[MixedMap, ...]
    channels: int
    """Those of each map, and of the mixture, at full width."""
    wide: tuple[Choice, ...]
    """The widths that tell how many come out: as many as the widest that is drawn has."""
    norm: Affine | None = None
    """Whose scales are factors, and whose shifts are mixed likewise."""
    apart: bool = False
    """Whether each of the maps has columns of its own; else they are the first channels of one."""
    matrix: Tensor | None = field(default=None, repr=False)
    """(channels, channels), or (channels, maps x channels) where they are apart; for the next forward pass."""
    offset: Tensor | None = field(default=None, repr=False)
    """(channels,): the mixed shifts."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to one forward pass."""
        return {**vars(self), "matrix": None, "offset": None}

    @property
    def columns(self) -> int:
        """Those of the matrix."""
        return self.channels * (len(self.mixed) if self.apart else 1)


@dataclass(frozen=True)
class Summands:
    """What the matrices are sums of: two numbers for each row and map, (summands,) int64, and what they refer to."""

    row: Tensor
    """i."""
    factor: Tensor
    """i for the first channel that is averaged, i + 1 for the last: of C."""
    last: Tensor
    """0 for the first, 1 for the last."""
    place: Tensor
    """Where in the flat matrices the row's first column of this map stands."""
    offset: Tensor
    """Where the row's offset stands behind them."""
    inner: Tensor
    """Where C stands among the numbers of channels."""
    outer: Tensor
    """Where K stands."""
    weight: Tensor
    """Where in the flat table of weights; behind that is a 1."""
    source: Tensor
    """Where among the scales that of the map's first channel stands."""
    groups: Tensor
    """(groups, most) rows of the table, of which the widest that is drawn counts; a row may stand there twice."""
    numbers: Tensor
    """Numbers of channels that depend on nothing, behind those of the groups."""
    candidates: Tensor
    """(widths, most candidates): the numbers to choose from."""

    def to(self, device: torch.device) -> "Summands":
        """The same on a device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in vars(self).items()})


class MaskedMaps:
    """All maps of a supernet.

    Args:
        maps: In any order.
        widths: The widths whose draws they are made of, in the order of the rows of `make`'s table.
    """

    def __init__(self, maps: Sequence[Map], widths: Sequence[Choice]) -> None:
        self.maps = tuple(maps)
        self.widths = tuple(widths)
        self.norms = [own.norm for own in maps if own.norm is not None]
        self.sizes = [own.channels * own.columns for own in maps] + [own.channels for own in maps]
        self.kept: dict[object, tuple[Summands, Tensor]] = {}
        """The summands on the device; and the factors where there is no norm, 1, and the shifts, 0."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made when it is needed."""
        return {**vars(self), "kept": {}}

    def make(self, table: Tensor, mixing_depths: bool) -> None:
        """Give every map its matrix and its offset.

        Args:
            table: (widths, most candidates): of each candidate in the mixture, 0 where it is not drawn.
            mixing_depths: Whether those of depths are needed, which stand apart.
        """
        key = (table.device, table.dtype)
        if key not in self.kept:
            summands = summands_of(self.maps, self.widths, table.shape[1]).to(table.device)
            most = max((own.channels for own in self.maps), default=0)
            neutral = torch.stack([torch.ones(most), torch.zeros(most)]).to(table)
            self.kept[key] = (summands, neutral)
        sources = [norm.scales for norm in self.norms] + [norm.shifts for norm in self.norms]
        made = SummedUp.apply(*self.kept[key], self.sizes, table, *sources)
        for own, matrix, offset in zip(self.maps, made, made[len(self.maps) :]):
            used = mixing_depths or not own.apart
            own.matrix = matrix.view(own.channels, own.columns) if used else None
            own.offset = offset

    def clear(self) -> None:
        """Nothing is mixed, from now on."""
        for own in self.maps:
            own.matrix = own.offset = None


def summands_of(maps: Sequence[Map], widths: Sequence[Choice], most: int) -> Summands:
    """What the matrices are sums of. Arguments as for `MaskedMaps`; a row of its table has `most` candidates."""
    rows = {id(choice): row for row, choice in enumerate(widths)}
    groups = places_in_order(rows_of(own, rows) for one in maps for own in (one.wide, *(m.channels for m in one.mixed)))
    numbers = places_in_order(own.channels for one in maps for own in one.mixed if isinstance(own.channels, int))

    def stands(channels: ChannelCount) -> int:
        """Where a number of channels stands."""
        return numbers[channels] + len(groups) if isinstance(channels, int) else groups[rows_of(channels, rows)]

    names = ("row", "factor", "place", "offset", "last", "inner", "outer", "weight", "source")
    columns: dict[str, list[Tensor]] = {name: [] for name in names}
    place, offset, start = 0, sum(one.channels * one.columns for one in maps), 0
    neutral = sum(len(one.norm.scales) for one in maps if one.norm is not None)
    for one in maps:
        row = torch.arange(one.channels)
        for number, own in enumerate(one.mixed):
            for last in (0, 1):
                first = place + row * one.columns + (number * one.channels if one.apart else 0)
                weight = len(widths) * most if own.choice is None else rows[id(own.choice)] * most + own.candidate
                source = neutral if one.norm is None else start
                alike = (last, stands(own.channels), stands(one.wide), weight, source)
                values = (row, row + last, first, offset + row, *(torch.full_like(row, number) for number in alike))
                for name, value in zip(names, values, strict=True):
                    columns[name].append(value)
            if one.norm is not None and isinstance(own.channels, int):
                start += own.channels
        place, offset = place + one.channels * one.columns, offset + one.channels
    widest = max(map(len, groups), default=1)
    candidates = torch.zeros(len(widths), most, dtype=torch.int64)
    for own_row, choice in zip(candidates, widths):
        own_row[: len(choice.candidates)] = torch.tensor(choice.candidates)
    return Summands(
        **{name: torch.cat(parts) for name, parts in columns.items()},
        groups=torch.tensor([[*one, *one[:1] * (widest - len(one))] for one in groups]),
        numbers=torch.tensor([*numbers], dtype=torch.int64),
        candidates=candidates,
    )


def rows_of(channels: ChannelCount, rows: dict[int, int]) -> tuple[int, ...]:
    """The rows of the widths of which the widest counts; none for a number."""
    return () if isinstance(channels, int) else tuple(sorted(rows[id(choice)] for choice in channels))


def places_in_order(values: Iterable[Any]) -> dict[Any, int]:
    """Each value, of those that are not empty, and its place in the order of its first appearance."""
    return {value: place for place, value in enumerate(dict.fromkeys(value for value in values if value))}


class SummedUp(torch.autograd.Function):
    """The matrices and the offsets of all maps, flat.

    Args:
        summands: What they are sums of.
        neutral: (2, most channels): factors and shifts where there is no norm.
        sizes: Of all matrices, then of all offsets.
        table: As for `MaskedMaps.make`.
        sources: The scales of all norms, then the shifts.
    """

    @staticmethod
    def forward(
        ctx: Any, summands: Summands, neutral: Tensor, sizes: Sequence[int], table: Tensor, *sources: Tensor
    ) -> tuple[Tensor, ...]:
        norms = len(sources) // 2
        affine = torch.cat([*sources[:norms], neutral[0], *sources[norms:], neutral[1]]).view(2, -1)
        widest = ((table > 0) * summands.candidates).amax(1)
        counts = torch.cat([widest[summands.groups].amax(1), summands.numbers])
        inner, outer = counts[summands.inner], counts[summands.outer]
        there = summands.row < outer
        channel = (summands.factor * inner - summands.last) // outer * there
        weights = torch.cat([table.reshape(-1), neutral[0, :1]])[summands.weight] * there
        source, index = summands.source + channel, torch.cat([summands.place + channel, summands.offset])
        numbers = affine[:, source]
        flat = table.new_zeros(sum(sizes)).index_add_(0, index, (numbers * weights).view(-1), alpha=0.5)
        ctx.summands, ctx.shapes, ctx.sizes = summands, [own.shape for own in sources], sizes
        ctx.width = affine.shape[1]
        ctx.save_for_backward(there, weights, numbers, source, index, table)
        return torch.split(flat, list(sizes))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        there, weights, numbers, source, index, table = ctx.saved_tensors
        arriving = torch.cat([own.reshape(-1) for own in upstream])[index].view(2, -1)
        grad_table = None
        if ctx.needs_input_grad[3]:
            of_weights = (arriving * numbers).sum(0) * there
            room = table.new_zeros(table.numel() + 1)
            grad_table = room.index_add_(0, ctx.summands.weight, of_weights, alpha=0.5)[:-1].view_as(table)
        grad_sources: list[Tensor | None] = [None] * len(ctx.shapes)
        if any(ctx.needs_input_grad[4:]):
            gradient = table.new_zeros(2, ctx.width).index_add_(1, source, arriving * weights, alpha=0.5)
            lengths = ctx.shapes[: len(ctx.shapes) // 2]
            lengths = [*(shape.numel() for shape in lengths), ctx.width - sum(shape.numel() for shape in lengths)]
            grad_sources = [piece for row in gradient for piece in row.split(lengths)[:-1]]
        return None, None, None, grad_table, *grad_sources
