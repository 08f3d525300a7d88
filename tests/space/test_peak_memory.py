"""Limits of the peak memory: what is predicted is what is counted, and the best inside a limit is the best of all."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.densenet import DenseNet

from tas.architecture import Architecture
from tas.config.targets import Target
from tas.cost.budget import Budget, all_hold
from tas.cost.measures import FLOPS, Measure
from tas.cost.memory import peak_activations
from tas.cutting.cut import cut
from tas.errors import TasError
from tas.networks import open_network
from tas.space.best import best, best_of_many, choices_of, count_of
from tas.space.derivation import derive, reachable
from tas.space.of_network import search_space
from tas.space.outlook import outlook
from tas.space.peak_memory import Peaks, peak_for
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tests.small_networks import SMALL, Made, conv, pooled
from tests.space.test_derivation import every_architecture, random_probabilities

SIZES = {
    "resnet20": 32,
    "resnet164": 16,
    "mobilenetv2": 32,
    "torchvision/mobilenet_v2": 64,
    "torchvision/squeezenet1_1": 64,
    "torchvision/shufflenet_v2_x1_0": 64,
}
"""Network -> pixels."""


def check_predicted(network: nn.Module, size: int, count: int = 8, **options: object) -> None:
    """Assert that the peaks of random networks are what is predicted."""
    space = search_space(network, torch.zeros(1, 3, size, size), **options)
    measure = Peaks(network, space).measure()
    generator = random.Random(1)
    for architecture in (space.full, space.smallest(), *(space.drawn(generator) for _ in range(count))):
        counted = peak_activations(cut(network, space.plan, architecture).eval(), torch.randn(1, 3, size, size))
        assert measure.exact(space.plan, architecture) == counted


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "resnet20" else pytest.mark.slow) for name in SIZES]
)
def test_the_predicted_peak_is_that_of_the_network_that_is_cut(name: str) -> None:
    check_predicted(open_network(name, 10, 3), SIZES[name])


@pytest.mark.parametrize("name", [name for name in SMALL if name != "derived_class"])
def test_so_it_is_however_channels_are_joined(name: str) -> None:
    check_predicted(SMALL[name](), 8)


def test_so_it_is_where_blocks_are_concatenated() -> None:
    check_predicted(DenseNet(growth_rate=8, block_config=(2, 3), num_init_features=8, num_classes=5), 32)


def small() -> tuple[SearchSpace, Measure]:
    """A stem, and three blocks of which the later ones can be left out; every width has three candidates."""

    def block() -> nn.Module:
        return Made(lambda net, x: x + net.b(F.relu(net.a(x))), a=conv(8, 16), b=conv(16, 8))

    layers = {"stem": conv(3, 8), "blocks": nn.Sequential(*(block() for _ in range(3))), "fc": nn.Linear(8, 5)}
    network = Made(lambda net, x: net.fc(pooled(net.blocks(net.stem(x)))), **layers)
    space = search_space(network, torch.zeros(1, 3, 8, 8), ratios=(0.25, 0.6, 1.0))
    return space, Peaks(network, space).measure()


def limits(space: SearchSpace, measure: Measure) -> list[list[Budget]]:
    """Limits of the peak, some beside a band of FLOPs, that some networks of a space are inside of."""
    full = measure.exact(space.plan, space.full)
    alone = [[Budget(share * full, 0.02, measure)] for share in (0.45, 0.6, 0.75, 0.9)]
    flops = FLOPS.exact(space.plan, space.full)
    return [*alone, *([Budget(share * flops, 0.2), *alone[1]] for share in (0.15, 0.3))]


def score(scores: dict[str, np.ndarray], space: SearchSpace, network: Architecture) -> float:
    places = {name: candidates.index(count_of(network, name)) for name, candidates in choices_of(space).items()}
    return sum(float(scores[name][place]) for name, place in places.items())


@pytest.mark.parametrize("seed", range(3))
def test_the_best_and_the_most_probable_inside_a_limit_are_those_of_all_networks(seed: int) -> None:
    space, measure = small()
    rng = np.random.default_rng(seed)
    scores = {name: np.sort(rng.standard_normal(len(kinds))) for name, kinds in choices_of(space).items()}
    widths, depths = random_probabilities(space, seed)
    logs = {name: one.double().log().numpy() for name, one in {**widths, **depths}.items()}
    every = list(every_architecture(space))
    for budgets in limits(space, measure):
        inside = [one for one in every if all_hold(budgets, space.plan, one)]
        within = [one for one in inside if all_hold([each.at_most() for each in budgets], space.plan, one)]
        assert 0 < len(within) < len(every)
        found = best(space, scores, budgets)
        assert found in within
        assert score(scores, space, found) == pytest.approx(max(score(scores, space, one) for one in within), abs=1e-4)
        found = derive(space, widths, depths, *budgets)
        assert found in inside
        assert score(logs, space, found) == pytest.approx(max(score(logs, space, one) for one in inside), abs=1e-4)


def test_many_scores_random_networks_and_the_outlook_keep_to_limits() -> None:
    space, measure = small()
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    for budgets in limits(space, measure):
        scores = [
            {name: rng.standard_normal(len(kinds)) for name, kinds in choices_of(space).items()} for _ in range(9)
        ]
        found = best_of_many(space, scores, budgets)
        most = [budget.high for budget in budgets]
        assert len(found) == 9
        assert all(budget.cost(space.plan, one) <= high for one in found for budget, high in zip(budgets, most))
        assert all(all_hold(budgets, space.plan, random_architecture(space, budgets, generator)) for _ in range(3))
        prospect = outlook(space, budgets)
        assert prospect.sure and all_hold(budgets, space.plan, prospect.networks["balanced"])


def test_where_a_limit_cannot_be_kept_the_least_peak_is_handed_over_and_told() -> None:
    space, measure = small()
    widths, depths = random_probabilities(space, seed=0)
    every = list(every_architecture(space))
    least = min(measure.exact(space.plan, one) for one in every)
    alone = Budget(0.8 * least, 0.05, measure)
    assert measure.exact(space.plan, derive(space, widths, depths, alone)) == least
    assert reachable(space, alone) == (least,)
    # Beside most of the FLOPs it has to be more.
    flops = Budget(FLOPS.exact(space.plan, space.full), 0.05)
    beside = min(measure.exact(space.plan, one) for one in every if all_hold([flops], space.plan, one))
    tight = Budget(0.9 * beside, 0.05, measure)
    short = outlook(space, [flops, tight]).shortfall
    assert short is not None and short.missed == tight and short.beside == (flops,)
    assert short.reachable == (pytest.approx(beside, rel=0.02),)


def test_nothing_is_counted_without_a_target_for_it() -> None:
    space, _ = small()
    network = nn.Identity()  # it would not run
    assert peak_for(Target(), network, space) is None
    assert peak_for(Target(flops_target=0.5), network, space) is None


def test_a_space_in_which_layers_come_and_go_is_refused() -> None:
    network = open_network("resnet20", 10, 3)
    space = search_space(network, torch.zeros(1, 3, 32, 32), residuals="free")
    with pytest.raises(
        TasError, match=r"^--memory-target: the peak memory of resnet20 cannot .*; give --residuals tied$"
    ):
        Peaks(network, space).measure()


def test_a_network_that_makes_weights_out_of_weights_is_refused() -> None:
    # What it makes has as many numbers as inputs times outputs.
    network = SMALL["derived_class"]()
    space = search_space(network, torch.zeros(1, 3, 8, 8))
    with pytest.raises(
        TasError, match=r"^--memory-target: the peak memory of .* cannot be predicted: a network of its"
    ):
        Peaks(network, space).measure()


def test_a_network_that_does_something_else_where_it_is_narrow_is_refused() -> None:
    layers = {"a": conv(3, 8), "fc": nn.Linear(8, 5)}
    space = search_space(Made(lambda net, x: net.fc(pooled(net.a(x))), **layers), torch.zeros(1, 3, 8, 8))
    network = Made(lambda net, x: net.fc(pooled(x if (x := net.a(x)).shape[1] == 8 else 2 * x)), **layers)
    with pytest.raises(TasError, match=r"^--memory-target: .* it computes something else where a is narrower$"):
        Peaks(network, space).measure()
