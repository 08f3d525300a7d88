"""Single weights set to zero: the structure stays, and with it the time on ordinary hardware."""

import copy
from collections import Counter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from tas.cost.count import nonzero_flops
from tas.pruning.task import Pruned, PruneTask
from tas.reading.layer_calls import layer_calls
from tas.space.nearest import nearest


def unstructured(task: PruneTask) -> Pruned:
    """Set the smallest weights of all convolutions and linear layers to zero (Han et al. 2015, "Learning both Weights
    and Connections for Efficient Neural Networks"), until the multiply-adds with the others meet the budget.

    The architecture is the full one.
    """
    positions: Counter[str] = Counter()
    for call in layer_calls(task.network, task.input_shape):
        positions[call.name] += call.positions
    weights = {name: weight_of(task.network, name).detach().flatten() for name in positions}
    costs = torch.cat([times * (weights[name] != 0) for name, times in positions.items()])
    order = torch.cat([weights[name].abs() for name in positions]).argsort()
    gone = torch.cat([torch.zeros(1, dtype=torch.int64), costs[order].cumsum(0)])  # by the weights set to zero
    best = nearest(lambda count: int(gone[-1] - gone[count]), len(order), task.budget.target)
    network = without_smallest(task.network, list(positions), best.knob)
    return Pruned(task.full, network, nonzero_flops(network, task.input_shape), best.around)


def without_smallest(network: nn.Module, names: list[str], count: int) -> nn.Module:
    """A copy with the `count` smallest weights of these layers, of all together, set to zero."""
    result = copy.deepcopy(network)
    modules = dict(result.named_modules())
    parameters = [(modules[name], "weight") for name in names]
    prune.global_unstructured(parameters, prune.L1Unstructured, amount=count)
    for module, key in parameters:
        prune.remove(module, key)  # type: ignore[no-untyped-call]
    return result


def weight_of(network: nn.Module, name: str) -> Tensor:
    """The weights of a layer."""
    return cast(Tensor, network.get_submodule(name).weight)
