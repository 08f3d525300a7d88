"""A teacher's forward pass at the least cost that leaves what it says unchanged."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """A trained network that is only asked: without gradients, in evaluation, in channels_last.

    Args:
        network: The trained network; it is frozen, and put into evaluation and channels_last.
        dtype: What it computes in under autocast; None: as the training around it does.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self.dtype = dtype
        self.eval()

    def train(self, mode: bool = True) -> "Teacher":
        """It stays in evaluation, also where the module around it is put into training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes), in single precision."""
        kind = images.device.type
        with nullcontext() if self.dtype is None else torch.autocast(kind, self.dtype):
            logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits.float()


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether a device gains from bfloat16: a GPU that computes in it. Few CPUs have matrix units for it; the others
    are slower in it than in single precision."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def predicts_alike(network: nn.Module, images: Tensor, dtype: torch.dtype) -> bool:
    """Whether a network tells the same classes of these images when it computes in a lower precision."""
    exact, low = Teacher(network), Teacher(network, dtype)
    return torch.equal(exact(images).argmax(1), low(images).argmax(1))
