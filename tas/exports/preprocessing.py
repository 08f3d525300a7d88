"""A network that normalises its images itself."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Preprocessed(nn.Module):
    """A network behind the normalisation of its images: from bytes, (N, C, H, W) uint8, to logits.

    Args:
        network: Takes normalised images.
        mean, deviation: Of each channel, of pixels from 0 to 1.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        means, deviations = torch.tensor([mean, deviation]).view(2, -1, 1, 1)
        self.register_buffer("factor", 1 / (255 * deviations))
        self.register_buffer("shift", -means / deviations)

    def forward(self, images: Tensor) -> Tensor:
        """Bytes to logits."""
        logits: Tensor = self.network(images.float() * self.factor + self.shift)
        return logits
