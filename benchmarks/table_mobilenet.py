"""The MobileNet of Channel-Bench-Macro (Su et al. 2022, arXiv 2203.13714), as a plain module.

A 3x3 stem of stride 2, four inverted residual blocks of which the third has stride 2, a last 1x1 convolution. Batch
norm follows every convolution, ReLU all but the blocks' last. 211,281,920 multiply-adds at 32x32.
"""

from torch import Tensor, nn

WIDTHS = (
    "stem.0",
    "block1.expand.0",
    "block2.expand.0",
    "block3.expand.0",
    "block3.project.0",
    "block4.expand.0",
    "last.0",
)
"""The widths in the order of the table's digits, by the names that a search gives them."""


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Module:
    """A convolution, its norm, and a ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), *([nn.ReLU()] if act else []))


class Inverted(nn.Module):
    """1x1 to the hidden width, depthwise 3x3, 1x1 back; with an identity skip where input and output are alike."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.expand = conv(inputs, hidden)
        self.depthwise = conv(hidden, hidden, 3, stride, groups=hidden)
        self.project = conv(hidden, outputs, act=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class MobileNet(nn.Module):
    """Images (N, in_channels, H, W) to logits (N, num_classes)."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem = conv(in_channels, 128, 3, 2)
        self.block1 = Inverted(128, 768, 128)
        self.block2 = Inverted(128, 768, 128)
        self.block3 = Inverted(128, 768, 256, 2)
        self.block4 = Inverted(256, 1536, 256)
        self.last = conv(256, 1024)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block4(self.block3(self.block2(self.block1(self.stem(x)))))
        return self.fc(self.last(x).mean((2, 3)))
