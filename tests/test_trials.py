import torch
from torch import nn

from tas.trials import accuracy


def test_accuracy_counts_all_images() -> None:
    images = torch.eye(4).reshape(4, 4)
    batches = [(images[:3], torch.tensor([0, 1, 0])), (images[3:], torch.tensor([3]))]
    assert accuracy(nn.Identity(), batches) == 0.75  # type: ignore[arg-type]
