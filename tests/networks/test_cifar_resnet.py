"""CIFAR ResNets: what they cost, and what goes around their blocks."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from tas.config.groups import Space
from tas.cost.count import flops, parameters
from tas.cost.measures import FLOPS, PARAMS
from tas.cutting.build import build
from tas.cutting.cut import cut
from tas.networks import open_network
from tas.networks.cifar_resnet import BasicBlock, Bottleneck, shortcut
from tas.space.space import SearchSpace
from tests.parity import random_choices
from tests.spaces import plan_of, unpruned

BLOCKS = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}


def basic_flops(blocks, classes):
    """FLOPs at 3x32x32: halving the resolution and doubling the width leaves a c -> c convolution's cost as it is."""
    stem = 9 * 3 * 16
    c_to_c = 9 * 16 * 16
    # The first convolution of stages 2 and 3 reads half the channels; beside it stands a 1x1 projection.
    stages = (6 * blocks - 2) * c_to_c + 2 * (c_to_c // 2) + 2 * (16 * 16 // 2)
    return 32 * 32 * (stem + stages) + 64 * classes


def basic_parameters(blocks, classes):
    convolutions = 9 * 3 * 16 + 2 * blocks * 9 * 16 * 16
    norms = 2 * 16 * (1 + 2 * blocks)
    for c in (32, 64):
        convolutions += (2 * blocks - 1) * 9 * c * c + 9 * (c // 2) * c + (c // 2) * c
        norms += 2 * c * 2 * blocks
    return convolutions + norms + 64 * classes + classes


def bottleneck_flops(blocks, classes):
    """A block of base width c has 4c -> c, 3x3 c -> c and c -> 4c: 17 c^2 for each position."""
    stem = 9 * 3 * 16
    first = 1 + 9 + 4 + 4  # reads 16, and has a 1x1 projection to 64
    # Reads 2c; its first convolution runs at the old resolution, which has four times the positions.
    halving = 4 * 2 + 9 + 4 + 2 * 4
    return 32 * 32 * (stem + 16 * 16 * (3 * (blocks - 1) * 17 + first + 2 * halving)) + 256 * classes


def bottleneck_parameters(blocks, classes):
    convolutions = 9 * 3 * 16 + 16 * 16 * (1 + 9 + 4 + 4) + (blocks - 1) * 17 * 16 * 16
    norms = 2 * 16 + 2 * 64 + blocks * 2 * (16 + 16 + 64)  # the stem's, the projection's, the blocks'
    for c in (32, 64):
        convolutions += (2 + 9 + 4 + 2 * 4) * c * c + (blocks - 1) * 17 * c * c
        norms += blocks * 2 * (c + c + 4 * c)
    return convolutions + norms + 256 * classes + classes


@pytest.mark.parametrize(
    ("network", "pinned"),
    [
        ("resnet20", 40_813_184),
        ("resnet32", 69_124_736),
        ("resnet44", 97_436_288),
        ("resnet56", 125_747_840),
        ("resnet110", 253_149_824),
    ],
)
def test_flops_and_parameters_of_networks_of_basic_blocks(network, pinned):
    built = build(unpruned(network, 10))
    assert flops(built, (3, 32, 32)) == basic_flops(BLOCKS[network], 10) == pinned
    assert parameters(built) == basic_parameters(BLOCKS[network], 10)


def test_flops_and_parameters_of_resnet164():
    built = build(unpruned("resnet164", 100))
    assert flops(built, (3, 32, 32)) == bottleneck_flops(18, 100) == 247_669_760
    assert parameters(built) == bottleneck_parameters(18, 100)


def any_widths(space, seed):
    """The space with a few widths of each convolution that are no shares of its own, one channel among them."""
    draw = random.Random(seed)
    widths = {name: (1, *draw.sample(range(1, full + 1), 3), full) for name, (*_, full) in space.widths.items()}
    return replace(space, widths=widths)


@pytest.mark.parametrize("residuals", ["tied", "free"])
@pytest.mark.parametrize("network", ["resnet20", "resnet32", "resnet56", "resnet164"])
@pytest.mark.parametrize(("classes", "channels", "size"), [(10, 3, 32), (7, 1, 9)])
def test_parameters_and_flops_of_cut_networks_are_those_that_the_plan_says(network, residuals, classes, channels, size):
    full, plan = unpruned(network, classes, channels, size), plan_of(network, classes, channels, size)
    space = any_widths(SearchSpace.of(plan, full, Space(residuals=residuals)), seed=0)
    assert len(space.widths) == len(full.widths) or residuals == "tied"
    whole = open_network(network, classes, channels)
    assert PARAMS.exact(plan, full) == PARAMS.exact(space.plan, full) == parameters(whole)
    for architecture in (space.smallest(), *random_choices(space, 2)):
        small = cut(whole, space.plan, architecture)
        assert PARAMS.exact(space.plan, architecture) == PARAMS.exact(plan, architecture) == parameters(small)
        assert FLOPS.exact(space.plan, architecture) == FLOPS.exact(plan, architecture)
        assert FLOPS.exact(plan, architecture) == flops(small, (channels, size, size))
    assert PARAMS.exact(plan, architecture) == parameters(build(architecture))


@pytest.mark.parametrize("network", [*BLOCKS, "resnet164"])
def test_the_number_in_the_name_counts_the_convolutions_and_the_linear_layer_on_the_main_path(network):
    full = unpruned(network, 10)
    assert len(full.widths) + 1 == int(network.removeprefix("resnet"))


@pytest.mark.parametrize("channels", [(8, 8), (8, 12), (12, 8)])
def test_a_shortcut_of_stride_2_pools_and_projects_without_norm(channels):
    pool, projection = shortcut(*channels, stride=2)
    assert isinstance(pool, nn.AvgPool2d)
    assert isinstance(projection, nn.Conv2d)
    assert projection.weight.shape == (channels[1], channels[0], 1, 1)
    assert projection.stride == (1, 1)
    assert projection.bias is None


@pytest.mark.parametrize("channels", [(8, 12), (12, 8)])
def test_a_shortcut_between_unequal_widths_projects_and_normalises(channels):
    projection, norm = shortcut(*channels, stride=1)
    assert isinstance(projection, nn.Conv2d)
    assert projection.weight.shape == (channels[1], channels[0], 1, 1)
    assert projection.bias is None
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_features == channels[1]


def test_a_shortcut_between_equal_widths_is_the_identity():
    assert isinstance(shortcut(8, 8, stride=1), nn.Identity)


def test_pooling_averages_squares_of_four_and_at_odd_edges_what_is_there():
    pool = shortcut(1, 1, stride=2)[0]
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    expected = torch.tensor([[(0 + 1 + 3 + 4) / 4, (2 + 5) / 2], [(6 + 7) / 2, 8]])
    torch.testing.assert_close(pool(image)[0, 0], expected)


@pytest.mark.parametrize("size", [8, 9, 10, 11, 32, 33])
@pytest.mark.parametrize(("block", "widths"), [(BasicBlock, (5, 7)), (Bottleneck, (5, 6, 7))])
def test_both_branches_of_a_block_of_stride_2_have_half_the_resolution_rounded_up(block, widths, size):
    built = block(4, widths, stride=2)
    image = torch.randn(2, 4, size, size)
    half = (size + 1) // 2
    assert built.shortcut(image).shape == built(image).shape == (2, 7, half, half)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("block", "widths"), [(BasicBlock, (5, 7)), (Bottleneck, (5, 6, 7))])
def test_a_block_is_the_rectified_sum_of_its_convolutions_and_its_shortcut(block, widths, stride):
    built = block(4, widths, stride).eval()
    image = torch.randn(2, 4, 8, 8)
    out = image
    for conv, norm in block.searched.items():
        if out is not image:
            out = out.relu()
        out = built.get_submodule(norm)(built.get_submodule(conv)(out))
    torch.testing.assert_close(built(image), (out + built.shortcut(image)).relu())


def test_the_stages_run_at_full_half_and_quarter_resolution():
    built = build(unpruned("resnet20", 10)).eval()
    shapes = {}
    for name, stage in built.stages():
        stage.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape[1:]}))
    built(torch.randn(1, 3, 32, 32))
    assert shapes == {"stage1": (16, 32, 32), "stage2": (32, 16, 16), "stage3": (64, 8, 8)}


def test_in_an_unpruned_network_of_basic_blocks_only_halving_blocks_project():
    built = build(unpruned("resnet32", 10))
    projecting = [
        f"{stage}.{index}"
        for stage, blocks in built.stages()
        for index, block in enumerate(blocks)
        if not isinstance(block.shortcut, nn.Identity)
    ]
    assert projecting == ["stage2.0", "stage3.0"]
