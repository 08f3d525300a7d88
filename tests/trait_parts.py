"""What the networks of the zoo are made of."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Lambda(nn.Module):
    """What is computed with the modules that it is given."""

    def __init__(self, path: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.path = path
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.path(self, x)


def conv(inputs: int, outputs: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


class Plain(nn.Module):
    """A residual block that may be called with a drop rate, and says how many channels it gives."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv, self.norm, self.out_channels = conv(c, c), nn.BatchNorm2d(c), c

    def forward(self, x: Tensor, drop_rate: float = 0.0) -> Tensor:
        return x + self.norm(self.conv(x)).relu() * (1 - drop_rate)
