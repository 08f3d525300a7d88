"""The table of layers."""

import pytest
import torch
from torch import Tensor, nn

from tas.profiling.layers import BETWEEN, LayerTable, LayerTime, layer_times


class Block(nn.Module):
    """A layer that is used twice, and a sum that is no layer."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.more = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.first(x))
        for layer in self.more:
            y = layer(y)
        return self.act(y) + x


def test_each_layer_of_both_networks_is_a_line() -> None:
    networks = [Block(2).eval(), Block(1).eval()]
    table = layer_times(networks, torch.randn(2, 3, 16, 16))
    rows = {row.name: row for row in table.layers}
    assert set(rows) == {"first", "act", "more.0", "more.1", BETWEEN}
    assert rows["first"].kind == "Conv2d" and rows["act"].kind == "ReLU" and rows[BETWEEN].kind == BETWEEN
    assert rows["more.1"].after is None
    assert all(row.before is not None and row.before > 0 for row in table.layers)
    assert (table.device, table.images) == ("CPU", 2)
    times = [max(row.before or 0, row.after or 0) for row in table.layers]
    assert times == sorted(times, reverse=True)
    for network in networks:  # nothing stays behind
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_one_network_has_no_second_side() -> None:
    table = layer_times([Block(1).eval()], torch.randn(1, 3, 8, 8))
    assert all(row.after is None for row in table.layers) and table.total("after") == 0


def test_a_table_is_summed_and_shared_out() -> None:
    rows = (
        LayerTime("a", "Conv2d", 4.0, 2.0),
        LayerTime("b", "Conv2d", 3.0, None),
        LayerTime("c", "ReLU", 2.0, 3.0),
        LayerTime(BETWEEN, BETWEEN, 1.0, 5.0),
    )
    table = LayerTable("CPU", 64, rows)
    assert (table.total("before"), table.total("after")) == (10.0, 10.0)
    assert table.kinds("before") == pytest.approx({"Conv2d": 0.7, "ReLU": 0.2, BETWEEN: 0.1})
    assert table.holding("before") == pytest.approx({"a": 0.4, "b": 0.3})
    assert table.holding("after") == pytest.approx({BETWEEN: 0.5})
    assert list(table.kinds("after")) == [BETWEEN, "ReLU", "Conv2d"]
