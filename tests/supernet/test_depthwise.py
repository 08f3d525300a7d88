"""Depthwise convolutions of maps that are smaller than the kernel."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tas.supernet.depthwise import reaches_across
from tas.supernet.features import Features, Part
from tas.supernet.layers import ChannelwiseModule
from tests.supernet.test_layers import CLOSE

CHANNELS, THERE = 6, 4


def depthwise(kernel, stride=1, multiplier=1, **settings):
    settings = {"padding": kernel // 2} | settings
    return nn.Conv2d(CHANNELS, multiplier * CHANNELS, kernel, stride, groups=CHANNELS, **settings).double()


def maps(height, width):
    made = torch.randn(3, THERE, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return made.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "kernel, size, settings",
    [(3, (2, 2), {}), (3, (1, 1), {}), (5, (4, 7), {}), (3, (5, 2), {"padding": (0, 2)}), (3, (2, 2), {"dilation": 1})],
)
def test_of_a_smaller_map_it_is_the_convolution_of_the_channels_that_are_there_in_every_gradient(
    kernel: int, size: tuple[int, int], settings: dict, stride: int, multiplier: int, bias: bool
) -> None:
    conv, x = depthwise(kernel, stride, multiplier, bias=bias, **settings), maps(*size)
    assert reaches_across(conv, x)
    there = multiplier * THERE
    plain = (conv.stride, conv.padding, conv.dilation, THERE)
    expected = F.conv2d(x, conv.weight[:there], conv.bias[:there] if bias else None, *plain)
    learn = [x, *conv.parameters()]
    wanted = torch.autograd.grad(expected.square().sum(), learn)
    out = ChannelwiseModule.on(conv, Features([Part(CHANNELS, 1, None)]), 1)(x)
    torch.testing.assert_close(out, expected, **CLOSE)
    assert out.is_contiguous(memory_format=torch.channels_last)
    for gradient, own in zip(torch.autograd.grad(out.square().sum(), learn), wanted):
        torch.testing.assert_close(gradient, own, **CLOSE)


@pytest.mark.parametrize(
    "kernel, size, settings",
    [(3, (3, 3), {}), (5, (5, 8), {}), (3, (2, 2), {"padding": "same"}), (3, (2, 2), {"padding_mode": "circular"})],
)
def test_larger_maps_and_other_borders_are_left_to_the_convolution(
    kernel: int, size: tuple[int, int], settings: dict
) -> None:
    assert not reaches_across(depthwise(kernel, **settings), maps(*size))
