"""A zoo of small networks: each has a trait, or two, of networks that people write. A trait keeps the channels."""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.trait_parts import Lambda, Plain, conv
from tests.traits_of_paths import (
    Blur,
    block_asked_what_it_is,
    block_by_keyword,
    borrowed_weights,
    branch_by_size,
    same_padding,
    size_of_something_fixed,
)

CHANNELS = 12


def second_argument(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        for index, block in enumerate(net.blocks):
            x = block(x, drop_rate=0.1 * index)
        return x

    return Lambda(path, blocks=nn.ModuleList(Plain(c) for _ in range(3)))


def asked_block(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        assert all(isinstance(block, (Plain, nn.Identity)) for block in net.blocks)
        return net.blocks(x) / net.blocks[-1].out_channels ** 0.5

    return Lambda(path, blocks=nn.Sequential(*(Plain(c) for _ in range(3))))


def asked_layer(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        assert isinstance(net.conv, nn.Conv2d) and isinstance(net.norm, nn.BatchNorm2d)
        x = F.pad(x.type(net.conv.weight.dtype), [net.conv.kernel_size[0] // 2] * 4)
        net.penalty = net.conv.weight.abs().sum() + net.norm.weight.abs().sum()
        return net.norm(net.conv(x))

    return Lambda(path, conv=nn.Conv2d(c, c, 3), norm=nn.BatchNorm2d(c))


def in_features(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        gate = net.second(net.first(F.adaptive_avg_pool2d(x, 2).view(-1, net.first.in_features)).relu())
        return x * gate.sigmoid()[:, :, None, None]

    return Lambda(path, first=nn.Linear(4 * c, 8), second=nn.Linear(8, c))


def hooked(c: int) -> nn.Module:
    block = nn.Sequential(conv(c, c), nn.BatchNorm2d(c), nn.ReLU(), conv(c, c))
    for module in (block[0], block[1], block[3]):
        module.register_forward_hook(lambda module, inputs, output: output.clamp(max=0.4))
        module.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 0.7,))
    return block


def own_forward(c: int) -> nn.Module:
    """The forward pass of single objects is replaced, as some libraries do."""
    layer, norm = conv(c, c), nn.BatchNorm2d(c)
    layer.forward = MethodType(lambda self, x: 0.5 * nn.Conv2d.forward(self, x), layer)
    norm.forward = MethodType(lambda self, x: 0.5 * nn.BatchNorm2d.forward(self, x), norm)
    return nn.Sequential(layer, norm)


class Attention(nn.Module):
    """Over positions, one head, with a shortcut."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(x).reshape(b, 3 * c, h * w).chunk(3, dim=1)
        weights = (q.transpose(1, 2) @ k).softmax(-1)
        return x + self.out((v @ weights.transpose(1, 2)).reshape(b, c, h, w))


class Heads(nn.Module):
    """Attention with heads, in the middle of a bottleneck."""

    def __init__(self, c: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Conv2d(c, c, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.size()
        q, k, v = (layer(x).view(n, self.heads, c // self.heads, -1) for layer in (self.q, self.k, self.v))
        return torch.matmul(v, torch.matmul(q.transpose(2, 3), k).softmax(-1).transpose(2, 3)).view(n, c, h, w)


def tokens(c: int) -> nn.Module:
    """A mixer: linear layers on channels last, brought back by sizes that were read."""

    def path(net: Any, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2)
        y = net.second(net.first(net.norm(y)).relu())
        return x + y.transpose(1, 2).reshape(b, c, h, w)

    return Lambda(path, norm=nn.LayerNorm(c), first=nn.Linear(c, 2 * c), second=nn.Linear(2 * c, c))


def windows(c: int) -> nn.Module:
    """Linear layers on windows that are folded into the batch."""

    def path(net: Any, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)
        y = net.second(net.first(y).relu())
        y = y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4)
        return x + y.reshape(b, c, h, w)

    return Lambda(path, first=nn.Linear(c, 2 * c), second=nn.Linear(2 * c, c))


def flips(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        both = net.conv(torch.cat([x, x.flip(3)]))
        one, other = both.chunk(2)
        return one + other.flip(3)

    return Lambda(path, conv=conv(c, c))


def spatial_gate(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        top = torch.max(x, dim=1, keepdim=True)[0] + x.amax(1, keepdim=True)
        return x * net.conv(torch.cat([x.mean(1, keepdim=True), top], 1)).sigmoid()

    return Lambda(path, conv=nn.Conv2d(2, 1, 3, padding=1))


def expanded_gate(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        return x * (1 + net.second(net.first(x).relu()).sigmoid().expand_as(x))

    return Lambda(path, first=nn.Conv2d(c, 4, 1), second=nn.Conv2d(4, 1, 1))


def shared_mlp(c: int) -> nn.Module:
    """CBAM's channel attention: one module for two poolings."""

    def path(net: Any, x: Tensor) -> Tensor:
        return x * (net.mlp(F.adaptive_avg_pool2d(x, 1)) + net.mlp(F.adaptive_max_pool2d(x, 1))).sigmoid()

    return Lambda(path, mlp=nn.Sequential(nn.Conv2d(c, 6, 1, bias=False), nn.ReLU(), nn.Conv2d(6, c, 1, bias=False)))


def shared_norm(c: int) -> nn.Module:
    return Lambda(
        lambda net, x: net.norm(net.conv(x)) + net.norm(net.conv(x.flip(3))), conv=conv(c, c), norm=nn.BatchNorm2d(c)
    )


def norm_once(c: int) -> nn.Module:
    """A layer with a norm in one of its places."""
    modules = {"conv": conv(c, c), "norm": nn.BatchNorm2d(c)}
    return Lambda(lambda net, x: net.norm(net.conv(x)) + net.conv(x * 0.5), **modules)


def norm_each(c: int) -> nn.Module:
    """A layer with another norm in each of its places."""
    modules = {"conv": conv(c, c), "a": nn.BatchNorm2d(c), "b": nn.BatchNorm2d(c)}
    return Lambda(lambda net, x: net.a(net.conv(x)) + net.b(net.conv(x * 0.5)), **modules)


def stage_twice(c: int) -> nn.Module:
    """Blocks that run twice in a pass."""
    return Lambda(
        lambda net, x: net.blocks(x) * net.blocks(x * 0.5).sigmoid(), blocks=nn.Sequential(Plain(c), Plain(c))
    )


class Named(Plain):
    """A block with attributes that TAS might have called so, and numbers that are no floats."""

    def __init__(self, c: int) -> None:
        super().__init__(c)
        self.place, self.slice, self.choice, self.mixture = nn.Identity(), "a", (1, 2), [3]
        self.count = nn.Parameter(torch.zeros(1, dtype=torch.long), requires_grad=False)

    def get_extra_state(self) -> dict[str, int]:
        return {"passes": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"passes": 3}

    def forward(self, x: Tensor, drop_rate: float = 0.0) -> Tensor:
        return super().forward(self.place(x) * self.choice[0])


def odd_state(c: int) -> nn.Module:
    return nn.Sequential(*(Named(c) for _ in range(3)))


def shared_activation(c: int) -> nn.Module:
    act = nn.PReLU()
    return nn.Sequential(conv(c, c), act, conv(c, c), act)


def shared_prelu_of_channels(c: int) -> nn.Module:
    act = nn.PReLU(c)
    return nn.Sequential(conv(c, c), act, conv(c, c), act)


def two_names(c: int) -> nn.Module:
    backbone = nn.Sequential(conv(c, c), nn.BatchNorm2d(c), nn.ReLU())
    return Lambda(lambda net, x: net.features(x), backbone=backbone, features=nn.Sequential(*backbone.children()))


class ChannelsFirstNorm(nn.Module):
    def __init__(self, c: int, how: str) -> None:
        super().__init__()
        self.weight, self.bias, self.how = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c)), how

    def forward(self, x: Tensor) -> Tensor:
        y = x - x.mean(1, keepdim=True)
        y = y / (y.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        if self.how == "view":
            return y * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        if self.how == "expand":
            return y * self.weight.view(1, -1, 1, 1).expand(x.shape[0], -1, 1, 1)
        return y * self.weight[:, None, None] + self.bias[..., None, None]


class Checkpointed(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(c, 2 * c), nn.BatchNorm2d(2 * c), nn.ReLU(), conv(2 * c, c))

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.body, x, use_reentrant=False) if self.training else self.body(x)


def train_only_branch(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        return net.body(x) + net.extra(x) if net.training else net.body(x)

    return Lambda(path, body=conv(c, c), extra=conv(c, c))


def noise_of_a_fixed_size(c: int) -> nn.Module:
    return Lambda(
        lambda net, x: net.body(x) * (torch.rand(len(x), c, 1, 1) < 0.9) if net.training else net.body(x),
        body=conv(c, c),
    )


def transposed(c: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(c, c, 2, 2), nn.BatchNorm2d(c), nn.ReLU(), nn.ConvTranspose2d(c, c, 2, 2))


def along_channels(c: int) -> nn.Module:
    """ECA: a convolution over the channels as a sequence."""

    def path(net: Any, x: Tensor) -> Tensor:
        y = net.conv(x.mean((2, 3))[:, None])
        return x * y.sigmoid()[:, 0, :, None, None]

    return Lambda(path, conv=nn.Conv1d(1, 1, 3, padding=1))


def squeeze_excitation(c: int) -> nn.Module:
    def path(net: Any, x: Tensor) -> Tensor:
        b, c, _, _ = x.size()
        return x * net.second(net.first(F.adaptive_avg_pool2d(x, 1).view(b, c)).relu()).sigmoid().view(b, c, 1, 1)

    return Lambda(path, first=nn.Linear(c, 6), second=nn.Linear(6, c))


def group_norm(groups: int) -> Callable[[int], nn.Module]:
    return lambda c: nn.Sequential(conv(c, c), nn.GroupNorm(groups, c), nn.ReLU())


def dropout(c: int) -> nn.Module:
    return nn.Sequential(conv(c, c), nn.BatchNorm2d(c), nn.Dropout(0.3), conv(c, c), nn.Dropout2d(0.3))


def scaled_by_channels(c: int) -> nn.Module:
    """By how many channels a layer says it has."""
    return Lambda(lambda net, x: net.conv(x) / net.conv.out_channels**0.5, conv=conv(c, c))


def scaled_by_size(c: int) -> nn.Module:
    return Lambda(lambda net, x: net.conv(x) * x.shape[1] ** -0.5, conv=conv(c, c))


class Weighted(nn.Conv2d):
    """A convolution whose weight is made anew in each pass."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight / (self.weight.pow(2).sum((1, 2, 3), keepdim=True) + 1e-3).sqrt()
        return F.conv2d(input, weight, self.bias, self.stride, self.padding)


def keyword(c: int) -> nn.Module:
    return Lambda(lambda net, x: net.norm(input=net.conv(input=x)), conv=conv(c, c), norm=nn.BatchNorm2d(c))


TRAITS: dict[str, Callable[[int], nn.Module]] = {
    "second argument": second_argument,
    "block asked": asked_block,
    "layer asked": asked_layer,
    "in_features": in_features,
    "hooks": hooked,
    "own forward": own_forward,
    "attention": Attention,
    "heads": Heads,
    "tokens": tokens,
    "windows": windows,
    "flips": flips,
    "spatial gate": spatial_gate,
    "expanded gate": expanded_gate,
    "shared mlp": shared_mlp,
    "shared norm": shared_norm,
    "norm once": norm_once,
    "norm each": norm_each,
    "stage twice": stage_twice,
    "odd state": odd_state,
    "shared activation": shared_activation,
    "shared prelu": shared_prelu_of_channels,
    "two names": two_names,
    "norm by view": lambda c: ChannelsFirstNorm(c, "view"),
    "norm by index": lambda c: ChannelsFirstNorm(c, "index"),
    "norm by expand": lambda c: ChannelsFirstNorm(c, "expand"),
    "checkpointing": Checkpointed,
    "training branch": train_only_branch,
    "fixed noise": noise_of_a_fixed_size,
    "transposed": transposed,
    "along channels": along_channels,
    "squeeze and excitation": squeeze_excitation,
    "groups of 3": group_norm(3),
    "groups of 4": group_norm(4),
    "dropout": dropout,
    "scaled by channels": scaled_by_channels,
    "scaled by size": scaled_by_size,
    "own convolution": lambda c: Weighted(c, c, 3, padding=1),
    "keyword": keyword,
    "block by keyword": block_by_keyword,
    "block asked what it is": block_asked_what_it_is,
    "same padding": same_padding,
    "branch by size": branch_by_size,
    "blur": Blur,
    "borrowed weights": borrowed_weights,
    "size of something fixed": size_of_something_fixed,
}
"""Name -> what makes a module of so many channels."""

REFUSED = {
    "training branch": "in training a smaller network does not run",
    "fixed noise": "in training a smaller network does not run",
}
"""Those that a search cannot manage -> what is said of them."""


def with_traits(*names: str) -> nn.Sequential:
    """A network of traits, each between a convolution and the next."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [conv(3, CHANNELS), nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    for name in names:
        layers += [TRAITS[name](CHANNELS), conv(CHANNELS, CHANNELS), nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 5))
