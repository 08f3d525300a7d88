"""The search space of a CIFAR ResNet, as most tests want it."""

from functools import cache

import torch

from tas.architecture import Architecture
from tas.config.groups import Space
from tas.networks import open_network
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tas.space.space import SearchSpace


@cache
def plan_of(network: str, num_classes: int = 10, in_channels: int = 3, size: int = 32) -> Plan:
    with torch.random.fork_rng(devices=[]):
        return read_plan(open_network(network, num_classes, in_channels), (in_channels, size, size))


def unpruned(network: str, num_classes: int = 10, in_channels: int = 3, size: int = 32) -> Architecture:
    """The widths and depths of the network as it is."""
    plan = plan_of(network, num_classes, in_channels, size)
    return Architecture(network, num_classes, in_channels, size, plan.widths, plan.depths())


def paper_space(full: Architecture, size: int = 32, **options) -> SearchSpace:
    """Every convolution with a width of its own, as in the paper, unless the options say otherwise."""
    plan = plan_of(full.network, full.num_classes, full.in_channels, size)
    return SearchSpace.of(plan, full, Space(**{"residuals": "free"} | options))
