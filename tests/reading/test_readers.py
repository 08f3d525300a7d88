"""A network may have a reader of its own, and make itself smaller."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import tas
from tas.cost.measures import MEASURES
from tas.reading.plan import Layer, Plan, Segment
from tas.reading.readers import READERS


class Pair(nn.Module):
    """Two layers that torch.fx could not follow."""

    def __init__(self, hidden: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, hidden), nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.second(self.first(x).relu()) if float(x.new_zeros(1)) == 0 else x

    def resized(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> "Pair":
        return Pair(widths["first"])


def read_pair(network: Pair, input_shape: Sequence[int]) -> Plan:
    hidden = network.first.out_features
    first = Layer("first", (1, 1), (), (Segment(12),), Segment("first"), bias=True)
    second = Layer("second", (1, 1), (), (Segment("first"),), Segment(3), bias=True)
    return Plan((first, second), {}, {"first": hidden}, 3)


def test_a_reader_and_a_way_to_make_itself_smaller_are_all_that_a_network_needs(monkeypatch):
    monkeypatch.setitem(READERS, Pair, read_pair)
    monkeypatch.setattr("tas.space.of_network.check_cuts", lambda *arguments: None)  # it cannot run without storage
    network = Pair()
    space = tas.search_space(network, torch.empty(1, 3, 2, 2))
    assert space.widths == {"first": (2, 3, 4, 5, 6, 7, 8)}
    architecture = space.choose({"first": 3}, {})
    small = tas.cut(network, space.plan, architecture)
    assert isinstance(small, Pair) and torch.equal(small.first.weight, network.first.weight[:3])
    assert MEASURES["flops"].exact(space.plan, architecture) == 12 * 3 + 3 * 3
    assert MEASURES["params"].exact(space.plan, architecture) == tas.parameters(small)
