"""A stage whose depth is searched (eq. 5), and sums of feature maps of unequal width."""

from collections.abc import Iterable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.supernet.choice import Choice
from tas.supernet.depth_mixture import AlignedSum, SideBySideSum, WeightedSum
from tas.supernet.masked_maps import Map
from tas.supernet.searchable import Searchable, first


class PaddedAdd(nn.Module):
    """A sum in which the narrower side is filled up with zero channels."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        missing = branch.shape[1] - shortcut.shape[1]
        if missing == 0:
            return branch + shortcut
        wide, narrow = (branch, shortcut) if missing > 0 else (shortcut, branch)
        return F.pad(narrow, (0, 0, 0, 0, 0, abs(missing))).add_(wide)


class DepthMixture:
    """The depth of a stage that is searched (eq. 5), and what its blocks have given in the current forward pass.

    The stage's output is sum_l q_l CWI(O_l, C) over the drawn depths l, O_l the output of block l, C the widest of
    them; with padding, zero channels are added in the place of CWI.

    Args:
        choice: The depth.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.map: Map | None = None
        """At full width the mixture, where the blocks' outputs are interpolated to one width."""
        self.ends: dict[int, Tensor] = {}
        """Depth that is drawn -> O_l. Kept until the next pass: its backward pass may compute the last block anew."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to one forward pass."""
        return {**vars(self), "ends": {}}

    def after(self, depth: int, x: Tensor) -> Tensor:
        """What goes on after the block that is the depth-th: its own output, or after the deepest the mixture."""
        depths = self.choice.drawn()
        if self.choice.masked:
            return self.after_all(depth, x)
        if len(depths) == 1:
            return x
        if depth in depths:
            self.ends[depth] = x
        if depth < depths[-1]:
            return x
        with torch.autocast(x.device.type, enabled=False):  # it mixes in the precision in which the outputs come
            mixed: Tensor = AlignedSum.apply(self.choice.align, self.choice.weights, *(self.ends[d] for d in depths))
        return mixed

    def after_all(self, depth: int, x: Tensor) -> Tensor:
        """The same where every block runs, and those that are not drawn have the weight 0."""
        depths = self.choice.candidates
        if depth in depths:
            self.ends[depth] = x
        if depth < depths[-1]:
            return x
        if self.map is not None and self.map.matrix is not None:
            matrix = self.map.matrix.view(len(self.map.matrix), len(depths), -1) * self.choice.weights[:, None]
            return F.conv2d(torch.cat([self.ends[d] for d in depths], 1), matrix.flatten(1)[:, :, None, None])
        with torch.autocast(x.device.type, enabled=False):
            kind = WeightedSum if self.choice.weights.dim() == 1 else SideBySideSum
            mixed: Tensor = kind.apply(self.choice.weights, *(self.ends[d] for d in depths))
        return mixed


class SearchableBlock(Searchable):
    """A block of a stage whose depth is searched: beyond the drawn depths it gives back what it is given."""

    tas_place: tuple[DepthMixture, int]

    @classmethod
    def on(cls, module: nn.Module, mixture: DepthMixture, depth: int) -> Self:  # type: ignore[override]
        """Make a block part of a stage's mixture.

        Args:
            module: The block, searchable inside.
            mixture: The stage's.
            depth: Its place among the blocks, from 1.
        """
        block = super().on(module)
        vars(block)["tas_place"] = (mixture, depth)
        return block

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the block is called; where it is left out, its hooks do not run either."""
        mixture, depth = self.tas_place
        if depth > mixture.choice.drawn()[-1] and not mixture.choice.masked:
            return first(args, kwargs)
        return mixture.after(depth, super().__call__(*args, **kwargs))


def searchable_stage(blocks: Iterable[nn.Module], choice: Choice) -> DepthMixture:
    """Make blocks, in forward order, a stage whose depth is searched, in place."""
    mixture = DepthMixture(choice)
    for depth, block in enumerate(blocks, start=1):
        SearchableBlock.on(block, mixture, depth)
    return mixture
