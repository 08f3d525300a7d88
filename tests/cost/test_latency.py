"""Latency as a cost: interpolation, the sum over layers by hand, and the fit to whole networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tas.cost.expected import ExpectedCost
from tas.cost.latency import LatencyCost, LatencyWeights, LayerGrid, channels_read, in_time_units
from tas.networks import open_network
from tas.space.of_network import search_space
from tas.space.space import SearchSpace
from tests.spaces import paper_space, unpruned

WEIGHTS = LatencyWeights(own=0.8, layer=20e-6, feature=3e-9, network=1e-3)


def linear_grid(per_pair: float = 1e-8) -> LayerGrid:
    """A layer of which each pair of channels takes so long."""
    ends = (1, 4096)
    return LayerGrid(ends, ends, tuple(tuple(per_pair * one * other for other in ends) for one in ends))


def cost_of(space: SearchSpace, weights: LatencyWeights = WEIGHTS, batch: int = 1) -> LatencyCost:
    grids = {layer.name: linear_grid() for layer in space.plan.layers}
    return LatencyCost(grids, batch, weights)


@given(st.floats(1, 40), st.floats(1, 40))
def test_times_lie_between_those_of_the_widths_around_and_stay_beyond_the_last(one: float, other: float) -> None:
    grid = LayerGrid((4, 8, 16), (2, 32), ((1.0, 3.0), (2.0, 6.0), (4.0, 12.0)))
    found = float(grid.at(torch.tensor([one]), torch.tensor([other])))
    row, column = min(max(one, 4), 16) / 4, (min(max(other, 2), 32) - 2) / 30  # each row is a multiple of the first
    assert found == pytest.approx(row * (1 + 2 * column))


def test_the_sum_over_layers_is_that_by_hand() -> None:
    space = paper_space(unpruned("resnet20"))
    network = space.full.with_counts(
        {name: max(1, width // 2) for name, width in space.full.widths.items()}, dict.fromkeys(space.full.depths, 2)
    )
    expected = WEIGHTS.network
    for layer in space.plan.layers:
        if layer.stage is not None and layer.block >= 2:
            continue
        (segment,) = layer.reads
        source = space.plan.resolve(segment.source, network.depths)
        reads = source if isinstance(source, int) else network.widths[source]
        writes = layer.writes.source if isinstance(layer.writes.source, int) else network.widths[layer.writes.source]
        if layer.if_unequal and reads == writes:
            continue
        expected += 0.8 * 1e-8 * reads * writes + 20e-6 + 3e-9 * 2 * layer.positions * writes
    found = cost_of(space, batch=2).measure.exact(space.plan, network)
    assert found == pytest.approx(expected * 1e9, rel=1e-6)


def test_each_part_of_a_concatenation_has_its_share_of_the_time() -> None:
    network = open_network("torchvision/squeezenet1_1", 10, 3)
    space = search_space(network, torch.zeros(1, 3, 64, 64))
    (layer, *_) = [layer for layer in space.plan.layers if len(layer.reads) > 1]
    whole = sum(channels_read(space.plan, layer))
    only_own = LatencyCost({one.name: linear_grid() for one in space.plan.layers}, 1, LatencyWeights(own=1.0))
    others = replace(only_own, grids={**only_own.grids, layer.name: linear_grid(0.0)})
    difference = only_own.measure.exact(space.plan, space.full) - others.measure.exact(space.plan, space.full)
    writes = space.full.widths[str(layer.writes.source)]
    assert difference == pytest.approx(1e-8 * whole * writes * 1e9, rel=1e-3, abs=3)


def test_it_is_expected_under_distributions_as_any_cost_is() -> None:
    space = paper_space(unpruned("resnet20"), residuals="tied")
    measure = cost_of(space).measure
    expected = ExpectedCost(measure.tables(space.plan, space.widths, space.depths), space.widths, space.depths)
    generator = torch.Generator().manual_seed(0)
    choices = {**space.widths, **space.depths}
    places = {name: int(torch.randint(len(c), (1,), generator=generator)) for name, c in choices.items()}
    certain = {name: torch.eye(len(c), dtype=torch.float64)[places[name]] for name, c in choices.items()}
    network = space.choose(
        {name: c[places[name]] for name, c in space.widths.items()},
        {name: c[places[name]] for name, c in space.depths.items()},
    )
    assert float(expected(certain, certain)) == measure.exact(space.plan, network)


def test_the_fit_finds_the_weights_that_made_the_times() -> None:
    space = paper_space(unpruned("resnet20"), residuals="tied")
    generator, networks = np.random.default_rng(0), [space.full]
    for _ in range(20):
        networks.append(
            space.choose(
                {name: int(generator.choice(c)) for name, c in space.widths.items()},
                {name: int(generator.choice(c)) for name, c in space.depths.items()},
            )
        )
    truth = cost_of(space)
    seconds = [truth.measure.exact(space.plan, one) / 1e9 for one in networks]
    fitted = replace(truth, weights=LatencyWeights(own=1.0)).fitted(space.plan, networks, seconds)
    for name in LatencyWeights.__dataclass_fields__:
        assert getattr(fitted.weights, name) == pytest.approx(getattr(WEIGHTS, name), rel=1e-3)


@pytest.mark.parametrize(("cost", "written"), [(22.8e6, "22.8 ms"), (1.5e4, "0.015 ms"), (900.0, "0.9 us")])
def test_times_are_written_with_their_units(cost: float, written: str) -> None:
    assert in_time_units(cost) == written
