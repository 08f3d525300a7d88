"""One searched width or depth: its candidates, its logits, and what is drawn of it at present."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Alignment = Literal["interpolate", "pad"]
"""How candidates of different widths are added: interpolate, all brought to the widest one's channels by CWI, as in the
paper; or pad, filled up with zeros, so that every channel keeps its place."""

Compute = Literal["sliced", "masked"]
"""What is computed of layers: sliced, the channels that are drawn and no others; or masked, all, of which those that
are not drawn are 0, so that every shape stays the same."""

LANES = 8
"""Numbers in a vector register of common CPUs; also the granularity of a GPU's matrix units."""


class Choice(nn.Module):
    """A categorical choice between candidate numbers, ascending.

    Layers that share a width share the Choice. What a forward pass computes is set from outside, by `draw` or `fix`;
    at first it is the largest candidate.

    Args:
        candidates: The numbers to choose from; with a single one there is nothing to learn.
        align: How feature maps of the candidates are added.
        unit: What the number of channels must be a multiple of, as the candidates are.
    """

    def __init__(self, candidates: Sequence[int], align: Alignment = "interpolate", unit: int = 1) -> None:
        super().__init__()
        self.candidates = tuple(candidates)
        self.align = align
        self.granularity = math.lcm(LANES, unit)
        # Small and random, so that no candidate starts as the argmax of all choices at once.
        self.logits = nn.Parameter(1e-3 * torch.randn(len(self.candidates)))
        self.masked = False
        """Whether layers compute all channels, and what is drawn are vectors (`tas.supernet.masked`)."""
        self.indices: tuple[int, ...]
        self.weights: Tensor
        self.fix(self.candidates[-1])

    def used_by(self, module: nn.Module) -> None:
        """Give a module this choice as its attribute `choice`, without registering it there: several share it, and the
        supernet owns it."""
        object.__setattr__(module, "choice", self)

    def draw(self, indices: Sequence[int], weights: Tensor) -> None:
        """Compute the candidates of these indices, ascending, mixed by these weights, (number of indices,)."""
        self.indices, self.weights = tuple(indices), weights

    def fix(self, candidate: int) -> None:
        """Compute this candidate alone."""
        index = self.candidates.index(candidate)
        self.draw((index,), torch.ones(1, device=self.logits.device, dtype=self.logits.dtype))

    def drawn(self) -> list[int]:
        """The candidates drawn, ascending."""
        return [self.candidates[index] for index in self.indices]

    def computed(self) -> int:
        """How many channels a convolution computes so that the drawn candidates can be mixed.

        Processors work on 8 numbers at a time, and take as long for a few channels less. What lies beyond the widest
        candidate gets no weight in the mixture.
        """
        return self.candidates[-1] if self.masked else self.rounded(self.drawn()[-1], mixing=len(self.indices) > 1)

    def rounded(self, widest: int, mixing: bool) -> int:
        """The same, of the widest candidate drawn, of several if they are mixed."""
        if not mixing:
            return widest
        return min(-(-widest // self.granularity) * self.granularity, self.candidates[-1])

    def present(self) -> int:
        """How many channels the mixture of the drawn candidates has: the widest one's, or zeros beside them too."""
        return self.computed() if self.masked or self.align == "pad" else self.drawn()[-1]
