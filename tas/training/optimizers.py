"""The optimiser of weights."""

from collections.abc import Iterable

import torch
from torch import nn

from tas.config.groups import Recipe


def sgd(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.SGD:
    """SGD as a recipe has it; without momentum there is none of Nesterov's. Its rate is set before every step."""
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
