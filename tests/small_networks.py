"""Networks of a few layers, each of which shows one way to join channels."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.shufflenetv2 import channel_shuffle


class Made(nn.Module):
    """A network of these layers and this forward pass."""

    def __init__(self, path: Callable[[nn.Module, Tensor], Tensor], **layers: nn.Module | nn.Parameter | Tensor):
        super().__init__()
        self.path = path
        for name, layer in layers.items():
            if type(layer) is Tensor:
                self.register_buffer(name, layer)
            else:
                setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.path(self, x)


def conv(inputs: int, outputs: int, kernel: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def chain(*layers: nn.Module, features: int = 8) -> nn.Sequential:
    """Layers one after another, then the classifier."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 5))


def addition() -> nn.Module:
    """Two convolutions that a sum ties, each with a norm."""
    return Made(
        lambda net, x: net.fc(pooled(F.relu(net.bn1(net.a(x)) + net.bn2(net.b(x))))),
        **{"a": conv(3, 8), "bn1": nn.BatchNorm2d(8), "b": conv(3, 8), "bn2": nn.BatchNorm2d(8), "fc": nn.Linear(8, 5)},
    )


def named_addition() -> nn.Module:
    """A sum and a layer that are given their inputs by name."""
    return Made(
        lambda net, x: net.fc(input=pooled(torch.add(input=net.relu(input=net.a(input=x)), other=net.b(x), alpha=2))),
        **{"a": conv(3, 8), "b": conv(3, 8), "relu": nn.ReLU(), "fc": nn.Linear(8, 5)},
    )


def squeeze_excitation() -> nn.Module:
    """A gate that is broadcast over height and width."""
    return Made(
        lambda net, x: net.fc(
            pooled((h := net.bn(net.a(x))) * net.up(F.relu(net.down(h.mean((2, 3), True)))).sigmoid())
        ),
        **{"a": conv(3, 8), "bn": nn.BatchNorm2d(8), "down": conv(8, 4, 1), "up": conv(4, 8, 1)},
        fc=nn.Linear(8, 5),
    )


def concatenation() -> nn.Module:
    """Two branches and the image, one beside another, with one norm over all."""
    return Made(
        lambda net, x: net.fc(pooled(net.c(F.relu(net.bn(torch.cat([net.a(x), x, net.b(x)], 1)))))),
        **{"a": conv(3, 8), "b": conv(3, 6), "bn": nn.BatchNorm2d(17), "c": conv(17, 8), "fc": nn.Linear(8, 5)},
    )


def grouped_concatenation() -> nn.Module:
    """Two branches, one beside another, under a depthwise and a grouped convolution."""
    return Made(
        lambda net, x: net.fc(pooled(net.g(net.bn(net.d(torch.cat([net.a(x), net.b(x)], 1)))))),
        **{"a": conv(3, 8), "b": conv(3, 4), "d": conv(12, 12, groups=12), "bn": nn.BatchNorm2d(12)},
        **{"g": conv(12, 24, groups=6), "fc": nn.Linear(24, 5)},
    )


def depthwise() -> nn.Module:
    return chain(conv(3, 8), nn.BatchNorm2d(8), conv(8, 8, groups=8), nn.BatchNorm2d(8), nn.ReLU6(), conv(8, 8, 1))


def depthwise_twofold() -> nn.Module:
    """A depthwise convolution that makes two features of each channel."""
    return chain(conv(3, 6), conv(6, 12, groups=6, bias=False), nn.BatchNorm2d(12), conv(12, 8, 1))


def grouped() -> nn.Module:
    return chain(conv(3, 12), nn.BatchNorm2d(12), conv(12, 12, groups=3), nn.BatchNorm2d(12), conv(12, 8))


def grouped_on_image() -> nn.Module:
    """A grouped convolution of what cannot change."""
    return chain(conv(3, 6, groups=3), nn.BatchNorm2d(6), conv(6, 8))


def layer_scale() -> nn.Module:
    """Bare parameters with a number for each channel, one of them of another shape than it is used in."""
    return Made(
        lambda net, x: net.fc(pooled((h := net.a(x)) + net.gamma * net.b(h) - net.beta.view(1, -1, 1, 1))),
        **{"a": conv(3, 8), "b": conv(8, 8), "gamma": nn.Parameter(torch.ones(8, 1, 1)), "fc": nn.Linear(8, 5)},
        beta=nn.Parameter(torch.ones(8)),
    )


def scale_used_twice() -> nn.Module:
    """One parameter for the channels of two convolutions, which it ties, and a buffer."""
    return Made(
        lambda net, x: net.fc(pooled(net.b(F.relu(net.a(x) * net.gamma)) * net.gamma / net.spread)),
        **{"a": conv(3, 8), "b": conv(8, 8), "gamma": nn.Parameter(torch.ones(1, 8, 1, 1)), "fc": nn.Linear(8, 5)},
        spread=2 * torch.rand(8, 1, 1) + 1,
    )


def scales_in_a_list() -> nn.Module:
    return Made(
        lambda net, x: net.fc(pooled(net.b(net.a(x) * net.scales[0]) * net.scales[1])),
        **{"a": conv(3, 8), "b": conv(8, 6), "fc": nn.Linear(6, 5)},
        scales=nn.ParameterList([torch.ones(8, 1, 1), torch.ones(6, 1, 1)]),
    )


def flattened() -> nn.Module:
    """A linear layer that reads channels x positions, as in VGG, and hidden layers with a norm and without."""
    return nn.Sequential(
        *(conv(3, 6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 12), nn.BatchNorm1d(12)),
        *(nn.ReLU(), nn.Dropout(0.0), nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 5)),
    )


def norm_after_flatten() -> nn.Module:
    return nn.Sequential(conv(3, 6), nn.MaxPool2d(4), nn.Flatten(), nn.BatchNorm1d(24), nn.Linear(24, 5))


def channels_last() -> nn.Module:
    """A block of ConvNeXt: layer norm and linear layers over channels in the last dimension."""
    return Made(
        lambda net, x: net.fc(
            pooled(
                (h := net.stem(x))
                + net.down(F.gelu(net.up(net.norm(net.deep(h).permute(0, 2, 3, 1))))).permute(0, -1, 1, 2)
            )
        ),
        **{"stem": conv(3, 8), "deep": conv(8, 8, groups=8), "norm": nn.LayerNorm(8), "up": nn.Linear(8, 16)},
        **{"down": nn.Linear(16, 8), "fc": nn.Linear(8, 5)},
    )


def pooled_in_the_last_dimension() -> nn.Module:
    """Channels that move down as the dimensions before them vanish, by mean and by variance."""
    return Made(
        lambda net, x: net.fc((h := net.a(x).permute(0, 2, 3, 1)).mean(1).mean(1) + h.var((1, 2), True)),
        **{"a": conv(3, 8), "fc": nn.Linear(8, 5)},
    )


def norms_without_weights() -> nn.Module:
    """Norms that have no scale, and so no tensor that says how many channels they take."""
    return Made(
        lambda net, x: net.fc(net.last(pooled(net.b(net.batch(net.instance(net.a(x))))))),
        **{"a": conv(3, 8), "instance": nn.InstanceNorm2d(8), "batch": nn.BatchNorm2d(8, affine=False)},
        **{"b": conv(8, 6), "last": nn.LayerNorm(6, elementwise_affine=False), "fc": nn.Linear(6, 5)},
    )


def other_norms() -> nn.Module:
    return chain(
        *(conv(3, 8), nn.InstanceNorm2d(8, affine=True, track_running_stats=True), nn.PReLU(8), conv(8, 12)),
        *(nn.GroupNorm(4, 12), nn.PReLU(), conv(12, 8), nn.GroupNorm(1, 8)),
    )


def read_twice() -> nn.Module:
    """A convolution whose output also goes past its norm."""
    return Made(
        lambda net, x: net.fc(pooled(net.bn(h := net.a(x)) * h)),
        **{"a": conv(3, 8), "bn": nn.BatchNorm2d(8), "fc": nn.Linear(8, 5)},
    )


def shuffled() -> nn.Module:
    """A unit of ShuffleNet: a half that goes by, a half that is worked on, and both interleaved; then halves again."""

    def path(net: nn.Module, x: Tensor) -> Tensor:
        x = channel_shuffle(torch.cat([net.a(x), net.b(x)], 1), 2)
        first, second = x.chunk(2, dim=1)
        return net.fc(pooled(channel_shuffle(torch.cat((first, F.relu(net.bn(net.c(second)))), dim=1), 2)))

    layers = {"a": conv(3, 8), "b": conv(3, 8), "c": conv(8, 8), "bn": nn.BatchNorm2d(8), "fc": nn.Linear(16, 5)}
    return Made(path, **layers)


def sizes_from_shapes() -> nn.Module:
    """Reshapes by numbers that every forward pass reads anew."""

    def path(net: nn.Module, x: Tensor) -> Tensor:
        x = net.a(x)
        images, channels, height, width = x.shape
        return net.fc(x.view(images, channels, height * width).mean(-1).reshape(x.size(0), -1))

    return Made(path, a=conv(3, 8), fc=nn.Linear(8, 5))


class Standardised(nn.Conv2d):
    """A convolution with a forward pass of its own, which asks how many channels there are."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.reshape(self.out_channels, self.in_channels * 9)
        weight = (rows - rows.mean(1, keepdim=True)).reshape_as(self.weight)
        return self._conv_forward(x, weight, self.bias)


def derived_class() -> nn.Module:
    return chain(conv(3, 6), Standardised(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())


def expanded_gate() -> nn.Module:
    """A gate that is repeated to the size of what it gates, pooled under numpy's name for dimensions."""
    return Made(
        lambda net, x: net.fc((h := net.a(x)).mul(net.b(h.mean(axis=(2, 3), keepdim=True)).expand_as(h)).mean((2, 3))),
        **{"a": conv(3, 8), "b": conv(8, 8, 1), "fc": nn.Linear(8, 5)},
    )


def bounded() -> nn.Module:
    """Operations on one tensor that take a second one: a power and a bound."""
    return Made(
        lambda net, x: net.fc(pooled((net.a(x).sigmoid() ** net.b(x).sigmoid()).clamp(max=net.c(x)))),
        **{"a": conv(3, 8), "b": conv(3, 8), "c": conv(3, 8), "fc": nn.Linear(8, 5)},
    )


def indexed() -> nn.Module:
    """Blocks that are asked for by their index."""

    def path(net: nn.Module, x: Tensor) -> Tensor:
        x = net.stem(x)
        for index in range(3):
            x = net.blocks[index](x)
        return net.fc(pooled(x))

    def block() -> nn.Module:
        return Made(lambda net, x: x + net.norm(net.conv(x)).relu(), conv=conv(8, 8), norm=nn.BatchNorm2d(8))

    return Made(path, stem=conv(3, 8), blocks=nn.Sequential(block(), block(), block()), fc=nn.Linear(8, 5))


SMALL: dict[str, Callable[[], nn.Module]] = {
    made.__name__: made
    for made in (
        *(addition, named_addition, squeeze_excitation, concatenation, grouped_concatenation, depthwise),
        *(depthwise_twofold, grouped, grouped_on_image, layer_scale, scale_used_twice, scales_in_a_list, flattened),
        *(norm_after_flatten, channels_last, pooled_in_the_last_dimension, norms_without_weights, other_norms),
        *(read_twice, shuffled, sizes_from_shapes, derived_class),
        *(expanded_gate, bounded, indexed),
    )
}
