"""Least-squares refit of layers of which inputs have gone: as near to the unpruned layer's output as they can be."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tas.data.loaders import Batch
from tas.pruning.patches import sampled_inputs

RIDGE = 1e-3
"""Penalty on the change of the weights, as a share of the inputs' mean square, where samples are few."""


def refit(
    original: nn.Module,
    pruned: nn.Module,
    names: Sequence[str],
    removed: Mapping[str, Sequence[int]],
    batches: Sequence[Batch],
    seed: int,
) -> None:
    """Fit the weights of layers, one after another, so that they give what the unpruned network's layers give.

    Each reads what the network before it makes, pruned and refitted as that is by then (the asymmetric reconstruction
    of He et al. 2017). Biases stay as they are.

    Args:
        original: The unpruned network.
        pruned: With fewer inputs in these layers; changed in place, and put into evaluation.
        names: The layers, in forward order.
        removed: Layer -> its output channels that are gone.
        batches: Images.
        seed: Of the sampled positions.
    """
    targets: dict[str, list[Tensor]] = {name: [] for name in names}
    weights = {name: rows(original, name) for name in names}
    training = original.training
    sampled_inputs(original, names, batches, seed, lambda name, read: targets[name].append(read @ weights[name].T))
    original.train(training)
    for name in names:
        inputs: list[Tensor] = []
        sampled_inputs(pruned, [name], batches, seed, lambda _, read, seen=inputs: seen.append(read))  # type: ignore[misc]
        wanted = torch.cat(targets.pop(name))
        gone = set(removed.get(name, ()))
        wanted = wanted[:, [channel for channel in range(wanted.shape[1]) if channel not in gone]]
        weight = pruned.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight.copy_(fitted(rows(pruned, name), torch.cat(inputs), wanted).reshape(weight.shape))


def rows(network: nn.Module, name: str) -> Tensor:
    """A layer's weights, (out_channels, in_channels * kernel) float64."""
    weight = network.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight.detach().double().flatten(1)


def fitted(weight: Tensor, inputs: Tensor, wanted: Tensor) -> Tensor:
    """The weights, (outputs, inputs), with the least squared error, and a small penalty on their change.

    Args:
        weight: From which they start, (outputs, inputs).
        inputs: (samples, inputs).
        wanted: The outputs, (samples, outputs).
    """
    moment = inputs.T @ inputs
    ridge = RIDGE * moment.diagonal().mean().clamp_min(1e-12) * torch.eye(len(moment), dtype=moment.dtype)
    return weight + torch.linalg.solve(moment + ridge, inputs.T @ (wanted - inputs @ weight.T)).T
