"""The search space of a CIFAR ResNet, as most tests want it."""

from functools import cache

from tas.architecture import Architecture
from tas.cutting.build import build
from tas.reading.plan import Plan
from tas.reading.readers import read_plan
from tas.space.space import SearchSpace


@cache
def plan_of(network: str, num_classes: int = 10, in_channels: int = 3, size: int = 32) -> Plan:
    full = Architecture.full(network, num_classes, in_channels)
    return read_plan(build(full), (in_channels, size, size))


def paper_space(full: Architecture, size: int = 32, **options) -> SearchSpace:
    return SearchSpace.of(plan_of(full.network, full.num_classes, full.in_channels, size), full, **options)
