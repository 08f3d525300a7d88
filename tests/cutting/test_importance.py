"""Sorting by importance: another order of the channels, the same function, the best ones first."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torchvision.models.densenet import DenseNet

from tas.cutting.importance import orders, sorted_by_importance
from tas.networks import open_network
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tests.parity import assert_same_function, randomise
from tests.small_networks import SMALL, chain, conv

LIBRARY = {
    "resnet20": lambda: open_network("resnet20", 10, 3),
    "resnet164": lambda: open_network("resnet164", 10, 3),
    **{
        name: lambda name=name: open_network(f"torchvision/{name}", 10, 3)
        for name in ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5")
    },
    "densenet": lambda: DenseNet(8, (2, 3), 16, num_classes=10),
}


def sort(network: nn.Module, size: int) -> tuple[Plan, nn.Module]:
    """The network in double precision with random norms, in eval mode, its plan and itself sorted."""
    randomise(network.double().eval())
    # Else activations would grow from layer to layer.
    update_bn([torch.randn(4, 3, size, size, dtype=torch.float64)], network)
    plan = read_plan(network, (3, size, size))
    twin = copy.deepcopy(network)
    twin.load_state_dict(sorted_by_importance(network.state_dict(), plan))
    return plan, twin


def norms(network: nn.Module, plan: Plan, width: str) -> Tensor:
    """The L1 norms of the weights that make each channel, by the definition: over all that write the width."""
    total = torch.zeros(plan.widths[width], dtype=torch.float64)
    for layer in plan.layers:
        weight = network.state_dict().get(f"{layer.name}.weight")
        whole = plan.widths[width] * layer.writes.repeat
        if layer.writes.source == width and weight is not None and len(weight) == whole:
            for channel in range(whole):
                total[channel // layer.writes.repeat] += weight[channel].abs().sum()
    return total


@pytest.mark.parametrize("name", [*SMALL, *LIBRARY])
def test_sorting_leaves_the_function_as_it_was(name):
    torch.manual_seed(0)
    network, size = (SMALL[name](), 8) if name in SMALL else (LIBRARY[name](), 32)
    _, twin = sort(network, size)
    assert_same_function(network, twin, torch.randn(2, 3, size, size, dtype=torch.float64), within=1e-10)


@pytest.mark.parametrize("name", [*SMALL, "resnet18", "mobilenet_v3_small", "densenet"])
def test_after_sorting_the_norms_descend_group_by_group(name):
    torch.manual_seed(0)
    network, size = (SMALL[name](), 8) if name in SMALL else (LIBRARY[name](), 32)
    plan, twin = sort(network, size)
    for width in plan.widths.keys() - plan.unordered:
        scores = norms(twin, plan, width).reshape(-1, plan.units.get(width, 1)).sum(1)
        assert (scores.diff() <= 1e-9).all(), width
        torch.testing.assert_close(scores.sum(), norms(network, plan, width).sum())


def test_channels_that_only_one_order_can_have_stay():
    network = SMALL["shuffled"]().double()
    plan, twin = sort(network, 8)
    assert set(plan.widths) == plan.unordered
    for name, tensor in network.state_dict().items():
        assert torch.equal(twin.state_dict()[name], tensor)


def test_groups_move_whole():
    # Three groups of four; the middle one has the largest weights, the first one the smallest.
    network = SMALL["grouped"]()
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.abs_()
            for group, factor in enumerate((1, 100, 10)):
                layer.weight[4 * group : 4 * group + 4] *= factor
    plan = read_plan(network, (3, 8, 8))
    assert orders(network.state_dict(), plan)["0"].tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3]


def test_equally_important_channels_keep_their_order():
    network = chain(conv(3, 8), conv(8, 8))
    with torch.no_grad():
        network[0].weight.fill_(0.5)
    assert orders(network.state_dict(), read_plan(network, (3, 8, 8)))["0"].tolist() == list(range(8))


def test_the_given_weights_stay_as_they_are():
    network = SMALL["addition"]()
    state = network.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    result = sorted_by_importance(state, read_plan(network, (3, 8, 8)))
    assert result.keys() == before.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
