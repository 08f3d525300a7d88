"""Traits of forward passes: how they call blocks, decide by sizes, and compute without modules."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.trait_parts import Lambda, Plain, conv


def block_by_keyword(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        for block in net.blocks:
            x = block(x=x)
        return x

    return Lambda(path, blocks=nn.Sequential(*(Plain(c) for _ in range(3))))


def block_asked_what_it_is(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        for block in net.blocks:
            x = block(x, drop_rate=0.5) if isinstance(block, Plain) else x * 2
        return x

    return Lambda(path, blocks=nn.Sequential(*(Plain(c) for _ in range(3))))


def same_padding(c: int) -> nn.Module:
    """As much as the size of the image asks for, computed in each pass."""

    def path(net: Any, x: Tensor) -> Tensor:
        high, wide = (max((math.ceil(size / 2) - 1) * 2 + 3 - size, 0) for size in x.shape[-2:])
        if high > 0 or wide > 0:
            x = F.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
        return net.norm(net.conv(x))

    return Lambda(path, conv=nn.Conv2d(c, c, 3, stride=2), norm=nn.BatchNorm2d(c))


def branch_by_size(c: int) -> nn.Module:
    """What is done depends on the size of the image, and on how many channels there are."""

    def path(net: Any, x: Tensor) -> Tensor:
        x = net.conv(x)
        if x.ndim != 4 or int(x.shape[1]) < 1 or len(x.shape) < 3:
            raise ValueError("no image")
        for _ in range(x.shape[-1] // 4):
            x = x + 0.5 * net.norm(x)
        return x if x.shape[-1] > 100 else F.relu(x)

    return Lambda(path, conv=conv(c, c), norm=nn.InstanceNorm2d(c))


class Blur(nn.Module):
    """A fixed filter, without a module, for each of so many channels."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = conv(c, c)
        self.register_buffer("filter", torch.tensor([1.0, 2.0, 1.0]).div(4).expand(c, 1, 1, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.conv2d(x, self.filter, padding=(0, 1), groups=x.shape[1])


def borrowed_weights(c: int) -> nn.Module:
    """Layers of which only the weights are used, as code does that makes one projection of several."""

    def path(net: Any, x: Tensor) -> Tensor:
        tokens = net.conv(x).flatten(2).transpose(1, 2)
        both = F.linear(tokens, torch.cat([net.first.weight, net.second.weight]), net.bias.weight[0])
        first, second = both.chunk(2, -1)
        return (first * second.sigmoid()).transpose(1, 2).reshape(x.shape)

    return Lambda(path, conv=conv(c, c), first=nn.Linear(c, c), second=nn.Linear(c, c), bias=nn.Linear(2 * c, 1))


def size_of_something_fixed(c: int) -> nn.Module:
    """A layer's output is given the size of what cannot be smaller."""

    def path(net: Any, x: Tensor) -> Tensor:
        fixed = net.first(x).cumsum(1)
        b, channels = fixed.shape[:2]
        return fixed + net.second(x).reshape(b, channels, -1).reshape(fixed.shape)

    return Lambda(path, first=conv(c, c), second=conv(c, c))
