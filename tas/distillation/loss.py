"""Knowledge distillation (Hinton et al., 2015), the last step of the paper."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def distillation_loss(
    logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    alpha: float,
    temperature: float,
    hard_loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Tensor:
    """(1 - alpha) CE(z, y) + alpha T^2 KL(softmax(z'/T) || softmax(z/T)).

    The paper's eq. 9 and 10, with the sign and the factor T^2 that their printing lost.

    Args:
        logits: The student's z, (N, classes).
        teacher_logits: The teacher's z', (N, classes), without gradient.
        labels: The classes y, (N,).
        alpha: Weight of the teacher's part, 0 to 1.
        temperature: T, above 0.
        hard_loss: What stands for CE.

    Returns:
        The mean over the batch, a scalar.
    """
    hard = hard_loss(logits, labels)
    soft = F.kl_div(
        (logits / temperature).log_softmax(1),
        (teacher_logits / temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - alpha) * hard + alpha * temperature**2 * soft
