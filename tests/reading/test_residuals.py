"""Plans in which identity shortcuts stay identities."""

import pytest
import torch
from torch import nn

import tas
from tas.cost.budget import Budget
from tas.cost.count import flops
from tas.cost.measures import FLOPS
from tas.cutting.build import build
from tas.errors import TasError
from tas.networks.cifar_resnet import CifarResNet
from tas.reading.residuals import tie_residuals
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tests.spaces import plan_of, unpruned


def tied_space(name: str, size: int = 8) -> SearchSpace:
    full = unpruned(name, 10)
    return SearchSpace.of(plan_of(name, size=size), full)


def test_the_outputs_of_a_stage_share_a_width_and_inner_widths_are_their_own():
    space = tied_space("resnet20")
    inner = [f"stage{stage}.{block}.conv1" for stage in (1, 2, 3) for block in range(3)]
    assert sorted(space.widths) == sorted(["conv1", "stage2.0.conv2", "stage3.0.conv2", *inner])
    assert space.plan.tied["stage1.2.conv2"] == "conv1" and space.plan.tied["stage2.1.conv2"] == "stage2.0.conv2"
    assert space.plan.all_widths() == dict(space.full.widths)


@pytest.mark.parametrize("name", ["resnet20", "resnet164"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_drawn_network_costs_what_its_plan_says_and_has_no_projection_beside_those_of_the_unpruned_one(name, share):
    space = tied_space(name)
    budget = Budget(share * FLOPS.exact(space.plan, space.full), 0.02)
    for seed in range(3):
        drawn = random_architecture(space, [budget], torch.Generator().manual_seed(seed))
        network = build(drawn)
        assert isinstance(network, CifarResNet)
        assert flops(network, (3, 8, 8)) == FLOPS.exact(space.plan, drawn) == FLOPS.exact(plan_of(name, size=8), drawn)
        full = dict(build(space.full).named_modules())
        kinds = {n: type(m) for n, m in network.named_modules() if "shortcut" in n}
        assert all(type(full[n]) is kind for n, kind in kinds.items())


@pytest.mark.parametrize("align", ["interpolate", "pad"])
def test_a_supernet_forced_to_a_network_is_that_network_in_training_and_in_evaluation(align):
    torch.manual_seed(0)
    space = tied_space("resnet20")
    supernet = Supernet(build(space.full), space, align).double()
    for parameter in supernet.weight_parameters():
        nn.init.normal_(parameter, std=0.3)
    budget = Budget(0.5 * FLOPS.exact(space.plan, space.full), 0.05)
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64)
    for seed in range(3):
        drawn = random_architecture(space, [budget], torch.Generator().manual_seed(seed))
        supernet.force(drawn)
        network = tas.cut(build(space.full).double(), space.plan, drawn, supernet.weights(drawn))
        for training in (True, False):
            torch.testing.assert_close(supernet.train(training)(images), network.train(training)(images))


def test_what_is_tied_cannot_be_cut_apart():
    space = tied_space("resnet20")
    apart = space.full.with_counts({**space.full.widths, "stage1.0.conv2": 9}, space.full.depths)
    with pytest.raises(TasError, match=r"stage1\.0\.conv2.*differs from.*conv1"):
        tas.cut(build(space.full), space.plan, apart)


def test_any_other_plan_stays_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.append(nn.Linear(8, 10))
    plan = tas.search_space(network, torch.rand(1, 3, 8, 8)).plan
    assert tie_residuals(plan) == plan
