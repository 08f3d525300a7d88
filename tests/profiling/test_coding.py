"""Sizes after clustering and coding, of weights whose entropy can be told by hand."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from tas.profiling.coding import CLUSTERS, coded_size, saved_size, shared_counts


def linear(*values: float, times: int = 25) -> nn.Linear:
    layer = nn.Linear(len(values), times, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(values).repeat(times, 1))
    return layer


@pytest.mark.parametrize(
    ("values", "bits"),
    [((0.5, -0.5), 1.0), ((1.0, 2.0, 3.0, 4.0), 2.0), ((0.0, 0.0, 0.0, 1.0), 0.8112781), ((7.0,), 0.0)],
)
def test_values_that_are_shared_take_their_entropy_and_a_table(values: tuple[float, ...], bits: float) -> None:
    network = nn.Sequential(linear(*values), nn.BatchNorm1d(25))
    size = coded_size(network)
    assert size.bits_per_weight == pytest.approx(bits)
    norm = 4 * 25 * 4 + 8  # scale, shift, mean and variance; the count of batches is an int64
    assert size.bytes == round(bits * len(values) * 25 / 8) + 4 * len(set(values)) + norm


def test_many_values_become_few_and_every_weight_is_counted() -> None:
    values = np.random.default_rng(1).normal(size=50_000)
    counts = shared_counts(values)
    assert (
        counts.sum() == values.size
        and len(counts) <= CLUSTERS
        and 4 < -np.sum(counts / counts.sum() * np.log2(counts / counts.sum())) < 5
    )


def test_zeros_keep_a_value_of_their_own() -> None:
    values = np.random.default_rng(1).normal(size=30_000)
    values[:12_345] = 0
    counts = shared_counts(values)
    assert 12_345 in counts and counts.sum() == values.size and len(counts) <= CLUSTERS


def test_fewer_distinct_values_than_clusters_stay_as_they_are_in_a_large_layer() -> None:
    values = np.repeat([1.0, 2.0, 5.0], [20_000, 30_000, 10_000])
    assert sorted(shared_counts(values)) == [10_000, 20_000, 30_000]


def test_a_network_without_such_layers_is_left_as_it_is() -> None:
    size = coded_size(nn.BatchNorm2d(3))
    assert size.bits_per_weight == 0 and size.bytes == 4 * 3 * 4 + 8


def test_the_size_of_the_file_is_that_of_what_is_saved() -> None:
    network, file = nn.Linear(20, 30), io.BytesIO()
    torch.save(network.state_dict(), file)
    assert saved_size(network) == len(file.getvalue()) > 4 * 630
