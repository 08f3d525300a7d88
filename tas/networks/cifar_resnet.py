"""The ResNets of the CIFAR experiments: a 3x3 stem of 16 channels, three stages of 16/32/64.

An ImageNet stem has no place at 32x32; these are the networks of He et al. (2016),
section 4.2, as the paper prunes them. Every convolution has its own width, residual outputs included, so the same class
builds the full network and every network that a search can find.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tas.architecture import check_within


class Add(nn.Module):
    """The sum of a block's two branches; a module so that a supernet can put its own in this place."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        return branch + shortcut


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A "same"-padded convolution without bias: batch norm follows, or the sum with a branch that has one."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The path around a block: pooled and projected, projected, or left alone."""
    if stride == 2:
        # ceil_mode keeps odd resolutions in step with a padded 3x3 convolution of stride 2.
        pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        return nn.Sequential(pool, conv(in_channels, out_channels, 1))
    if in_channels != out_channels:
        return nn.Sequential(conv(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
    return nn.Identity()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    searched = {"conv1": "bn1", "conv2": "bn2"}  # convolution -> its norm, in forward order
    full_widths = (1, 1)  # in multiples of the stage's base width

    def __init__(self, in_channels: int, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        first, last = widths
        self.conv1 = conv(in_channels, first, 3, stride)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = conv(first, last, 3)
        self.bn2 = nn.BatchNorm2d(last)
        self.shortcut = shortcut(in_channels, last, stride)
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(self.add(out, self.shortcut(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the last four times as wide, and a shortcut."""

    searched = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"}
    full_widths = (1, 1, 4)

    def __init__(self, in_channels: int, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        first, middle, last = widths
        self.conv1 = conv(in_channels, first, 1)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = conv(first, middle, 3, stride)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = conv(middle, last, 1)
        self.bn3 = nn.BatchNorm2d(last)
        self.shortcut = shortcut(in_channels, last, stride)
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return torch.relu(self.add(out, self.shortcut(x)))


@dataclass(frozen=True)
class ResNetSpec:
    """One member of the family: how many blocks a full stage has, and of which kind."""

    blocks: int
    block: type[BasicBlock] | type[Bottleneck]

    BASE_WIDTHS = {"stage1": 16, "stage2": 32, "stage3": 64}

    def full_depths(self) -> dict[str, int]:
        """Stage name -> blocks of the unpruned network."""
        return dict.fromkeys(self.BASE_WIDTHS, self.blocks)

    def full_widths(self) -> dict[str, int]:
        """Convolution name -> output channels of the unpruned network, in forward order, projections left out."""
        widths = {"conv1": 16}
        for stage, base in self.BASE_WIDTHS.items():
            for index in range(self.blocks):
                widths |= {name: base * k for name, k in zip(self.block_convs(stage, index), self.block.full_widths)}
        return widths

    def block_convs(self, stage: str, index: int) -> list[str]:
        """The names of the searched convolutions of block `index` (from 0) of a stage, in forward order."""
        return [f"{stage}.{index}.{name}" for name in self.block.searched]


class CifarResNet(nn.Module):
    """A CIFAR ResNet: (N, in_channels, H, W) images, H and W at least 8, to (N, num_classes) logits.

    Args:
        spec: The member of the family.
        widths: Output channels of every convolution in `spec.full_widths()`; those of blocks not kept are ignored.
        depths: Blocks that each stage keeps, from the first.
        num_classes: Length of the logits.
        in_channels: Channels of the images.
    """

    stage1: nn.Sequential
    stage2: nn.Sequential
    stage3: nn.Sequential

    def __init__(
        self,
        spec: ResNetSpec,
        widths: Mapping[str, int],
        depths: Mapping[str, int],
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.spec = spec
        channels = widths["conv1"]
        self.conv1 = conv(in_channels, channels, 3)
        self.bn1 = nn.BatchNorm2d(channels)
        for stage in spec.BASE_WIDTHS:
            blocks = []
            for index in range(depths[stage]):
                stride = 2 if index == 0 and stage != "stage1" else 1
                chosen = [widths[name] for name in spec.block_convs(stage, index)]
                blocks.append(spec.block(channels, chosen, stride))
                channels = chosen[-1]
            self.add_module(stage, nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def resized(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> "CifarResNet":
        """The network with other widths and depths, freshly initialised; TasError unless they are its own."""
        check_within("widths", widths, self.spec.full_widths())
        check_within("depths", depths, self.spec.full_depths())
        in_channels, num_classes = self.conv1.in_channels, self.fc.out_features
        return CifarResNet(self.spec, widths, depths, num_classes, in_channels).to(self.fc.weight)

    def stages(self) -> list[tuple[str, nn.Sequential]]:
        """The stages by name, in forward order."""
        return [("stage1", self.stage1), ("stage2", self.stage2), ("stage3", self.stage3)]

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.pool(x).flatten(1))
