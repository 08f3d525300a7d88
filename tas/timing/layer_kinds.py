"""Layers by themselves: what decides how long one takes, and what runs it alone."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tas.reading.plan import Layer, Plan


@dataclass(frozen=True)
class LayerKind:
    """All of a layer but its numbers of channels, as far as its time depends on it."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    resolution: tuple[int, ...]
    """Of its output, as of `Layer`; a linear layer has none of two dimensions, or is one where that is said."""
    linear: bool
    grouped: int
    """Output channels of each group; 0 where there are no groups."""
    bias: bool

    @classmethod
    def of(cls, layer: Layer, plan: Plan, linear: bool) -> "LayerKind":
        """That of a layer of a plan.

        Args:
            layer: A convolution or linear layer.
            plan: Its network's.
            linear: Whether it is linear.
        """
        source = layer.writes.source
        full = layer.writes.repeat * (source if isinstance(source, int) else plan.all_widths()[source])
        grouped = full // layer.groups if layer.groups > 1 else 0
        return cls(layer.kernel, layer.stride, layer.resolution, linear, grouped, layer.bias)

    def __str__(self) -> str:
        """The same as text, unique: a key in files."""
        sizes = ["x".join(map(str, numbers)) or "1" for numbers in (self.kernel, self.stride, self.resolution)]
        name = "linear" if self.linear else "conv"
        return f"{name} {' '.join(sizes)} {self.grouped}{' bias' if self.bias else ''}"

    def made(self, inputs: int, outputs: int, batch: int) -> tuple[nn.Module, Tensor]:
        """Such a layer, and what it reads in a network.

        Args:
            inputs: Channels that each output channel reads.
            outputs: Output channels.
            batch: Images.
        """
        if self.linear:
            return nn.Linear(inputs, outputs, self.bias), torch.randn(batch, *self.resolution, inputs)
        groups = max(1, round(outputs / self.grouped)) if self.grouped else 1
        outputs = groups * self.grouped or outputs
        padding = [(size - 1) // 2 for size in self.kernel]
        sides = [
            (length - 1) * step + size - 2 * pad
            for length, step, size, pad in zip(self.resolution, self.stride, self.kernel, padding)
        ]
        kind: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(self.resolution)]
        layer: nn.Module = kind(
            inputs * groups, outputs, self.kernel, self.stride, tuple(padding), groups=groups, bias=self.bias
        )
        return layer, torch.randn(batch, inputs * groups, *sides)
