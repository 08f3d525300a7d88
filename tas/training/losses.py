"""The loss of a training: cross-entropy or distillation, or a function of one's own."""

import inspect
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from tas.config.functions import import_function
from tas.config.groups import Distillation, Recipe
from tas.distillation.loss import distillation_loss
from tas.errors import TasError, blame

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""From logits (N, classes), labels (N,) and the teachers' logits (N, classes), None without any, to a scalar."""

TAUGHT = "teacher_logits"
"""The parameter of a function that stands for the whole loss of a distillation."""


def takes_teacher_logits(recipe: Recipe) -> bool:
    """Whether the loss of a recipe is a function of one's own for trainings with a teacher."""
    if recipe.loss is None:
        return False
    with blame("--loss"):
        function = import_function(recipe.loss)
    try:
        return TAUGHT in inspect.signature(function).parameters
    except ValueError:  # some built-in functions do not say what they take; none takes a teacher's logits
        return False


def loss_for(recipe: Recipe, distillation: Distillation | None = None) -> Loss:
    """The loss of a training by a recipe.

    Args:
        recipe: Has the function that stands for the cross-entropy or for the whole of a distillation, if any.
        distillation: That of a training with teachers; None without any.

    Raises:
        TasError: That function cannot be imported, or needs a teacher where there is none.
    """
    if recipe.loss is None:
        own: Callable[..., object] = F.cross_entropy
    else:
        with blame("--loss"):
            own = import_function(recipe.loss)
    if takes_teacher_logits(recipe):
        if distillation is None:
            raise TasError(f"--loss {recipe.loss}: takes {TAUGHT}, so it goes with tas train --kd alone")
        return lambda logits, labels, teacher: scalar(recipe, own(logits, labels, **{TAUGHT: teacher}))

    def plain(logits: Tensor, labels: Tensor) -> Tensor:
        return scalar(recipe, own(logits, labels))

    def loss(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        if distillation is None or teacher_logits is None:
            return plain(logits, labels)
        given = distillation
        return distillation_loss(logits, teacher_logits, labels, given.kd_alpha, given.kd_temperature, plain)

    return loss


def scalar(recipe: Recipe, loss: object) -> Tensor:
    """What a function of the user's own returned, if it is a number that can be descended."""
    if not isinstance(loss, Tensor) or loss.dim() > 0:
        kind = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise TasError(
            f"--loss {recipe.loss}: returned {kind}; it must return a tensor of one number, the batch's mean"
        )
    return loss
