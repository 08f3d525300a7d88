"""Which features of a dimension are there, when the widths that they come from are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tas.reading.plan import Plan, Segment
from tas.supernet.choice import Choice


@dataclass(frozen=True)
class Part:
    """Features that come from one width."""

    full: int
    """How many there are in the unpruned network."""
    repeat: int
    """Features for each channel of the width."""
    choice: Choice | None
    """The width; None: the features are always all there."""


class Features:
    """A dimension of consecutive parts, of each of which the first features are there."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.full = sum(part.full for part in self.parts)

    @classmethod
    def of(cls, plan: Plan, segments: Sequence[Segment], choices: Mapping[str, Choice]) -> "Features":
        """The dimension that a plan describes.

        Args:
            plan: The structure of the unpruned network.
            segments: Where the features come from.
            choices: The widths.
        """
        parts = []
        for segment in segments:
            width = plan.resolve(segment.source, plan.depths())
            choice = None if isinstance(width, int) else choices[width]
            parts.append(Part(plan.channels(width) * segment.repeat, segment.repeat, choice))
        return cls(parts)

    def drawn(self) -> int:
        """How many features are there."""
        return sum(stop - start for start, stop in self.spans())

    def spans(self, count: int | None = None) -> list[tuple[int, int]]:
        """From where to where the features are there. A single part has the `count` that is given."""
        if count is not None and len(self.parts) == 1:
            return [(0, count)]
        spans, start = [], 0
        for part in self.parts:
            there = part.full if part.choice is None else part.choice.present() * part.repeat
            spans.append((start, start + there))
            start += part.full
        return spans

    def take(self, tensor: Tensor, dim: int, count: int) -> Tensor:
        """The entries of the features that are there, `count` in all; a view where that is possible.

        Args:
            tensor: In dimension `dim` it has an entry for each feature, or a fixed number of them.
            dim: The dimension.
            count: How many features there are.
        """
        if count == self.full:
            return tensor
        times = tensor.shape[dim] // self.full
        pieces = [tensor.narrow(dim, times * start, times * (stop - start)) for start, stop in self.spans(count)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)

    def put(self, tensor: Tensor, values: Tensor) -> None:
        """Write values, as `take` gives them from dimension 0, back to their places."""
        start = 0
        for first, last in self.spans(len(values)):
            tensor[first:last] = values[start : start + last - first]
            start += last - first
