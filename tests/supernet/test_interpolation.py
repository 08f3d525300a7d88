"""Channel-wise interpolation against PyTorch's adaptive average pooling."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tas.supernet.interpolation import interpolate_channels, interpolation_matrix

CHANNELS = st.integers(1, 70)


def reference(x, out_channels):
    """adaptive_avg_pool3d takes (N, depth, H, W) as N channels of volumes: depth are our channels."""
    return F.adaptive_avg_pool3d(x, (out_channels, *x.shape[2:]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), CHANNELS, CHANNELS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32))
def test_it_is_adaptive_average_pooling_along_the_channels(images, channels, out_channels, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, channels, height, width, generator=generator, dtype=torch.float64, requires_grad=True)
    out, expected = interpolate_channels(x, out_channels), reference(x, out_channels)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-14)
    weight = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(out, x, weight)
    (expected_gradient,) = torch.autograd.grad(expected, x, weight)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(CHANNELS, CHANNELS)
def test_in_single_precision_it_differs_by_rounding_alone(channels, out_channels):
    x = torch.randn(2, channels, 3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(interpolate_channels(x, out_channels), reference(x, out_channels), rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(CHANNELS, CHANNELS)
def test_every_output_channel_is_a_mean_of_neighbours(channels, out_channels):
    matrix = interpolation_matrix(channels, out_channels, torch.device("cpu"), torch.float64)
    assert matrix.shape == (out_channels, channels)
    for row, weights in enumerate(matrix.tolist()):
        first = row * channels // out_channels
        last = -(-(row + 1) * channels // out_channels) - 1
        share = 1 / (last - first + 1)
        assert weights == pytest.approx([share * (first <= column <= last) for column in range(channels)], abs=1e-15)


def test_as_many_channels_as_there_are_stay_as_they_are():
    x = torch.randn(2, 5, 3, 3)
    assert interpolate_channels(x, 5) is x


def test_channels_are_doubled_by_repeating_and_halved_by_averaging_pairs():
    x = torch.arange(4.0).reshape(1, 4, 1, 1)
    assert interpolate_channels(x, 8).flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert interpolate_channels(x, 2).flatten().tolist() == [0.5, 2.5]
    # Where the numbers do not divide each other, the windows overlap.
    assert interpolate_channels(x, 3).flatten().tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_of_the_feature_map_is_kept(dtype):
    assert interpolate_channels(torch.ones(1, 3, 2, 2, dtype=dtype), 5).dtype == dtype


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_after_use_without_gradients_it_still_gives_gradients(mode):
    # Matrices are kept between calls; one that was made for an evaluation has to serve the training after it.
    interpolation_matrix.cache_clear()
    x = torch.randn(2, 7, 3, 3, requires_grad=True)
    with mode():
        interpolate_channels(x, 5)
    interpolate_channels(x, 5).sum().backward()
    # Each output channel hands out a gradient of one for each position.
    torch.testing.assert_close(x.grad.sum(), torch.tensor(2.0 * 5 * 3 * 3))
