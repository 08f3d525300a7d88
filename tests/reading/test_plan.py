"""The structural description: it must say of a network what a forward pass shows."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tas.cutting.build import build
from tas.reading.layer_calls import layer_calls
from tas.reading.readers import read_plan
from tests.spaces import unpruned

NETWORKS = ["resnet20", "resnet44", "resnet164"]


@functools.cache
def network_and_plan(name, size=32):
    network = build(unpruned(name, 10))
    return network, read_plan(network, (3, size, size))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [9, 32])
def test_the_plan_lists_the_layers_of_a_forward_pass_in_its_order(name, size):
    network, plan = network_and_plan(name, size)
    applied = layer_calls(network, (3, size, size))
    names = {layer.name for layer in applied}
    planned = [layer for layer in plan.layers if not layer.if_unequal or layer.name in names]
    assert [layer.name for layer in planned] == [layer.name for layer in applied]
    assert [(layer.kernel, layer.positions) for layer in planned] == [
        (layer.kernel, layer.positions) for layer in applied
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sources_of_a_plan_give_the_channels_of_the_unpruned_network(name):
    network, plan = network_and_plan(name)
    full = unpruned(name, 10)
    width = {**full.widths, 3: 3, 10: 10}
    applied = {layer.name: layer for layer in layer_calls(network, (3, 32, 32))}
    for layer in plan.layers:
        if layer.name in applied:
            assert width[plan.resolve(layer.reads[0].source, full.depths)] == applied[layer.name].in_channels
            assert width[layer.writes.source] == applied[layer.name].out_channels


@pytest.mark.parametrize("name", NETWORKS)
def test_every_width_is_written_by_the_convolution_of_its_name(name):
    _, plan = network_and_plan(name)
    written = {layer.name: layer.writes.source for layer in plan.layers}
    for width in unpruned(name, 10).widths:
        assert written[width] == width


@pytest.mark.parametrize("name", NETWORKS)
def test_identity_shortcuts_are_planned_as_projections_between_unequal_widths(name):
    network, plan = network_and_plan(name)
    identities = {
        f"{stage}.{index}.shortcut.0"
        for stage, blocks in network.stages()
        for index, block in enumerate(blocks)
        if isinstance(block.shortcut, nn.Identity)
    }
    conditional = {layer.name: layer for layer in plan.layers if layer.if_unequal}
    assert identities <= set(conditional)
    for name in identities:
        assert conditional[name].taps == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_projected_input_and_the_block_beside_it_have_the_same_ends(name):
    _, plan = network_and_plan(name)
    by_name = {layer.name: layer for layer in plan.layers}
    for layer in plan.layers:
        if ".shortcut" in layer.name:
            block = layer.name.split(".shortcut")[0]
            assert layer.reads == by_name[f"{block}.conv1"].reads
            assert layer.writes.source == plan.stages[layer.stage].ends[layer.block]
            assert layer.positions == by_name[layer.writes.source].positions


@pytest.mark.parametrize("name", NETWORKS)
def test_every_batch_norm_is_fed_by_one_layer(name):
    network, plan = network_and_plan(name)
    present = dict(network.named_modules())
    layers = [layer for layer in plan.layers if layer.norm is not None and layer.name in present]
    norms = [layer.norm for layer in layers]
    assert sorted(norms) == sorted(n for n, module in network.named_modules() if isinstance(module, nn.BatchNorm2d))
    for layer in layers:
        assert network.get_submodule(layer.norm).num_features == network.get_submodule(layer.name).out_channels


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_at_any_depths_a_layer_has_one_case_if_it_runs_and_none_if_not(data):
    name = data.draw(st.sampled_from(NETWORKS))
    _, plan = network_and_plan(name)
    candidates, chosen = {}, {}
    for stage, blocks in plan.depths().items():
        drawn = data.draw(st.sets(st.integers(1, blocks), min_size=1))
        candidates[stage] = tuple(sorted(drawn))
        chosen[stage] = data.draw(st.sampled_from(candidates[stage]))
    for layer in plan.layers:
        (segment,) = layer.reads
        cases = plan.cases(layer.stage, layer.block, segment.source, candidates)
        active = [case for case in cases if case.stage is None or chosen[case.stage] in case.depths]
        runs = layer.stage is None or chosen[layer.stage] > layer.block
        assert [case.reads for case in active] == [plan.resolve(segment.source, chosen)] * runs


def test_reading_leaves_the_network_as_it_was():
    network = build(unpruned("resnet20", 10)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    read_plan(network, (3, 32, 32))
    assert network.training
    assert all(not module._forward_hooks for module in network.modules())
    after = network.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].device.type == "cpu"
        assert torch.equal(after[name], value)


def test_a_layer_that_is_used_twice_is_applied_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.unused = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            return self.conv(self.conv(x)[:, :, ::2])

    applied = layer_calls(Twice(), (3, 8, 8))
    assert [(layer.name, layer.positions) for layer in applied] == [("conv", 64), ("conv", 32)]


def test_a_grouped_convolution_reads_the_channels_of_one_group():
    (layer,) = layer_calls(nn.Conv2d(6, 8, (3, 5), stride=2, groups=2), (6, 11, 13))
    assert (layer.kernel, layer.stride, layer.groups, layer.resolution) == ((3, 5), (2, 2), 2, (5, 5))
    assert (layer.in_channels, layer.out_channels) == (6 // 2, 8)


def test_a_linear_layer_is_applied_at_every_position_of_its_input():
    (layer,) = layer_calls(nn.Linear(5, 7), (3, 4, 5))
    assert (layer.kernel, layer.resolution, layer.in_channels, layer.out_channels) == ((1, 1), (3, 4), 5, 7)
