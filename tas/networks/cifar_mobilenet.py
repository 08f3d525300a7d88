"""MobileNet-v2 for images of about 32x32: the network of Sandler et al. (2018) with a stem and a first stage that keep
the resolution, as is usual for CIFAR; three of its convolutions have stride 2.

Torchvision's, made for 224x224, brings 32x32 images down to a single pixel.
"""

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first block, a row a stage: their Table 2 without two strides of 2."""

STEM = 32
LAST = 1280


class InvertedResidual(nn.Module):
    """1x1 to the hidden channels, depthwise 3x3, 1x1 back without an activation; an identity skip where both ends are
    alike.

    Args:
        inputs, outputs: Channels at the ends.
        expansion: Hidden channels for each input channel; with 1 there is no first convolution.
        stride: Of the depthwise convolution.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.expand: nn.Module = nn.Identity() if expansion == 1 else pointwise(inputs, hidden)
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()
        )
        self.project = nn.Sequential(nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.skips else out


def pointwise(inputs: int, outputs: int) -> nn.Sequential:
    """A 1x1 convolution, its norm and an activation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6())


class CifarMobileNetV2(nn.Module):
    """MobileNet-v2 for small images: (N, in_channels, H, W), H and W at least 8, to (N, num_classes) logits."""

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, STEM, 3, 1, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU6())
        channels, stages = STEM, []
        for expansion, outputs, blocks, stride in STAGES:
            first = InvertedResidual(channels, outputs, expansion, stride)
            others = [InvertedResidual(outputs, outputs, expansion, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *others))
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.last = pointwise(channels, LAST)
        self.fc = nn.Linear(LAST, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.stages(self.stem(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
