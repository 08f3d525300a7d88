"""Teachers: what they say, alone or on average, and their forward pass at the least cost that leaves it unchanged."""

from collections.abc import Sequence
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


class Teachers(nn.Module):
    """Several teachers as one: the average of their logits.

    Softened at any temperature T, that is the geometric mean of the teachers' softened distributions, brought to sum 1:
    one of the two means that Hinton et al. (2015, "Distilling the Knowledge in a Neural Network") name for an ensemble.
    You et al. (2017, "Learning from Multiple Teacher Networks") take the other, the arithmetic mean of the softened
    outputs. Logits are averaged here since the average is then a teacher like any other: its distribution at T is its
    own softened by T, the loss needs no second form, and its accuracy is that of what the student learns from at every
    T. The price: where one teacher holds a class to be nearly impossible, so does the average.

    Args:
        members: One or more teachers, of the same classes.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.eval()

    def train(self, mode: bool = True) -> "Teachers":
        """They stay in evaluation."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes), in single precision."""
        return torch.stack([member(images) for member in self.members]).mean(0)


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether a device gains from bfloat16: a GPU that computes in it. Few CPUs have matrix units for it; the others
    are slower in it than in single precision."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def predicts_alike(network: nn.Module, images: Tensor, dtype: torch.dtype) -> bool:
    """Whether a network tells the same classes of these images when it computes in a lower precision."""
    exact, low = Teacher(network), Teacher(network, dtype)
    return torch.equal(exact(images).argmax(1), low(images).argmax(1))
