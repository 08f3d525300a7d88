"""From an `nn.Module` to the plan of what it is made of."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from tas.networks.cifar_resnet import CifarResNet
from tas.reading.cifar_resnet import read_cifar_resnet
from tas.reading.follow import read_traced
from tas.reading.parameters import with_parameters
from tas.reading.plan import Plan

READERS: dict[type[nn.Module], Callable[[Any, Sequence[int]], Plan]] = {CifarResNet: read_cifar_resnet}
"""Class of a network -> what reads it, given (C, H, W) of one image. All other networks are traced."""


def read_plan(network: nn.Module, input_shape: Sequence[int], name: str = "") -> Plan:
    """The plan of an unpruned network.

    In the CIFAR ResNets every convolution has a width of its own, as in the paper. In any other network, what additions
    and channel-by-channel layers tie together shares one.

    Args:
        network: The unpruned network, from images (N, C, H, W) to logits.
        input_shape: (C, H, W) of one image.
        name: What errors call it; its class by default.

    Raises:
        TasError: The network cannot be read: it does not take such images, its path depends on the data, one norm
            follows several layers, or nothing in it can be smaller.
    """
    for kind, reader in READERS.items():
        if isinstance(network, kind):
            return with_parameters(reader(network, input_shape), network)
    return with_parameters(read_traced(network, input_shape, name or type(network).__name__), network)
