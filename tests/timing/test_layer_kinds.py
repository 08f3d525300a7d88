"""Layers by themselves are those of the network."""

import pytest
import torch
from torch import nn

from tas.cost.latency import channels_read
from tas.networks import open_network
from tas.reading.plan import Layer
from tas.space.of_network import search_space
from tas.space.space import SearchSpace
from tas.timing.layer_kinds import LayerKind

NETWORKS = ("resnet20", "mobilenetv2", "torchvision/efficientnet_b0", "torchvision/resnext50_32x4d")


def written(space: SearchSpace, layer: Layer) -> int:
    source = layer.writes.source
    return layer.writes.repeat * (source if isinstance(source, int) else space.plan.all_widths()[source])


@pytest.mark.parametrize("name", NETWORKS)
def test_each_has_the_weights_and_the_output_of_the_network_s(name: str) -> None:
    network = open_network(name, 10, 3)
    space = search_space(network, torch.zeros(1, 3, 64, 64))
    modules = dict(network.named_modules())
    for layer in space.plan.layers:
        kind = LayerKind.of(layer, space.plan, isinstance(modules.get(layer.name), nn.Linear))
        made, given = kind.made(sum(channels_read(space.plan, layer)), written(space, layer), batch=2)
        if layer.name in modules:
            own = modules[layer.name]
            assert {key: value.shape for key, value in made.state_dict().items()} == {
                key: value.shape for key, value in own.state_dict().items()
            }
        answer = made(given)
        assert len(answer) == 2
        if not kind.linear:
            assert answer.shape[2:] == layer.resolution


def test_a_group_stays_whole() -> None:
    kind = LayerKind((3, 3), (1, 1), (8, 8), False, 4, False)
    made, given = kind.made(2, 12, batch=1)
    assert isinstance(made, nn.Conv2d) and (made.groups, made.in_channels, made.out_channels) == (3, 6, 12)
    assert made(given).shape == (1, 12, 8, 8)


def test_kinds_that_differ_have_other_keys() -> None:
    kinds = [
        LayerKind((3, 3), (1, 1), (8, 8), False, 0, False),
        LayerKind((3, 3), (2, 2), (8, 8), False, 0, False),
        LayerKind((3, 3), (1, 1), (4, 8), False, 0, False),
        LayerKind((3, 3), (1, 1), (8, 8), False, 1, False),
        LayerKind((3, 3), (1, 1), (8, 8), False, 0, True),
        LayerKind((1, 1), (1, 1), (8, 8), True, 0, False),
    ]
    assert len({str(kind) for kind in kinds}) == len(kinds)
