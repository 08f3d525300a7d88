"""FLOPs: one closed form, torch's own counter, the cost tables and their expectation must all agree."""

import itertools
import random
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tas.architecture import Architecture
from tas.cost.count import flops, nonzero_flops, parameters, uncounted
from tas.cost.expected import ExpectedCost
from tas.cost.measures import FLOPS
from tas.cutting.build import build
from tas.space.space import SearchSpace
from tests.small_networks import Made, conv, pooled
from tests.spaces import paper_space, plan_of, unpruned

PUBLISHED = Path(__file__).parents[2] / "configs" / "published"
FLOPS_OF_PUBLISHED = {
    "cifar10-resnet20": 22_444_472,
    "cifar10-resnet32": 34_945_344,
    "cifar10-resnet56": 59_858_430,
    "cifar10-resnet110": 119_259_258,
    "cifar100-resnet20": 22_433_792,
    "cifar100-resnet32": 42_468_608,
    "cifar100-resnet164": 171_143_792,
}
IMAGE = (3, 32, 32)


def torch_flops(network, input_shape):
    """What torch counts, which is two for a multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *input_shape))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def closed_form(architecture, size=32):
    """The FLOPs of a CIFAR ResNet by the rules of its blocks, from nothing but the numbers of the architecture."""
    a, positions = architecture, size * size
    kernels = [1, 9, 1] if a.network == "resnet164" else [9, 9]
    total = 9 * a.in_channels * a.widths["conv1"] * positions
    channels = a.widths["conv1"]
    for stage, depth in a.depths.items():
        for block in range(depth):
            halves = block == 0 and stage != "stage1"
            block_input = channels
            for index, kernel in enumerate(kernels, start=1):
                if halves and index == kernels.index(9) + 1:  # the first 3x3 convolution has the stride
                    size = (size + 1) // 2
                    positions = size * size
                width = a.widths[f"{stage}.{block}.conv{index}"]
                total += kernel * channels * width * positions
                channels = width
            if halves or block_input != channels:
                total += block_input * channels * positions
    return total + channels * a.num_classes


def random_space(network, seed, searched=6, depths=(1, 2, 3)):
    """A space small enough to list: a few widths and all depths are searched, the others have a random value each."""
    rng = random.Random(seed)
    full = unpruned(network, 10)
    widths = {name: (rng.randint(1, width),) for name, width in full.widths.items()}
    # Of the first block of each stage, where conditional projections and changes of stage are, and of the others.
    near = [name for name in widths if name.split(".")[1:2] in ([], ["0"], ["1"])]
    for name in rng.sample(near, searched):
        count = min(rng.choice([2, 2, 3]), full.widths[name])
        # Low numbers: equal widths on both sides of a shortcut are then common.
        widths[name] = tuple(sorted(rng.sample(range(1, min(full.widths[name], 6) + 1), count)))
    return SearchSpace(plan_of(full.network), full, widths, dict.fromkeys(full.depths, depths))


def every_choice(space):
    """All choices of a space as rows of candidate indices, widths before depths, and the architectures they stand for.

    A network that ignores the widths of blocks which it does not keep is listed once for each value of them: their
    probabilities add up.
    """
    names = [*space.widths, *space.depths]
    candidates = [*space.widths.values(), *space.depths.values()]
    for row in itertools.product(*(range(len(values)) for values in candidates)):
        chosen = {name: values[index] for name, values, index in zip(names, candidates, row)}
        yield row, space.choose({n: chosen[n] for n in space.widths}, {n: chosen[n] for n in space.depths})


def random_logits(space, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (2 * torch.randn(len(values), generator=generator, dtype=torch.float64)).requires_grad_()
        for values in (*space.widths.values(), *space.depths.values())
    ]


def probabilities(space, logits):
    softened = [row.softmax(0) for row in logits]
    return dict(zip(space.widths, softened)), dict(zip(space.depths, softened[len(space.widths) :]))


def test_every_published_architecture_has_its_flops_pinned():
    assert {path.stem for path in PUBLISHED.iterdir()} == set(FLOPS_OF_PUBLISHED)


@pytest.mark.parametrize("name", FLOPS_OF_PUBLISHED)
def test_flops_of_published_architectures(name):
    architecture = Architecture.load(PUBLISHED / f"{name}.json")
    network = build(architecture)
    pinned = FLOPS_OF_PUBLISHED[name]
    assert flops(network, IMAGE) == torch_flops(network, IMAGE) == closed_form(architecture) == pinned
    assert FLOPS.exact(plan_of(architecture.network), architecture) == pinned - network.fc.in_features * (
        architecture.num_classes - 10  # the plan is of a network with ten classes
    )


# Architectures are drawn by seed, since they are too long to draw one by one: there is nothing to shrink.
@settings(max_examples=15, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(st.data())
@pytest.mark.parametrize("network", ["resnet20", "resnet44", "resnet164"])
def test_exact_flops_are_those_of_the_network_that_is_built(network, data):
    full = unpruned(network, 10)
    size = data.draw(st.sampled_from([8, 9, 32]))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    # Where the widest allowed is small, equal widths on both sides of a shortcut are common.
    most = data.draw(st.sampled_from([1, 2, 4, 256]))
    widths = {name: rng.randint(1, min(width, most)) for name, width in full.widths.items()}
    depths = {name: rng.randint(1, min(depth, 7)) for name, depth in full.depths.items()}
    architecture = Architecture(network, 10, 3, size, widths, depths)
    exact = FLOPS.exact(plan_of(network, size=size), architecture)
    assert exact == flops(build(architecture), (3, size, size)) == closed_form(architecture, size)


def test_no_projection_is_paid_for_where_widths_happen_to_be_equal():
    # The unpruned bottleneck network projects from 16 to 64 here; a network with 16 on both sides does not.
    full = unpruned("resnet164", 10)
    equal = Architecture("resnet164", 10, 3, 32, {**full.widths, "stage1.0.conv3": 16}, full.depths)
    assert FLOPS.exact(plan_of("resnet164"), equal) == flops(build(equal), IMAGE)


@pytest.mark.parametrize("network", ["resnet20", "resnet164"])
@pytest.mark.parametrize("seed", range(4))
def test_expected_flops_and_their_gradient_are_those_of_a_sum_over_all_networks(network, seed):
    space = random_space(network, seed)
    logits = random_logits(space, seed)
    rows, costs = [], []
    for row, architecture in every_choice(space):
        rows.append(row)
        costs.append(closed_form(architecture))
    log_probability = sum(logits[choice].log_softmax(0)[list(column)] for choice, column in enumerate(zip(*rows)))
    brute_force = (log_probability.exp() * torch.tensor(costs, dtype=torch.float64)).sum()
    tables = FLOPS.tables(plan_of(network), space.widths, space.depths)
    expected = ExpectedCost(tables, space.widths, space.depths)(*probabilities(space, logits))
    torch.testing.assert_close(expected, brute_force, rtol=1e-12, atol=0)
    # Widths of blocks that no depth keeps have no part in the cost, and so no gradient.
    gradients = torch.autograd.grad(expected, logits, materialize_grads=True)
    for gradient, reference in zip(gradients, torch.autograd.grad(brute_force, logits)):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12 * float(brute_force.detach()))


def test_the_gradient_of_expected_flops_passes_gradcheck():
    space = random_space("resnet20", seed=0)
    searched = [len(values) > 1 for values in (*space.widths.values(), *space.depths.values())]
    logits = random_logits(space, seed=0)
    tables = FLOPS.tables(plan_of("resnet20"), space.widths, space.depths)
    full = FLOPS.exact(plan_of("resnet20"), space.full)

    def share_of_full(*some):
        some = iter(some)
        rows = [next(some) if vary else fixed for fixed, vary in zip(logits, searched)]
        return ExpectedCost(tables, space.widths, space.depths)(*probabilities(space, rows)) / full

    assert torch.autograd.gradcheck(
        share_of_full, [row for row, vary in zip(logits, searched) if vary], atol=1e-9, rtol=1e-6
    )


@pytest.mark.parametrize("network", ["resnet56", "resnet164"])
def test_with_certain_choices_the_expected_flops_are_exact(network):
    space = paper_space(unpruned(network, 10))
    rng = random.Random(0)
    index = {name: rng.randrange(len(values)) for name, values in (*space.widths.items(), *space.depths.items())}
    certain = [
        {name: torch.eye(len(values), dtype=torch.float64)[index[name]] for name, values in part.items()}
        for part in (space.widths, space.depths)
    ]
    chosen = space.choose(
        {name: values[index[name]] for name, values in space.widths.items()},
        {name: values[index[name]] for name, values in space.depths.items()},
    )
    tables = FLOPS.tables(plan_of(network), space.widths, space.depths)
    assert ExpectedCost(tables, space.widths, space.depths)(*certain).item() == FLOPS.exact(plan_of(network), chosen)


def test_expected_flops_of_single_precision_probabilities_are_added_up_in_double_precision():
    space = paper_space(unpruned("resnet20", 10), ratios=(1.0,), search="width")
    ones = [{name: torch.ones(1) for name in part} for part in (space.widths, space.depths)]
    expected = ExpectedCost(FLOPS.tables(plan_of("resnet20"), space.widths, space.depths), space.widths, space.depths)(
        *ones
    )
    assert expected.dtype == torch.float64
    assert expected.item() == 40_813_184  # above 2**24, where single precision leaves out odd numbers


@pytest.mark.parametrize("network", ["resnet20", "resnet110", "resnet164"])
def test_the_smallest_network_of_a_space_is_cheaper_than_random_ones_and_the_unpruned_one_dearer(network):
    space, plan = paper_space(unpruned(network, 10)), plan_of(network)
    low, high = FLOPS.exact(plan, space.smallest()), FLOPS.exact(plan, space.full)
    rng = random.Random(0)
    for _ in range(20):
        drawn = space.choose(
            {name: rng.choice(values) for name, values in space.widths.items()},
            {name: rng.choice(values) for name, values in space.depths.items()},
        )
        assert low < FLOPS.exact(plan, drawn) < high


class Mixed(nn.Module):
    """One layer of each kind, one of them used twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (3, 5), stride=2, dilation=2, bias=True)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 1, groups=4)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.depthwise(self.depthwise(self.stem(x)))
        return self.head(self.grouped(x).flatten(2).transpose(1, 2))


def test_flops_of_grouped_strided_dilated_repeated_and_positionwise_layers():
    height, width = (19 - 5) // 2 + 1, (23 - 9) // 2 + 1
    per_position = 15 * 3 * 8 + 2 * 9 * 8 + (8 // 4) * 12 + 12 * 5
    assert flops(Mixed(), (3, 19, 23)) == torch_flops(Mixed(), (3, 19, 23)) == per_position * height * width


def test_nonzero_flops_are_those_of_the_weights_that_are_left_wherever_they_are_applied():
    network, image = Mixed(), (3, 19, 23)
    assert nonzero_flops(network, image) == flops(network, image)
    positions = ((19 - 5) // 2 + 1) * ((23 - 9) // 2 + 1)
    with torch.no_grad():
        network.stem.weight[0, :, :, 2] = 0  # of a layer applied once: 3 x 3 weights
        network.depthwise.weight[3] = 0  # of one applied twice: 9 weights
        network.grouped.weight[5, 1] = 0
        network.head.weight[:, 4] = 0
        network.head.bias.zero_()  # is not counted in the first place
    left_out = (9 + 2 * 9 + 1 + 5) * positions
    assert nonzero_flops(network, image) == flops(network, image) - left_out


def test_counting_leaves_the_network_as_it_was():
    network = build(unpruned("resnet20", 10)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flops(network, IMAGE)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_parameters_are_weights_biases_scales_and_shifts_but_no_running_statistics():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    assert parameters(network) == 3 * 4 * 9 + 2 * 4 + 16 * 5 + 5


class Meeting(nn.Module):
    """Adds up a pair, as blocks do that are given tokens beside a map."""

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return pair[0] + pair[1]


def test_what_is_not_counted_is_found_where_a_module_is_given_a_parameter() -> None:
    def path(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return net.fc(pooled(net.meet((net.a(x), net.token.expand(len(x), -1, -1, -1)))))

    token = nn.Parameter(torch.zeros(1, 8, 1, 1))
    network = Made(path, a=conv(3, 8), token=token, meet=Meeting(), fc=nn.Linear(8, 5))
    assert uncounted(network, (3, 8, 8)) == 0
    assert token.requires_grad
