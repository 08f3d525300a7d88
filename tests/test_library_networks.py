"""The networks of torchvision and timm that TAS promises: read, searched and cut like any other."""

import pytest
import torch
from torch.optim.swa_utils import update_bn

from tas.cost.count import parameters
from tas.cost.measures import PARAMS
from tas.cutting.cut import cut
from tas.networks import open_network
from tas.space.of_network import search_space
from tas.supernet.supernet import Supernet
from tests.parity import assert_same_cost, assert_same_function, random_choices, randomise, randomise_candidates

TORCHVISION = [
    "resnet18",
    "resnet50",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet1_0",
    "efficientnet_b0",
    "regnet_y_400mf",
    "densenet121",
    "googlenet",
    "inception_v3",
    "squeezenet1_1",
    "convnext_tiny",
    "shufflenet_v2_x1_0",
]
TIMM = ["resnet26d", "mobilenetv3_small_100", "efficientnet_lite0", "repvgg_a0"]
SLOW = [pytest.param("torchvision/vgg16_bn", marks=pytest.mark.slow)]  # 123 million weights are copied and cut


@pytest.mark.parametrize("name", [*(f"torchvision/{n}" for n in TORCHVISION), *(f"timm/{n}" for n in TIMM), *SLOW])
def test_forced_to_a_choice_the_supernet_is_the_network_cut_out_and_all_counts_of_its_costs_agree(name):
    torch.manual_seed(0)
    size = 75 if name.endswith("inception_v3") else 64
    shape = (3, size, size)
    network = open_network(name, 10, 3)
    randomise(network)
    update_bn([torch.randn(4, *shape)], network)  # else activations would grow from layer to layer
    space = search_space(network, torch.empty(1, *shape), name=name)
    supernet = Supernet(network, space).eval()
    randomise_candidates(supernet)
    for architecture in random_choices(space, 5):
        small = cut(network, space.plan, architecture, supernet.weights(architecture)).eval()
        supernet.force(architecture)
        assert_same_function(supernet, small, torch.randn(2, *shape), within=1e-4)
        assert_same_cost(small, space, architecture, shape)
        assert PARAMS.exact(space.plan, architecture) == parameters(small)


def test_the_supernet_of_resnet50_has_hardly_more_parameters_than_the_network():
    with torch.device("meta"):
        network = open_network("torchvision/resnet50", 1000, 3)
    space = search_space(network, torch.empty(1, 3, 224, 224), name="torchvision/resnet50")
    assert space.plan.depths() == {"layer1": 3, "layer2": 4, "layer3": 6, "layer4": 3}
    own = parameters(network)
    assert own < parameters(Supernet(network.to_empty(device="cpu"), space)) <= 1.03 * own
