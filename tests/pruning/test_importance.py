from collections.abc import Callable

import pytest
import torch
import torch_pruning as tp
from torch import nn

from tas.config.methods import METHODS
from tas.cost.count import flops
from tas.cost.measures import FLOPS
from tas.errors import TasError
from tas.pruning.channels import ChannelPruner
from tas.pruning.importance import OfFilters
from tests.pruning.conftest import same_outputs
from tests.small_networks import chain, conv

BY_CHANNELS = ("l1", "fpgm", "taylor", "slimming", "thinet", "reconstruction", "autopruner")


def two_layers() -> nn.Module:
    return chain(conv(1, 8, bias=False), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 8, bias=False), nn.BatchNorm2d(8))


def classifier(network: nn.Module) -> nn.Module:
    network[-1] = nn.Linear(8, 10)  # type: ignore[operator]
    return network


def pruned_by(make_task: Callable, network: nn.Module, importance: object, removed: int) -> nn.Module:
    task = make_task("l1", "tests.small_networks:chain", network=network)
    pruner = ChannelPruner(task, network, importance)
    for group in pruner.groups(removed):
        group.prune()
    return network


@pytest.mark.parametrize("method", BY_CHANNELS)
@pytest.mark.parametrize("share", [0.5, 0.3])
def test_the_budget_is_met_by_a_network_that_is_the_architectures(
    make_task: Callable, method: str, share: float
) -> None:
    task = make_task(method, share=share)
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    found = METHODS[method].load()(task)
    assert task.budget.holds(found.cost)
    assert found.cost == FLOPS.exact(task.plan, found.architecture) == flops(found.network, task.input_shape)
    assert same_outputs(found.architecture, found.network, task.input_shape)
    after = task.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "the task's network is left as it is"


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("taylor", "torchvision/resnet18"),
        ("l1", "torchvision/mobilenet_v2"),
        pytest.param("l1", "torchvision/vgg11_bn", marks=pytest.mark.slow),
    ],
)
def test_networks_of_a_library_are_pruned_too(make_task: Callable, method: str, name: str) -> None:
    task = make_task(method, name)
    found = METHODS[method].load()(task)
    assert task.budget.holds(found.cost)
    assert same_outputs(found.architecture, found.network, task.input_shape)


def test_a_network_that_torch_pruning_treats_otherwise_is_refused(make_task: Callable) -> None:
    network = chain(conv(1, 12), nn.BatchNorm2d(12), conv(12, 12, groups=3), nn.BatchNorm2d(12), conv(12, 8))
    task = make_task("l1", "tests.small_networks:chain", network=classifier(network))
    with pytest.raises(TasError, match=r"not for .*: torch_pruning treats its grouped"):
        METHODS["l1"].load()(task)


def test_l1_removes_the_filters_of_smallest_norm(make_task: Callable) -> None:
    network = classifier(two_layers())
    first, second = network[0], network[3]
    with torch.no_grad():
        first.weight.fill_(1)
        first.weight[[2, 5]] *= -0.1  # the norms of what reads and normalises them say otherwise
        network[1].weight[[2, 5]] = 100
        second.weight.fill_(1)
        second.weight[:, [2, 5]] = 100
        second.weight[7] = 0.5
    kept = first.weight.detach()[[0, 1, 3, 4, 6, 7]].clone()
    pruned_by(make_task, network, OfFilters(tp.importance.MagnitudeImportance(p=1)), 3)
    assert torch.equal(first.weight, kept)
    assert second.weight.shape == (7, 6, 3, 3)
    assert network[-1].in_features == 7


def test_fpgm_removes_the_filter_nearest_to_the_others(make_task: Callable) -> None:
    network = classifier(two_layers())
    first = network[0]
    with torch.no_grad():
        first.weight.zero_()
        for channel, place in enumerate((10, 16, 21, 22, 23, 29, 36, 44)):  # the least norm is far out
            first.weight[channel, 0, 0, 0], first.weight[channel, 0, 1, 1] = place, channel % 3
    others = torch.cdist(first.weight.detach().flatten(1), first.weight.detach().flatten(1)).sum(1)
    nearest = int(others.argmin())
    kept = [channel for channel in range(8) if channel != nearest]
    expected = first.weight.detach()[kept].clone()
    network[3].requires_grad_(True)
    torch.nn.init.orthogonal_(network[3].weight)  # of which no filter is near to the others
    pruned_by(make_task, network, OfFilters(tp.importance.FPGMImportance(p=1)), 1)
    assert torch.equal(first.weight, expected)


def test_no_layer_vanishes(make_task: Callable) -> None:
    network = classifier(two_layers())
    with torch.no_grad():
        network[0].weight.mul_(1e-6)
    task = make_task("l1", "tests.small_networks:chain", network=network)
    pruner = ChannelPruner(task, network, OfFilters(tp.importance.MagnitudeImportance(p=1)))
    for group in pruner.groups(pruner.importance.removable()):
        group.prune()
    assert (network[0].out_channels, network[3].out_channels) == (1, 1)
