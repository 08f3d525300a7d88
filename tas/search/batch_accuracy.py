"""How many images of a batch a network has right, as a search logs it."""

from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy


def batch_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of images whose class has the highest logit."""
    return multiclass_accuracy(logits.detach(), labels, logits.shape[1], average="micro")
