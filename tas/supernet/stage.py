"""A stage whose depth is searched (eq. 5), and sums of feature maps of unequal width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tas.supernet.choice import Choice
from tas.supernet.depth_mixture import AlignedSum


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

    choice: Choice

    def __init__(self, blocks: nn.Sequential, choice: Choice) -> None:
        super().__init__()
        self.blocks = blocks
        choice.used_by(self)

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
