"""Sorting a trained network's channels by importance, so that the first ones of a width are the best ones."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tas.cutting.cut import select_channels
from tas.reading.plan import Plan
from tas.reading.residuals import joined_by_identities


def sorted_by_importance(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The weights of the same function, with the channels of every width in descending order of importance.

    A channel's importance is the L1 norm of the weights that make it (Li et al. 2017, "Pruning Filters for Efficient
    ConvNets"), summed over all layers that share the width. A grouped convolution's channels move by whole groups.
    Widths of which the channels' places matter stay as they are.

    Args:
        state: The unpruned network's.
        plan: Its structure.
    """
    return select_channels(state, plan, orders(state, plan), plan.depths())


def orders(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Width -> its channels, best first, (channels,) int64."""
    together = joined_by_identities(plan)  # widths that are added can only be sorted alike
    scores = {name: torch.zeros(count, dtype=torch.float64) for name, count in plan.widths.items()}
    for layer in plan.layers:
        weight = state.get(f"{layer.name}.weight")
        if weight is None or layer.writes.source not in scores:
            continue
        # A layer of a concatenation appears once for each part; only whole layers are counted.
        if len(weight) == plan.widths[str(layer.writes.source)] * layer.writes.repeat:
            norms = weight.detach().double().cpu().flatten(1).abs().sum(1)
            scores[together.find(str(layer.writes.source))] += norms.reshape(-1, layer.writes.repeat).sum(1)
    result = {}
    for name, count in plan.widths.items():
        first, unit = together.find(name), plan.units.get(name, 1)
        if first in plan.unordered or name in plan.unordered:
            result[name] = torch.arange(count)
            continue
        groups = scores[first].reshape(-1, unit).sum(1).argsort(descending=True, stable=True)
        result[name] = (unit * groups[:, None] + torch.arange(unit)).flatten()
    return result
