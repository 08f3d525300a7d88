"""How many images of a batch a network has right, as a search logs it."""

from torch import Tensor


def batch_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of images whose class has the highest logit."""
    return (logits.detach().argmax(1) == labels).float().mean()
