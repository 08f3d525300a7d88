"""The networks that TAS knows by name. A network here is plain: nothing in it knows of search."""

from tas.errors import TasError, nearest
from tas.networks.cifar_resnet import BasicBlock, Bottleneck, ResNetSpec

NETWORKS = {
    "resnet20": ResNetSpec(3, BasicBlock),
    "resnet32": ResNetSpec(5, BasicBlock),
    "resnet44": ResNetSpec(7, BasicBlock),
    "resnet56": ResNetSpec(9, BasicBlock),
    "resnet110": ResNetSpec(18, BasicBlock),
    "resnet164": ResNetSpec(18, Bottleneck),
}


def network_spec(name: str) -> ResNetSpec:
    """The network of that name; a name that is not known raises a TasError which lists those that are."""
    if not isinstance(name, str) or name not in NETWORKS:
        raise TasError(f"unknown network {name!r}{nearest(str(name), NETWORKS)}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name]
